"""The main job on images: paving bricks, some with painted defects, and a kind of defect that
nobody has labelled.

Scratches and spots are labelled, a dozen of each. Cuts are anomalies that training never sees; they
are painted by this file, not by what the library trains with. All images are crops of one
photograph, each with a light and a noise of its own: those of test/ show bricks that are in train/,
too, as photographs of one product do, but no image is in both. Writes a folder: train/ and test/
(images, masks beside those with a defect), cache/, report.html.

    python examples/demo_images.py [FOLDER]   (demo-images; replaces what an earlier run wrote)

Needs the extra `images`, and scikit-image for the photograph.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from unseen import Bundle, Detector, Policy
from unseen.evaluation.pixels import pixel_auroc, pro
from unseen.parts.ranking import auroc
from unseen.report.gathering import gathered
from unseen.report.images import with_pictures
from unseen.report.page import report_page, write_page
from unseen.scoring.folders import ImageFolder
from unseen.scoring.stream import score
from unseen.vision.defects import Mask, Pixels, blotch, laid, scratch, stroke
from unseen.vision.images import Images
from unseen.vision.maps import Maps
from unseen.vision.pixels import mask_of

SIDE = 160  # pixels of an image, each way
LIGHT, NOISE = 0.1, 3.0  # exposures differ by up to this share; a camera's noise, in levels of 255
SEEN, UNSEEN = ("scratch", "spot"), ("cut",)
COUNTS = {
    "train": {"normal": 100, "scratch": 12, "spot": 12},
    "test": {"normal": 40, "scratch": 20, "spot": 20, "cut": 20},
}
ALPHA = 0.05  # the share of good images that may be flagged
MARK = "about.txt"
WRITTEN = (MARK, "train", "test", "cache", "report.html")


@dataclass(frozen=True)
class Judged:
    """What a detector says of the images of test/: scores and p-values (n,); heat and true masks, n
    times (h, w).
    """

    maps: Maps
    score: NDArray[np.float64]
    pvalue: NDArray[np.float64]
    heat: list[NDArray[np.float32]]
    masks: list[Mask]

    def of(self, kind: str) -> NDArray[np.int64]:
        """Row numbers of a kind."""
        return np.flatnonzero(np.array(self.maps.images.labels) == kind)


@dataclass(frozen=True)
class Figures:
    """Of the images of one kind beside the good ones: how many, the share flagged, AUROC of images
    and pixels, PRO.
    """

    images: int
    flagged: float
    image: float
    pixel: float
    pro: float


def cut(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A short straight gash, pointed at both ends: dark, with a bright lip on one side."""
    n = 120
    along, angle = np.linspace(-0.5, 0.5, n), rng.uniform(0, np.pi)
    way = np.array([np.sin(angle), np.cos(angle)])
    path = rng.uniform(0.25, 0.75, 2) * SIDE + rng.uniform(30, 60) * along[:, None] * way  # (n, 2)
    radius = rng.uniform(2, 4) * (1 - (2 * along) ** 2)
    lip = stroke((SIDE, SIDE), path + way[::-1] * [1.0, -1.0] * radius[:, None], radius / 2 + 0.3)
    raised, rim = laid(pixels, pixels + 80.0, lip)
    gashed, gash = laid(raised, 0.25 * raised, stroke((SIDE, SIDE), path, radius))
    return gashed, rim | gash


PAINTERS: dict[str, Callable[[Pixels, np.random.Generator], tuple[Pixels, Mask]]] = {
    "scratch": scratch,
    "spot": blotch,
    "cut": cut,
}


def taken(photograph: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """A random square of a grey photograph, perhaps mirrored, in a light of its own: (h, w) ->
    (SIDE, SIDE, 3).
    """
    top, left = rng.integers(0, np.array(photograph.shape) - SIDE + 1)
    square = photograph[top : top + SIDE, left : left + SIDE][:, :: rng.choice([-1, 1])]
    lit = square * rng.uniform(1 - LIGHT, 1 + LIGHT) + NOISE * rng.normal(size=square.shape)
    return np.rint(lit).clip(0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)


def make_images(folder: Path, counts: dict[str, dict[str, int]], rng: np.random.Generator) -> None:
    """train/ and test/ with a folder for each kind: images as JPEG, and beside a defect its mask,
    same name, as PNG.
    """
    photograph = data.brick()
    for part, kinds in counts.items():
        for kind, count in kinds.items():
            place = folder / part / kind
            place.mkdir(parents=True)
            for i in range(count):
                pixels = taken(photograph, rng)
                if kind != "normal":
                    pixels, mask = PAINTERS[kind](pixels, rng)
                    Image.fromarray(mask).convert("L").save(place / f"{i:03}.png")
                Image.fromarray(pixels).save(place / f"{i:03}.jpg", quality=95)


def clear(folder: Path) -> None:
    """A folder without what an earlier run wrote; one that holds anything else is left alone."""
    if (
        folder.exists()
        and not (folder / MARK).is_file()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        sys.exit(
            f"{folder}: it was not made by this demo, which would overwrite what is in it; name "
            "another folder"
        )
    for name in WRITTEN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(
        "Made by examples/demo_images.py: the next run replaces what is here.\n"
    )


def judge(detector: Detector, maps: Maps) -> Judged:
    """Score every image, and every place of it."""
    score, heat = detector.anomaly_score(maps), detector.heat(maps)
    masks = [
        np.zeros(found.shape, bool) if file is None else mask_of(file, found.shape)
        for file, found in zip(maps.images.masks, heat, strict=True)
    ]
    return Judged(maps, score, detector.conformal_.pvalue(score), heat, masks)


def measured(judged: Judged, kind: str) -> Figures:
    """How well images of a kind are told from good ones, and their defects from all that is good in
    both.
    """
    good, bad = judged.of("normal"), judged.of(kind)
    both = np.concatenate([good, bad])
    heat, masks = [judged.heat[i] for i in both], [judged.masks[i] for i in both]
    return Figures(
        images=len(bad),
        flagged=float(np.mean(judged.pvalue[bad] <= ALPHA)),
        image=auroc(judged.score[good], judged.score[bad]),
        pixel=pixel_auroc(heat, masks),
        pro=pro(heat, masks),
    )


def tell(figures: dict[str, Figures], good: NDArray[np.float64], calibrating: int) -> None:
    """Seen and unseen kinds apart, and how many good images are flagged, by their p-values (n,)."""
    for title, kinds in (
        ("Seen kinds: some images of each were labelled in training", SEEN),
        ("Unseen kind: training never saw one", UNSEEN),
    ):
        print(
            f"\n{title}\n{'':<10}{'images':>8}{'flagged':>10}"
            f"{'image AUROC':>14}{'pixel AUROC':>14}{'PRO':>9}"
        )
        for kind in kinds:
            f = figures[kind]
            print(
                "  "
                f"{kind:<8}{f.images:>8}{f.flagged:>10.0%}{f.image:>14.3f}{f.pixel:>14.3f}{f.pro:>9.3f}"
            )
    flagged = good <= ALPHA
    print(
        f"\nGood images flagged at p <= {ALPHA}: {flagged.sum()} of {len(good)} "
        f"({flagged.mean():.1%})"
    )
    print(
        f"{calibrating} good images calibrate: no p-value is below 1/{calibrating + 1} = "
        f"{1 / (calibrating + 1):.4f}"
    )


def draw(folder: Path, detector: Detector) -> None:
    """The report of test/, as `unseen report` makes it: alarms with their heat."""
    source = ImageFolder(
        folder / "test", features=detector.schema_.features, cache=folder / "cache"
    )
    policy = Policy.alpha(ALPHA)
    found = gathered(score(source, detector, policy), "test")
    found = with_pictures(found, source, detector, ALPHA)
    facts = {"source": "train", "normals": COUNTS["train"]["normal"]}
    write_page(folder / "report.html", report_page(Bundle(detector, facts), found, policy))


def main(folder: Path) -> None:
    clear(folder)
    start = time.perf_counter()

    def done(what: str) -> None:
        nonlocal start
        print(f"{time.perf_counter() - start:6.1f} s  {what}", flush=True)
        start = time.perf_counter()

    for part, kinds in COUNTS.items():
        print(f"{folder / part}/: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    print()
    make_images(folder, COUNTS, np.random.default_rng(0))
    done("painted the images")
    both = {part: Images.read(folder / part) for part in COUNTS}
    train = Maps.of(both["train"], resaved=True, cache=folder / "cache")
    test = Maps.of(both["test"], cache=folder / "cache")
    done(f"a frozen backbone saw them; what it saw is kept in {folder / 'cache'}/")
    detector = Detector(random_state=0).fit(train)
    done(f"trained on {folder / 'train'}/, in one pass")
    judged = judge(detector, test)
    done(f"scored {folder / 'test'}/, every image and every place of it")
    figures = {kind: measured(judged, kind) for kind in (*UNSEEN, *SEEN)}
    draw(folder, detector)
    done(f"measured, and drew {folder / 'report.html'}")
    tell(figures, judged.pvalue[judged.of("normal")], len(detector.conformal_.scores))
    print(f"\nIn {folder}/: {', '.join(WRITTEN[1:])}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["demo-images"]))

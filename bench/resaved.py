"""Good photos saved again by another program: how many are flagged, and whether defects are still found.

python -m bench.resaved             # prints a table; needs UNSEEN_DATA
python -m bench.resaved --sets brick --methods patches --draws 1

Of the good images of a set at most `--normals` train, and at most two thirds, with 10 labelled images of the first
defect class, where there are defects. Others, at most 40, are the test, saved again in each of WAYS. "before" trains on
the images as they are; "after" as `Detector.fit` does, on each of them once more as another program might have left it
(data/resave.py). `tiles` and `cookies` are photos; `brick`, `grass` and `gravel` are crops of photographs in
scikit-image, saved as JPEG of quality 92; they have no defects. The share of defects with p <= .05 and AUROC are of
classes without labels, where there are such, beside the good images as they are.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage import data

from bench import data_folder, show
from unseen.detector.detector import Detector
from unseen.methods import IMAGES
from unseen.parts.ranking import auroc
from unseen.vision.images import Images, pixels
from unseen.vision.maps import Maps

PHOTOS = {"tiles": ("magnetic_tile", "MT_Free"), "cookies": ("cookies", "normal")}  # folder, end of good classes
TEXTURES = ("brick", "grass", "gravel")
CROPS, SIDE, TESTED, SHOTS, LEVEL = 150, 200, 40, 10, 0.05
HELD, ENOUGH = 0.3, 80  # share that calibrates, of so many good images; of fewer all do, in folds, which takes long


def lit(share: float) -> Callable[[Any], Any]:
    return lambda picture: picture.point(lambda value: round(value * share))


def same(picture: Any) -> Any:
    return picture


WAYS: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any]]] = {
    "PNG": (same, "png", {}),
    "q60": (same, "jpg", {"quality": 60}),
    "q75": (same, "jpg", {"quality": 75}),
    "q85": (same, "jpg", {"quality": 85}),
    "q95": (same, "jpg", {"quality": 95}),
    "WebP": (same, "webp", {"quality": 80}),
    "blur": (lambda picture: picture.filter(ImageFilter.GaussianBlur(0.6)), "png", {}),
    "-5%": (lit(0.95), "png", {}),
    "+5%": (lit(1.05), "png", {}),
}


def main() -> None:
    """Share of good photos with p <= .05, saved again in several ways, and AUROC, before and after."""
    options = argparse.ArgumentParser(prog="python -m bench.resaved", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=[*PHOTOS, *TEXTURES], default=[*PHOTOS, *TEXTURES])
    options.add_argument("--methods", nargs="+", choices=IMAGES, default=["image-stack", "patches", "patchcore"])
    options.add_argument("--normals", type=int, default=130, help="good images that train and calibrate")
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    chosen = options.parse_args()
    logging.getLogger("unseen").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    columns = ["set", "method", "training", "as they are", *WAYS, "defects", "AUROC"]
    rows = []
    for name in chosen.sets:
        with tempfile.TemporaryDirectory() as place:
            good, bad = images_of(name, Path(place))
            for method in chosen.methods:
                each = [compared(method, good, bad, draw, Path(place), chosen) for draw in range(chosen.draws)]
                for training, found in zip(("before", "after"), np.mean(each, axis=0), strict=True):
                    rows.append([name, method, training, *(f"{value:.3f}" for value in found)])
                    print(" ".join(rows[-1]), flush=True)
    show(f"Share with p <= {LEVEL}: good photos by how they were saved again, and defects", columns, rows)


def images_of(name: str, place: Path) -> tuple[Images, Images]:
    """The good images of a set, and the defective ones."""
    if name in PHOTOS:
        folder, end = PHOTOS[name]
        images = Images.read(data_folder() / "images" / folder)
        good = np.array([str(label).endswith(end) for label in images.labels])
        return images.take(np.flatnonzero(good)), images.take(np.flatnonzero(~good))
    texture, rng = getattr(data, name)(), np.random.default_rng(0)
    (place / "good").mkdir()
    for i in range(CROPS):
        top, left = rng.integers(0, min(texture.shape[:2]) - SIDE, 2)
        crop = Image.fromarray(texture[top : top + SIDE, left : left + SIDE]).convert("RGB")
        crop.save(place / "good" / f"{i:03}.jpg", quality=92)
    images = Images.read(place / "good")
    return images, images.take(np.arange(0))


def compared(
    method: str, good: Images, bad: Images, draw: int, place: Path, chosen: argparse.Namespace
) -> NDArray[np.float64]:
    """Shares flagged and AUROC, trained on images as they are and as `fit` does: (2, ways + 3)."""
    rng, cache, count = np.random.default_rng(draw), chosen.cache, min(chosen.normals, 2 * len(good) // 3)
    order = rng.permutation(len(good))
    shown, tested = good.take(order[:count]), good.take(order[count : count + TESTED])
    labels = np.array(bad.labels, dtype=object)
    first = rng.permutation(np.flatnonzero(labels == labels[0]))[:SHOTS] if len(bad) else np.arange(0)
    rest = np.flatnonzero(labels != labels[0]) if len(set(labels)) > 2 else np.setdiff1d(np.arange(len(bad)), first)
    both = Maps.of(together(shown, bad.take(first)), resaved=True, cache=cache)
    y = np.repeat([0, 1], [count, len(first)])
    views = {way: Maps.of(saved(tested, way, place / f"{draw} {way}"), cache=cache) for way in WAYS}
    views = {"": Maps.of(tested, cache=cache), **views}
    defects = Maps.of(bad.take(rest), cache=cache) if len(rest) else None
    return np.array([figures(method, maps, y, views, defects, draw) for maps in (both.plain(), both)])


def figures(
    method: str, maps: Maps, y: NDArray[np.int64], views: dict[str, Maps], defects: Maps | None, draw: int
) -> list[float]:
    calibration = HELD if (y == 0).sum() >= ENOUGH else None
    detector = Detector(IMAGES[method], calibration=calibration, random_state=draw).fit(maps, y)
    shares = [float(np.mean(detector.pvalue(view) <= LEVEL)) for view in views.values()]
    if defects is None:
        return [*shares, np.nan, np.nan]
    scores = [detector.anomaly_score(each) for each in (views[""], defects)]
    return [*shares, float(np.mean(detector.conformal_.pvalue(scores[1]) <= LEVEL)), auroc(*scores)]


def saved(images: Images, way: str, place: Path) -> Images:
    """The images saved again."""
    change, ending, options = WAYS[way]
    place.mkdir(exist_ok=True)
    for i, file in enumerate(images.files):
        change(Image.fromarray(pixels(file))).save(place / f"{i:03}.{ending}", **options)
    return Images.read(place)


def together(first: Images, second: Images) -> Images:
    """The images of both, of one folder."""
    files, labels, masks = ((getattr(first, n) + getattr(second, n)) for n in ("files", "labels", "masks"))
    return Images(files, labels, masks, first.root)


if __name__ == "__main__":
    main()

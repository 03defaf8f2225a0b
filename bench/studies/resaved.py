"""Good photos saved again by another program: how many are flagged, and are defects still found?

python -m bench resaved             # prints a table; needs UNSEEN_DATA
python -m bench resaved --sets brick --methods patches --draws 1

At most two thirds of a set's good images train, with 10 labelled images of its first defect class.
Others, at most 40, are the test, saved again in several ways. "before" trains on the images as they
are; "after" as `Detector.fit` does, also as another program might have left them. `brick`, `grass`
and `gravel` are crops of photographs in scikit-image. Defects and AUROC are of unlabelled classes.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from skimage import data

from bench.data import data_folder
from bench.data.products import concatenated
from bench.pages.text import show
from bench.runs.command import options
from bench.runs.open_set import auroc
from unseen import Detector, Images, Maps
from unseen.methods import IMAGES

PHOTOS = {"tiles": ("magnetic_tile", "MT_Free"), "cookies": ("cookies", "normal")}
TEXTURES = ("brick", "grass", "gravel")
CROPS, SIDE, TESTED, SHOTS, LEVEL = 150, 200, 40, 10, 0.05
SHARE, ENOUGH = 0.3, 80  # share that calibrates, of so many good images; of fewer in folds
Change = Callable[[Any], Any]
SAVED: dict[str, tuple[Change, str, dict[str, Any]]] = {
    "PNG": (lambda picture: picture, "png", {}),
    **{f"q{q}": (lambda picture: picture, "jpg", {"quality": q}) for q in (60, 75, 85, 95)},
    "WebP": (lambda picture: picture, "webp", {"quality": 80}),
    "blur": (lambda picture: picture.filter(ImageFilter.GaussianBlur(0.6)), "png", {}),
    "-5%": (lambda picture: picture.point(lambda value: round(value * 0.95)), "png", {}),
    "+5%": (lambda picture: picture.point(lambda value: round(value * 1.05)), "png", {}),
}


def main() -> None:
    parser = options(__doc__)
    add, every = parser.add_argument, [*PHOTOS, *TEXTURES]
    add("--sets", nargs="+", choices=every, default=every)
    usual = ["image-stack", "patches", "patchcore"]
    add("--methods", nargs="+", choices=IMAGES, default=usual)
    add("--normals", type=int, default=130, help="good images that train and calibrate")
    add("--draws", type=int, default=2)
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.sets:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            good, bad = images_of(name, place)
            for method in chosen.methods:
                draws = range(chosen.draws)
                each = [compared(method, good, bad, draw, place, chosen) for draw in draws]
                for training, found in zip(("before", "after"), np.mean(each, axis=0), strict=True):
                    rows.append([name, method, training, *(f"{value:.3f}" for value in found)])
    title = f"Share with p <= {LEVEL}: good photos by how they were saved again, and defects"
    columns = ["set", "method", "training", "as they are", *SAVED, "defects", "AUROC"]
    show(title, columns, rows)


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
) -> list[list[float]]:
    """Shares flagged and AUROC, trained on images as they are and as `fit` does."""
    rng, cache = np.random.default_rng(draw), chosen.cache
    count = min(chosen.normals, 2 * len(good) // 3)
    order = rng.permutation(len(good))
    shown, tested = good.take(order[:count]), good.take(order[count : count + TESTED])
    labels = np.array(bad.labels, dtype=object)
    of_first = np.flatnonzero(labels == labels[0]) if len(bad) else np.arange(0)
    first = rng.permutation(of_first)[:SHOTS]
    rest = np.setdiff1d(np.arange(len(bad)), of_first if len(set(labels)) > 2 else first)
    together = concatenated([shown, bad.take(first)], shown.root)
    both = Maps.of(together, resaved=True, cache=cache)
    y = np.repeat([0, 1], [count, len(first)])
    again = {way: saved(tested, way, place / f"{draw} {way}") for way in SAVED}
    views = [Maps.of(each, cache=cache) for each in (tested, *again.values())]
    defects = Maps.of(bad.take(rest), cache=cache) if len(rest) else None
    found = []
    for maps in (both.plain(), both):
        calibration = SHARE if count >= ENOUGH else None
        detector = Detector(IMAGES[method], calibration=calibration, random_state=draw).fit(maps, y)
        tests = views if defects is None else [*views, defects]
        shares = [float(np.mean(detector.pvalue(test) <= LEVEL)) for test in tests]
        area = (
            auroc(*map(detector.anomaly_score, (views[0], defects)))
            if defects is not None
            else np.nan
        )
        found.append([*shares, *([np.nan] if defects is None else []), area])
    return found


def saved(images: Images, way: str, place: Path) -> Images:
    """The images saved again."""
    change, ending, settings = SAVED[way]
    place.mkdir(exist_ok=True)
    for i, file in enumerate(images.files):
        picture = change(Image.open(file).convert("RGB"))
        picture.save(place / f"{i:03}.{ending}", **settings)
    return Images.read(place)

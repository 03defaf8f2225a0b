"""Heat of normal images by distance from the border: a border must be no hotter than the rest.

python -m bench heat
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.products import product
from bench.pages.text import show
from bench.runs.command import options
from unseen import Detector
from unseen.methods import IMAGES

CELLS = 28  # bands of a cell's width lie from the border to the middle
BANDS = (0, 1, 2, 3, 6, 10)  # cells from the border at which a band begins
TRAINED, SHOWN = 200, 100


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--sets", nargs="+", default=["magnetic_tile", "boards"])
    add("--methods", nargs="+", choices=IMAGES, default=["image-stack", "patches", "patchcore"])
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    chosen = parser.parse_args()
    for name in chosen.sets:
        maps, names = product(name, chosen.cache)
        good = np.random.default_rng(0).permutation(np.flatnonzero(names == "normal"))
        new = maps.take(good[TRAINED : TRAINED + SHOWN])
        rows = []
        for method in chosen.methods:
            detector = Detector(method, calibration=0.2, random_state=0)
            detector.fit(maps.take(good[:TRAINED]), np.zeros(TRAINED, dtype=np.int64))
            rows.append([method, *banded(detector.heat(new))])
        heads = [f"from {band} cells" for band in BANDS]
        show(f"{name}: heat of normal images, mean and 99% quantile", ["method", *heads], rows)


def banded(heat: list[NDArray[np.float32]]) -> list[str]:
    """Mean and 99% quantile of the heat in each band, in standard deviations of all."""
    values = np.concatenate([one.ravel() for one in heat])
    band = np.concatenate([from_border(*one.shape).ravel() for one in heat])
    values = (values - values.mean()) / values.std()
    each = [values[band == k] for k in range(len(BANDS))]
    return [f"{part.mean():+.2f}, {np.quantile(part, 0.99):.2f}" for part in each]


def from_border(height: int, width: int) -> NDArray[np.int64]:
    """The band that each pixel lies in: (height, width)."""
    y, x = np.arange(height), np.arange(width)
    apart = np.minimum(np.minimum(y, y[::-1])[:, None], np.minimum(x, x[::-1]))
    return np.searchsorted(BANDS, apart * CELLS / max(height, width), side="right") - 1

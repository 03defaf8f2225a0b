"""A folder of images to try detection on, made on any machine: paving bricks, good ones and ones with painted defects.

Scratches and spots are labelled. Cuts are anomalies that nobody has labelled: training never sees one, and they are
painted by this file, not by what the library trains with. The bricks of test/ are not those of train/.

    python examples/demo_images.py [FOLDER]        (default: demo_images; files of an earlier run are overwritten)

Needs scikit-image for the photograph, and Pillow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from unseen.data.defects import Mask, Pixels, blotch, laid, scratch, stroke

SIDE = 160  # pixels of an image, each way
COLUMNS = 344  # of the photograph's 512, for train/; the others are for test/
COUNTS = {
    "train": {"normal": 120, "scratch": 12, "spot": 12},
    "test": {"normal": 40, "scratch": 12, "spot": 12, "cut": 12},
}


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


def crop(photograph: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """A random square of a grey photograph, perhaps mirrored: (h, w) -> (SIDE, SIDE, 3)."""
    top, left = rng.integers(0, np.array(photograph.shape) - SIDE + 1)
    square = photograph[top : top + SIDE, left : left + SIDE, None].repeat(3, axis=2)
    return square[:, :: rng.choice([-1, 1])]


def make_folder(folder: Path, rng: np.random.Generator) -> None:
    """train/ and test/ with a folder for each kind: images as JPEG, and beside a defect its mask, same name, as PNG."""
    photograph = data.brick()
    parts = {"train": photograph[:, :COLUMNS], "test": photograph[:, COLUMNS:]}
    for part, counts in COUNTS.items():
        for kind, count in counts.items():
            place = folder / part / kind
            place.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = crop(parts[part], rng)
                if kind != "normal":
                    pixels, mask = PAINTERS[kind](pixels, rng)
                    Image.fromarray(mask).convert("L").save(place / f"{i:03}.png")
                Image.fromarray(pixels).save(place / f"{i:03}.jpg", quality=95)


def main(folder: Path) -> None:
    make_folder(folder, np.random.default_rng(0))
    for part, counts in COUNTS.items():
        print(f"{folder / part}/: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["demo_images"]))

"""Images of products, as folders of classes with masks."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import data_folder
from unseen import Images, Maps

NORMAL = "MT_Free"  # of the magnetic tiles; other products have a class that ends in "normal"


@cache
def product(name: str, folder: Path) -> tuple[Maps, NDArray[np.object_]]:
    """Maps of a product, and what each image shows, `normal` or a class of defects."""
    maps = Maps.of(Images.read(data_folder() / "images" / name), resaved=True, cache=folder)
    labels = np.array(maps.images.labels, dtype=object)
    good = np.array([label == NORMAL or label.endswith("normal") for label in labels])
    return maps, np.where(good, "normal", labels)


def joined(parts: list[Maps]) -> Maps:
    """The maps of several products."""
    names = ("x", "mask", "sizes", "resaved")
    x, masks, sizes, again = (np.concatenate([getattr(p, n) for p in parts]) for n in names)
    together = concatenated([part.images for part in parts], data_folder())
    return Maps(x, masks, sizes, together, parts[0].features, again)


def concatenated(parts: list[Images], root: Path) -> Images:
    names = ("files", "labels", "masks")
    files, labels, masks = (sum((getattr(p, n) for p in parts), start=()) for n in names)
    return Images(files, labels, masks, root)

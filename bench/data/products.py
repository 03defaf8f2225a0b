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

"""Images as their frozen backbone sees them, made once, so that several detectors can share
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.parts.threads import spread
from unseen.vision.backbone import View, loaded
from unseen.vision.cache import FeatureCache
from unseen.vision.features import Features
from unseen.vision.images import Images

BLOCK = 32  # images read before a backbone sees them


@dataclass(frozen=True)
class Maps:
    """Images as their backbone sees them; a detector takes maps wherever it takes images, so that
    several can share them.

    Parameters
    ----------
    x : array
        Maps (n, d, h, w) in half precision, in the order of `images`.
    mask : array
        Share of each cell that is defect (n, h, w), in half precision, -1 where nobody said.
    sizes : array
        Height and width of each image in pixels (n, 2), int64.
    images : Images
        The files (n).
    features : Features
        The backbone, and how it saw them.
    resaved : array or None
        For training, each image once more, in other light, and blurred or saved by another program
        (n, d, h, w); None for images as they are.
    """

    x: NDArray[np.float16]
    mask: NDArray[np.float16]
    sizes: NDArray[np.int64]
    images: Images
    features: Features
    resaved: NDArray[np.float16] | None = None

    @classmethod
    def of(
        cls,
        images: Images,
        features: Features | None = None,
        *,
        resaved: bool = False,
        cache: str | Path | None = None,
        failed: dict[str, str] | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Maps:
        """Run the backbone once on every image, with `resaved` twice: maps to train on, as
        `Detector.fit` makes them.

        `cache`: a folder that keeps the maps, 2 bytes a number. `failed`: gets the names of files
        that cannot be used, and why, and the others go on; without it the first one raises
        DataError."""
        chosen = features or Features()
        backbone = loaded(chosen)
        kept = None if cache is None else FeatureCache(cache)
        x = np.empty((len(images), *backbone.shape), np.float16)
        mask = np.empty((len(images), *backbone.shape[1:]), np.float16)
        sizes = np.empty((len(images), 2), np.int64)
        again = np.empty_like(x) if resaved else None
        rows: list[int] = []
        for start in range(0, len(images), BLOCK):
            read: dict[int, list[View]] = {}
            for row in range(start, min(start + BLOCK, len(images))):
                try:
                    found = backbone.read(images.files[row], images.masks[row], resaved=resaved)
                    read[row], mask[row], sizes[row] = found
                except DataError as error:
                    if failed is None:
                        raise
                    failed[images.names[row]] = str(error)
                    progress(1)
            seen = spread(lambda views: [backbone.see(view, kept) for view in views], read.values())
            for row, one in zip(read, seen, strict=True):
                x[row] = one[0]
                if again is not None:
                    again[row] = one[1]
                rows.append(row)
                progress(1)
        used = np.array(rows, dtype=np.int64)
        if len(used) < len(images):
            x, mask, sizes = x[used], mask[used], sizes[used]
            again = None if again is None else again[used]
        return cls(x, mask, sizes, images.take(used), chosen, again)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d, h, w)."""
        return self.x.shape

    def take(self, rows: NDArray[np.int64]) -> Maps:
        """The images with these row numbers."""
        again = None if self.resaved is None else self.resaved[rows]
        return Maps(
            self.x[rows],
            self.mask[rows],
            self.sizes[rows],
            self.images.take(rows),
            self.features,
            again,
        )

    @classmethod
    def joined(cls, parts: Sequence[Maps]) -> Maps:
        """Maps of several, at least one, one behind the other; names are relative to the root of
        the first. DataError where they were made in several ways.
        """
        ways = {(part.features, part.resaved is None) for part in parts}
        if len(ways) > 1:
            raise DataError(
                "maps were made in several ways and cannot be joined: make all of them with the "
                "same features, and all with resaved or none"
            )
        again = [part.resaved for part in parts if part.resaved is not None]
        return cls(
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.mask for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            Images.joined([part.images for part in parts]),
            parts[0].features,
            np.concatenate(again) if again else None,
        )

    def plain(self) -> Maps:
        """The images alone, as a fitted detector scores them."""
        return replace(self, resaved=None)

    def pair(self) -> tuple[NDArray[np.float16], NDArray[np.float16] | None]:
        """Each image in one of its two versions, and in the other, None where there is one: (n, d,
        h, w) each.

        Half of the images, by their file names, come re-saved first: what is held out to calibrate
        is then like photos of which half have come another way.
        """
        if self.resaved is None:
            return self.x, None
        names = [file.name for file in self.images.files]
        swapped = np.array(
            [sha256(os.fsencode(name)).digest()[0] % 2 for name in names], dtype=bool
        )
        swapped = swapped[:, None, None, None]
        return np.where(swapped, self.resaved, self.x), np.where(swapped, self.x, self.resaved)

    @property
    def labels(self) -> tuple[str | None, ...] | None:
        """What the folders call the images; None where none is in a folder of its own."""
        return (
            self.images.labels if any(label is not None for label in self.images.labels) else None
        )

    def identical(self) -> NDArray[np.int64]:
        """A number for each image, the same for those with the same map: (n,)."""
        rows = np.ascontiguousarray(self.x.reshape(len(self), -1))
        whole = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
        return np.unique(whole, return_inverse=True)[1]

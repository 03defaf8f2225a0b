"""Images as samples: maps of a frozen backbone, made once, and the schema that later images pass."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from unseen.errors import BundleError, DataError, Unsupported
from unseen.fields import check_field
from unseen.parts.loops import one_thread
from unseen.vision import features as frozen
from unseen.vision import images as files
from unseen.vision import resave
from unseen.vision.cache import FeatureCache, halved, key_of
from unseen.vision.features import Features
from unseen.vision.framing import letterbox, shrunk, unletterbox
from unseen.vision.images import Images

BLOCK = 32  # images read before a backbone sees them
LONGEST = 4  # times the square that is seen: longer images are shrunk before they are re-saved, which would take long
UNSAID = -1.0  # share of a cell that is defect, where no mask says
LARGEST = 1 << 26  # numbers in a map: 3,000 channels of 150 x 150 cells


class SavedFeatures(BaseModel):
    """Fields of `Features` as JSON has them."""

    model_config = ConfigDict(extra="forbid", strict=True)
    backbone: str
    levels: tuple[int, ...]
    size: int
    tiles: int


class Saved(BaseModel):
    """`Pictures` as JSON has them."""

    model_config = ConfigDict(extra="forbid", strict=True)
    features: SavedFeatures
    shape: tuple[int, int, int]
    resaved: bool = False  # 0.1.0 has none


@dataclass(frozen=True)
class Maps:
    """Images as their backbone sees them: `x` (n, d, h, w) in half precision, in the order of `images`.

    `mask` (n, h, w): the share of each cell that is defect, -1 where nobody said; `sizes` (n, 2): height and width in
    pixels. `resaved` (n, d, h, w), for training: each image once more, in other light, and blurred or saved by another
    program. A detector takes maps wherever it takes images, so that several can share them.
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
        """Run the backbone once on every image, with `resaved` twice: maps to train on, as `Detector.fit` makes them.

        `cache`: a folder that keeps the maps, 2 bytes a number. `failed`: gets the names of files that cannot be used,
        and why, and the others go on; without it the first one raises DataError.
        """
        chosen = features or Features()
        backbone = loaded(chosen)
        kept = None if cache is None else FeatureCache(cache)
        x = np.empty((len(images), *backbone.shape), np.float16)
        mask = np.empty((len(images), *backbone.shape[1:]), np.float16)
        sizes = np.empty((len(images), 2), np.int64)
        again = np.empty_like(x) if resaved else None
        rows: list[int] = []
        workers = torch.get_num_threads()
        with one_thread(), ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(images), BLOCK):
                read = {}  # here, one after the other: Pillow's warnings are the whole process's
                for row in range(start, min(start + BLOCK, len(images))):
                    try:
                        found = backbone.read(images.files[row], images.masks[row], resaved=resaved)
                        read[row], mask[row], sizes[row] = found
                    except DataError as error:
                        if failed is None:
                            raise
                        failed[images.names[row]] = str(error)
                        progress(1)
                seen = pool.map(lambda views: [backbone.see(view, kept) for view in views], read.values())
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
        return Maps(self.x[rows], self.mask[rows], self.sizes[rows], self.images.take(rows), self.features, again)

    def plain(self) -> Maps:
        """The images alone, as a fitted detector scores them."""
        return replace(self, resaved=None)

    def pair(self) -> tuple[NDArray[np.float16], NDArray[np.float16] | None]:
        """Each image in one of its two versions, and in the other, None where there is one: (n, d, h, w) each.

        Half of the images, by their file names, come re-saved first: what is held out to calibrate is then like photos
        of which half have come another way.
        """
        if self.resaved is None:
            return self.x, None
        names = [file.name for file in self.images.files]
        swapped = np.array([sha256(os.fsencode(name)).digest()[0] % 2 for name in names], dtype=bool)
        swapped = swapped[:, None, None, None]
        return np.where(swapped, self.resaved, self.x), np.where(swapped, self.x, self.resaved)

    @property
    def labels(self) -> tuple[str | None, ...] | None:
        """What the folders call the images; None where none is in a folder of its own."""
        return self.images.labels if any(label is not None for label in self.images.labels) else None

    def identical(self) -> NDArray[np.int64]:
        """A number for each image, the same for those with the same map: (n,)."""
        rows = np.ascontiguousarray(self.x.reshape(len(self), -1))
        whole = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
        return np.unique(whole, return_inverse=True)[1]


@dataclass(frozen=True)
class Pictures:
    """What `Schema` is for tables: how images become samples. Nothing of it is learned.

    `resaved`: whether training saw each image twice, as `Maps.resaved` says.

    >>> pictures = Pictures(Features(), (152, 28, 28))
    >>> Pictures.from_json(pictures.to_json()) == pictures
    True
    """

    features: Features
    shape: tuple[int, int, int]
    resaved: bool = False

    logarithms = None
    inputs = ("image",)

    def relearn(self, table: Maps, *, normals: object = None) -> Pictures:
        """Itself: there is nothing to learn anew."""
        return self

    def encode(self, table: object) -> NDArray[np.float32]:
        """Maps of images, of those to train on one of their two versions: (n, d, h, w)."""
        if isinstance(table, Images):
            table = Maps.of(table, self.features)
        if not isinstance(table, Maps):
            raise DataError(f"this detector was trained on images: expected Images.read(folder), got {type(table)}")
        if table.features != self.features:
            raise DataError(f"this detector sees images by {self.features}; got maps made by {table.features}")
        return table.pair()[0].astype(np.float32)

    def on_images(self, heat: NDArray[np.float32], sizes: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Score maps (n, h', w') at the size of the images: n times (height, width)."""
        side = loaded(self.features).side
        each = zip(torch.from_numpy(heat), sizes.tolist(), strict=True)
        return [unletterbox(one, height, width, side).numpy() for one, (height, width) in each]

    def to_json(self) -> dict[str, Any]:
        if not isinstance(self.features.backbone, str):
            raise Unsupported(
                "a backbone of your own cannot be saved with a detector: save it as a Hugging Face folder, and name "
                "that folder: Features(backbone='path')"
            )
        features = dataclasses.asdict(self.features)
        return {"features": features, "shape": list(self.shape), "resaved": self.resaved}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Pictures:
        """The schema that `to_json` wrote."""
        try:
            saved = Saved.model_validate_json(json.dumps(plain))
            for name in ("levels", "size", "tiles"):
                check_field(Features, name, getattr(saved.features, name))
            if min(saved.shape) < 1 or math.prod(saved.shape) > LARGEST:
                raise DataError(f"maps of shape {saved.shape} are none of images")
            return cls(Features(**saved.features.model_dump()), saved.shape, saved.resaved)
        except ValueError as error:
            raise BundleError(f"the saved image schema cannot be read, save the detector again: {error}") from error


@dataclass(frozen=True)
class View:
    """A square (3, s, s) of 8 bits that a backbone sees, and the name of its map in a cache."""

    square: Tensor
    key: str


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone: the side of the square it sees in pixels, the shape of its maps, and the text for a cache."""

    module: nn.Module
    features: Features
    side: int
    shape: tuple[int, int, int]
    text: str

    def read(
        self, file: Path, mask: Path | None, *, resaved: bool = False
    ) -> tuple[list[View], NDArray[np.float16], tuple[int, int]]:
        """What is seen of an image, its mask on the grid of the map, and its size; `resaved` also what is seen then."""
        pixels, content = files.pixels(file), files.content(file)
        height, width = pixels.shape[:2]
        shares = np.full(self.shape[1:], UNSAID, np.float16)
        if mask is not None:
            shares = self.shares(files.mask(mask, (height, width)))
        views = [View(self.square(pixels), key_of(content, self.text))]
        if resaved:
            smaller = shrunk(torch.from_numpy(pixels).permute(2, 0, 1), LONGEST * self.side).permute(1, 2, 0).numpy()
            square = self.square(resave.resaved(smaller, content))
            views.append(View(square, key_of(content, f"{self.text} resaved {resave.FORMULA}")))
        return views, shares, (height, width)

    def square(self, pixels: NDArray[np.uint8]) -> Tensor:
        """The square that is seen of pixels (h, w, 3): (3, s, s) of 8 bits."""
        return letterbox(torch.from_numpy(pixels).permute(2, 0, 1), self.side)

    def see(self, view: View, cache: FeatureCache | None) -> NDArray[np.float16]:
        """The map of a square."""
        found = None if cache is None else cache.get(view.key)
        if found is None:
            found = halved(frozen.maps(self.module, view.square[None], self.features.size, self.features.tiles)[0])
            if cache is not None:
                cache.put(view.key, found)
        return found.half().numpy()

    def shares(self, mask: NDArray[np.bool_]) -> NDArray[np.float16]:
        """The share of each cell that the mask covers: (H, W) -> (h, w)."""
        painted = torch.from_numpy(mask).float().expand(3, *mask.shape)
        square: Tensor = letterbox(painted, self.side)[:1]
        return F.adaptive_avg_pool2d(square, self.shape[1:])[0].half().numpy()


@lru_cache(maxsize=2)
def loaded(features: Features) -> Backbone:
    """The backbone, loaded once."""
    module = features.load()
    side = frozen.square(module, features.size, features.tiles)
    shape = frozen.describe(module, features.size, features.tiles)
    return Backbone(module, features, side, shape, features.text(module))

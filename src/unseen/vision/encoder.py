"""Vision: what `Schema` is for tables: how images become samples."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from unseen.data.repeats import Table, representatives
from unseen.data.split import Rows
from unseen.errors import BundleError, DataError, Unsupported
from unseen.fields import check_field
from unseen.types import Samples
from unseen.vision.backbone import loaded
from unseen.vision.features import Features
from unseen.vision.framing import cell_boxes, unletterbox
from unseen.vision.images import Images
from unseen.vision.maps import Maps

_LARGEST = 1 << 26  # numbers in a map: 3,000 channels of 150 x 150 cells


class _SavedFeatures(BaseModel):
    """Fields of `Features` as JSON has them."""

    model_config = ConfigDict(extra="forbid", strict=True)
    backbone: str
    levels: tuple[int, ...]
    size: int
    tiles: int


class _Saved(BaseModel):
    """`Vision` as JSON has it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    features: _SavedFeatures
    shape: tuple[int, int, int]
    resaved: bool


@dataclass(frozen=True)
class Vision:
    """How images become samples: by a frozen backbone, of which nothing is learned. An `Encoder`.

    Parameters
    ----------
    features : Features
        The backbone, and how it sees images.
    shape : tuple of int
        Channels, height and width of the map of an image.
    resaved : bool
        Whether training saw each image twice, as it is and as another program saves it.

    >>> vision = Vision(Features(), (152, 28, 28))
    >>> Vision.from_json(vision.to_json()) == vision
    True
    """

    features: Features
    shape: tuple[int, int, int]
    resaved: bool = False

    noun: ClassVar[str] = "images"
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    needed: ClassVar[tuple[str, ...]] = ()
    logarithms: ClassVar[None] = None

    @classmethod
    def infer(cls, maps: Maps) -> Self:
        """How these maps were made."""
        d, h, w = maps.x.shape[1:]
        return cls(maps.features, (d, h, w), maps.resaved is not None)

    def admit(self, X: object, *, learns: bool = False) -> Maps:
        """Maps of images; with `learns` of each image as it is and as another program saves it."""
        twice = learns and self.resaved
        if isinstance(X, Images):
            return Maps.of(X, self.features, resaved=twice)
        if not isinstance(X, Maps):
            raise DataError(
                f"this detector was trained on images: expected Images.read(folder), got {type(X)}"
            )
        if X.features != self.features:
            raise DataError(
                f"this detector sees images by {self.features}; got maps made by {X.features}"
            )
        if twice and X.resaved is None:
            raise DataError(
                "this detector learned from each image as it is and as it is re-saved, and was "
                "given maps of images as they are: give it the images, or Maps.of(images, "
                "features, resaved=True)"
            )
        return X if learns else X.plain()

    def shown(self, rows: Maps) -> dict[str, list[str]]:
        """The names of images."""
        return {self.inputs[0]: rows.images.names}

    def labels(self, rows: Maps) -> tuple[str | None, ...] | None:
        """What the folders call the images; None where none is in a folder of its own."""
        return rows.labels

    def relearn(self, rows: Maps, *, normals: ArrayLike | None = None) -> Self:
        """Itself: nothing is learned."""
        return self

    def counted(self, rows: Maps, *, normals: ArrayLike | None = None) -> Self:
        """Itself: nothing is learned."""
        return self

    def limited(
        self, x: NDArray[np.float32], normals: ArrayLike, before: Self | None = None
    ) -> Self:
        """Itself: nothing is learned."""
        return self

    def widened(self, rows: Maps) -> Self:
        """Itself: nothing is learned."""
        return self

    def encode(self, rows: object) -> NDArray[np.float32]:
        """Maps of images, of those to train on one of their two versions: (n, d, h, w)."""
        maps = rows if isinstance(rows, Maps) else self.admit(rows)
        return maps.pair()[0].astype(np.float32)

    def samples(self, rows: Maps, y: NDArray[np.int64], group: NDArray[np.int64]) -> Samples:
        """Images with their labels, masks and, where training sees them twice, their other
        version.
        """
        first, second = (
            None if x is None else torch.from_numpy(x.astype(np.float32)) for x in rows.pair()
        )
        assert first is not None
        mask = torch.from_numpy(rows.mask.astype(np.float32))
        data = Samples.of(first, torch.from_numpy(y), torch.from_numpy(group), mask)
        return data if second is None else dataclasses.replace(data, resaved=second)

    def copies(self, rows: Maps, kind: NDArray[np.int64], repeats: str | None) -> Rows:
        """For each image the number of the one that stands for it: images are never alike by
        chance.
        """
        x = rows.identical().astype(np.float32)[:, None]
        return representatives(Table(x, np.zeros(1, dtype=np.int64), kind), repeats, chance=False)

    def repeated(self, rows: Maps, kind: NDArray[np.int64], counts: Rows) -> int:
        """How many images are alike and count each time: none."""
        return 0

    def near_copies(self, rows: Maps, kind: NDArray[np.int64], normals: Rows) -> str | None:
        """Where near copies differ: nobody looks for them among images."""
        return None

    def unprecedented(self, rows: Maps, once: object = None) -> NDArray[np.float64]:
        """How much each image shows that training never did, which only columns tell: zeros
        (n,).
        """
        return np.zeros(len(rows))

    def beyond(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """In how many columns of few values samples lie beyond them, which images lack: zeros
        (n,).
        """
        return np.zeros(len(x))

    def placer(self, rows: Maps) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """What puts scores of cells (n, h', w') at the size of each image: n times (height,
        width).
        """
        side = loaded(self.features).side

        def placed(scores: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            each = zip(torch.from_numpy(scores), rows.sizes.tolist(), strict=True)
            return [unletterbox(one, height, width, side).numpy() for one, (height, width) in each]

        return placed

    def boxes(self, rows: Maps, cells: tuple[int, ...]) -> NDArray[np.int64]:
        """Left, top, right, bottom of each cell of a grid in pixels of each image, as `cell_boxes`
        has them: (n, cells, 4).
        """
        side = loaded(self.features).side
        each = [cell_boxes(height, width, side, cells) for height, width in rows.sizes.tolist()]
        return np.stack(each) if each else np.zeros((0, math.prod(cells), 4), np.int64)

    def reads(self) -> object:
        """What two encoders must agree in to read the same images."""
        return self

    def described(self) -> list[tuple[str, str]]:
        """Lines for a reader: how images are seen."""
        features, (d, h, w) = self.features, self.shape
        tiles = f", {features.tiles} x {features.tiles} tiles" if features.tiles > 1 else ""
        by = f"{features.backbone} at {features.size} pixels{tiles}"
        return [("seen by", f"{by}: {h} x {w} cells of {d} numbers")]

    def columns_by_kind(self) -> list[tuple[str, str]]:
        """Names of columns by their kind: images have none."""
        return []

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        if not isinstance(self.features.backbone, str):
            raise Unsupported(
                "a backbone of your own cannot be saved with a detector: save it as a Hugging Face "
                "folder, and name that folder: Features(backbone='path')"
            )
        features = dataclasses.asdict(self.features)
        return {"features": features, "shape": list(self.shape), "resaved": self.resaved}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Vision:
        """What `to_json` wrote."""
        try:
            saved = _Saved.model_validate_json(json.dumps(plain))
            for name in ("levels", "size", "tiles"):
                check_field(Features, name, getattr(saved.features, name))
            if min(saved.shape) < 1 or math.prod(saved.shape) > _LARGEST:
                raise DataError(f"maps of shape {saved.shape} are none of images")
            return cls(Features(**saved.features.model_dump()), saved.shape, saved.resaved)
        except ValueError as error:
            raise BundleError(
                f"the saved image encoder cannot be read, save the detector again: {error}"
            ) from error

"""A loaded backbone: what it sees of an image file, and the map that it makes of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.vision import framing, resave
from unseen.vision.cache import FeatureCache, halved, key_of
from unseen.vision.features import Features
from unseen.vision.framing import letterbox, scaled_down
from unseen.vision.pixels import image_bytes, mask_of, pixels_of

# times the square that is seen: longer images are shrunk before they are re-saved, which would take
# long
_LONGEST = 4
_NO_MASK = -1.0  # share of a cell that is defect, where no mask tells


@dataclass(frozen=True)
class View:
    """A square (3, s, s) of 8 bits that a backbone sees, and the name of its map in a cache."""

    square: Tensor
    key: str


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone: the side of the square it sees in pixels, the shape of its maps, and the
    text for a cache.
    """

    module: nn.Module
    features: Features
    side: int
    shape: tuple[int, int, int]
    text: str

    def read(
        self, file: Path, mask: Path | None, *, resaved: bool = False
    ) -> tuple[list[View], NDArray[np.float16], tuple[int, int]]:
        """What is seen of an image, its mask on the grid of the map, and its size; `resaved` also
        what is seen then.
        """
        pixels, content = pixels_of(file), image_bytes(file)
        height, width = pixels.shape[:2]
        shares = np.full(self.shape[1:], _NO_MASK, np.float16)
        if mask is not None:
            shares = self.shares(mask_of(mask, (height, width)))
        views = [View(self.square(pixels), key_of(content, self.text))]
        if resaved:
            smaller = (
                scaled_down(torch.from_numpy(pixels).permute(2, 0, 1), _LONGEST * self.side)
                .permute(1, 2, 0)
                .numpy()
            )
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
            size, tiles = self.features.size, self.features.tiles
            found = halved(maps_of_squares(self.module, view.square[None], size, tiles)[0])
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
    side = square_side(module, features.size, features.tiles)
    shape = map_shape(module, features.size, features.tiles)
    return Backbone(module, features, side, shape, features.text(module))


@torch.no_grad()
def maps_of_squares(
    module: nn.Module, squares: Tensor, size: int | None = None, tiles: int = 1
) -> Tensor:
    """Maps of squares (n, 3, s, s) of 8 bits, seen whole or as tiles of `size` pixels: -> (n, d, h,
    w).

    One by one: sums are rounded differently in batches of another size, and a score must not depend
    on which images come along. On a processor, batches are no faster.

    >>> from unseen.vision.networks import Frozen
    >>> maps_of_squares(Frozen(nn.AvgPool2d(2)), torch.zeros(5, 3, 4, 4, dtype=torch.uint8)).shape
    torch.Size([5, 3, 2, 2])
    """
    each = []
    for one in squares:
        parts = framing.tiles(one, tiles, size or squares.shape[2])
        each.append(framing.merge(torch.cat([module(part[None]) for part in parts]), tiles))
    return torch.stack(each)


def map_shape(module: nn.Module, size: int, tiles: int) -> tuple[int, int, int]:
    """Channels, height and width of the map of a square.

    >>> from unseen.vision.networks import Frozen
    >>> map_shape(Frozen(nn.AvgPool2d(2)), 32, 2)
    (3, 30, 30)
    """
    d, h, w = maps_of_squares(module, torch.zeros(1, 3, size, size, dtype=torch.uint8))[0].shape
    return d, framing.span(h, tiles), framing.span(w, tiles)


def square_side(module: nn.Module, size: int, tiles: int) -> int:
    """Pixels of the square that `maps_of_squares` expects.

    >>> from unseen.vision.networks import Frozen
    >>> square_side(Frozen(nn.AvgPool2d(2)), 32, 2)
    60
    """
    return framing.side(size, tiles, map_shape(module, size, 1)[1])

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

from unseen.vision import features as frozen
from unseen.vision import images as files
from unseen.vision import resave
from unseen.vision.cache import FeatureCache, halved, key_of
from unseen.vision.features import Features
from unseen.vision.framing import letterbox, scaled_down

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
        pixels, content = files.pixels(file), files.image_bytes(file)
        height, width = pixels.shape[:2]
        shares = np.full(self.shape[1:], _NO_MASK, np.float16)
        if mask is not None:
            shares = self.shares(files.mask(mask, (height, width)))
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
            found = halved(
                frozen.maps(
                    self.module, view.square[None], self.features.size, self.features.tiles
                )[0]
            )
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

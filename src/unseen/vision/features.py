"""Frozen backbones: images of 8 bits to maps of features, with nothing learnt from the images at
hand.

Each level of a network is averaged over 3 x 3 cells, brought to the finest grid among them, and put
side by side (Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", section
3.1). Nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.vision import framing
from unseen.vision.backbones import Hidden, Lite0

# counted up when the same weights give other features than before: maps kept on disk are then made
# anew
FORMULA = 1
LEAST = 32  # pixels on a side that a backbone can do something with


@dataclass(frozen=True)
class Features:
    """Which frozen backbone turns images into maps of features, and how it sees them.

    Parameters
    ----------
    backbone : str or Module
        "lite0" (EfficientNet-Lite0, trained on ImageNet, in the extra `images`), the path of a
        folder with a vision model of Hugging Face, or a module of your own as in `Frozen`.
    levels : tuple of int
        The blocks or hidden states used, from 0, in rising order; () takes the usual ones.
    size : int
        Side of the square that it sees, in pixels, at least 32.
    tiles : int
        How many such squares in a row see an image, at least 1; more show smaller defects of large
        images, and take as many times longer as their square.

    >>> Features(levels=(4,)).load()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 40, 8, 8])
    """

    backbone: str | nn.Module = "lite0"
    levels: tuple[int, ...] = ()
    size: int = 224
    tiles: int = 1

    def __post_init__(self) -> None:
        if self.size < LEAST:
            raise DataError(f"size must be at least {LEAST} pixels, got {self.size}")
        if self.tiles < 1:
            raise DataError(f"tiles is a number of squares in a row, at least 1, got {self.tiles}")
        if list(self.levels) != sorted({*self.levels}) or min(self.levels, default=0) < 0:
            raise DataError(
                f"levels must be numbers from 0 in rising order, each once, got {self.levels}"
            )

    def load(self) -> nn.Module:
        """The backbone, frozen: (n, 3, h, w) of 0..255 -> (n, d, h', w')."""
        if isinstance(self.backbone, nn.Module):
            return Frozen(self.backbone)
        is_lite0 = self.backbone == "lite0"
        body = Lite0(self.levels) if is_lite0 else Hidden.load(Path(self.backbone), self.levels)
        return Frozen(body, body.mean, body.scale)

    def text(self, module: nn.Module) -> str:
        """What decides a map besides the image: the key to a cache. Weights count by their bytes,
        not by their name.
        """
        weights = sha256(repr(module).encode())  # layers without weights count, too
        for name, tensor in module.state_dict().items():
            weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            weights.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        levels = ",".join(map(str, self.levels))
        return (
            f"formula {FORMULA} weights {weights.hexdigest()} levels {levels} size "
            f"{self.size} tiles {self.tiles}"
        )


class Frozen(nn.Module):
    """A module that maps (n, 3, h, w) to a map (n, d, h', w'), or to several, made a backbone: in
    evaluation for good.

    It sees (pixels - mean) / scale, by default values in 0..1. The module given is itself frozen.

    >>> Frozen(nn.AvgPool2d(2))(torch.full((1, 3, 4, 4), 255))[0, 0]
    tensor([[1., 1.],
            [1., 1.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        body: nn.Module,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        scale: Sequence[float] = (255.0, 255.0, 255.0),
    ) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1))
        self.eval()

    def train(self, mode: bool = True) -> Frozen:
        """Stays in evaluation: what it makes of an image never depends on other images."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.body((pixels.float() - self.mean) / self.scale)
        return joined([found] if isinstance(found, Tensor) else found)


def joined(levels: Sequence[Tensor]) -> Tensor:
    """Neighbourhoods of each level, on the finest grid, side by side: (n, d_l, h_l, w_l) each ->
    (n, d, h, w).

    >>> joined([torch.eye(2)[None, None], torch.tensor(7.0).view(1, 1, 1, 1)])[0].tolist()
    [[[0.5, 0.5], [0.5, 0.5]], [[7.0, 7.0], [7.0, 7.0]]]
    """
    for found in levels:
        if found.ndim != 4:
            raise DataError(
                f"a backbone must return maps (n, d, h, w), got shape {tuple(found.shape)}"
            )
    finest = max(tuple(found.shape[2:]) for found in levels)
    near = [
        F.avg_pool2d(found, 3, stride=1, padding=1, count_include_pad=False) for found in levels
    ]
    return torch.cat([F.interpolate(found, finest, mode="bilinear") for found in near], dim=1)


@torch.no_grad()
def maps(module: nn.Module, squares: Tensor, size: int | None = None, tiles: int = 1) -> Tensor:
    """Maps of squares (n, 3, s, s) of 8 bits, seen whole or as tiles of `size` pixels: -> (n, d, h,
    w).

    One by one: sums are rounded differently in batches of another size, and a score must not depend
    on which images come along. On a processor, batches are no faster.

    >>> maps(Frozen(nn.AvgPool2d(2)), torch.zeros(5, 3, 4, 4, dtype=torch.uint8)).shape
    torch.Size([5, 3, 2, 2])
    """
    each = []
    for one in squares:
        parts = framing.tiles(one, tiles, size or squares.shape[2])
        each.append(framing.merge(torch.cat([module(part[None]) for part in parts]), tiles))
    return torch.stack(each)


def describe(module: nn.Module, size: int, tiles: int) -> tuple[int, int, int]:
    """Channels, height and width of the map of a square.

    >>> describe(Frozen(nn.AvgPool2d(2)), 32, 2)
    (3, 30, 30)
    """
    d, h, w = maps(module, torch.zeros(1, 3, size, size, dtype=torch.uint8))[0].shape
    return d, framing.span(h, tiles), framing.span(w, tiles)


def square(module: nn.Module, size: int, tiles: int) -> int:
    """Pixels of the square that `maps` expects.

    >>> square(Frozen(nn.AvgPool2d(2)), 32, 2)
    60
    """
    return framing.side(size, tiles, describe(module, size, 1)[1])

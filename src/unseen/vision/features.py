"""Which frozen backbone turns images into maps of features; nothing is ever downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from unseen.errors import DataError
from unseen.vision.networks import Frozen, Hidden, Lite0
from unseen.wording import option

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
            raise DataError(f"{option('size')} must be at least {LEAST} pixels, got {self.size}")
        if self.tiles < 1:
            raise DataError(
                f"{option('tiles')} is a number of squares in a row, at least 1, got {self.tiles}"
            )
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

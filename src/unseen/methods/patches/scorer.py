"""Cells of images, scored as rows and pooled."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from unseen.parts.cells import Places, Scaling, cells, coarser, highest, in_context


class PatchScorer(nn.Module):
    """What the base says of cells, and of an image by its highest: (n, d, h, w) -> (n,)."""

    def __init__(
        self,
        inner: nn.Module,
        width: int,
        shape: tuple[int, ...],
        stride: int,
        *,
        context: bool,
        top: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.width, self.stride, self.context, self.top = width, stride, context, top
        self.scaling = Scaling(width)
        self.places = Places(*(-(-side // stride) for side in shape[1:]))
        self.inner = inner

    def cells_of(self, x: Tensor) -> tuple[int, int]:
        """Cells in a column and in a row of images (n, d, h, w)."""
        return -(-x.shape[2] // self.stride), -(-x.shape[3] // self.stride)

    def rows(self, x: Tensor) -> Tensor:
        """Cells as rows of the base, before they are scaled: (n, d, h, w) -> (n h w / stride^2,
        width).
        """
        found = coarser(x, self.stride)
        return cells(in_context(found) if self.context else found)

    def raw(self, x: Tensor, inner: nn.Module | None = None) -> Tensor:
        """What the base, or another `inner`, says of each cell: (n, d, h, w) -> (n, h / stride, w /
        stride).
        """
        score = (inner or self.inner)(self.scaling(self.rows(x)))
        return cast(Tensor, score.view(x.shape[0], *self.cells_of(x)))

    def map(self, x: Tensor) -> Tensor:
        """A score for each cell, in units of its place: (n, d, h, w) -> (n, h / stride, w /
        stride).
        """
        return cast(Tensor, self.places(self.raw(x)))

    def pooled(self, x: Tensor) -> Tensor:
        """The mean of the highest cells, for each share: (n, d, h, w) -> (s, n)."""
        found = self.map(x)
        return torch.stack([highest(found, share) for share in self.top])

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x).mean(dim=0)

    @torch.no_grad()
    def apart(self, normals: Tensor, x: Tensor) -> Tensor:
        """How far cells lie from these normal ones (m, d), in standard deviations: (n, d, h, w) ->
        (n, h, w).
        """
        apart = (self.scaling(self.rows(x)) - normals.mean(dim=0)).norm(dim=1)
        return apart.view(len(x), *self.cells_of(x))

"""Maps of features as rows: every cell of an image a row, or the whole image one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.parts.exporting import drawing

LEAST = 1e-6  # of a standard deviation: a channel that does not vary keeps its scale


def cells(x: Tensor) -> Tensor:
    """Every cell a row, image by image, line by line: (n, d, h, w) -> (n h w, d).

    >>> cells(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def coarser(x: Tensor, stride: int) -> Tensor:
    """Cells of `stride` x `stride` averaged into one; what is left over at the edge counts less:
    (n, d, h, w).
    """
    return x if stride == 1 else F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)


def in_context(x: Tensor) -> Tensor:
    """Each cell and, behind it, how it differs from the mean of its image: (n, d, h, w) -> (n, 2d,
    h, w).

    >>> in_context(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[[[1.0, 3.0]], [[-1.0, 1.0]]]]
    """
    return torch.cat([x, x - x.mean(dim=(2, 3), keepdim=True)], dim=1)


def cell_moments(x: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the image: (n, d, h, w) -> (n, 2d).

    >>> cell_moments(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[2.0, 1.0]]
    """
    if not drawing() and not len(x):  # torch would warn of the spread of nothing
        return x.new_zeros(0, 2 * x.shape[1])
    return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)], dim=1)


def highest(score: Tensor, share: float) -> Tensor:
    """Mean of the highest `share` of each image's cells, one at least: (n, h, w) -> (n,).

    >>> highest(torch.tensor([[[1.0, 4.0], [0.0, 2.0]]]), 0.5)
    tensor([3.])
    """
    flat = score.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)


def with_mask(mask: Tensor | None, n: int) -> Tensor:
    """Which of n images have a mask that shows something: (n, h, w) -> (n,)."""
    return (
        torch.zeros(n, dtype=torch.bool) if mask is None or not n else mask.flatten(1).amax(1) > 0
    )


def marked(mask: Tensor | None, stride: int) -> Tensor:
    """Cells that the masks cover by half, or by as much as they cover any: (n, h, w) -> (n, h /
    stride, w / stride) bool.
    """
    if mask is None or not len(mask):
        return torch.zeros(0, 1, 1, dtype=torch.bool)
    share = coarser(mask[:, None], stride)[:, 0]
    return share >= share.amax(dim=(1, 2), keepdim=True).clamp_max(0.5)


def uppermost(score: Tensor, share: float) -> Tensor:
    """The highest `share` of each image's cells, one at least: (n, h, w) -> (n, h, w) bool."""
    if not len(score):
        return score > 0
    flat = score.flatten(1)
    least = flat.topk(max(1, round(share * flat.shape[1])), dim=1).values[:, -1:]
    return (flat >= least).view_as(score)


def rings(h: int, w: int) -> Tensor:
    """How far each cell lies from the border: (h, w).

    >>> rings(3, 4)
    tensor([[0, 0, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 0, 0]])
    """
    y, x = torch.arange(h), torch.arange(w)
    return torch.minimum(torch.minimum(y, h - 1 - y)[:, None], torch.minimum(x, w - 1 - x))


class Places(nn.Module):
    """Scores of cells in units of what normal images score at the same place: (n, h, w) -> (n, h,
    w).

    (score - centre) / spread, with the median of normal images as the centre and sqrt(2 mean(max(0,
    score - centre)^2)) as the spread: how far scores go above it, where alarms come from. Cells at
    the border see the padding of the backbone, and score higher and more widely than others. Where
    images are few, a place is drawn towards its ring, the cells as far from the border, and a ring
    towards all cells.

    >>> places = Places(1, 3)
    >>> places.fit(torch.tensor([[[0.0, 1.0, 0.0]], [[2.0, 5.0, 2.0]]]))
    >>> places.centre.round(decimals=2), places.spread.round(decimals=2)
    (tensor([[0.9100, 1.0000, 0.9100]]), tensor([[2.3800, 2.6500, 2.3800]]))
    """

    RING, PLACE = 2, 20  # images that what a ring, and a place, is drawn towards counts for
    centre: Tensor
    spread: Tensor

    def __init__(self, h: int, w: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(h, w))
        self.register_buffer("spread", torch.ones(h, w))

    def fit(self, normals: Tensor) -> None:
        """Learn from the scores of normal images that trained nothing (m, h, w)."""
        self.centre = self._drawn(normals, torch.median)
        above = 2 * (normals - self.centre).clamp_min(0).square()
        spread = self._drawn(above, torch.mean).sqrt()
        self.spread = torch.where(spread > LEAST, spread, 1.0)

    def _drawn(self, values: Tensor, middle: Callable[..., Any]) -> Tensor:
        """The middle of each place, drawn towards those of its ring and of all: (m, h, w) -> (h,
        w).
        """
        m, ring = len(values), rings(*values.shape[1:]).to(values.device)
        each = torch.stack([middle(values[:, ring == k]) for k in range(int(ring.max()) + 1)])
        wide = (m * each + self.RING * middle(values)) / (m + self.RING)
        own = middle(values, dim=0)
        own = own if isinstance(own, Tensor) else own.values
        return (m * own + self.PLACE * wide[ring]) / (m + self.PLACE)

    def forward(self, score: Tensor) -> Tensor:
        return (score - self.centre) / self.spread


class Scaling(nn.Module):
    """Columns in units of the normals: (n, d) -> (n, d). Methods for rows expect such; a backbone's
    channels are not.

    >>> scaling = Scaling(1)
    >>> scaling.fit(torch.tensor([[1.0], [3.0]]))
    >>> scaling(torch.tensor([[4.0]]))
    tensor([[2.]])
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("sd", torch.ones(d))

    def fit(self, normals: Tensor, *, each: bool = True) -> None:
        """Learn from normal rows (n, d): the units of each column, or one for all."""
        self.mean, sd = normals.mean(dim=0), normals.std(dim=0, correction=0)
        sd = sd if each else sd.square().mean().sqrt().expand_as(sd).clone()
        self.sd = torch.where(sd > LEAST, sd, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd

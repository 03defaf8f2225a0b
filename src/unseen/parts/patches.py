"""Cells of feature maps: what scores them, and which of a labelled image are the defect."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unseen.parts.cells import Scaling, cells, coarser, highest, in_context
from unseen.types import Samples


class PatchScorer(nn.Module):
    """What the base says of cells, and of an image by its highest: (n, d, h, w) -> (n,)."""

    def __init__(self, d: int, inner: nn.Module, *, stride: int, top: float) -> None:
        super().__init__()
        self.stride, self.top = stride, top
        self.scaling = Scaling(d)
        self.inner = inner

    def map(self, x: Tensor) -> Tensor:
        """A score for every cell: (n, d, h, w) -> (n, h / stride, w / stride)."""
        found = coarser(x, self.stride)
        return self.inner(self.scaling(cells(in_context(found)))).view(len(x), *found.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        return highest(self.map(x), self.top)

    @torch.no_grad()
    def apart(self, normals: Tensor, x: Tensor) -> Tensor:
        """How far cells lie from these normal ones (m, d), in standard deviations: (n, d, h, w) ->
        (n, h, w).
        """
        found = coarser(x, self.stride)
        rows = self.scaling(cells(in_context(found)))
        return (rows - normals.mean(dim=0)).norm(dim=1).view(len(x), *found.shape[2:])


def told_where(data: Samples) -> Tensor:
    """Which images have a mask that shows something: (n,)."""
    if data.mask is None:
        return torch.zeros(len(data), dtype=torch.bool, device=data.x.device)
    return data.mask.flatten(1).amax(dim=1) > 0 if len(data) else torch.zeros(0, dtype=torch.bool)


def marked(data: Samples, stride: int) -> Tensor:
    """Cells that the masks cover by half, or by as much as they cover any: (n, h, w) bool."""
    if data.mask is None or not len(data):
        return torch.zeros(len(data), 1, 1, dtype=torch.bool, device=data.x.device)
    share = coarser(data.mask[:, None], stride)[:, 0]
    return share >= share.amax(dim=(1, 2), keepdim=True).clamp_max(0.5)


def uppermost(score: Tensor, share: float) -> Tensor:
    """The highest `share` of each image's cells, one at least: (n, h, w) -> (n, h, w) bool."""
    if not len(score):
        return score > 0
    flat = score.flatten(1)
    least = flat.topk(max(1, round(share * flat.shape[1])), dim=1).values[:, -1:]
    return (flat >= least).view_as(score)


def labelled_cells(scorer: PatchScorer, images: Samples, which: Tensor) -> Samples:
    """These cells of labelled images as rows, each with its image's label: (n, h, w) bool -> m
    rows.
    """
    x = scorer.scaling(cells(in_context(coarser(images.x, scorer.stride))))
    image = which.nonzero()[:, 0]
    return Samples(x[which.flatten()], images.y[image], images.group[image], images.weight[image])

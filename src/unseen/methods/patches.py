"""Patches of images as rows: any method for rows becomes one for images, and says where the defect
is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from unseen.parts.cells import Scaling, cells, coarser, highest, in_context
from unseen.parts.episodes import together
from unseen.types import Adaptable, Method, Run, Samples, ability

ROUNDS = 2  # of naming the cells that show a defect, where no mask says which


@dataclass(frozen=True)
class Patches:
    """A method for rows on every cell of a feature map; an image's score is the mean of its highest
    cells.

    Samples are maps (n, d, h, w) of a frozen backbone. A row of the base is a cell and, behind it,
    how it differs from the mean of its image: a cell may be normal by itself, and not there. A cell
    of a labelled image is a labelled anomaly where the mask (`Samples.mask`) covers at least half
    of it, or as much as it covers any. Where there is no mask, the cells that lie furthest from
    normal ones are, then, once more, those that the base itself scores highest (multiple-instance
    learning by turns). `adapt` is that of the base.

    Equation:
        score(x) = mean of the highest `top` of base([x_c, x_c - mean over the image])
            over the cells c of x

    When: defects are small beside the image, or you want to see where they are. Where light or
    texture change all over, `Whole` sees more.
    Differs: DevNet for images (arXiv 2108.00462) trains through the pooling; here a cell has a
    label of its own. The mean of the image beside the cell is ours: docs/guides/images.md says why.

    Parameters
    ----------
    base : Method
        Method for rows that scores cells, on 2d columns.
    stride : int
        Cells are averaged `stride` by `stride` first; 1 leaves them as they are.
    top : float
        Share of an image's cells, above 0 up to 1 and one cell at least, that its score averages;
        of a labelled image without a mask, the share that is taken for anomalous.
    cells : int
        Most cells of normal images in training, and in `adapt`, drawn at random.

    >>> from unseen.methods.distances import Nearest
    >>> Patches(Nearest()).build((5, 4, 4)).map(torch.zeros(3, 5, 4, 4)).shape
    torch.Size([3, 2, 2])
    """

    base: Method
    stride: int = 2
    top: float = 0.05
    cells: int = 20_000

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return PatchScorer(
            2 * shape[0], self.base.build((2 * shape[0],)), stride=self.stride, top=self.top
        )

    def train(self, scorer: PatchScorer, data: Samples, run: Run) -> None:
        normals = self.normals(scorer, data, run, fit=True)
        run = replace(run, logarithms=None)
        anomalies = data.anomalies if self.uses_labels else data.anomalies[:0]
        masked = _with_mask(anomalies)
        rows = together(
            normals,
            _labelled_cells(scorer, anomalies[masked], _marked(anomalies[masked], self.stride)),
        )
        untold = anomalies[~masked]
        distance = scorer.apart(normals.x, untold.x)
        for _ in range(ROUNDS if len(untold) else 0):
            guessed = _labelled_cells(scorer, untold, _uppermost(distance, self.top))
            self.base.train(scorer.inner.train(), together(rows, guessed), run)
            with torch.no_grad():
                distance = scorer.eval().map(untold.x)
        if not len(untold):
            self.base.train(scorer.inner, rows, run)

    def normals(
        self, scorer: PatchScorer, data: Samples, run: Run, *, fit: bool = False
    ) -> Samples:
        """Cells of the normal images as rows, at most `cells`."""
        normals = data.both.normals
        x = cells(in_context(coarser(normals.x, self.stride)))
        image = torch.arange(len(normals), device=x.device).repeat_interleave(
            len(x) // max(len(normals), 1)
        )
        drawn = torch.randperm(len(x), generator=run.generator)[: self.cells].to(x.device)
        x, image = x[drawn], image[drawn]
        if fit:
            scorer.scaling.fit(x)
        return Samples(
            scorer.scaling(x), normals.y[image], normals.group[image], normals.weight[image]
        )

    @property
    def adapt(self) -> Any:
        """`adapted`, of a base that can adapt, else None."""
        return self.adapted if ability(self.base, "adapt") else None

    def adapted(self, scorer: PatchScorer, support: Samples, run: Run) -> PatchScorer:
        """A new scorer for the domain that `support` shows."""
        moved = copy.copy(scorer)
        moved._modules = dict(scorer._modules)
        base = cast(Adaptable, self.base)
        moved.inner = base.adapt(scorer.inner, self.normals(scorer, support, run), run)
        return moved


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


def _with_mask(data: Samples) -> Tensor:
    """Which images have a mask that shows something: (n,)."""
    if data.mask is None:
        return torch.zeros(len(data), dtype=torch.bool, device=data.x.device)
    return data.mask.flatten(1).amax(dim=1) > 0 if len(data) else torch.zeros(0, dtype=torch.bool)


def _marked(data: Samples, stride: int) -> Tensor:
    """Cells that the masks cover by half, or by as much as they cover any: (n, h, w) bool."""
    if data.mask is None or not len(data):
        return torch.zeros(len(data), 1, 1, dtype=torch.bool, device=data.x.device)
    share = coarser(data.mask[:, None], stride)[:, 0]
    return share >= share.amax(dim=(1, 2), keepdim=True).clamp_max(0.5)


def _uppermost(score: Tensor, share: float) -> Tensor:
    """The highest `share` of each image's cells, one at least: (n, h, w) -> (n, h, w) bool."""
    if not len(score):
        return score > 0
    flat = score.flatten(1)
    least = flat.topk(max(1, round(share * flat.shape[1])), dim=1).values[:, -1:]
    return (flat >= least).view_as(score)


def _labelled_cells(scorer: PatchScorer, images: Samples, which: Tensor) -> Samples:
    """These cells of labelled images as rows, each with its image's label: (n, h, w) bool -> m
    rows.
    """
    x = scorer.scaling(cells(in_context(coarser(images.x, scorer.stride))))
    image = which.nonzero()[:, 0]
    return Samples(x[which.flatten()], images.y[image], images.group[image], images.weight[image])

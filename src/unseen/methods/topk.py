"""DevNet for images: deviation loss of the mean of the highest cells of a map (Pang et al., arXiv
2108.00462).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.cells import Scaling, cells, coarser, highest
from unseen.parts.episodes import balanced
from unseen.parts.heads import check_both, published
from unseen.parts.loops import descend
from unseen.types import Run, Samples


@dataclass(frozen=True)
class TopK:
    """DevNet on maps: an image's score is the mean of its highest cells, at two scales (Pang et
    al., arXiv 2108.00462).

    Samples are maps (n, d, h, w) of a frozen backbone. Every cell has a score from its d channels
    alone, which are standardised by the cells of normal images. The second scale is the same
    network on cells averaged 2 x 2. Images are labelled, cells are not: training finds by itself
    which of them show the defect.

    Equation:
        score(x) = mean over both scales of the mean of the highest `share` of f(x_c) over cells c
        loss(x)  = |score(x)| if x is normal,
            max(0, margin - score(x)) if x is a labelled anomaly

    When: a few images are labelled, nobody has drawn masks, and defects to come look like those.
    Not where a new kind matters: nothing in the loss asks for a high score where no labelled image
    lies. It refuses to train without labels.
    Differs: the paper takes the cells of highest |f|, so that the sign of a cell means nothing;
    here it is kept, and the map shows where the defect is. The backbone is frozen, and its maps are
    averaged, not the image shrunk, for the second scale. The learning rate is higher and constant,
    as only a head learns. The prior is N(0, 1) itself.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers; without any, a cell's score is linear.
    share : float
        Share of an image's cells that its score averages, above 0 up to 1 and one cell at least.
    margin : float
        Score that labelled anomalies are to reach, in standard deviations of the prior.
    penalty : float
        Weight decay of Adam.
    steps : int
        Optimiser steps.
    batch : int
        Images in a batch, half of them labelled anomalies.
    rate : float
        Learning rate of Adam.

    >>> TopK().build((5, 4, 4)).map(torch.zeros(3, 5, 4, 4)).shape
    torch.Size([3, 4, 4])
    """

    hidden: tuple[int, ...] = ()
    share: float = 0.1
    margin: float = 5.0
    penalty: float = 1e-5
    steps: int = 500
    batch: int = 32
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return TopKScorer(shape[0], hidden=self.hidden, share=self.share)

    def train(self, scorer: TopKScorer, data: Samples, run: Run) -> None:
        descend(self, scorer, data.both, run)

    def prepare(self, scorer: TopKScorer, data: Samples, run: Run) -> None:
        check_both(self, data)
        scorer.scaling.fit(cells(data.normals.x))

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return balanced(data, self.batch, run.generator)

    def optimiser(self, scorer: TopKScorer) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate, weight_decay=self.penalty)

    def loss(self, scorer: TopKScorer, batch: Samples, run: Run) -> Tensor:
        """Deviation loss of each image: (n,)."""
        return losses.deviation(score=scorer(batch.x), y=batch.y, margin=self.margin)


class TopKScorer(nn.Module):
    """A score for every cell, and of an image by its highest, at two scales: (n, d, h, w) ->
    (n,).
    """

    def __init__(self, d: int, *, hidden: tuple[int, ...], share: float) -> None:
        super().__init__()
        self.share = share
        self.scaling = Scaling(d)
        self.net = published([d, *hidden, 1])

    def each(self, x: Tensor) -> Tensor:
        """A score for every cell: (n, d, h, w) -> (n, h, w)."""
        return self.net(self.scaling(cells(x))).view(x.shape[0], *x.shape[2:])

    def map(self, x: Tensor) -> Tensor:
        """Mean of both scales in every cell: (n, d, h, w) -> (n, h, w)."""
        h, w = x.shape[2:]
        coarse = self.each(coarser(x, 2)).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        return (self.each(x) + coarse[:, :h, :w]) / 2

    def forward(self, x: Tensor) -> Tensor:
        return (
            highest(self.each(x), self.share) + highest(self.each(coarser(x, 2)), self.share)
        ) / 2

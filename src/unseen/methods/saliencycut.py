"""SaliencyCut for vectors: pseudo-anomalies where the detector does not look (Ye et al. 2024, arXiv
2306.08366).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from unseen.parts import heads, losses
from unseen.parts.episodes import balanced, draw, together
from unseen.parts.heads import check_both, published
from unseen.parts.loops import minimise
from unseen.parts.pseudo import anomalous, saliency, saliency_cut
from unseen.types import Run, Samples


@dataclass(frozen=True)
class SaliencyCut:
    """Two deviation heads, and pseudo-anomalies in what these heads overlook (Ye et al., Pattern
    Recognition 2024).

    A pseudo-anomaly is a normal row that takes from another one the features of low gradient
    saliency there, under the network as it is at this step.

    Equation:
        score(x) = a(x) - b(x);  loss = |a| + max(0, margin - b) of normal rows,
            max(0, margin - a) + |b| of all others

    When: a few labelled anomalies, and new kinds that break the dependence between columns.
    Differs: features in place of regions, so no smoothing of the map, and the anomaly head sees the
    whole row, not residuals between image blocks; scores keep their sign where the public code
    takes absolute values.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    margin : float
        Output that either head is to reach on its own side, in standard deviations of the prior.
    threshold : float
        Saliency up to which features are taken, from 0, the least in their row, to 1, the largest.
    cut : float
        Share of each batch's normals of which pseudo-anomalies are made; 0 makes none.
    penalty : float
        Weight of the squared length of the hidden layers' kernels.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies, before pseudo-anomalies.
    rate : float
        Learning rate of RMSprop.

    >>> import torch
    >>> SaliencyCut(hidden=(8,)).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (20,)
    margin: float = 5.0
    threshold: float = 0.4
    cut: float = 0.5
    penalty: float = 0.01
    steps: int = 1000
    batch: int = 512
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return TwoHeads(*shape, hidden=self.hidden)

    def train(self, scorer: TwoHeads, data: Samples, run: Run) -> None:
        check_both(self, data)
        optimiser = heads.optimiser(scorer.net, rate=self.rate, penalty=self.penalty)
        stream = self.with_salient(scorer, data, run)
        minimise(
            lambda batch: self.loss(scorer, batch, run), optimiser, stream, run, steps=self.steps
        )

    def with_salient(self, scorer: TwoHeads, data: Samples, run: Run) -> Iterator[Samples]:
        """Half normals, half anomalies; behind them pseudo-anomalies, by the scorer's gradients at
        this step.
        """
        normals = data.normals
        for batch in balanced(data, self.batch, run.generator):
            hosts = batch.normals[: int(self.cut * len(batch.normals))]
            donors = normals.x[draw(len(normals), len(hosts), run.generator).to(normals.x.device)]
            pasted = saliency_cut(hosts.x, donors, saliency(scorer, donors), most=self.threshold)
            yield together(batch, anomalous(hosts, pasted))

    def loss(self, scorer: TwoHeads, batch: Samples, run: Run) -> Tensor:
        """Deviation loss of both heads, for the normal head with the sides swapped: (n,)."""
        anomaly, normal = scorer.heads(batch.x)
        swapped = (batch.y <= 0).long()
        of_anomaly = losses.deviation(score=anomaly, y=batch.y, margin=self.margin)
        return of_anomaly + losses.deviation(score=normal, y=swapped, margin=self.margin)


class TwoHeads(nn.Module):
    """A network with an anomaly and a normal output; the score is their difference: (n, d) ->
    (n,).
    """

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.net = published([d, *hidden, 2])

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the anomaly head and of the normal head: (n, d) -> (n,), (n,)."""
        anomaly, normal = self.net(x).unbind(dim=1)
        return anomaly, normal

    def forward(self, x: Tensor) -> Tensor:
        anomaly, normal = self.heads(x)
        return anomaly - normal

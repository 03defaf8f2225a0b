"""CL-Flow: a flow that anomalies are pushed out of, with a contrast in its latent space (Wang et
al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses, terms
from unseen.parts.episodes import mixed
from unseen.parts.flow import Whitened, dequantised, standard_normal
from unseen.parts.loops import descend
from unseen.parts.pseudo import with_cut
from unseen.types import Run, Samples


@dataclass(frozen=True)
class CLFlow:
    """Negative log-density of a flow that pushes pseudo-anomalies and labelled ones away (CL-Flow,
    arXiv 2311.06794).

    Pseudo-anomalies are normals with features cut from others. An anomaly is pushed until its score
    is `margin` beyond q, a quantile of the scores of the batch's normals. Each row is contrasted
    with its nearest normal of the batch (of a cut row mostly the one that it was made of): latent
    rows of two normals are to point the same way, those of an anomaly and its normal are not.

    Equation:
        score(x) = -log p(x) / d
        loss(x)  = score(x) + contrast * (1 - cos(z, z'))                        of a normal row,
                   [q + margin - score(x)]_+ + contrast * [cos(z, z')]_+         of an anomaly

    When: a flow's density ranks the anomalies that you know too low; labels help, but none is
    needed. It falls behind an autoencoder for the reasons that `flow` does.
    Differs: vectors in place of feature maps, so that a pair is a row and its nearest normal, not
    two crops; the margin, as in BGAD (arXiv 2207.01463), is in place of a classifier with smoothed
    labels.

    Parameters
    ----------
    couplings : int
        Coupling layers of the flow.
    width : int
        Width of the one hidden layer in each coupling's network.
    noise : float
        Standard deviation of the noise on training rows, where a column has 1: without it a column
        of few values has an infinite density.
    margin : float
        How far beyond q the score of an anomaly is pushed, in nats per column.
    quantile : float
        Which quantile of the scores of a batch's normals q is, 0 to 1.
    contrast : float
        Weight of the contrast in the loss; 0 leaves it out.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies if there are any; cut rows come on top.
    rate : float
        Learning rate of Adam.

    >>> CLFlow(couplings=2, width=8).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    couplings: int = 4
    width: int = 64
    noise: float = 0.03
    margin: float = 0.5
    quantile: float = 0.95
    contrast: float = 0.1
    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ContrastiveFlow(*shape, couplings=self.couplings, width=self.width)

    def train(self, scorer: ContrastiveFlow, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: ContrastiveFlow, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "CLFlow learns the density of normal rows, and was given none: add normal rows"
            )
        scorer.whiten.fit(data.normals.x, shrinkage=self.noise**2)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Normals and, where there are any, as many anomalies; behind them a cut row for each
        normal.
        """
        drawn = mixed(data, self.batch, run.generator)
        pushed = (with_cut(batch, data.normals.x, 1.0, run.generator) for batch in drawn)
        return dequantised(pushed, self.noise, run.generator)

    def optimiser(self, scorer: ContrastiveFlow) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: ContrastiveFlow, batch: Samples, run: Run) -> Tensor:
        """Likelihood or push, and contrast with the nearest normal row of the batch: (n,)."""
        score, z = scorer.scored(batch.x)
        normal = batch.y <= 0
        edge = score[normal].detach().quantile(self.quantile) if normal.any() else 0.0
        pushed = losses.pushed(quantity=score, y=batch.y, bound=edge + self.margin)
        other = nearest_normal(batch.x, normal)
        return pushed + self.contrast * terms.closeness(z=z, other=z[other], y=batch.y)


def nearest_normal(x: Tensor, normal: Tensor) -> Tensor:
    """For each row the number of the nearest normal row that it is not itself: (n, d), (n,) ->
    (n,).
    """
    distance = torch.cdist(x, x).masked_fill(~normal[None, :], torch.inf)  # (n, n)
    return distance.fill_diagonal_(1e30).argmin(dim=1)  # itself where there is no other


class ContrastiveFlow(Whitened):
    """Negative log-density per column: (n, d) -> (n,)."""

    def scored(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and latent rows: (n, d) -> (n,), (n, d)."""
        z, log_det = self.flows[0](self.whiten(x))
        return -(standard_normal(z) + log_det) / x.shape[1], z

    def forward(self, x: Tensor) -> Tensor:
        return self.scored(x)[0]

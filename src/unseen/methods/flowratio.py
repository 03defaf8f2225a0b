"""Flow ratio: how much likelier a general flow finds a row than one of normal rows (Schirrmeister
et al., 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses
from unseen.parts.episodes import mixed
from unseen.parts.exporting import drawing
from unseen.parts.flow import Whitened, dequantised, standard_normal
from unseen.parts.loops import descend
from unseen.parts.pseudo import with_cut
from unseen.types import Run, Samples

# standard deviation, in whitened columns, and share of what may lie anywhere
SPREAD, SHARE = (10.0, 0.01)


@dataclass(frozen=True)
class FlowRatio:
    """Log-likelihood ratio of two flows, one of general rows, one of normal rows (Schirrmeister et
    al., NeurIPS 2020).

    What makes any row likely, such as how little it varies, cancels in the ratio. General rows are
    the normal ones, rows made of them by cutting features from other rows, and labelled anomalies
    where there are any. The flow p of normals learns from normals, the general one, g, from all;
    and both learn as a classifier of normal and general rows, whose logit is the ratio.

    Equation:
        score(x) = (log [0.99 g(x) + 0.01 N(Wx; 0, 10^2 I)] - log p(x)) / d,  W the whitening
        loss(x)  = -log g(x) / d - [normal] log p(x) / d
                   + outlier * (softplus(score) if normal else softplus(-score))

    When: a flow ranks rows as likely for reasons that all rows share; labels help, but none is
    needed. Not where anomalies are as unlikely among cut rows as among normals, which cancels. Nor
    is a difference of two flows steady: the number of `steps` matters.
    Differs: the general rows are made from the normal ones, as there is no public collection of all
    tables; the paper's outlier term is for general rows alone, ours for normals too. Far from all
    rows the ratio of two flows is chance, so a hundredth of the general rows may lie anywhere:
    without, rows far off in a constant column scored below normals.

    Parameters
    ----------
    couplings : int
        Coupling layers of each flow; it takes two to change every column.
    width : int
        Width of the hidden layer of each coupling's network.
    noise : float
        Standard deviation of the noise on training rows, where a column has 1. Its square is the
        shrinkage of the whitening.
    outlier : float
        Weight of the classifier's loss beside that of the densities; 0 leaves the densities alone.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies where there are any, before cut rows.
    rate : float
        Learning rate of Adam.

    >>> FlowRatio(couplings=2, width=8).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    couplings: int = 4
    width: int = 64
    noise: float = 0.03
    outlier: float = 1.0
    steps: int = 500
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Ratio(*shape, flows=2, couplings=self.couplings, width=self.width)

    def train(self, scorer: Ratio, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Ratio, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "FlowRatio compares normal rows with rows made of them, and was given none: add "
                "normal rows"
            )
        scorer.whiten.fit(data.normals.x, shrinkage=self.noise**2)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Normals and, where there are any, as many anomalies; behind them a cut row for each
        normal.
        """
        drawn = mixed(data, self.batch, run.generator)
        general = (with_cut(batch, data.normals.x, 1.0, run.generator) for batch in drawn)
        return dequantised(general, self.noise, run.generator)

    def optimiser(self, scorer: Ratio) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Ratio, batch: Samples, run: Run) -> Tensor:
        """Both flows' negative log-densities where they apply, and the outlier term: (n,)."""
        own, general, mixture = scorer.three(batch.x)
        likelihood = -general - torch.where(batch.y > 0, 0.0, own)
        logits = torch.stack([own, mixture], dim=1)  # (n, 2)
        return likelihood + self.outlier * losses.confidence(logits=logits, y=batch.y)


class Ratio(Whitened):
    """General less normal log-density per column: (n, d) -> (n,)."""

    def three(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-densities per column of normals, of general rows, of these and rows anywhere: (n, d)
        -> (n,) each.
        """
        d, (own, general) = x.shape[1], self.log_densities(x).unbind(dim=1)
        anywhere = standard_normal(self.whiten(x) / SPREAD) - d * math.log(SPREAD)
        parts = d * general + math.log(1 - SHARE), anywhere + math.log(SHARE)
        added = log_added(*parts) if drawing() else torch.logaddexp(*parts)
        return own, general, added / d

    def forward(self, x: Tensor) -> Tensor:
        own, _, mixture = self.three(x)
        return mixture - own


def log_added(a: Tensor, b: Tensor) -> Tensor:
    """`torch.logaddexp` for a graph, where it would be the logarithm of a sum that may be 0 or
    infinite: (n,), (n,) -> (n,).

    >>> log_added(torch.tensor([-1000.0]), torch.tensor([-1000.0]))
    tensor([-999.307])
    """
    return torch.maximum(a, b) + (-(a - b).abs()).exp().log1p()

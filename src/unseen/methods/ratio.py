"""Ratio of the distances to the nearest normal row and to the nearest labelled anomaly (after Cover
& Hart 1967).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from unseen.parts.bank import NEAR, Bank, Whitening
from unseen.types import Run, Samples


@dataclass(frozen=True)
class NearestRatio:
    """Distance to the nearest normal row over distance to the nearest labelled anomaly (after Cover
    & Hart 1967).

    Both are between whitened rows. Without labelled anomalies the second distance counts as 1, and
    the score ranks as the distance to the normals does.

    Equation:
        score(x) = log(d(x, nearest normal row) + 0.001)
            - log(d(x, nearest labelled anomaly) + 0.001)
    When: few labels, little time, and new kinds matter as known ones do. Not where anomalies lie
    among the normals.
    Differs: a nearest-neighbour rule decides by the sign; the ratio as a score, and whitening, are
    ours.

    Parameters
    ----------
    bank : int
        Most normals, and most anomalies, that are kept, drawn at random: scoring time grows with
        them.
    shrinkage : float
        Share of the normals' mean variance that whitening adds in every direction.

    >>> import torch
    >>> scorer, x = NearestRatio().build((1,)), torch.tensor([[-1.0], [1.0], [5.0]])
    >>> NearestRatio().train(scorer, Samples.of(x, torch.tensor([0, 0, 1])), Run(torch.Generator()))
    >>> # log 3: three times as far from the normals
    >>> scorer(torch.tensor([[4.0]])).round(decimals=1)
    tensor([1.1000])
    """

    bank: int = 4096
    shrinkage: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return NearestRatioScorer(*shape)

    def train(self, scorer: NearestRatioScorer, data: Samples, run: Run) -> None:
        normals = data.normals.x
        scorer.whiten.fit(normals, shrinkage=self.shrinkage)
        scorer.normals.fill(scorer.whiten(normals), most=self.bank, generator=run.generator)
        scorer.anomalies.fill(
            scorer.whiten(data.anomalies.x), most=self.bank, generator=run.generator
        )


class NearestRatioScorer(nn.Module):
    """Log ratio of two nearest distances: (n, d) -> (n,)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whiten = Whitening(d)
        self.normals = Bank(d)
        self.anomalies = Bank(d)

    def forward(self, x: Tensor) -> Tensor:
        z = self.whiten(x)
        score = (self.normals.distances(z, k=1)[:, 0] + NEAR).log()
        if len(self.anomalies.rows):
            score = score - (self.anomalies.distances(z, k=1)[:, 0] + NEAR).log()
        return score

"""Distances: Mahalanobis, to the nearest normals, and the ratio of distances to normals and to labelled anomalies."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from unseen.parts.bank import NEAR, Bank, Whitening
from unseen.types import Run, Samples


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the mean of the normals in units of their covariance; no label is used.

    Several kinds of normal (`groups`) have a mean each and share the covariance of rows around their own; the nearest
    mean counts. `adapt` moves the mean, and keeps the covariance.

    >>> import torch
    >>> scorer = Mahalanobis(shrinkage=0.0).build((2,))
    >>> data = Samples.of(torch.tensor([[0., 0.], [2., 0.], [0., 4.], [2., 4.]]))
    >>> Mahalanobis(shrinkage=0.0).train(scorer, data, Run(torch.Generator()))
    >>> scorer(torch.tensor([[2., 4.]])).square().round(decimals=4)
    tensor([1.5000])
    """

    shrinkage: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return MahalanobisScorer(*shape)

    def train(self, scorer: MahalanobisScorer, data: Samples, run: Run) -> None:
        scorer.whiten.fit(data.normals.x, shrinkage=self.shrinkage, group=data.normals.group)

    def adapt(self, scorer: MahalanobisScorer, support: Samples, run: Run) -> MahalanobisScorer:
        moved = copy.deepcopy(scorer)
        moved.whiten.move(support.normals.x)
        return moved


class MahalanobisScorer(nn.Module):
    """Norm of the whitened row: (n, d) -> (n,)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whiten = Whitening(d)

    def forward(self, x: Tensor) -> Tensor:
        return self.whiten(x).norm(dim=1)


@dataclass(frozen=True)
class Nearest:
    """Mean distance to the k nearest normals (Ramaswamy et al. 2000; Angiulli & Pizzuti 2002), raw or whitened.

    At most `bank` normals are kept, drawn at random: the cost of a score grows with them. Several kinds of normal
    (`groups`) are whitened by the covariance of rows around their own mean. `adapt` swaps the normals for others, and
    keeps that covariance.
    """

    k: int = 5
    whiten: bool = False
    bank: int = 4096
    shrinkage: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return NearestScorer(*shape, k=self.k)

    def train(self, scorer: NearestScorer, data: Samples, run: Run) -> None:
        normals = data.normals.x
        if self.whiten:
            scorer.whiten.fit(normals, shrinkage=self.shrinkage, group=data.normals.group)
        scorer.normals.fill(scorer.whiten.common(normals), most=self.bank, generator=run.generator)

    def adapt(self, scorer: NearestScorer, support: Samples, run: Run) -> NearestScorer:
        moved = copy.deepcopy(scorer)
        moved.normals.fill(scorer.whiten.common(support.normals.x), most=self.bank, generator=run.generator)
        return moved


class NearestScorer(nn.Module):
    """Mean distance to the k nearest rows of a bank: (n, d) -> (n,)."""

    def __init__(self, d: int, *, k: int) -> None:
        super().__init__()
        self.k = k
        self.whiten = Whitening(d)  # the identity until fitted
        self.normals = Bank(d)

    def forward(self, x: Tensor) -> Tensor:
        return self.normals.distances(self.whiten.common(x), k=self.k).mean(dim=1)


@dataclass(frozen=True)
class NearestRatio:
    """log(distance to the nearest normal / distance to the nearest labelled anomaly), whitened.

    Few labels go far here: a row near a labelled anomaly scores high, and so does one far from every normal. Without
    labelled anomalies the second distance is taken to be 1, and the score ranks as the distance to the normals does.
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
        scorer.anomalies.fill(scorer.whiten(data.anomalies.x), most=self.bank, generator=run.generator)


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

"""Distances to the normals: Mahalanobis, and to the nearest of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts.bank import Bank, Whitening
from unseen.types import Run, Samples

# rows, drawn at random, that centres are chosen from, if so many are not to be kept anyway
CANDIDATES = 20_000
# columns that distances are measured in: a random projection about keeps them (Johnson &
# Lindenstrauss)
WIDTH = 64


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the mean of the normal rows, in units of their covariance (Mahalanobis 1936).

    No label is used. Domains (`groups`) have a mean each and share the covariance of rows around
    their own; the nearest mean counts. `adapt` moves the mean, and keeps the covariance.

    Equation:
        score(x) = sqrt((x - mu)' C^-1 (x - mu)),  mu and C mean and covariance of the normal rows
    When: columns depend on one another smoothly, or rows come by the million: a score is one matrix
    product. Not where normal rows come in several clusters: the middle between them is called most
    normal.
    Differs: as in textbooks, with all normal rows in the covariance; the shrinkage is ours.

    Parameters
    ----------
    shrinkage : float
        How much of the mean variance is added to the variance in every direction.

    >>> import torch
    >>> scorer = Mahalanobis(shrinkage=0.0).build((2,))
    >>> data = Samples.of(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    >>> Mahalanobis(shrinkage=0.0).train(scorer, data, Run(torch.Generator()))
    >>> scorer(torch.tensor([[2.0, 4.0]])).square().round(decimals=4)
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
    """Mean distance to the nearest normal rows (Ramaswamy et al., SIGMOD 2000; Angiulli & Pizzuti,
    PKDD 2002).

    No label is used. Domains (`groups`) are whitened by the covariance of rows around their own
    mean. `adapt` swaps the normals for others, and keeps that covariance.

    Equation:
        score(x) = mean distance from x to its k nearest normal rows
    When: normal rows come in many shapes or clusters. Not with many columns of noise, which drown
    the distances.
    Differs: the first paper takes the distance to the k-th neighbour; both search all rows, not a
    bank. PatchCore counts the single nearest, and raises the score where that one is rare itself.

    Parameters
    ----------
    k : int
        Nearest normal rows that count.
    whiten : bool
        Decorrelate the columns of rows first, and scale them to unit variance.
    bank : int
        Most normal rows that are kept, drawn at random: scoring time grows with them.
    shrinkage : float
        With `whiten`, how much of the mean variance is added to the variance in every direction.
    coreset : bool
        Keep rows that are spread out instead, each as far as can be from those before (PatchCore,
        CVPR 2022): rare normals stay, and anomalous rows among the normals, too.

    >>> import torch
    >>> scorer = Nearest(k=2).build((1,))
    >>> Nearest(k=2).train(
    ...     scorer, Samples.of(torch.tensor([[0.0], [1.0], [3.0]])), Run(torch.Generator())
    ... )
    >>> scorer(torch.tensor([[4.0]]))  # 1 from one neighbour, 3 from the other
    tensor([2.])
    """

    k: int = 5
    whiten: bool = False
    bank: int = 4096
    shrinkage: float = 1e-3
    coreset: bool = False
    uses_labels: ClassVar[bool] = False

    @property
    def adapts_anew(self) -> bool:
        """Whether `adapt` keeps nothing: without a covariance, normals are all there is."""
        return not self.whiten

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return NearestScorer(*shape, k=self.k)

    def train(self, scorer: NearestScorer, data: Samples, run: Run) -> None:
        normals = data.normals.x
        if self.whiten:
            scorer.whiten.fit(normals, shrinkage=self.shrinkage, group=data.normals.group)
        self.remember(scorer, normals, run)

    def adapt(self, scorer: NearestScorer, support: Samples, run: Run) -> NearestScorer:
        moved = copy.deepcopy(scorer)
        self.remember(moved, support.normals.x, run)
        return moved

    def remember(self, scorer: NearestScorer, normals: Tensor, run: Run) -> None:
        """Fill the scorer's bank with these normals, or with those of them that stand for all."""
        rows = scorer.whiten.common(normals)
        if self.coreset and len(rows) > self.bank:
            rows = rows[spread_out(rows, self.bank, run.generator)]
        scorer.normals.fill(rows, most=self.bank, generator=run.generator)


class NearestScorer(nn.Module):
    """Mean distance to the k nearest rows of a bank: (n, d) -> (n,)."""

    def __init__(self, d: int, *, k: int) -> None:
        super().__init__()
        self.k = k
        self.whiten = Whitening(d)  # the identity until fitted
        self.normals = Bank(d)

    def forward(self, x: Tensor) -> Tensor:
        return self.normals.distances(self.whiten.common(x), k=self.k).mean(dim=1)


def spread_out(rows: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Numbers of rows that are spread over all of them: (n, d) -> (min(n, most),), none twice.

    The first is drawn at random, and each further one is the row that lies furthest from those
    chosen. Among CANDIDATES no row is then further from the nearest of them than twice what the
    best choice of as many could do (Gonzalez 1985).

    >>> rows = torch.tensor([[0.0], [1.0], [10.0]])
    >>> # the far one, whichever came first
    >>> sorted(rows[spread_out(rows, 2, torch.Generator())][:, 0].tolist())[1]
    10.0
    """
    drawn = torch.randperm(len(rows), generator=generator)[: max(most, CANDIDATES)].to(rows.device)
    points = projected(rows[drawn], generator)
    size = points.square().sum(dim=1)
    # drawn[0] is random already
    chosen = torch.zeros(min(len(drawn), most), dtype=torch.int64, device=rows.device)
    distance = torch.full_like(size, torch.inf)
    for i in range(1, len(chosen)):
        last = chosen[i - 1]
        distance = torch.minimum(
            distance, torch.addmv(size, points, points[last], alpha=-2).add_(size[last])
        )
        distance[last] = -torch.inf
        chosen[i] = distance.argmax()
    return drawn[chosen]


def projected(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Rows around 0, in at most WIDTH columns by a random matrix: (n, d) -> (n, min(d, WIDTH))."""
    # the smaller the rows, the less of a distance is lost to rounding
    rows = rows - rows.mean(dim=0)
    d = rows.shape[1]
    if d <= WIDTH:
        return rows
    return rows @ (torch.randn(d, WIDTH, generator=generator) / WIDTH**0.5).to(rows)

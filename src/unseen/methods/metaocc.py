"""Meta-OCC: one-class classifiers that adapt by an eigenvalue problem (Iwata & Kumagai, arXiv
2103.00684).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.errors import DataError
from unseen.parts import terms
from unseen.parts.bank import Bank
from unseen.parts.episodes import at_most, enough_of_both, tasks, together
from unseen.parts.loops import minimise
from unseen.parts.nets import mlp
from unseen.parts.products import product
from unseen.types import Run, Samples

# share of the mean eigenvalue between two that tie: their difference divides in the backward pass
APART = 1e-9

# rows that the last, and every later, eigenvalue problem takes at most
NORMALS, ANOMALIES = (8192, 256)


@dataclass(frozen=True)
class MetaOCC:
    """An embedding in which a closed form sets anomalies of other classes apart (Iwata & Kumagai,
    arXiv 2103.00684).

    Each step holds out one anomaly class. In the embedding z of the support, the anomalies' scatter
    S_a about the normals' centre c and the normals' own S_n give, in closed form, the directions
    in which anomalies lie far from c and normals near it. The embedding learns, through that
    solution, to rank the query: a smooth AUROC. In the end one such problem is solved on all rows.

    `adapt` solves it on new rows: with the anomalies that training saw, if the support shows none.

    Equation:
        S_a w = lambda S_n w;  score(x) = log(1 + sum_j (w_j' (z - c))^2),
            over the w_j of largest lambda
        loss = mean over pairs of the query of sigmoid(score(normal) - score(anomaly))

    When: a few labelled anomalies of several classes, as it practises on classes that it hides from
    itself; or new domains will come, a few rows each, and the same anomalies threaten all of them.
    Differs: the problem is solved in its dual, with as many rows as anomalies, as the gradient of
    the first form is NaN with few anomalies; tasks are held-out classes of one data set, not many
    data sets; the logarithm keeps the sigmoid from saturating and ranks the same.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    latent : int
        Width of the embedding.
    directions : int
        Directions w_j that count, at most one for each anomaly of a support.
    ridge : float
        Share of the mean variance of S_n that is added to it in every direction.
    steps : int
        Optimiser steps.
    batch : int
        Most rows of a support, and of a query; at most half of these are normals, half anomalies.
    rate : float
        Learning rate of Adam.

    >>> MetaOCC().build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 16
    directions: int = 4
    ridge: float = 0.1
    steps: int = 500
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ProjectedScorer(
            *shape, hidden=self.hidden, latent=self.latent, directions=self.directions
        )

    def train(self, scorer: ProjectedScorer, data: Samples, run: Run) -> None:
        enough_of_both(data, self, normals=2)

        def queries() -> Iterator[Samples]:
            for task in tasks(data, self.batch // 2, run.generator):
                # part of the graph: the loss reaches the embedding through it
                scorer.solve(task.support, self.ridge)
                yield task.query

        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        minimise(
            lambda query: self.loss(scorer, query, run), optimiser, queries(), run, steps=self.steps
        )
        scorer.shown.fill(data.anomalies.x, most=ANOMALIES, generator=run.generator)
        self.settle(scorer, data, run)

    def loss(self, scorer: ProjectedScorer, batch: Samples, run: Run) -> Tensor:
        """Each row's share of the smooth AUROC's complement: (n,)."""
        return terms.auc_share(score=scorer(batch.x), y=batch.y)

    @torch.no_grad()
    def settle(self, scorer: ProjectedScorer, rows: Samples, run: Run) -> None:
        """Solve the problem of these rows, for good."""
        few = (
            at_most(rows.normals, NORMALS, run.generator),
            at_most(rows.anomalies, ANOMALIES, run.generator),
        )
        scorer.solve(together(*few), self.ridge)

    def adapt(self, scorer: ProjectedScorer, support: Samples, run: Run) -> nn.Module:
        if not len(support.normals):
            raise DataError(
                "MetaOCC adapts to normal rows, and the support has none: add at least one"
            )
        known = Samples.of(
            scorer.shown.rows, torch.ones(len(scorer.shown.rows), device=support.x.device)
        )
        moved = copy.deepcopy(scorer)
        self.settle(moved, support if len(support.anomalies) else together(support, known), run)
        return moved


class ProjectedScorer(nn.Module):
    """Embedding, and log(1 + |W'(z - c)|^2) in it: (n, d) -> (n,)."""

    centre: Tensor
    matrix: Tensor

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int, directions: int) -> None:
        super().__init__()
        self.net = mlp([d, *hidden, latent])
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("matrix", torch.eye(latent, directions))
        self.shown = Bank(d)

    def solve(self, support: Samples, ridge: float) -> None:
        """Centre and directions of a support's normals and anomalies, as functions of the
        embedding.
        """
        normal, z = support.y <= 0, self.net(support.x)
        share = torch.where(normal, support.weight, 0)
        share = share / share.sum().clamp_min(1e-12)
        self.centre = share @ z
        apart = z - self.centre
        within = (apart * share[:, None]).T @ apart  # (latent, latent)
        floor = ridge * within.diagonal().mean() + 1e-6
        within = within + floor * torch.eye(len(within), device=z.device)
        weight = support.weight[~normal]
        anomalies = apart[~normal] * (weight / weight.sum().clamp_min(1e-12)).sqrt()[:, None]
        found = discriminants(anomalies=anomalies, within=within, directions=self.matrix.shape[1])
        self.matrix = F.pad(found, (0, self.matrix.shape[1] - found.shape[1])).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        return product(self.net(x) - self.centre, self.matrix).square().sum(dim=1).log1p()


def discriminants(*, anomalies: Tensor, within: Tensor, directions: int) -> Tensor:
    """W whose columns solve S_a w = lambda S_n w for the largest lambda, with w' S_n w = 1: (k,
    min(directions, a, k)).

    `anomalies` (a, k), centred at the normals and already scaled, so that S_a = A'A; `within` (k,
    k) is S_n, positive definite. With few anomalies S_a has rank a, and all other eigenvalues tie
    at 0: then the gradient of the problem as it stands is NaN. Its dual A S_n^-1 A' u = lambda u
    has a rows, and w = S_n^-1 A' u / sqrt(lambda). Anomalies that are alike tie there too: a ramp
    on the diagonal, far below any figure that counts, sets them apart.

    >>> discriminants(
    ...     anomalies=torch.tensor([[0.0, 3.0]]),
    ...     within=torch.diag(torch.tensor([1.0, 4.0])),
    ...     directions=2,
    ... )
    tensor([[0.0000],
            [0.5000]])
    """
    a = anomalies.double()
    solved = torch.linalg.solve(within.double(), a.T)  # (k, a)
    dual = a @ solved  # (a, a)
    ramp = torch.arange(1, len(a) + 1, dtype=dual.dtype, device=dual.device)
    apart = APART * dual.detach().diagonal().mean() + 1e-12
    values, vectors = torch.linalg.eigh((dual + dual.T) / 2 + torch.diag(apart * ramp))
    top = min(directions, *anomalies.shape)
    w = solved @ vectors[:, -top:].flip(1) / values[-top:].flip(0).sqrt()
    return w.to(anomalies.dtype)

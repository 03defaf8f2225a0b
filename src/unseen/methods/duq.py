"""DUQ: kernels around the centroids of domains (van Amersfoort et al., ICML 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.errors import DataError
from unseen.parts import terms
from unseen.parts.clusters import Partition
from unseen.parts.episodes import mixed, random_batches
from unseen.parts.loops import minimise
from unseen.parts.nets import Resizing, mlp
from unseen.parts.products import product
from unseen.types import Run, Samples


@dataclass(frozen=True)
class DUQ:
    """A network whose kernels fire near the centroids of domains (DUQ, van Amersfoort et al., ICML
    2020).

    A domain is a group of the normals, or a cluster where there is one group. Each has a kernel of
    its own on the network's features, and a centroid that follows the mean of its rows. Exactly the
    kernel of a row's domain is to fire; of a labelled anomaly, none is.

    Equation:
        score(x) = min_c D_c = -log max_c K_c,  K_c = exp(-D_c),
            D_c = mean_j (W_c f(x) - e_c)_j^2 / (2 length^2)
        loss = -log K_own - sum_others log(1 - K_c) + penalty (|d sum_c K_c / dx| - 1)^2

    When: normals of several domains, labelled as groups or apart enough to be clusters.
    Differs: the score is -log max K, which ranks as 1 - max K and does not saturate far away.
    Labelled anomalies are not in the paper. Rows are divided by sqrt d, so that they are about 1
    long and a gradient of length 1 makes sense.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers, at least one.
    embedding : int
        Width of each kernel's embedding W_c f(x).
    length : float
        Root mean square distance to a centroid at which a kernel falls to exp(-1/2), above 0.
    penalty : float
        Weight of keeping the length of the gradient near 1: a network may else map far-away rows
        onto a centroid.
    momentum : float
        Share of itself that a centroid keeps at a step, 0 to 1.
    clusters : int
        Clusters that stand for domains where the normals have one group.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies if there are any.
    rate : float
        Learning rate of Adam.

    >>> DUQ(hidden=(8,)).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64, 64)
    embedding: int = 16
    length: float = 0.3
    penalty: float = 0.1
    momentum: float = 0.99
    clusters: int = 5
    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DUQScorer(*shape, hidden=self.hidden, embedding=self.embedding, length=self.length)

    def train(self, scorer: DUQScorer, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError("DUQ puts kernels on domains, and was given none: add normal rows")
        scorer.grow(data.normals, self.clusters, run.generator)
        scorer.follow(next(random_batches(data.normals, self.batch, run.generator)), keep=0.0)
        stream = mixed(data, self.batch, run.generator)
        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        minimise(
            lambda batch: self.followed(scorer, batch, run),
            optimiser,
            stream,
            run,
            steps=self.steps,
        )

    def followed(self, scorer: DUQScorer, batch: Samples, run: Run) -> Tensor:
        """The loss of each row (n,), once the centroids have moved towards the batch."""
        scorer.follow(batch.normals, keep=self.momentum)
        return self.loss(scorer, batch, run)

    def loss(self, scorer: DUQScorer, batch: Samples, run: Run) -> Tensor:
        """Cross-entropy of the kernels, and the penalty on their gradient: (n,)."""
        rows = scorer.scaled(batch.x).detach().requires_grad_()
        distance = scorer.distances(rows)
        fired = (-distance).exp().sum()
        # a row's kernels depend on that row alone
        (gradient,) = torch.autograd.grad(fired, rows, create_graph=True)
        kind = scorer.kinds(batch).masked_fill(batch.y > 0, -1)
        entropy = terms.kernel_cross_entropy(distance=distance, kind=kind)
        return entropy + self.penalty * terms.gradient_penalty(gradient=gradient)


class DUQScorer(Resizing):
    """Distance to the nearest centroid, each in an embedding of its own: (n, d) -> (n,)."""

    count: Tensor  # (k,) rows behind a centroid, old ones fading
    total: Tensor  # (k, m) sum of their embeddings

    def __init__(self, d: int, *, hidden: tuple[int, ...], embedding: int, length: float) -> None:
        super().__init__()
        self.d, self.length = d, length
        self.body = nn.Sequential(mlp([d, *hidden]), nn.ReLU())
        self.kinds = Partition(d)
        self.kernel = nn.Parameter(torch.randn(1, embedding, hidden[-1]) / hidden[-1] ** 0.5)
        self.register_buffer("count", torch.ones(1))
        self.register_buffer("total", torch.zeros(1, embedding))

    @torch.no_grad()
    def grow(self, normals: Samples, clusters: int, generator: torch.Generator) -> None:
        """As many kernels as there are domains."""
        self.kinds.fit(normals, clusters, generator)
        k, (_, m, h) = len(self.kinds), self.kernel.shape
        drawn = torch.randn(k, m, h, generator=generator) / h**0.5
        self.kernel = nn.Parameter(drawn.to(self.kernel.device))
        self.count, self.total = self.count.new_zeros(k), self.total.new_zeros(k, m)

    @torch.no_grad()
    def follow(self, normals: Samples, *, keep: float) -> None:
        """Centroids e = total / count move towards the mean of rows of their kind, eq. 4 to 6."""
        own = F.one_hot(self.kinds(normals), len(self.kinds)).to(self.total)  # (n, k)
        embedded = self.embedded(self.scaled(normals.x))  # (n, k, m)
        self.count = keep * self.count + (1 - keep) * own.sum(dim=0)
        self.total = keep * self.total + (1 - keep) * torch.einsum("nk,nkm->km", own, embedded)

    def scaled(self, x: Tensor) -> Tensor:
        return x / self.d**0.5

    def embedded(self, rows: Tensor) -> Tensor:
        """W_c f(x) for every kind: (n, d) -> (n, k, m)."""
        return product(self.body(rows), self.kernel.flatten(0, 1).T).unflatten(
            1, self.kernel.shape[:2]
        )

    def distances(self, rows: Tensor) -> Tensor:
        """D_c, half the mean squared distance to each centroid in units of `length`: (n, d) -> (n,
        k).
        """
        gap = self.embedded(rows) - self.total / self.count.clamp_min(1e-6)[:, None]
        return gap.square().mean(dim=2) / (2 * self.length**2)

    def forward(self, x: Tensor) -> Tensor:
        return self.distances(self.scaled(x)).amin(dim=1)

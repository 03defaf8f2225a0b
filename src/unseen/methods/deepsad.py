"""Deep SVDD and Deep SAD: normal rows in a small sphere, labelled anomalies outside (Ruff et al.
2018, 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses
from unseen.parts.episodes import balanced, random_batches
from unseen.parts.loops import descend
from unseen.parts.nets import mlp
from unseen.types import Run, Samples

# size of a coordinate of the centre: a network without biases reaches 0 by weights of 0 alone
LEAST = 0.1
BLOCK = 8192  # rows of the first pass at once


@dataclass(frozen=True)
class DeepSVDD:
    """Squared distance to a fixed centre, after a network that draws normal rows together (Ruff et
    al., ICML 2018).

    The network has no biases and the centre is not learned, so it cannot map every row to one
    point. No label is used: labelled anomalies are left out.

    Equation:
        score(x) = |f(x) - c|^2,  f minimising the mean score of normal rows,
            c = mean f(x) before the first step

    When: normal rows form one compact cluster, and there are no labels. Mahalanobis and AutoEncoder
    often find more: the network draws to the centre whatever normals share, and with it what would
    tell anomalies apart, the more so the longer it is trained.
    Differs: no pretraining as an autoencoder, and the one-class form only, not the soft boundary.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    latent : int
        Width of the network's output.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.
    penalty : float
        Weight of half the squared length of the kernels.

    >>> DeepSVDD(hidden=(32,), latent=4).build((6,))(torch.zeros(3, 6))
    tensor([0., 0., 0.], ...)
    """

    hidden: tuple[int, ...] = (128, 64)
    latent: int = 32
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    penalty: float = 1e-6
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Sphere(*shape, hidden=self.hidden, latent=self.latent)

    def train(self, scorer: Sphere, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Sphere, data: Samples, run: Run) -> None:
        scorer.settle(data.normals.x)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return random_batches(data.normals, self.batch, run.generator)

    def optimiser(self, scorer: Sphere) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate, weight_decay=self.penalty)

    def loss(self, scorer: Sphere, batch: Samples, run: Run) -> Tensor:
        """Squared distance of normals; that of anomalies, which the stream never shows, inverted:
        (n,).
        """
        return losses.sphere(distance=scorer(batch.x), y=batch.y, eta=1.0)


@dataclass(frozen=True)
class DeepSAD:
    """Deep SVDD that also drives labelled anomalies away from the centre (Ruff et al., ICLR 2020).

    Without labelled anomalies this is Deep SVDD.

    Equation:
        score(x) = |f(x) - c|^2;  loss = score(x) of normal rows,
            eta / (score(x) + 1e-6) of labelled anomalies

    When: a few labelled anomalies, and new kinds matter as well: normals stay compact whatever the
    labels show.
    Differs: batches are half labelled anomalies (a plain shuffle of 5,000 rows with 30 labels would
    show one or two a batch); labelled normals weigh as unlabelled rows do; no pretraining as an
    autoencoder.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    latent : int
        Width of the network's output.
    eta : float
        Weight of labelled anomalies against normal rows.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.
    penalty : float
        Weight of half the squared length of the kernels.

    >>> DeepSAD(hidden=(32,), latent=4).build((6,))(torch.zeros(3, 6))
    tensor([0., 0., 0.], ...)
    """

    hidden: tuple[int, ...] = (128, 64)
    latent: int = 32
    eta: float = 1.0
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    penalty: float = 1e-6
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Sphere(*shape, hidden=self.hidden, latent=self.latent)

    def train(self, scorer: Sphere, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Sphere, data: Samples, run: Run) -> None:
        scorer.settle(data.normals.x)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        drawn = balanced if len(data.anomalies) else random_batches
        return drawn(data, self.batch, run.generator)

    def optimiser(self, scorer: Sphere) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate, weight_decay=self.penalty)

    def loss(self, scorer: Sphere, batch: Samples, run: Run) -> Tensor:
        return losses.sphere(distance=scorer(batch.x), y=batch.y, eta=self.eta)


class Sphere(nn.Module):
    """Squared distance to a centre behind a network without biases: (n, d) -> (n,)."""

    centre: Tensor

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.net = mlp([d, *hidden, latent], bias=False)
        self.register_buffer("centre", torch.zeros(latent))

    @torch.no_grad()
    def settle(self, normals: Tensor) -> None:
        """Put the centre where the untrained network maps the mean normal row, no coordinate nearer
        to 0 than LEAST.
        """
        if not len(normals):
            raise DataError(
                "a sphere is put around normal rows, and there are none: add normal rows"
            )
        total = sum(
            self.net(block).sum(dim=0, dtype=torch.float64) for block in normals.split(BLOCK)
        )
        mean = (total / len(normals)).to(normals.dtype)
        self.centre = torch.where(mean.abs() < LEAST, torch.where(mean < 0, -LEAST, LEAST), mean)

    def forward(self, x: Tensor) -> Tensor:
        return (self.net(x) - self.centre).square().sum(dim=1)

"""Flow: the exact density of a normalising flow (Dinh, Sohl-Dickstein & Bengio, ICLR 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import random_batches
from unseen.parts.flow import Whitened, dequantised
from unseen.parts.loops import descend
from unseen.types import Run, Samples


@dataclass(frozen=True)
class FlowDensity:
    """Negative log-density of a normalising flow that was trained on normal rows (Dinh et al., ICLR
    2017).

    No label is used: labelled anomalies are left out. The flow is a chain of coupling layers, each
    with a network of one hidden layer.

    Equation:
        score(x) = -log p(x) / d,  log p(x) = log N(f(x); 0, I) + log |det df/dx|,
            f minimising the mean score

    When: thousands of normal rows of continuous columns, whose density is curved. A density weighs
    most the directions in which normals hardly vary, and an autoencoder may be better where these
    say nothing. Where normals drift, it is too sure of where they were, the more so the longer it
    was trained.
    Differs: vectors in place of images; rows are whitened first, so that it starts as the Gaussian
    density.

    Parameters
    ----------
    couplings : int
        Coupling layers; it takes two to change every column.
    width : int
        Width of the hidden layer of each coupling's network.
    noise : float
        Standard deviation of the noise on training rows, where a column has 1: without noise a
        column of few values has an infinite density. Its square is the shrinkage of the whitening.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.

    >>> FlowDensity(couplings=2, width=8).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    couplings: int = 4
    width: int = 64
    noise: float = 0.03
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Density(*shape, couplings=self.couplings, width=self.width)

    def train(self, scorer: Density, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Density, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "FlowDensity learns the density of normal rows, and was given none: add normal rows"
            )
        scorer.whiten.fit(data.normals.x, shrinkage=self.noise**2)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return dequantised(
            random_batches(data.normals, self.batch, run.generator), self.noise, run.generator
        )

    def optimiser(self, scorer: Density) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Density, batch: Samples, run: Run) -> Tensor:
        """Score of normals, minus that of anomalies, which the stream never shows: (n,)."""
        return torch.where(batch.y > 0, -1.0, 1.0) * scorer(batch.x)


class Density(Whitened):
    """Negative log-density per column: (n, d) -> (n,)."""

    def forward(self, x: Tensor) -> Tensor:
        return -self.log_densities(x)[:, 0]

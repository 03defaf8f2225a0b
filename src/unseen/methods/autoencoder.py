"""Autoencoder: what a narrow network cannot reproduce is no normal row (Hawkins et al., DaWaK
2002).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import random_batches
from unseen.parts.loops import descend
from unseen.parts.reconstruction import Reconstruction
from unseen.types import Run, Samples


@dataclass(frozen=True)
class AutoEncoder:
    """Reconstruction error of a network with a bottleneck, trained on normal rows (Hawkins et al.,
    DaWaK 2002).

    No label is used: labelled anomalies are left out.

    Equation:
        score(x) = mean_j (x_j - f(x)_j)^2,  f minimising the mean score of normal rows

    When: columns depend on one another in curved ways, and there are thousands of normal rows.
    Differs: ReLU between layers, not steps and tanh; one hidden layer on either side of the
    bottleneck.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the bottleneck; at most half as wide as the rows.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.

    >>> AutoEncoder(hidden=(32,), latent=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    steps: int = 1500
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Reconstruction(*shape, hidden=self.hidden, latent=self.latent)

    def train(self, scorer: Reconstruction, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Reconstruction, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "AutoEncoder learns to reproduce normal rows, and was given none: add normal rows"
            )

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return random_batches(data.normals, self.batch, run.generator)

    def optimiser(self, scorer: Reconstruction) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Reconstruction, batch: Samples, run: Run) -> Tensor:
        """Reconstruction error of normals, minus that of anomalies, which the stream never shows:
        (n,).
        """
        return torch.where(batch.y > 0, -1.0, 1.0) * scorer(batch.x)

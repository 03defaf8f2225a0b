"""AA-VAE: a variational autoencoder that is told what it must not reproduce (Banda, Khosa & Sanz,
2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses
from unseen.parts.episodes import balanced, random_batches
from unseen.parts.loops import minimise
from unseen.parts.reconstruction import Variational, usual
from unseen.types import Run, Samples


@dataclass(frozen=True)
class AAVAE:
    """A variational autoencoder of normal rows, then tuned to fail on labelled anomalies (AA-VAE,
    arXiv 2504.11520).

    The first phase sees normal rows only, and is all there is without labelled anomalies. The
    second turns the sign of the reconstruction error of anomalies, until that error reaches a
    bound.

    Equation:
        score(x) = E(x), the mean squared error of what the code's mean is decoded to;
            of a random code in training
        phase 1: E(x) + KL(x),  KL the divergence of the code from N(0, I), times 2 likeness / d
        phase 2: the same of a normal row, a [bound - E(x)]_+ + KL(x) of an anomaly

    When: a handful of labelled anomalies, and thousands of normal rows whose columns depend on one
    another.
    Differs: the error of anomalies stops growing at a bound, as a minus without end ruins the
    network; the paper subtracts lambda E from E + KL, which says "reproduce it" while lambda < 1,
    so that a is its lambda - 1. The score leaves out KL, which no label moves and which drowns what
    they do.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the code; at most half as wide as the rows.
    likeness : float
        Variance of the decoder's own distribution, above 0; more keeps codes nearer to N(0, I).
    awareness : float
        Weight a of the anomalies' error at the end of phase 2; it grows to this from 0.
    margin : float
        Bound of the anomalies' error, as a multiple of what 95 of 100 normals stay below.
    steps : int
        Optimiser steps of phase 1.
    tuning_steps : int
        Optimiser steps of phase 2.
    batch : int
        Rows in a batch; in phase 2 half of them are labelled anomalies.
    rate : float
        Learning rate of Adam, in both phases.

    >>> AAVAE(hidden=(32,), latent=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    likeness: float = 0.1
    awareness: float = 1.0
    margin: float = 2.0
    steps: int = 1500
    tuning_steps: int = 500
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Variational(*shape, hidden=self.hidden, latent=self.latent, likeness=self.likeness)

    def train(self, scorer: Variational, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "AAVAE learns to reproduce normal rows, and was given none: add normal rows"
            )
        self.reproduce(scorer, data.normals, run)
        if len(data.anomalies):
            self.beware(scorer, data, run)

    def reproduce(self, scorer: Variational, normals: Samples, run: Run) -> None:
        """Phase 1: the evidence lower bound of normal rows."""
        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        stream = random_batches(normals, self.batch, run.generator)
        minimise(
            lambda b: torch.stack(scorer.terms(b.x, run.generator)).sum(dim=0),
            optimiser,
            stream,
            run,
            steps=self.steps,
        )

    def beware(self, scorer: Variational, data: Samples, run: Run) -> None:
        """Phase 2: the same for normals, and the error of anomalies up to the bound."""
        bound = self.margin * usual(scorer, data.normals, run)
        awareness = iter(torch.linspace(0, self.awareness, self.tuning_steps))

        def loss(batch: Samples) -> Tensor:
            error, divergence = scorer.terms(batch.x, run.generator)
            a = torch.where(batch.y > 0, next(awareness).to(error), 1.0)
            return a * losses.pushed(quantity=error, y=batch.y, bound=bound) + divergence

        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        minimise(
            loss, optimiser, balanced(data, self.batch, run.generator), run, steps=self.tuning_steps
        )

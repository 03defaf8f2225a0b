"""LIS-AE: an autoencoder whose bottleneck alone learns what it must not reproduce (Battikh &
Lenskiy, 2021).
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
from unseen.parts.reconstruction import Reconstruction, usual
from unseen.types import Run, Samples


@dataclass(frozen=True)
class LISAE:
    """An autoencoder of normal rows whose bottleneck layer is then tuned to lose anomalies (LIS-AE,
    arXiv 2110.13101).

    The first phase trains the whole autoencoder on normal rows, and is all there is without
    labelled anomalies. The second trains the layer into the bottleneck alone, so that normals are
    still reproduced and anomalies no more.

    Equation:
        score(x) = mean_j (x_j - f(x)_j)^2
        phase 2: score(x) of a normal row, alpha [bound - score(x)]_+ of an anomaly,
            bound = `margin` * the score that 95 of 100 normals stay below

    When: as AA-VAE, where the anomalies that you know should change as little of the network as
    possible. Labels lift classes like them, and can still cost others: compare with `autoencoder`
    on unseen classes.
    Differs: the paper's minus has no bound; without one, and at the rate of the first phase,
    normals are no longer reproduced either. Its negative examples are images of a near domain, ours
    the labelled anomalies.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the bottleneck, at most half of the number of columns.
    alpha : float
        Weight of anomalies beside normal rows in phase 2.
    margin : float
        Factor of the bound up to which phase 2 raises the scores of anomalies.
    steps : int
        Optimiser steps of phase 1.
    tuning_steps : int
        Optimiser steps of phase 2.
    batch : int
        Rows in a batch; in phase 2 half of them are anomalies.
    rate : float
        Learning rate of Adam in both phases.

    >>> LISAE(hidden=(32,), latent=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    alpha: float = 1.0
    margin: float = 2.0
    steps: int = 1500
    tuning_steps: int = 500
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Reconstruction(*shape, hidden=self.hidden, latent=self.latent)

    def train(self, scorer: Reconstruction, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "LISAE learns to reproduce normal rows, and was given none: add normal rows"
            )
        self.reproduce(scorer, data.normals, run)
        if len(data.anomalies):
            self.lose(scorer, data, run)

    def reproduce(self, scorer: Reconstruction, normals: Samples, run: Run) -> None:
        """Phase 1: the error of normal rows, by all parameters."""
        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        stream = random_batches(normals, self.batch, run.generator)
        minimise(lambda batch: scorer(batch.x), optimiser, stream, run, steps=self.steps)

    def lose(self, scorer: Reconstruction, data: Samples, run: Run) -> None:
        """Phase 2: the error of normals, and that of anomalies up to the bound, by the bottleneck
        layer.
        """
        bound = self.margin * usual(scorer, data.normals, run)

        def loss(batch: Samples) -> Tensor:
            pushed = losses.pushed(quantity=scorer(batch.x), y=batch.y, bound=bound)
            return torch.where(batch.y > 0, self.alpha, 1.0) * pushed

        optimiser = torch.optim.Adam(scorer.encoder[-1].parameters(), lr=self.rate)
        minimise(
            loss, optimiser, balanced(data, self.batch, run.generator), run, steps=self.tuning_steps
        )

"""FLOS: DevNet's network and batches with the focal loss, the ablation of DevNet's own loss (Pang
et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts import heads, losses
from unseen.parts.episodes import balanced
from unseen.parts.heads import Head, check_both
from unseen.parts.loops import descend
from unseen.types import Run, Samples


@dataclass(frozen=True)
class FLOS:
    """A small network that learns labelled anomalies against normal rows by focal loss (Pang et
    al., 2021).

    Equation:
        loss = (1 - p)^gamma (-log p),  p = sigmoid(score) of labelled anomalies,
            1 - sigmoid(score) of normal rows

    When: the classes to find are the labelled ones. In the papers on images DevNet is
    a little better; the figures of both pages tell for tables.
    Differs: rows in place of images, with the network, batches and optimiser of DevNet for tables.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    gamma : float
        How fast rows that are already right lose weight; at 0 the loss is cross-entropy.
    penalty : float
        Weight of the squared length of the hidden layers' kernels.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies.
    rate : float
        Learning rate of RMSprop.

    >>> FLOS(hidden=(8,)).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (20,)
    gamma: float = 2.0
    penalty: float = 0.01
    steps: int = 1000
    batch: int = 512
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Head(*shape, hidden=self.hidden)

    def train(self, scorer: Head, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Head, data: Samples, run: Run) -> None:
        check_both(self, data)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return balanced(data, self.batch, run.generator)

    def optimiser(self, scorer: Head) -> torch.optim.Optimizer:
        return heads.optimiser(scorer.net, rate=self.rate, penalty=self.penalty)

    def loss(self, scorer: Head, batch: Samples, run: Run) -> Tensor:
        return losses.focal(logit=scorer(batch.x), y=batch.y, gamma=self.gamma)

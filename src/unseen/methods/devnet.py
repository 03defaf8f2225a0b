"""DevNet: few-shot deviation networks (Pang, Shen & van den Hengel, KDD 2019)."""

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
from unseen.parts.pseudo import with_cut
from unseen.types import Run, Samples


@dataclass(frozen=True)
class DevNet:
    """Scores at 0 for normal rows, beyond a margin for labelled anomalies (Pang, Shen & van den
    Hengel, KDD 2019).

    A small network with one linear output.

    Equation:
        loss(x) = |score(x)|                  if x is normal
                = max(0, margin - score(x))   if x is a labelled anomaly

    When: the kinds to find are the labelled ones. Not where a new kind matters: nothing in the loss
    asks for a high score where no labelled row lies, so it can be near guessing there, or worse. It
    refuses to train without labels.
    Differs: the prior is N(0, 1) itself, not 5,000 draws from it (no measurable difference). `cut`
    and `whiten` are ours, off by default; both help on kinds that were never shown. Weights start
    as in the published code.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    margin : float
        Score that anomalies are to reach, in standard deviations of the prior.
    penalty : float
        Weight of the squared length of the kernels of the hidden layers.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half normal rows and half labelled anomalies; cut rows come on top.
    rate : float
        Learning rate of RMSprop.
    cut : float
        Share of each batch's normals of which pseudo-anomalies are cut; 0 makes none.
    whiten : bool
        Decorrelate the columns of rows first.

    >>> data = Samples.of(torch.tensor([[0.0], [2.0], [7.0]]), torch.tensor([0, 1, 1]))
    >>> # of a normal row, and of two anomalies
    >>> DevNet().loss(lambda x: x[:, 0], data, Run(torch.Generator()))
    tensor([0., 3., 0.])
    """

    hidden: tuple[int, ...] = (20,)
    margin: float = 5.0
    penalty: float = 0.01
    steps: int = 1000
    batch: int = 512
    rate: float = 1e-3
    cut: float = 0.0
    whiten: bool = False
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Head(*shape, hidden=self.hidden)

    def loss(self, scorer: Head, batch: Samples, run: Run) -> Tensor:
        """Deviation loss of each row: (n,)."""
        return losses.deviation(score=scorer(batch.x), y=batch.y, margin=self.margin)

    def train(self, scorer: Head, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Head, data: Samples, run: Run) -> None:
        check_both(self, data)
        if self.whiten:
            scorer.whiten.fit(data.normals.x, shrinkage=1e-3)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Half normals, half anomalies; behind them, with `cut`, pseudo-anomalies of some of these
        normals.
        """
        for batch in balanced(data, self.batch, run.generator):
            yield with_cut(batch, data.normals.x, self.cut, run.generator) if self.cut else batch

    def optimiser(self, scorer: Head) -> torch.optim.Optimizer:
        return heads.optimiser(scorer.net, rate=self.rate, penalty=self.penalty)

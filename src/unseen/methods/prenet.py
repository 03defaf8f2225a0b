"""PReNet: pairs of rows, and how many of the two are anomalies (Pang et al., KDD 2023, arXiv
1910.13601).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts import heads, terms
from unseen.parts.bank import Bank
from unseen.parts.episodes import balanced
from unseen.parts.heads import check_both, published
from unseen.parts.loops import descend
from unseen.types import Run, Samples

REFERENCES = 30  # of either side, as published


@dataclass(frozen=True)
class PReNet:
    """Regresses how many of two rows are anomalies; scores a row in pairs with known ones (Pang et
    al., KDD 2023).

    The score is about 2 for normal rows and 6 for anomalies: the mean over 30 labelled anomalies
    and 30 normals of what the pair with each is taken for. Normals are paired within their domain
    (`groups`).

    Equation:
        s(a, b) = u' f(a) + v' f(b) + c,
            trained to be 0, 4 or 8 for 0, 1 or 2 anomalies:  loss = |s(a, b) - t|
        score(x) = (mean over anomalies a of s(a, x) + mean over normals b of s(x, b)) / 2

    When: very few labelled anomalies of the kinds that matter; as DevNet, it is weak on kinds that
    nobody shows.
    Differs: each step takes all pairs of a batch, not a random pairing: the same mean with less
    noise, and cheap, as s is a sum. For that reason, too, the references shift all scores alike:
    they set the scale, not the ranking.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    penalty : float
        Weight of the squared length of the hidden layers' kernels.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies.
    rate : float
        Learning rate of RMSprop.

    >>> scorer = PReNet(hidden=(8,)).build((6,))
    >>> scorer.pair(torch.zeros(3, 6))[0].shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (20,)
    penalty: float = 0.01
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Pairs(*shape, hidden=self.hidden)

    def train(self, scorer: Pairs, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Pairs, data: Samples, run: Run) -> None:
        check_both(self, data)
        scorer.normals.fill(data.normals.x, most=REFERENCES, generator=run.generator)
        scorer.anomalies.fill(data.anomalies.x, most=REFERENCES, generator=run.generator)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return balanced(data, self.batch, run.generator)

    def optimiser(self, scorer: Pairs) -> torch.optim.Optimizer:
        return heads.optimiser(scorer.net, rate=self.rate, penalty=self.penalty)

    def loss(self, scorer: Pairs, batch: Samples, run: Run) -> Tensor:
        """Each row's share of the loss of the pairs that it makes with the rows of its batch:
        (n,).
        """
        first, second = scorer.pair(batch.x)
        return terms.ordinal_pairs(
            first=first, second=second, y=batch.y, group=batch.group, weight=batch.weight
        )


class Pairs(nn.Module):
    """Mean relation to reference rows of both sides: (n, d) -> (n,)."""

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        # linear on two rows side by side is a sum of one output of each
        self.net = published([d, *hidden, 2])
        self.normals, self.anomalies = Bank(d), Bank(d)

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What a row adds as the first of a pair, and as the second: (n, d) -> (n,), (n,)."""
        first, second = self.net(x).unbind(dim=1)
        return first, second

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.pair(x)
        of_anomalies, of_normals = (
            self.pair(self.anomalies.rows)[0].mean(),
            self.pair(self.normals.rows)[1].mean(),
        )
        return ((of_anomalies + second) + (first + of_normals)) / 2

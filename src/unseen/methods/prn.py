"""PRN for vectors: prototype residuals and a focal head (Zhang et al., CVPR 2023, arXiv
2212.02031).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.clusters import centres, nearest_centre
from unseen.parts.episodes import balanced, draw
from unseen.parts.heads import check_both
from unseen.parts.loops import descend
from unseen.parts.nets import Resizing, mlp
from unseen.parts.pseudo import with_cut
from unseen.types import Run, Samples

ROWS = 20_000  # normals that are clustered: more do not move the centres


@dataclass(frozen=True)
class PRN:
    """A focal head that sees a row beside its residual to the nearest normal prototype (Zhang et
    al., CVPR 2023).

    Prototypes are k-means centres of the normals. To each batch of half normals, half labelled
    anomalies come pseudo-anomalies: normals with features of other normals.

    Equation:
        score(x) = g([x, x - p]),  p the prototype nearest to x
        loss = (1 - q)^2 (-log q),
            q = sigmoid(score) of anomalies, 1 - sigmoid(score) of normal rows

    When: a few labelled anomalies, several domains, and new kinds of anomaly that may come.
    Differs: vectors in place of feature maps, so no attention over sizes, no decoder and no mask
    loss; the residual keeps its sign, where the public code squares it.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    prototypes : int
        Prototypes in all, shared evenly among the domains (`groups`), one each at least.
    cut : float
        Share of each batch's normals of which pseudo-anomalies are cut; 0 makes none.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, before pseudo-anomalies.
    rate : float
        Learning rate of AdamW.
    penalty : float
        Weight decay of AdamW.

    >>> PRN(hidden=(8,)).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    prototypes: int = 64
    cut: float = 0.5
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    penalty: float = 1e-4
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return PrototypeHead(*shape, hidden=self.hidden)

    def train(self, scorer: PrototypeHead, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: PrototypeHead, data: Samples, run: Run) -> None:
        check_both(self, data)
        normals = data.normals
        kinds = normals.group.unique()
        each = [normals.x[normals.group == kind] for kind in kinds]
        most, k = max(ROWS // len(each), 1), max(self.prototypes // len(each), 1)
        sample = [
            x if len(x) <= most else x[draw(len(x), most, run.generator).to(x.device)] for x in each
        ]
        scorer.prototypes = torch.cat([centres(x, k, run.generator) for x in sample])

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Half normals, half anomalies; behind them pseudo-anomalies of some of these normals."""
        for batch in balanced(data, self.batch, run.generator):
            yield with_cut(batch, data.normals.x, self.cut, run.generator)

    def optimiser(self, scorer: PrototypeHead) -> torch.optim.Optimizer:
        return torch.optim.AdamW(scorer.parameters(), lr=self.rate, weight_decay=self.penalty)

    def loss(self, scorer: PrototypeHead, batch: Samples, run: Run) -> Tensor:
        return losses.focal(logit=scorer(batch.x), y=batch.y)


class PrototypeHead(Resizing):
    """A network on a row and its residual to the nearest prototype: (n, d) -> (n,)."""

    prototypes: Tensor

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(1, d))
        self.net = mlp([2 * d, *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        residual = x - self.prototypes[nearest_centre(x, self.prototypes)]
        return self.net(torch.cat([x, residual], dim=1))[:, 0]

"""Anomaly detection by continuous labelling (Khazaie, Wong & Mohsenzadeh, arXiv 2207.01112)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import balanced, random_batches, together
from unseen.parts.loops import descend
from unseen.parts.nets import mlp
from unseen.parts.pseudo import anomalous, feature_cut, scattered
from unseen.types import Run, Samples

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class ContinuousLabels:
    """Regresses labels that normals and altered normals draw from two separate ranges (Khazaie et
    al., 2022).

    Altered normals have some features cut from another row, or noise in some features.

    Equation:
        loss = (score(x) - t)^2,  t ~ U(0 +- spread / 2) for normal rows,
            t ~ U(1 +- spread / 2) for all others

    When: no labels or few, and columns that depend on one another; a fast baseline of what altered
    rows alone teach.
    Differs: rows are altered, not images; labelled anomalies may join. A row draws its label once,
    by its own digits. We saw no gain from the draws: compare with `spread=0`.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    spread : float
        Width of either range of labels; 0 makes all labels 0 or 1, and above 1 the ranges overlap.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch: half are altered normals, and half of the rest labelled anomalies, if there
        are any.
    rate : float
        Learning rate of Adam.

    >>> drawn(torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.1]]))
    tensor([0.9944, 0.9944, 0.6624])
    """

    hidden: tuple[int, ...] = (64, 64)
    spread: float = 0.5
    steps: int = 1000
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Regressor(*shape, hidden=self.hidden)

    def train(self, scorer: Regressor, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Regressor, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "ContinuousLabels alters normal rows, and was given none: add normal rows"
            )

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Real rows, half of them labelled anomalies where there are any, and as many altered
        normals.
        """
        size, generator = self.batch // 2, run.generator
        real = (balanced if len(data.anomalies) else random_batches)(data, size, generator)
        for rows, hosts in zip(real, random_batches(data.normals, size, generator), strict=True):
            cut, noisy = hosts[::2], hosts[1::2]
            cut_rows = feature_cut(cut.x, data.normals.x, generator)
            yield together(
                rows, anomalous(cut, cut_rows), anomalous(noisy, scattered(noisy.x, generator))
            )

    def optimiser(self, scorer: Regressor) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Regressor, batch: Samples, run: Run) -> Tensor:
        label = (batch.y > 0) + self.spread * (drawn(batch.x) - 0.5)
        return (scorer(batch.x) - label).square()


class Regressor(nn.Module):
    """A network with one linear output: (n, d) -> (n,)."""

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.net = mlp([d, *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[:, 0]


def drawn(x: Tensor) -> Tensor:
    """A number in [0, 1) that a row draws once, the same in every batch, and unlike that of any
    other: (n, d) -> (n,).

    The digits far behind the point of a fixed projection: even over rows, and nothing that a
    network could follow."""
    column = torch.arange(1, x.shape[1] + 1, dtype=torch.float64, device=x.device)
    direction = 1 + (column * GOLDEN).frac()  # no two alike
    return ((x.double() * direction).sum(dim=1) * 1e5).remainder(1.0).to(x.dtype)

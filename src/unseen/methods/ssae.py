"""SSAE: columns that were wiped are told from the others (Bauer, Nakajima & Mueller, 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import terms
from unseen.parts.episodes import random_batches
from unseen.parts.loops import descend
from unseen.parts.nets import mlp
from unseen.types import Run, Samples


@dataclass(frozen=True)
class SSAE:
    """Error of an autoencoder that restores rows, part of which was wiped (SSAE, arXiv 2206.11723).

    No label is used: labelled anomalies are left out. The columns are dealt at random into masks,
    several times over. For each mask its columns are set to 0, the normals' mean, and the network,
    which is told the mask, restores the row.

    Equation:
        score(x) = mean_M  share / |M| |M (f(x (1 - M), M) - x)|^2
                         + (1 - share) / |1 - M| |(1 - M) (f(...) - x)|^2

    When: columns tell each other's values, and single columns that break the pattern are the
    anomaly. Where columns say little about each other, as the 9 of Shuttle, restoring adds their
    variance to every score: try `share=0`. That does not explain where it falls behind on
    UNSW-NB15.
    Differs: vectors in place of images; masks are fixed when the network is built, in place of
    random patches, so that the score is what was trained, masks included, where the paper scores
    the error of the untouched image.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    parts : int
        Masks that the columns are dealt into, at most one a column; more wipe fewer columns each.
    rounds : int
        How often the columns are dealt anew; time grows with the masks of all rounds.
    share : float
        Weight of the error of what was wiped, 0 to 1; the rest is that of what was left.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.

    >>> SSAE(hidden=(32,)).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64, 32, 64)
    parts: int = 4
    rounds: int = 2
    share: float = 0.9
    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Restoration(
            *shape, hidden=self.hidden, parts=self.parts, rounds=self.rounds, share=self.share
        )

    def train(self, scorer: Restoration, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Restoration, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "SSAE learns to restore normal rows, and was given none: add normal rows"
            )

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return random_batches(data.normals, self.batch, run.generator)

    def optimiser(self, scorer: Restoration) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Restoration, batch: Samples, run: Run) -> Tensor:
        """Score of normals, minus that of anomalies, which the stream never shows: (n,)."""
        return torch.where(batch.y > 0, -1.0, 1.0) * scorer(batch.x)


class Restoration(nn.Module):
    """Mean over the masks of the error of restoring: (n, d) -> (n,)."""

    masks: Tensor

    def __init__(
        self, d: int, *, hidden: tuple[int, ...], parts: int, rounds: int, share: float
    ) -> None:
        super().__init__()
        kinds = torch.arange(min(parts, d))[:, None]
        # (masks, d)
        masks = torch.cat(
            [(torch.randperm(d) % len(kinds) == kinds).float() for _ in range(rounds)]
        )
        self.register_buffer("masks", masks)
        self.share = share
        self.net = mlp([2 * d, *hidden, d])

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.error(x, mask) for mask in self.masks]).mean(dim=0)

    def error(self, x: Tensor, mask: Tensor) -> Tensor:
        """Error with one mask (d,): (n, d) -> (n,)."""
        restored = self.net(torch.cat([x * (1 - mask), mask.expand_as(x)], dim=1))
        return terms.masked_error(reconstruction=restored, x=x, mask=mask, share=self.share)

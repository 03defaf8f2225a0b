"""SimpleNet: a small network tells normal rows from the same rows with noise (Liu et al., CVPR
2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses
from unseen.parts.episodes import mixed, together
from unseen.parts.loops import descend
from unseen.parts.products import Linear
from unseen.parts.pseudo import anomalous
from unseen.types import Run, Samples

SLOPE = 0.2  # of LeakyReLU below 0


@dataclass(frozen=True)
class SimpleNet:
    """A discriminator of normal rows and fakes, made of them by Gaussian noise (SimpleNet, Liu et
    al., CVPR 2023).

    A linear projection, as wide as the row, then a discriminator D of one hidden layer. Each normal
    row of a batch comes with a fake: the row and Gaussian noise in every column. A fake counts as
    much as the row that it is made of. Labelled anomalies are further fakes. Without labels the
    made ones are all there is.

    Equation:
        score(x) = -D(W x);  loss(x) = max(0, margin - D(W x))   if x is normal
                                     = max(0, margin + D(W x))   if x is fake or labelled anomalous

    When: rows are patches of images, as in `Patches(SimpleNet())`, or columns depend on one another
    closely, so that noise leads away from what is normal. Not where noise of this size is still
    normal.
    Differs: noise is added before the projection, so that batches alone are random and the loss of
    a row is not; both are linear, and W starts orthogonal, so the noise starts as the paper's.
    LayerNorm, not BatchNorm: a score must not hang on its batch. Columns have about unit variance
    here, so `noise` is larger than the paper's 0.015, which goes with unscaled features. The paper
    uses no labels. One Adam for both parts.

    Parameters
    ----------
    width : int
        Width of the discriminator's hidden layer.
    noise : float
        Standard deviation of the noise in every column; less makes fakes nearer to normals.
    margin : float
        Output of D that normal rows are to reach, and fakes with a minus sign.
    penalty : float
        Weight decay of the discriminator; the projection has none.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch, half of them labelled anomalies where there are any, before made fakes.
    rate : float
        Learning rate of Adam for the discriminator.
    projection_rate : float
        Learning rate of Adam for the projection.

    >>> SimpleNet(width=16).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    width: int = 128
    noise: float = 1.0
    margin: float = 0.5
    penalty: float = 1e-5
    steps: int = 1000
    batch: int = 256
    rate: float = 2e-4
    projection_rate: float = 1e-4
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Discriminator(*shape, width=self.width)

    def train(self, scorer: Discriminator, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    def prepare(self, scorer: Discriminator, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "SimpleNet makes fakes of normal rows, and was given none: add normal rows"
            )

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        """Normals, labelled anomalies if there are any, and a fake of each of these normals."""
        for batch in mixed(data, self.batch, run.generator):
            normals = batch.normals
            noise = self.noise * torch.randn(normals.x.shape, generator=run.generator).to(normals.x)
            yield together(batch, anomalous(normals, normals.x + noise))

    def optimiser(self, scorer: Discriminator) -> torch.optim.Optimizer:
        projection = {"params": list(scorer.projection.parameters()), "lr": self.projection_rate}
        rest = {"params": list(scorer.net.parameters()), "weight_decay": self.penalty}
        return torch.optim.Adam([projection, rest], lr=self.rate)

    def loss(self, scorer: Discriminator, batch: Samples, run: Run) -> Tensor:
        """Hinge loss of each row: (n,)."""
        return losses.hinge(score=scorer(batch.x), y=batch.y, margin=self.margin)


class Discriminator(nn.Module):
    """Linear projection, then how little a row looks like a normal one: (n, d) -> (n,)."""

    def __init__(self, d: int, *, width: int) -> None:
        super().__init__()
        self.projection = Linear(d, d)
        first, last = Linear(d, width), Linear(width, 1, bias=False)
        self.net = nn.Sequential(first, nn.LayerNorm(width), nn.LeakyReLU(SLOPE), last)
        nn.init.orthogonal_(self.projection.weight)
        for layer in (first, last):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return -self.net(self.projection(x))[:, 0]

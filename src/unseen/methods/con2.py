"""Con2: a row and its double in another context, told apart and yet aligned (Ryser et al. 2025,
arXiv 2405.18848).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import terms
from unseen.parts.bank import BLOCK, Whitening
from unseen.parts.episodes import random_batches
from unseen.parts.loops import minimise
from unseen.parts.nets import mlp
from unseen.types import Run, Samples

STAGES = 10  # in which the weight of the content rises from 0 to 1


@dataclass(frozen=True)
class Con2:
    """Distance to two clusters, of the rows and of their doubles in another context (Ryser et al.,
    TMLR 2025).

    The context is a fixed invertible change of the row under which what is normal stays normal. A
    network learns to tell the contexts apart (positives: all rows of one context) and to align the
    two views of a row (positive: its double, among all doubles); then each context gets a Gaussian.

    Equation:
        loss = context contrast + alpha * content contrast,  alpha from 0 to 1
        score(x) = (|h(x)|_M1 + |h(g(x))|_M2) / 2,
            |.|_M the Mahalanobis distance to the normals of that context

    When: normal rows have a true symmetry that anomalies break, which tables seldom have: on the
    digits, Gaussians behind the untrained network find more than after training.
    Differs: vectors, and no augmentation beside the context. A double is chosen among doubles
    alone: among all views, alignment undid the contrast, and the contexts became one.

    Parameters
    ----------
    context : str
        Change of the row: "flip" mirrors every value, "permute" shuffles the columns.
    hidden : tuple of int
        Widths of the hidden layers.
    latent : int
        Width of the network's output.
    temperature : float
        Divides the cosine similarities in both contrasts, above 0; the less it is, the more the
        most similar rows decide.
    steps : int
        Optimiser steps, in ten equal stages with an alpha each.
    batch : int
        Rows in a batch, each with its double.
    rate : float
        Learning rate of Adam.

    >>> Con2(hidden=(8,), latent=4).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    context: Literal["flip", "permute"] = "flip"
    hidden: tuple[int, ...] = (128,)
    latent: int = 32
    temperature: float = 0.5
    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Contexts(*shape, hidden=self.hidden, latent=self.latent)

    def train(self, scorer: Contexts, data: Samples, run: Run) -> None:
        normals = data.normals
        if not len(normals):
            raise DataError(
                "Con2 learns from normal rows alone, and was given none: add normal rows"
            )
        scorer.choose(self.context, run.generator)
        optimiser = torch.optim.Adam(scorer.net.parameters(), lr=self.rate)
        stream = random_batches(normals, self.batch, run.generator)
        for stage in range(STAGES):
            loss = partial(self.contrast, scorer, stage / (STAGES - 1))
            minimise(loss, optimiser, stream, run, steps=max(self.steps // STAGES, 1))
        scorer.settle(normals.x)

    def contrast(self, scorer: Contexts, alpha: float, batch: Samples) -> Tensor:
        """Context contrast and alpha times content contrast, the mean over both views of a row:
        (n,).
        """
        x = batch.x
        z = torch.cat([scorer.net(x), scorer.net(scorer.moved(x))])  # (2n, latent)
        context = torch.arange(2 * len(x), device=x.device) // len(x)
        row = torch.arange(2 * len(x), device=x.device) % len(x)
        alike, double = context[:, None] == context, row[:, None] == row
        by_context = terms.contrast(
            z=z, positive=alike, among=torch.ones_like(alike), temperature=self.temperature
        )
        aligned = terms.contrast(z=z, positive=double, among=~alike, temperature=self.temperature)
        return (by_context + alpha * aligned).view(2, -1).mean(dim=0)


class Contexts(nn.Module):
    """Mean Mahalanobis distance, in the latent space, of a row and of its double: (n, d) ->
    (n,).
    """

    sign: Tensor
    order: Tensor

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.net = mlp([d, *hidden, latent])
        self.register_buffer("sign", torch.ones(()))
        self.register_buffer("order", torch.arange(d))
        self.here, self.there = Whitening(latent), Whitening(latent)

    def choose(self, context: str, generator: torch.Generator) -> None:
        """Set what the other context is."""
        if context == "flip":
            self.sign = -torch.ones_like(self.sign)
        else:
            self.order = torch.randperm(len(self.order), generator=generator).to(self.order)

    def moved(self, x: Tensor) -> Tensor:
        """The double of a row in the other context: (n, d) -> (n, d)."""
        return self.sign * x[:, self.order]

    @torch.no_grad()
    def settle(self, normals: Tensor) -> None:
        """A Gaussian for each context."""
        blocks = normals.split(BLOCK)
        self.here.fit(torch.cat([self.net(x) for x in blocks]), shrinkage=1e-3)
        self.there.fit(torch.cat([self.net(self.moved(x)) for x in blocks]), shrinkage=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        here, there = self.here(self.net(x)), self.there(self.net(self.moved(x)))
        return (here.norm(dim=1) + there.norm(dim=1)) / 2

"""DMAD: a reference from a short list of codes, and a measured deformation of it (Liu et al., CVPR
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
from unseen.parts.episodes import random_batches
from unseen.parts.loops import descend
from unseen.parts.nets import mlp
from unseen.parts.reconstruction import Codebook, narrow, straight_through
from unseen.types import Run, Samples


@dataclass(frozen=True)
class DMAD:
    """A row as one of a few references and a bounded deformation, whose size counts (DMAD, Liu et
    al., CVPR 2023).

    No label is used: labelled anomalies are left out. The encoder's output is replaced by the
    nearest of a few codes; what the decoder makes of the code is the reference. A second decoder of
    the same output says by how much to deform it.

    Equation:
        score(x) = (|x - r - o|^2 + strength |o|^2) / d,  r = decoder(code nearest to z),
            o = bound tanh(deform(z))
        loss(x)  = score(x) + |sg(z) - code|^2 / k + commitment |z - sg(code)|^2 / k,
            sg: no gradient

    When: normal rows come in clusters that differ by more than they vary within. On three of six
    sets its AUROC of unseen classes was below an autoencoder's, by less than .01; on thyroid it was
    .07 above.
    Differs: vectors in place of images: an offset of each column through the bottleneck, in place
    of a pyramid of smooth fields of pixels; one code a row, not one a place.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the encoder's hidden layers; both decoders have them in reverse.
    latent : int
        Width k of the encoder's output and of the codes; at most half as wide as the rows.
    codes : int
        Number of codes, which start at k-means centres of the encoder's output.
    bound : float
        Most that a column is deformed, either way, where its standard deviation is 1.
    strength : float
        Weight of the deformation in the score; with 0 it costs nothing.
    commitment : float
        Weight of how near the encoder has to keep to the codes.
    steps : int
        Optimiser steps.
    batch : int
        Rows in a batch.
    rate : float
        Learning rate of Adam.

    >>> DMAD(hidden=(32,), latent=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    codes: int = 64
    bound: float = 1.0
    strength: float = 0.3
    commitment: float = 0.25
    steps: int = 1500
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Deformed(
            *shape,
            hidden=self.hidden,
            latent=self.latent,
            codes=self.codes,
            bound=self.bound,
            strength=self.strength,
        )

    def train(self, scorer: Deformed, data: Samples, run: Run) -> None:
        descend(self, scorer, data, run)

    @torch.no_grad()
    def prepare(self, scorer: Deformed, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "DMAD learns to reproduce normal rows, and was given none: add normal rows"
            )
        sample = next(random_batches(data.normals, min(len(data.normals), 10_000), run.generator))
        scorer.codebook.fit(scorer.encoder(sample.x), run.generator)

    def stream(self, data: Samples, run: Run) -> Iterator[Samples]:
        return random_batches(data.normals, self.batch, run.generator)

    def optimiser(self, scorer: Deformed) -> torch.optim.Optimizer:
        return torch.optim.Adam(scorer.parameters(), lr=self.rate)

    def loss(self, scorer: Deformed, batch: Samples, run: Run) -> Tensor:
        """Score of normals, minus that of anomalies, which the stream never shows, and the codes'
        terms: (n,).
        """
        z = scorer.encoder(batch.x)
        code = scorer.codebook(z)
        followed = losses.squared_error(reconstruction=code, x=z.detach())
        kept = losses.squared_error(reconstruction=code.detach(), x=z)
        sign = torch.where(batch.y > 0, -1.0, 1.0)
        return sign * scorer.error(batch.x, z, code) + followed + self.commitment * kept


class Deformed(nn.Module):
    """Error of the deformed reference, and the deformation's size: (n, d) -> (n,)."""

    def __init__(
        self,
        d: int,
        *,
        hidden: tuple[int, ...],
        latent: int,
        codes: int,
        bound: float,
        strength: float,
    ) -> None:
        super().__init__()
        k = narrow(d, latent)
        self.bound, self.strength = bound, strength
        self.encoder = mlp([d, *hidden, k])
        self.codebook = Codebook(codes, k)
        self.decoder = mlp([k, *reversed(hidden), d])
        self.deform = mlp([k, *reversed(hidden), d])

    def error(self, x: Tensor, z: Tensor, code: Tensor) -> Tensor:
        """Score of rows by their latent rows and codes: (n, d), (n, k), (n, k) -> (n,)."""
        reference = self.decoder(straight_through(z, code))
        offset = self.bound * torch.tanh(self.deform(z))
        error = losses.squared_error(reconstruction=reference + offset, x=x)
        return error + self.strength * offset.square().mean(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        return self.error(x, z, self.codebook(z))

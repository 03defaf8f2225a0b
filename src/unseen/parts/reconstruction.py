"""Bodies that reproduce their input through something narrow: a few units, a distribution, a list
of codes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.clusters import centres, nearest_centre
from unseen.parts.episodes import random_batches
from unseen.parts.nets import mlp
from unseen.types import Run, Samples

ROWS = 10_000  # of the latent rows, so many at most decide where the codes start


def narrow(d: int, latent: int) -> int:
    """Width of the bottleneck: `latent`, or half as wide as the rows where those are narrower."""
    return min(latent, max(1, d // 2))


class Reconstruction(nn.Module):
    """Encoder, bottleneck, decoder; mean squared error of each row: (n, d) -> (n,)."""

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.encoder = mlp([d, *hidden, narrow(d, latent)])
        self.decoder = mlp([narrow(d, latent), *reversed(hidden), d])

    def forward(self, x: Tensor) -> Tensor:
        return losses.squared_error(reconstruction=self.decoder(self.encoder(x)), x=x)


class Variational(nn.Module):
    """Encoder to a normal distribution, decoder from a draw of it (Kingma & Welling, ICLR 2014).

    `likeness` is the variance of the decoder's own normal distribution: 2 / d times the negative
    evidence lower bound, up to a constant and a factor, is error + 2 likeness / d * divergence. The
    score is the error at the mean."""

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int, likeness: float) -> None:
        super().__init__()
        self.likeness = likeness
        self.encoder = mlp([d, *hidden, 2 * narrow(d, latent)])
        self.decoder = mlp([narrow(d, latent), *reversed(hidden), d])

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Error of a draw, or without a generator of the mean, and weighted divergence: (n, d) ->
        (n,), (n,).
        """
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        log_variance = log_variance.clamp(-10, 10)  # far rows would overflow
        code = mean
        if generator is not None:
            draw = torch.randn(mean.shape, generator=generator).to(mean.device)
            code = mean + (log_variance / 2).exp() * draw
        error = losses.squared_error(reconstruction=self.decoder(code), x=x)
        divergence = losses.divergence(mean=mean, log_variance=log_variance)
        return error, 2 * self.likeness / x.shape[1] * divergence

    def forward(self, x: Tensor) -> Tensor:
        return self.terms(x)[0]


@torch.no_grad()
def usual(
    error: Callable[[Tensor], Tensor], normals: Samples, run: Run, *, rows: int = 4096
) -> Tensor:
    """The error that 95 of 100 normal rows, of so many of them drawn at random, stay below: ()."""
    return error(next(random_batches(normals, rows, run.generator)).x).quantile(0.95)


class Codebook(nn.Module):
    """The nearest of k codes in place of a latent row (van den Oord et al., NeurIPS 2017): (n, d)
    -> (n, d).
    """

    def __init__(self, k: int, d: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(k, d))

    def fit(self, z: Tensor, generator: torch.Generator) -> None:
        """Start the codes at centres of latent rows (n, d), used again where there are fewer rows
        than codes.
        """
        sample = z[torch.randperm(len(z), generator=generator)[:ROWS].to(z.device)]
        found = centres(sample, len(self.codes), generator)
        with torch.no_grad():
            self.codes.copy_(found[torch.arange(len(self.codes), device=z.device) % len(found)])

    def forward(self, z: Tensor) -> Tensor:
        """The code itself, with a gradient to the codes."""
        return self.codes[nearest_centre(z.detach(), self.codes.detach())]


def straight_through(z: Tensor, code: Tensor) -> Tensor:
    """The value of `code` with the gradient of `z`, as if nothing had been rounded: (n, d), (n, d)
    -> (n, d).

    >>> z = torch.tensor([0.2], requires_grad=True)
    >>> (3 * straight_through(z, torch.tensor([1.0]))).backward()
    >>> z.grad
    tensor([3.])
    """
    return z + (code - z).detach()

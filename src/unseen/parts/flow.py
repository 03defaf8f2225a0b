"""A normalising flow for vectors: couplings whose log-determinant is a sum (Dinh et al., ICLR 2017,
RealNVP).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unseen.parts.bank import Whitening
from unseen.parts.nets import mlp
from unseen.types import Samples


class Flow(nn.Module):
    """An invertible network z = f(x) with z standard normal, so that the density of x is exact.

        log p(x) = -|z|^2 / 2 - d/2 log 2 pi + log |det df/dx|    (Dinh et al. 2017, eq. 2 and 3)

    It starts as the identity up to order, so with the density of N(0, I). Columns are permuted at
    random, anew for every second coupling; the one after it swaps the halves, so that two couplings
    change every column. The permutations are drawn as it is built, as its weights are, and are
    saved with them. A row of one column has no halves: it is only scaled and shifted, as all are
    behind the last coupling.

    >>> flow = Flow(2)
    >>> flow.log_density(torch.zeros(1, 2))  # -log 2 pi
    tensor([-1.8379], grad_fn=...)
    """

    def __init__(self, d: int, *, couplings: int = 4, width: int = 64) -> None:
        super().__init__()
        orders: list[Tensor] = []
        for i in range(couplings if d > 1 else 0):
            orders.append(torch.arange(d).flip(0) if i % 2 else torch.randperm(d))
        self.couplings = nn.ModuleList(Coupling(order, width=width) for order in orders)
        self.log_scale = nn.Parameter(torch.zeros(d))
        self.shift = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latent rows and the logarithm of |det df/dx|: (n, d) -> (n, d), (n,)."""
        log_det = self.log_scale.sum().expand(x.shape[0])
        for coupling in self.couplings:
            x, grown = coupling(x)
            log_det = log_det + grown
        return x * self.log_scale.exp() + self.shift, log_det

    def inverse(self, z: Tensor) -> Tensor:
        """The rows that `forward` takes there: (n, d) -> (n, d)."""
        x = (z - self.shift) * (-self.log_scale).exp()
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, Coupling)
            x = coupling.inverse(x)
        return x

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x): (n, d) -> (n,)."""
        z, log_det = self(x)
        return standard_normal(z) + log_det


def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I): (n, d) -> (n,)."""
    return -(z.square() + math.log(2 * math.pi)).sum(dim=1) / 2


class Coupling(nn.Module):
    """Half of the columns scaled and shifted by what the other half says (Dinh et al. 2017, eq. 4
    to 8).

    The scale's logarithm is bent smoothly into +-`most` (Ardizzone et al. 2019), which keeps far
    rows finite."""

    order: Tensor

    def __init__(self, order: Tensor, *, width: int, most: float = 1.9) -> None:
        super().__init__()
        self.register_buffer("order", order)
        self.passed = len(order) // 2  # the columns that tell; the others are changed
        self.most = most
        self.net = mlp([self.passed, width, 2 * (len(order) - self.passed)])
        for p in self.net[-1].parameters():
            nn.init.zeros_(p)

    def steps(self, passing: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the scale, and the shift: (n, d // 2) -> (n, d - d // 2) each."""
        raw, shift = self.net(passing).chunk(2, dim=1)
        return self.most * 2 / math.pi * torch.atan(raw / self.most), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, self.order]
        passing, changed = x[:, : self.passed], x[:, self.passed :]
        log_scale, shift = self.steps(passing)
        return torch.cat([passing, changed * log_scale.exp() + shift], dim=1), log_scale.sum(dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        passing, changed = z[:, : self.passed], z[:, self.passed :]
        log_scale, shift = self.steps(passing)
        return torch.cat([passing, (changed - shift) * (-log_scale).exp()], dim=1)[
            :, self.order.argsort()
        ]


class Whitened(nn.Module):
    """A flow of whitened rows: it starts as the Gaussian density of the normals, and learns what
    that misses.

    Per column, and without the constant that whitening adds, so that it compares between tables:
    (n, d) -> (n,)."""

    def __init__(self, d: int, *, flows: int = 1, couplings: int, width: int) -> None:
        super().__init__()
        self.whiten = Whitening(d)
        self.flows = nn.ModuleList(Flow(d, couplings=couplings, width=width) for _ in range(flows))

    def log_densities(self, x: Tensor) -> Tensor:
        """log p(x) / d under each of the f flows: (n, d) -> (n, f)."""
        white = self.whiten(x)
        each = [standard_normal(z) + log_det for z, log_det in (flow(white) for flow in self.flows)]
        return torch.stack(each, dim=1) / x.shape[1]


def dequantised(
    stream: Iterator[Samples], noise: float, generator: torch.Generator
) -> Iterator[Samples]:
    """Batches with normal noise on every value: a flow would give columns of few values an infinite
    density.
    """
    for batch in stream:
        draw = torch.randn(batch.x.shape, generator=generator).to(batch.x.device)
        yield dataclasses.replace(batch, x=batch.x + noise * draw)

"""Network bodies, and two rules of every scorer's state: seeded initial weights, buffers that resize on load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

Built = TypeVar("Built")


def seeded(make: Callable[[], Built], seed: int) -> Built:
    """What `make` returns when torch's global generator starts at `seed`; its state is restored afterwards.

    For initialisers, which take no generator.

    >>> a, b = seeded(lambda: nn.Linear(2, 1), 7), seeded(lambda: nn.Linear(2, 1), 7)
    >>> torch.equal(a.weight, b.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def mlp(widths: Sequence[int], *, bias: bool = True) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them: (n, widths[0]) -> (n, widths[-1])."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """Pre-norm residual block, x + W2 GELU(W1 LayerNorm(x)): (n, d) -> (n, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residual_mlp(inputs: int, width: int, outputs: int, blocks: int) -> nn.Sequential:
    """Linear, residual blocks, linear: (n, inputs) -> (n, outputs)."""
    return nn.Sequential(nn.Linear(inputs, width), *(Residual(width) for _ in range(blocks)), nn.Linear(width, outputs))


class Resizing(nn.Module):
    """A module whose own tensors take the size of what is loaded: a reference bank or a forest learns its size."""

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        for name, own in [*self._buffers.items(), *self._parameters.items()]:
            saved = state_dict.get(prefix + name)
            if own is not None and saved is not None and saved.shape != own.shape:
                empty = own.detach().new_empty(saved.shape)
                setattr(self, name, nn.Parameter(empty) if isinstance(own, nn.Parameter) else empty)
        super()._load_from_state_dict(state_dict, prefix, *args)


class TwoLevel(nn.Module):
    """Encoder, decoder, and a head of two logits with a temperature (arXiv 2601.19833); normal logit first.

    The score is -log S_0/(1 - S_0), which ranks as 1 - S_0 and does not saturate: (n, d) -> (n,).
    """

    def __init__(self, d: int, *, width: int, latent: int, blocks: int) -> None:
        super().__init__()
        self.encoder = residual_mlp(d, width, latent, blocks)
        self.decoder = residual_mlp(latent, width, d, 1)
        self.head = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), nn.Linear(latent, 2))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def logits(self, x: Tensor) -> Tensor:
        """Logits l / T: (n, d) -> (n, 2)."""
        return self.head(self.encoder(x)) / self.log_temperature.exp()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).diff(dim=1)[:, 0]

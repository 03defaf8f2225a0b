"""Network bodies, and two rules of every scorer's state: seeded initial weights, sizes that are
learnt and loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import RLock
from typing import TypeVar

import torch
from torch import Tensor, nn

from unseen.parts.products import Linear

Built = TypeVar("Built")
_GENERATOR = RLock()  # torch has one, which only one thread at a time may set


def seeded(make: Callable[[], Built], seed: int) -> Built:
    """What `make` returns when torch's global generator starts at `seed`; its state is restored
    afterwards.

    For initialisers, which take no generator.

    >>> a, b = seeded(lambda: nn.Linear(2, 1), 7), seeded(lambda: nn.Linear(2, 1), 7)
    >>> torch.equal(a.weight, b.weight)
    True
    """
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def mlp(widths: Sequence[int], *, bias: bool = True) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them: (n, widths[0]) -> (n, widths[-1])."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [Linear(a, b, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """Pre-norm residual block, x + W2 GELU(W1 LayerNorm(x)): (n, d) -> (n, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(width), Linear(width, width), nn.GELU(), Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residual_mlp(inputs: int, width: int, outputs: int, blocks: int) -> nn.Sequential:
    """Linear, residual blocks, linear: (n, inputs) -> (n, outputs)."""
    return nn.Sequential(
        Linear(inputs, width), *(Residual(width) for _ in range(blocks)), Linear(width, outputs)
    )


class Resizing(nn.Module):
    """A module whose own tensors take the size of what is loaded: a reference bank or a forest
    learns its size.
    """

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: object
    ) -> None:
        for name, own in [*self._buffers.items(), *self._parameters.items()]:
            saved = state_dict.get(prefix + name)
            if own is not None and saved is not None and saved.shape != own.shape:
                empty = own.detach().new_empty(saved.shape)
                setattr(self, name, nn.Parameter(empty) if isinstance(own, nn.Parameter) else empty)
        super()._load_from_state_dict(state_dict, prefix, *args)


class Widening(Linear):
    """A linear layer whose number of outputs is learnt: it takes the number of what is loaded.

    >>> layer = Widening(3, 2)
    >>> layer.load_state_dict(nn.Linear(3, 5).state_dict())
    <All keys matched successfully>
    >>> layer.out_features
    5
    """

    def widen(self, outputs: int) -> None:
        """Fresh weights for so many outputs, if it has another number."""
        if outputs != self.out_features:
            fresh = nn.Linear(self.in_features, outputs, device=self.weight.device)
            self.weight, self.bias, self.out_features = fresh.weight, fresh.bias, outputs

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: object
    ) -> None:
        saved = state_dict.get(prefix + "bias")
        if saved is not None and saved.ndim == 1:
            self.widen(len(saved))
        super()._load_from_state_dict(state_dict, prefix, *args)

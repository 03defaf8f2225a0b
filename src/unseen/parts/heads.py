"""A network with one linear output, as DevNet and its relatives publish it: weights, penalty and
optimiser.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.bank import Whitening
from unseen.parts.nets import mlp
from unseen.types import Samples


class Head(nn.Module):
    """Optional whitening, then a network with one linear output: (n, d) -> (n,)."""

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.whiten = Whitening(d)  # the identity until fitted
        self.net = published([d, *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.whiten(x))[:, 0]


def published(widths: list[int]) -> nn.Sequential:
    """A network that starts as the published code does; nearer to its figures than torch's
    default.
    """
    net = mlp(widths)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def optimiser(net: nn.Sequential, *, rate: float, penalty: float) -> torch.optim.Optimizer:
    """RMSprop with an L2 penalty on the hidden kernels only: not on biases, not on the output
    layer.
    """
    kernels = [m.weight for m in net if isinstance(m, nn.Linear)][:-1]
    others = [p for p in net.parameters() if all(p is not k for k in kernels)]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": 2 * penalty},
        {"params": others},
    ]
    return torch.optim.RMSprop(groups, lr=rate, alpha=0.9, eps=1e-7)


def check_both(method: object, data: Samples) -> None:
    """Refuse data that lacks normal rows or labelled anomalies, for a method that learns one
    against the other.
    """
    if not len(data.anomalies) or not len(data.normals):
        raise DataError(
            f"{type(method).__name__} needs normal rows and labelled anomalies; it was given "
            f"{len(data.normals)} and {len(data.anomalies)}: label at least one row of each, or "
            "use a method without labels"
        )

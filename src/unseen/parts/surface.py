"""A linear decision surface between normal rows and anomalies: one minimum, the same whatever the
seed.
"""

from __future__ import annotations

from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.loops import settle
from unseen.types import Samples


def decide(head: nn.Linear, rows: Samples, *, ridge: float) -> None:
    """Settle two logits, normal first, on rows (n, d): weighted mean of `losses.confidence` plus
    ridge |w|^2.
    """
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)

    def loss() -> Tensor:
        each = losses.confidence(logits=head(rows.x), y=rows.y)
        return (rows.weight * each).sum() / rows.weight.sum() + ridge * head.weight.square().sum()

    settle(loss, head.parameters())

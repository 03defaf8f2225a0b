"""The network of multi-directional meta-learning's literal recipe (arXiv 2601.19833): an encoder under two levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.nets import Widening, residual_mlp
from unseen.types import Samples


class TwoLevel(nn.Module):
    """Encoder, decoder, and a head with a temperature: a logit for each kind of normal, and behind them the anomaly's.

    The score is -log S/(1 - S), S the share of all kinds of normal, which ranks as 1 - S and does not saturate:
    (n, d) -> (n,).
    """

    def __init__(self, d: int, *, width: int, latent: int, blocks: int) -> None:
        super().__init__()
        self.encoder = residual_mlp(d, width, latent, blocks)
        self.decoder = residual_mlp(latent, width, d, 1)
        self.head = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), Widening(latent, 2))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def widen(self, kinds: int) -> None:
        """A logit for each of so many kinds of normal."""
        last = self.head[-1]
        assert isinstance(last, Widening)
        last.widen(kinds + 1)

    def levels(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What the inner level learns, encoder and decoder, and the outer one, head and temperature."""
        inside = [*self.encoder.parameters(), *self.decoder.parameters()]
        return inside, [*self.head.parameters(), self.log_temperature]

    def normality(self, batch: Samples, *, reconstruction: float) -> Tensor:
        """The inner loss: confidence of being one's kind (its number in `group`), plus reconstruction error: (n,)."""
        latent = self.encoder(batch.x)
        error = losses.squared_error(reconstruction=self.decoder(latent), x=batch.x)
        logits = own_first(self.head(latent), batch.group)
        return losses.confidence(logits=logits, y=batch.y) + reconstruction * error

    def logits(self, x: Tensor) -> Tensor:
        """Logits l / T of normal, of whatever kind, and of anomaly: (n, d) -> (n, 2)."""
        logits = self.head(self.encoder(x)) / self.log_temperature.exp()
        return torch.stack([logits[:, :-1].logsumexp(dim=1), logits[:, -1]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).diff(dim=1)[:, 0]


def own_first(logits: Tensor, kind: Tensor) -> Tensor:
    """Logits with that of a row's own kind in the first place, and the first in its: (n, K), (n,) -> (n, K).

    >>> own_first(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), torch.tensor([0, 1])).tolist()
    [[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]
    """
    order = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits), 1)
    order.scatter_(1, kind[:, None], 0)
    order[:, 0] = kind
    return logits.gather(1, order)

"""The literal recipe of multi-directional meta-learning (arXiv 2601.19833): two levels that take
turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.parts import losses, terms
from unseen.parts.domains import Domains
from unseen.parts.episodes import class_held_out, enough_of_both, random_batches
from unseen.parts.loops import Average, minimise
from unseen.parts.nets import Widening, residual_mlp, seeded
from unseen.types import Run, Samples


@dataclass(frozen=True)
class MultiDirectionalLiteral:
    """An encoder that learns normality inside, and a head that rotating anomaly classes teach
    outside, in turns.

    Equation:
        inner: -log softmax(own domain) + reconstruction |x - decoder(z)|^2, on normals
        outer: -log S_0 for normals, -log(1 - S_0) for anomalies, + pairs * margin + anchor,
            on one class an episode
    When: to compare with the paper. `MultiDirectional` finds more (see the benchmarks).
    Differs: a table's rows in place of images; weights averaged over the second half of the
    episodes.

    Parameters
    ----------
    width, latent, blocks : int
        Sizes of encoder and decoder.
    episodes, inner_steps, outer_steps : int
        How often the levels take turns, and how many steps each takes.
    batch : int
        Rows of a step.
    rate : float
        Learning rate of both levels.
    reconstruction, margin, pairs, anchor : float
        Weights and margin of the losses.

    >>> MultiDirectionalLiteral().build((6,))(torch.zeros(2, 6)).shape
    torch.Size([2])
    """

    width: int = 128
    latent: int = 64
    blocks: int = 2
    episodes: int = 20
    inner_steps: int = 25
    outer_steps: int = 25
    batch: int = 256
    rate: float = 1e-3
    reconstruction: float = 0.1
    margin: float = 0.1
    pairs: float = 0.75
    anchor: float = 0.1
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return TwoLevel(*shape, width=self.width, latent=self.latent, blocks=self.blocks)

    def train(self, scorer: TwoLevel, data: Samples, run: Run) -> None:
        enough_of_both(data, self, normals=3)
        domains = Domains(data.normals)
        if len(domains) > 1:
            seeded(lambda: scorer.widen(len(domains)), run.seed())
        data = replace(data, group=domains.of(data))
        inside, outside = scorer.levels()
        inner, outer = (
            torch.optim.AdamW(part, lr=self.rate, weight_decay=1e-4) for part in (inside, outside)
        )
        learn = random_batches(data.normals, self.batch, run.generator)
        judged = (episode.query for episode in class_held_out(data, self.batch, run.generator))
        normality, average = (
            partial(scorer.normality, reconstruction=self.reconstruction),
            Average(),
        )
        for episode in range(self.episodes):
            minimise(normality, inner, learn, run, steps=self.inner_steps)
            minimise(
                lambda b: self.loss(scorer, b, run), outer, judged, run, steps=self.outer_steps
            )
            if 2 * episode >= self.episodes or episode == self.episodes - 1:
                average.add(scorer)
        average.load(scorer)

    def loss(self, scorer: TwoLevel, batch: Samples, run: Run) -> Tensor:
        """Outer loss: confidence, the margin over pairs and the anchor: (n,)."""
        logits = scorer.logits(batch.x)
        share = terms.margin_share(logit=logits[:, 0], y=batch.y, margin=self.margin)
        anchor = losses.anchor(score=1 - losses.normal_logit(logits).sigmoid(), y=batch.y)
        return (
            losses.confidence(logits=logits, y=batch.y) + self.pairs * share + self.anchor * anchor
        )


class TwoLevel(nn.Module):
    """Encoder, decoder, and a head with a temperature: a logit for each domain, and behind them the
    anomaly's.

    The score is -log S/(1 - S), S the share of all domains, which ranks as 1 - S and does not
    saturate: (n, d) -> (n,).
    """

    def __init__(self, d: int, *, width: int, latent: int, blocks: int) -> None:
        super().__init__()
        self.encoder = residual_mlp(d, width, latent, blocks)
        self.decoder = residual_mlp(latent, width, d, 1)
        self.head = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), Widening(latent, 2))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def widen(self, domains: int) -> None:
        """A logit for each of so many domains."""
        last = self.head[-1]
        assert isinstance(last, Widening)
        last.widen(domains + 1)

    def levels(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What the inner level learns, encoder and decoder, and the outer one, head and
        temperature.
        """
        inside = [*self.encoder.parameters(), *self.decoder.parameters()]
        return inside, [*self.head.parameters(), self.log_temperature]

    def normality(self, batch: Samples, *, reconstruction: float) -> Tensor:
        """The inner loss: confidence of being one's kind (its number in `group`), plus
        reconstruction error: (n,).
        """
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
    """Logits with that of a row's own kind in the first place, and the first in its: (n, K), (n,)
    -> (n, K).

    >>> own_first(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), torch.tensor([0, 1])).tolist()
    [[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]
    """
    order = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits), 1)
    order.scatter_(1, kind[:, None], 0)
    order[:, 0] = kind
    return logits.gather(1, order)

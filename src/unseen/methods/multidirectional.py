"""Multi-directional meta-learning (arXiv 2601.19833): learn normality inside, let held-out classes decide outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import losses
from unseen.parts.bank import Whitening
from unseen.parts.episodes import batches, class_held_out
from unseen.parts.loops import Average, minimise
from unseen.parts.nets import residual_mlp
from unseen.parts.pseudo import with_cut
from unseen.types import Run, Samples


@dataclass(frozen=True)
class MultiDirectional:
    """Two levels: an encoder learns the normals, a decision surface on it learns from rotating anomaly classes.

    Inner level: the encoder (with the head, held fixed) makes normals confident, and a decoder reconstructs them.
    Outer level: head and temperature separate normals from the anomalies of an episode, whose directions rotate over
    the classes; `anchor` and `margin` as in the paper. First order, alternating, nothing is unrolled; the weights are
    averaged over the second half of the episodes, since single episodes swing.

    Beside the paper: `whiten` decorrelates the input, `cut` adds pseudo-anomalies to the outer level, `fine_tune` lets
    that level move the encoder at this share of its rate; whiten=False, cut=0, fine_tune=0 is the literal recipe.
    `inner_anomalies` shows the inner level the other classes, as the authors' notebook does and the paper does not;
    `perturb` is the paper's optional input step, 2e-3 there.
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
    inner_anomalies: bool = False
    whiten: bool = True
    cut: float = 0.5
    fine_tune: float = 0.1
    perturb: float = 0.0
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return TwoLevelScorer(*shape, width=self.width, latent=self.latent, blocks=self.blocks, perturb=self.perturb)

    def train(self, scorer: TwoLevelScorer, data: Samples, run: Run) -> None:
        if not len(data.normals) or not (len(data.anomalies) or self.cut):
            raise DataError(
                "MultiDirectional needs normal rows, and labelled anomalies or cut > 0; given were "
                f"{len(data.normals)} and {len(data.anomalies)} with cut={self.cut}: label some rows of each"
            )
        if self.whiten:
            scorer.whiten.fit(data.normals.x, shrinkage=1e-3)
        inner, outer = self.optimisers(scorer)
        learn, decide = self.streams(data, run)
        average = Average()
        for episode in range(self.episodes):
            minimise(lambda b: self.inner_loss(scorer, b), inner, learn, run, steps=self.inner_steps)
            minimise(lambda b: self.loss(scorer, b, run), outer, decide, run, steps=self.outer_steps)
            if 2 * episode >= self.episodes:
                average.add(scorer)
        average.load(scorer)

    def optimisers(self, scorer: TwoLevelScorer) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The inner level owns encoder and decoder; the outer one head and temperature, and may nudge the encoder."""
        inside = [*scorer.encoder.parameters(), *scorer.decoder.parameters()]
        groups: list[dict[str, Any]] = [{"params": [*scorer.head.parameters(), scorer.log_temperature]}]
        if self.fine_tune:
            groups.append({"params": list(scorer.encoder.parameters()), "lr": self.rate * self.fine_tune})
        adam = torch.optim.AdamW
        return adam(inside, lr=self.rate, weight_decay=1e-4), adam(groups, lr=self.rate, weight_decay=1e-4)

    def streams(self, data: Samples, run: Run) -> tuple[Iterator[Samples], Iterator[Samples]]:
        """Batches of the inner level: normals; of the outer: one held-out class in turn, and pseudo-anomalies."""
        learn = decide = batches(data.normals, self.batch, run.generator)
        if len(data.anomalies):
            decide = (episode.query for episode in class_held_out(data, self.batch, run.generator))
            if self.inner_anomalies:
                learn = (episode.support for episode in class_held_out(data, self.batch, run.generator))
        if self.cut:
            decide = (with_cut(batch, data.normals.x, self.cut, run.generator) for batch in decide)
        return learn, decide

    def inner_loss(self, scorer: TwoLevelScorer, batch: Samples) -> Tensor:
        """Confidence at temperature 1, plus reconstruction of the normals: (n,)."""
        x = scorer.whiten(batch.x)
        latent = scorer.encoder(x)
        error = losses.squared_error(reconstruction=scorer.decoder(latent), x=x)
        confidence = losses.confidence(logits=scorer.head(latent), y=batch.y)
        return confidence + self.reconstruction * torch.where(batch.y > 0, 0.0, error)

    def loss(self, scorer: TwoLevelScorer, batch: Samples, run: Run) -> Tensor:
        """Outer loss: confidence, margin over all pairs (each row's share of it), and anchor: (n,)."""
        logits = scorer.logits(batch.x)
        normal = batch.y <= 0
        score = 1 - losses.normal_logit(logits).sigmoid()
        pairs = losses.margin_pairs(normal=logits[normal, 0], anomaly=logits[~normal, 0], margin=self.margin)
        share = torch.zeros_like(score)
        if pairs.numel():
            share[normal], share[~normal] = pairs.mean(dim=1), pairs.mean(dim=0)
        anchor = torch.where(normal, score.square(), (1 - score).square())
        return losses.confidence(logits=logits, y=batch.y) + self.pairs * share / 2 + self.anchor * anchor


class TwoLevelScorer(nn.Module):
    """Encoder, head and temperature; the score is -log S_0/(1 - S_0), which ranks as 1 - S_0: (n, d) -> (n,)."""

    def __init__(self, d: int, *, width: int, latent: int, blocks: int, perturb: float) -> None:
        super().__init__()
        self.perturb = perturb
        self.whiten = Whitening(d)  # the identity until fitted
        self.encoder = residual_mlp(d, width, latent, blocks)
        self.decoder = residual_mlp(latent, width, d, 1)
        self.head = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), nn.Linear(latent, 2))
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def logits(self, x: Tensor) -> Tensor:
        """Logits l / T of the classes, normal first: (n, d) -> (n, K)."""
        z = self.whiten(x)
        if self.perturb:
            z = self.towards_normal(z)
        return self.head(self.encoder(z)) / self.log_temperature.exp()

    def towards_normal(self, z: Tensor) -> Tensor:
        """z + perturb * sign(d log S_0 / d z), Liang et al. 2018: a step that helps normals more; (n, d) -> (n, d)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            normal = losses.normal_logit(self.head(self.encoder(z)))  # rises and falls with log S_0
            return (z + self.perturb * torch.autograd.grad(normal.sum(), z)[0].sign()).detach()

    def forward(self, x: Tensor) -> Tensor:
        return -losses.normal_logit(self.logits(x))

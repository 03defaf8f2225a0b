"""Multi-directional meta-learning (arXiv 2601.19833): learn normality inside, let held-out classes decide outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError, Unsupported
from unseen.parts import losses, terms
from unseen.parts.described import DescribedScorer
from unseen.parts.deviation import ROWS
from unseen.parts.episodes import batches, class_held_out, hiding_and_showing, some, together
from unseen.parts.kinds import Kinds
from unseen.parts.loops import Average, minimise
from unseen.parts.nets import seeded
from unseen.parts.surface import decide
from unseen.parts.twolevel import TwoLevel
from unseen.types import Run, Samples


@dataclass(frozen=True)
class MultiDirectional:
    """Normality learned from normals alone, a decision on it from rotating anomaly classes (after arXiv 2601.19833).

    Inner level: how a row deviates from at most `rows` normals, cross-fitted in `folds`. Outer level: linear in that,
    in closeness to shown anomalies and, `position` times, in the row. Each direction hides a class; one, of the share
    `known`, hides none. `cut` weighs pseudo-anomalies. Without `describe`: the literal recipe, of the fields below it.

    Kinds of normal (`groups`) share the surface: a row is described by normals of its own kind, relative to their mean;
    k kinds have k times the `ridge`. `adapt` describes rows by other normals.

    Equation:
        score(x) = -log(S_0 / (1 - S_0)),  S_0 = softmax probability of the normal class, its weights w minimising
        mean over directions of (-log S_0 for normals, -log(1 - S_0) for anomalies) + ridge |w|^2
    When: few labels, known and new kinds matter. Not where normals drift after training. It refuses to train without.
    Differs: closed form inside, one minimum outside, no margin, anchor or temperature (.948 unseen; literally .783).

    >>> scorer = MultiDirectional(known=0.5).build((6,))
    """

    rows: int = 8192
    folds: int = 10
    known: float = 0.67
    cut: float = 0.1
    position: float = 0.7
    ridge: float = 0.3
    describe: bool = True
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
        if self.describe:
            return DescribedScorer(*shape)
        return TwoLevel(*shape, width=self.width, latent=self.latent, blocks=self.blocks)

    def train(self, scorer: DescribedScorer | TwoLevel, data: Samples, run: Run) -> None:
        if len(data.normals) < 3 or not len(data.anomalies):
            raise DataError(
                f"MultiDirectional needs 3 normal rows and a labelled anomaly; it was given {len(data.normals)} and "
                f"{len(data.anomalies)}: label at least one anomaly, or use a method without labels"
            )
        if isinstance(scorer, DescribedScorer):
            self.decide(scorer, data, run)
        else:
            self.alternate(scorer, data, run)

    def decide(self, scorer: DescribedScorer, data: Samples, run: Run) -> None:
        """Inner level in closed form, then the one minimum of the outer loss over all directions."""
        normals, anomalies = some(data.normals, self.rows, run.generator), some(data.anomalies, ROWS, run.generator)
        kinds = Kinds(data.normals)
        scorer.deviation.fit(data.normals.x, run.generator, logarithms=run.logarithms, group=data.normals.group)
        scorer.origins = kinds.origins
        scorer.shown.fill(kinds.relative(anomalies).x)
        rows = self.directions(scorer, kinds, normals, anomalies, run)
        scorer.standardise(rows.x[rows.y <= 0], self.position)
        decide(scorer.head, replace(rows, x=scorer.standard(rows.x)), ridge=self.ridge * len(kinds))

    def directions(
        self, scorer: DescribedScorer, kinds: Kinds, normals: Samples, anomalies: Samples, run: Run
    ) -> Samples:
        """Columns of all rows as each direction shows them, with their share of the outer loss as weight."""
        g, own = run.generator, kinds.described(scorer.deviation, anomalies)
        normal, made = kinds.crossed(scorer.deviation, normals, folds=self.folds, run=run)
        anomalies = kinds.relative(anomalies)
        parts = []
        for way, share in hiding_and_showing(anomalies, g, known=self.known):
            shown, out = anomalies.x[way.inside], way.outside
            hidden = anomalies[out], own[out]
            for (rows, words), skip, part in ((normal, 0, 1.0), (made, 0, self.cut), (hidden, int(way.known), 1.0)):
                x = scorer.columns(rows.x, words, shown, skip=skip)
                weight = share * part * rows.weight / rows.weight.sum().clamp_min(1e-12)
                parts.append(Samples(x, rows.y, rows.group, weight))
        return together(*parts)

    def adapt(self, scorer: DescribedScorer, support: Samples, run: Run) -> DescribedScorer:
        """Describe rows relative to the support's normals; the surface stays."""
        if not self.describe:
            raise Unsupported("MultiDirectional cannot adapt with describe=False: it learns where rows lie")
        return scorer.moved(some(support.normals, ROWS, run.generator).x)

    def alternate(self, scorer: TwoLevel, data: Samples, run: Run) -> None:
        """The literal recipe: both levels take turns, and the outer one sees one class of anomalies an episode."""
        kinds = Kinds(data.normals)
        if len(kinds) > 1:
            seeded(lambda: scorer.widen(len(kinds)), run.seed())
        data = replace(data, group=kinds.of(data))
        inner, outer = self.optimisers(scorer)
        learn = batches(data.normals, self.batch, run.generator)
        judged = (episode.query for episode in class_held_out(data, self.batch, run.generator))
        inside, average = partial(scorer.normality, reconstruction=self.reconstruction), Average()
        for episode in range(self.episodes):
            minimise(inside, inner, learn, run, steps=self.inner_steps)
            minimise(lambda b: self.loss(scorer, b, run), outer, judged, run, steps=self.outer_steps)
            if 2 * episode >= self.episodes:
                average.add(scorer)
        average.load(scorer)

    def optimisers(self, scorer: TwoLevel) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        inside, outside = scorer.levels()
        adam = torch.optim.AdamW
        return adam(inside, lr=self.rate, weight_decay=1e-4), adam(outside, lr=self.rate, weight_decay=1e-4)

    def loss(self, scorer: DescribedScorer | TwoLevel, batch: Samples, run: Run) -> Tensor:
        """Outer loss: confidence, and in the literal recipe the margin over pairs and the anchor: (n,)."""
        logits = scorer.logits(batch.x)
        confidence = losses.confidence(logits=logits, y=batch.y)
        if self.describe:
            return confidence
        share = terms.margin_share(logit=logits[:, 0], y=batch.y, margin=self.margin)
        anchor = losses.anchor(score=1 - losses.normal_logit(logits).sigmoid(), y=batch.y)
        return confidence + self.pairs * share + self.anchor * anchor

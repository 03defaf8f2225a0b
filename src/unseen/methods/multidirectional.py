"""Multi-directional meta-learning (arXiv 2601.19833): learn normality inside, let held-out classes
decide outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from unseen.errors import DataError
from unseen.parts.described import DescribedScorer
from unseen.parts.deviation import ROWS
from unseen.parts.domains import Domains
from unseen.parts.episodes import hiding_and_showing, some, together
from unseen.parts.surface import decide
from unseen.types import Run, Samples


@dataclass(frozen=True)
class MultiDirectional:
    """Normality learned from normals alone, a decision on it from rotating anomaly classes (after
    arXiv 2601.19833).

    Inner level: how a row deviates from normals, cross-fitted. Outer level: linear in that, in
    closeness to shown anomalies and in the row. Each held-out split hides a class; one hides none.

    Domains (`groups`) share the surface: a row is described by normals of its own domain, relative
    to their mean; k domains have k times the `ridge`. `adapt` describes rows by other normals.

    Equation:
        score(x) = -log(S_0 / (1 - S_0)),
            S_0 = softmax probability of the normal class, its weights w minimising
        mean over splits of (-log S_0 for normals, -log(1 - S_0) for anomalies) + ridge |w|^2
    When: few labels, known and new kinds matter. Not where normals drift after training. It refuses
    to train without.
    Differs: closed form inside, one minimum outside, no margin, anchor or temperature.

    Parameters
    ----------
    rows : int
        Most normals that describe others.
    folds : int
        Parts of the normals, each described by the others.
    seen_class_weight : float
        Share of the outer loss of the split that hides no class, 0 to 1.
    cut : float
        Weight of pseudo-anomalies, cut from deviations of normals.
    position : float
        How much a row's place counts beside how it deviates.
    ridge : float
        Weight of the squared length of w.

    >>> scorer = MultiDirectional(seen_class_weight=0.5).build((6,))
    """

    rows: int = 8192
    folds: int = 10
    seen_class_weight: float = 0.67
    cut: float = 0.1
    position: float = 0.7
    ridge: float = 0.3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DescribedScorer(*shape)

    def train(self, scorer: DescribedScorer, data: Samples, run: Run) -> None:
        if len(data.normals) < 3 or not len(data.anomalies):
            raise DataError(
                "MultiDirectional needs 3 normal rows and a labelled anomaly; it was given "
                f"{len(data.normals)} and "
                f"{len(data.anomalies)}: label at least one anomaly, or use a method without labels"
            )
        normals, anomalies = (
            some(data.normals, self.rows, run.generator),
            some(data.anomalies, ROWS, run.generator),
        )
        domains = Domains(data.normals)
        scorer.deviation.fit(
            data.normals.x, run.generator, logarithms=run.logarithms, group=data.normals.group
        )
        scorer.origins = domains.origins
        scorer.shown.fill(domains.relative(anomalies).x)
        rows = self.splits(scorer, domains, normals, anomalies, run)
        scorer.standardise(rows.x[rows.y <= 0], self.position)
        decide(
            scorer.head, replace(rows, x=scorer.standard(rows.x)), ridge=self.ridge * len(domains)
        )

    def splits(
        self,
        scorer: DescribedScorer,
        domains: Domains,
        normals: Samples,
        anomalies: Samples,
        run: Run,
    ) -> Samples:
        """Columns of all rows as each held-out split shows them, with their share of the outer loss
        as weight.
        """
        g, own = run.generator, domains.described(scorer.deviation, anomalies)
        normal, made = domains.crossed(scorer.deviation, normals, folds=self.folds, run=run)
        anomalies = domains.relative(anomalies)
        parts = []
        for split, share in hiding_and_showing(anomalies, g, known=self.seen_class_weight):
            shown, out = anomalies.x[split.inside], split.outside
            hidden = anomalies[out], own[out]
            for (rows, words), skip, part in (
                (normal, 0, 1.0),
                (made, 0, self.cut),
                (hidden, int(split.known), 1.0),
            ):
                x = scorer.columns(rows.x, words, shown, skip=skip)
                weight = share * part * rows.weight / rows.weight.sum().clamp_min(1e-12)
                parts.append(Samples(x, rows.y, rows.group, weight))
        return together(*parts)

    def adapt(self, scorer: DescribedScorer, support: Samples, run: Run) -> DescribedScorer:
        """Describe rows relative to the support's normals; the surface stays."""
        return scorer.moved(some(support.normals, ROWS, run.generator).x)

"""Evidence stack: the two levels of multi-directional meta-learning (arXiv 2601.19833), one floor up.

Inside, several cheap and very different kinds of evidence learn normality. Outside, rotating held-out anomaly classes
decide how far each is trusted: a judge that only knows what it was shown loses its say on what nobody has seen.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.deviation import FREE, cross_described, described
from unseen.parts.episodes import Direction, directions, no_directions, together
from unseen.parts.nets import seeded
from unseen.parts.stack import RATIO, StackScorer, seen_as
from unseen.parts.verdicts import mean_auroc, weights
from unseen.types import Method, Run, Samples

LEARNERS = {"by_deviation": "deviations", "by_place": "rows", "by_both": "both"}  # field -> what its methods see
PARTS = 3  # parts of every class, each held out in turn from the other two


@dataclass(frozen=True)
class EvidenceStack:
    """Sum of surprises of several pieces of evidence, trusted by held-out classes (Fisher 1932; arXiv 2601.19833).

    Evidence is what a row's deviation from the normals tells by itself (`measures`), how it compares with the distance
    to labelled anomalies (the measure "ratio"), and what methods learn: from deviations (`by_deviation`), from the rows
    as they lie (`by_place`), and from both side by side (`by_both`).

    A weight is the sum of two verdicts on anomalies that were held out, against normals that were held out with them.
    Does it find a class that it does not know? Whole classes are held out in turn (of a single class, halves), and
    evidence that learned from labels has at most `learned` of the say: what nobody has seen must be able to raise an
    alarm without it. Does it find a class that it knows? Parts of each class are held out, and only what learned from
    labels is asked; this counts `known`. Weights grow as exp(`sharpness` * AUROC), sharper on known classes, where an
    AUROC from few rows says more.

    Normals are cross-fitted in `folds`: each is scored by evidence that did not see it, and none is lost to a split. In
    the end all learns from all rows, or from at most `rows` normals. With a single labelled anomaly nothing can be held
    out: all weigh the same, within that limit, and there is no second verdict.

    Equation:
        score(x)   = sum over evidence e of  weight_e * surprise_e(x)
        surprise_e = -log(share of held-out normals that score higher with e), at most 20
        weight_e   = (1 - known) u_e + known k_e,  each of u and k summing to 1 over the evidence,
                     u_e ~ exp(sharpness_0 AUROC_unseen_e),  k_e ~ exp(sharpness_1 AUROC_known_e)

    When: you do not know what to expect. Not when every second counts: it trains its members several times.
    Differs: the paper's two levels, one floor up, with whole methods where it has directions of one network.

    >>> EvidenceStack(measures=("mahalanobis", "ratio")).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    measures: tuple[str, ...] = (*FREE, RATIO)
    by_deviation: tuple[Method, ...] = ()
    by_place: tuple[Method, ...] = ()
    by_both: tuple[Method, ...] = ()
    sharpness: tuple[float, float] = (20.0, 40.0)
    known: float = 0.4
    learned: float = 0.5
    folds: int = 5
    rows: int = 20_000
    uses_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.measures) - {*FREE, RATIO}):
            raise DataError(f"EvidenceStack: no measure {unknown[0]!r}; there are {', '.join((*FREE, RATIO))}")

    @property
    def learners(self) -> list[tuple[Method, str]]:
        """Each method that learns, and what it sees: deviations, rows, or both."""
        return [(method, view) for field, view in LEARNERS.items() for method in getattr(self, field)]

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        learned = [name == RATIO for name in self.measures] + [method.uses_labels for method, _ in self.learners]
        views = [view for _, view in self.learners]
        scorer = StackScorer(*shape, measures=self.measures, views=views, learned=torch.tensor(learned))
        width, d = scorer.deviation.width, scorer.d
        widths = {"deviations": width, "rows": d, "both": d + width}
        scorer.learners.extend(method.build((widths[view],)) for method, view in self.learners)
        return scorer

    def train(self, scorer: StackScorer, data: Samples, run: Run) -> None:
        normals, anomalies = data.normals, data.anomalies
        if len(normals) < 3:
            raise DataError(
                f"EvidenceStack learns from some normals and judges on others; it was given {len(normals)}, and needs "
                "at least 3, better 1,000: add normal rows"
            )
        scorer.deviation.fit(normals.x, run.generator, logarithms=run.logarithms)
        some = normals[torch.randperm(len(normals), generator=run.generator)[: self.rows].to(data.x.device)]
        folds = min(self.folds, len(some))
        fold = torch.arange(len(some), device=data.x.device) % folds  # of rows in random order
        rows = together(some, anomalies)
        [crossed] = cross_described(some.x, fold, run.generator, logarithms=run.logarithms)
        description = torch.cat([crossed, described(scorer.deviation, anomalies.x)])

        ways = directions(anomalies, run.generator, folds=PARTS) or no_directions(anomalies, folds)
        held = []
        for turn, way in enumerate(ways):
            out = fold == turn % folds
            inside = torch.cat([(~out).nonzero()[:, 0], len(some) + way.inside])
            trial = cast(StackScorer, seeded(lambda: self.build((scorer.d,)), run.seed()).to(run.device))
            trial.deviation = scorer.deviation
            self.learn(trial, rows[inside], description[inside], run)
            outside = (out.nonzero()[:, 0], len(some) + way.outside)
            held.append([trial.evidence(rows.x[r], description[r]) for r in outside])
        self.learn(scorer, rows, description, run)
        self.weigh(scorer, held, ways, labels=len(anomalies) > 0)

    def learn(self, scorer: StackScorer, rows: Samples, description: Tensor, run: Run) -> None:
        """Train in place what learns from labels: the ratio, and the methods, each on its view of rows (n, d)."""
        scorer.ratio.fill(rows.anomalies.x, scorer.deviation, run.generator)
        views = seen_as(rows.x, description)
        for (method, view), module in zip(self.learners, scorer.learners, strict=True):
            if len(rows.anomalies) or not method.uses_labels:
                kept = run.logarithms if view == "rows" else None
                data = dataclasses.replace(rows, x=views[view])
                method.train(module.train(), data, dataclasses.replace(run, logarithms=kept))
                module.eval()

    def weigh(self, scorer: StackScorer, held: list[list[Tensor]], ways: list[Direction], *, labels: bool) -> None:
        """Surprise and weight of each piece of evidence, from its scores of what was held out."""
        usable = ~scorer.learned | labels
        usable[: len(self.measures)] &= torch.tensor([scorer.deviation.tells(name) for name in self.measures])
        scorer.surprise.fit(torch.cat([normals for normals, _ in held], dim=1))
        for e in usable.nonzero()[:, 0].tolist():
            scorer.auroc[e] = mean_auroc([(normals[e], strange[e]) for normals, strange in held], ways)
        learned, auroc = scorer.learned[usable], scorer.auroc[usable]
        says = weights(auroc, learned, sharpness=self.sharpness, known=self.known, most=self.learned)
        scorer.weights = torch.zeros_like(scorer.weights).masked_scatter(usable, says)

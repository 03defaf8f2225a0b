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
from unseen.parts.deviation import FREE, Deviation, Ratio, cross_described, described
from unseen.parts.episodes import Direction, directions, no_directions, together
from unseen.parts.nets import seeded
from unseen.parts.surprise import Surprise
from unseen.parts.verdicts import mean_auroc, weights
from unseen.types import Method, Run, Samples

RATIOS = ("ratio", "ratio-whitened")
PARTS = 3  # parts of every class, each held out in turn from the other two


@dataclass(frozen=True)
class EvidenceStack:
    """Weighted sum of the surprise, -log p among held-out normals, of several pieces of evidence (Fisher 1932).

    Evidence is what a row's deviation from the normals tells by itself (`measures`, of deviation.FREE), how it compares
    with the distance to labelled anomalies (`measures`, of RATIOS), what `judges` learn from deviations, and what
    `members` learn from rows.

    A weight is the sum of two verdicts on anomalies that were held out, against normals that were held out with them.
    Does it find a class that it does not know? Whole classes are held out in turn (of a single class, halves), and
    evidence that learned from labels has at most `learned` of the say: what nobody has seen must be able to raise an
    alarm without it. Does it find a class that it knows? Parts of each class are held out; this counts `known`. Weights
    grow as exp(sharpness * AUROC), sharper on known classes, where an AUROC from few rows says more.
    Normals are cross-fitted: each is scored by evidence that did not see it, and none is lost to a split. In the end
    all learns from all rows, or from at most `rows` normals. With a single labelled anomaly, all weigh the same.
    """

    measures: tuple[str, ...] = FREE + RATIOS
    judges: tuple[Method, ...] = ()
    members: tuple[Method, ...] = ()
    sharpness: tuple[float, float] = (10.0, 40.0)
    known: float = 0.3
    learned: float = 0.4
    folds: int = 5
    rows: int = 20_000
    uses_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.measures) - {*FREE, *RATIOS}):
            raise DataError(f"EvidenceStack: no measure {unknown[0]!r}; there are {', '.join(FREE + RATIOS)}")

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        learned = [name in RATIOS for name in self.measures] + [m.uses_labels for m in self.judges + self.members]
        scorer = StackScorer(*shape, measures=self.measures, learned=torch.tensor(learned))
        scorer.judges.extend(method.build((scorer.deviation.width,)) for method in self.judges)
        scorer.members.extend(method.build(shape) for method in self.members)
        return scorer

    def train(self, scorer: StackScorer, data: Samples, run: Run) -> None:
        normals, anomalies = data.normals, data.anomalies
        if len(normals) < 3:
            raise DataError(
                f"EvidenceStack learns from some normals and judges on others; it was given {len(normals)}, and needs "
                "at least 3, better 1,000: add normal rows"
            )
        scorer.deviation.fit(normals.x, run.generator)
        some = normals[torch.randperm(len(normals), generator=run.generator)[: self.rows].to(data.x.device)]
        folds = min(self.folds, len(some))
        fold = torch.arange(len(some), device=data.x.device) % folds  # of rows in random order
        rows = together(some, anomalies)
        strange = described(scorer.deviation, anomalies.x)
        description = torch.cat([cross_described(some.x, fold, run.generator), strange])

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
        """Train in place what learns from labels: the ratios, the judges on (n, width), the members on (n, d)."""
        scorer.ratio.fill(rows.anomalies.x, scorer.deviation, run.generator)
        view = dataclasses.replace(rows, x=description)
        judges = [(method, module, view) for method, module in zip(self.judges, scorer.judges, strict=True)]
        members = [(method, module, rows) for method, module in zip(self.members, scorer.members, strict=True)]
        for method, module, data in judges + members:
            if len(rows.anomalies) or not method.uses_labels:
                method.train(module.train(), data, run)
                module.eval()

    def weigh(self, scorer: StackScorer, held: list[list[Tensor]], ways: list[Direction], *, labels: bool) -> None:
        """Surprise and weight of each piece of evidence, from its scores of what was held out."""
        usable = ~scorer.learned | labels
        usable[: len(self.measures)] &= torch.tensor([scorer.deviation.tells(name) for name in self.measures])
        for e in usable.nonzero()[:, 0].tolist():
            each = [(normals[e], strange[e]) for normals, strange in held]
            cast(Surprise, scorer.surprises[e]).fit(torch.cat([normals for normals, _ in each]))
            scorer.auroc[e] = mean_auroc(each, ways)
        scores, learned = scorer.auroc[usable].nan_to_num(0.0), scorer.learned[usable]
        says = weights(scores, learned, sharpness=self.sharpness, known=self.known, most=self.learned)
        scorer.weights = torch.zeros_like(scorer.weights).masked_scatter(usable, says)


class StackScorer(nn.Module):
    """Sum of weighted surprises: (n, d) -> (n,). `weights` (e,), and why: `auroc` (e, 2) on unseen and on known."""

    learned: Tensor  # (e,) whether the evidence uses labels
    weights: Tensor
    auroc: Tensor

    def __init__(self, d: int, *, measures: tuple[str, ...], learned: Tensor) -> None:
        super().__init__()
        self.d, e = d, len(learned)
        self.measures = [(FREE + RATIOS).index(name) for name in measures]
        self.deviation, self.ratio = Deviation(d), Ratio(d)
        self.judges, self.members = nn.ModuleList(), nn.ModuleList()
        self.surprises = nn.ModuleList(Surprise() for _ in range(e))
        self.register_buffer("learned", learned)
        self.register_buffer("weights", torch.ones(e) / e)
        self.register_buffer("auroc", torch.full((e, 2), torch.nan))

    @torch.no_grad()
    def evidence(self, x: Tensor, description: Tensor) -> Tensor:
        """What each piece of evidence says, 0 where it has no weight: (n, d), (n, width) -> (e, n)."""
        ratio = self.ratio(x, self.deviation, description)
        measures = torch.cat([description[:, : len(FREE)], ratio], dim=1).T
        rows = list(measures[self.measures])
        for modules, view in ((self.judges, description), (self.members, x)):
            for module in modules:
                trusted = self.weights[len(rows)] > 0
                rows.append(module(view) if trusted else torch.zeros_like(x[:, 0]))
        return torch.stack(rows)

    def forward(self, x: Tensor) -> Tensor:
        found = zip(self.weights, self.surprises, self.evidence(x, self.deviation(x)), strict=True)
        return torch.stack([weight * surprise(s) for weight, surprise, s in found if weight > 0]).sum(dim=0)

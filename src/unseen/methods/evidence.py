"""Evidence stack: the two levels of multi-directional meta-learning (arXiv 2601.19833), one floor up.

Inside, several cheap and very different kinds of evidence learn normality. Outside, rotating held-out anomaly classes
decide how far each is trusted: a judge that only knows what it was shown loses its say on what nobody has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import Direction, directions, together
from unseen.parts.nets import seeded
from unseen.parts.scoring import scores
from unseen.parts.surprise import Surprise, auroc
from unseen.types import Method, Run, Samples


@dataclass(frozen=True)
class EvidenceStack:
    """Weighted sum of the surprise, -log p among held-out normals, of several members' scores (Fisher 1932).

    The weight of a member grows as exp(sharpness * AUROC), its AUROC measured on anomalies that were held out with it
    against normals that were held out with it: in turn whole classes (does it find a class it does not know?) and a
    part of each class (does it find the classes it knows?). Normals are cross-fitted: every one of them is scored by
    members that did not see it, and none is lost to a split. The final members learn from all rows.

    With one anomaly class, the halves of it that differ most stand in for classes. With a single labelled anomaly
    nothing can be held out to judge by: the members share the weight equally. With none, the label-free members do.
    """

    members: tuple[Method, ...]
    sharpness: float = 10.0
    folds: int = 3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return StackScorer([member.build(shape) for member in self.members])

    def train(self, scorer: StackScorer, data: Samples, run: Run) -> None:
        normals, anomalies = data.normals, data.anomalies
        if len(normals) < self.folds:
            raise DataError(
                f"EvidenceStack cross-fits normals in {self.folds} folds, and was given {len(normals)}: add normal rows"
            )
        fold = torch.randperm(len(normals), generator=run.generator).to(data.x.device) % self.folds
        ways = directions(anomalies, run.generator, folds=self.folds)
        everything = torch.arange(len(anomalies), device=data.x.device)
        ways = ways or [Direction(everything, everything[:0], known=False)] * self.folds
        for e, member in enumerate(self.members):
            if member.uses_labels and not len(anomalies):
                scorer.weights[e] = 0
                continue
            held = self.cross_fit(member, normals, anomalies, fold, ways, run)
            cast(Surprise, scorer.surprises[e]).fit(torch.cat([s for s, _ in held]).to(run.device))
            scorer.auroc[e] = mean_auroc(held, ways)
            self.fit(member, scorer.members[e], data, run)
            scorer.weights[e] = torch.exp(self.sharpness * scorer.auroc[e].nan_to_num(0.0).mean())
        scorer.weights /= scorer.weights.sum()

    def cross_fit(
        self, member: Method, normals: Samples, anomalies: Samples, fold: Tensor, ways: list[Direction], run: Run
    ) -> list[tuple[Tensor, Tensor]]:
        """Scores of held-out normals and of held-out anomalies, for each direction.

        A member that uses no labels is fitted once a fold: whichever anomalies are held out, it would be the same.
        """
        held, fitted = [], dict[int, nn.Module]()
        for turn, way in enumerate(ways):
            out = fold == turn % self.folds
            if member.uses_labels or turn % self.folds not in fitted:
                inside = together(normals[~out], anomalies[way.inside])
                fitted[turn % self.folds] = self.fit(member, fresh(member, inside, run), inside, run)
            judge = fitted[turn % self.folds]
            held.append(
                (scores(judge, normals.x[out], run.device), scores(judge, anomalies.x[way.outside], run.device))
            )
        return held

    def fit(self, member: Method, scorer: nn.Module, data: Samples, run: Run) -> nn.Module:
        """Train one member's scorer in place, and set it to scoring."""
        member.train(scorer.train(), data, run)
        return scorer.eval()


class StackScorer(nn.Module):
    """Sum of weighted surprises: (n, d) -> (n,). `weights` (e,), and why: `auroc` (e, 2) on unseen and on known."""

    weights: Tensor
    auroc: Tensor

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.surprises = nn.ModuleList(Surprise() for _ in members)
        self.register_buffer("weights", torch.ones(len(members)) / len(members))
        self.register_buffer("auroc", torch.full((len(members), 2), torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), device=x.device)
        for weight, surprise, member in zip(self.weights, self.surprises, self.members, strict=True):
            if weight > 0:
                total = total + weight * surprise(member(x))
        return total


def fresh(member: Method, data: Samples, run: Run) -> nn.Module:
    """An untrained scorer of the member, with new initial weights."""
    return seeded(lambda: member.build(tuple(data.x.shape[1:])), run.seed()).to(run.device)


def mean_auroc(held: list[tuple[Tensor, Tensor]], ways: list[Direction]) -> Tensor:
    """Mean AUROC over directions that hold out classes, and over those that hold out rows of known classes: (2,)."""
    means = []
    for known in (False, True):
        each = [auroc(n, a) for (n, a), way in zip(held, ways, strict=True) if way.known == known and len(a)]
        means.append(sum(each) / len(each) if each else torch.nan)
    both = torch.tensor(means)
    return torch.where(both.isnan(), both.nanmean(), both)

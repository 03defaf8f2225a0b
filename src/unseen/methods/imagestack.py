"""Evidence stack for images: whole methods as evidence, trusted by held-out defect classes (arXiv 2601.19833)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from unseen.errors import DataError
from unseen.parts.cells import summary
from unseen.parts.episodes import directions, no_directions
from unseen.parts.imagestack import ImageStackScorer
from unseen.parts.nets import seeded
from unseen.parts.verdicts import mean_auroc, weights
from unseen.types import Method, Run, Samples

PARTS = 3  # parts of every class, each held out in turn from the other two
REFERENCES = 5  # folds in which images of a new product are scored by one another


@dataclass(frozen=True)
class ImageStack:
    """Sum of surprises of several methods for images, each trusted by held-out defect classes (arXiv 2601.19833).

    The outer level is the evidence stack's: whole defect classes are held out in turn, then parts of each class, with
    a fold of the normal images; how well a member finds them is its weight. What learned from labels has at most
    `learned` of the say on unknown classes, and what is asked on known ones, which count `known`. Its heat map adds up
    the surprises of members that have a map (`Patches`), cell by cell.

    `adapt` moves each member that can to a new product, and shifts its scores so that the new normal images, each
    scored by the members moved to the others, are as surprising as the old ones; members that cannot are left out.

    Equation:
        score(x)   = sum over members e of  weight_e * surprise_e(x)
        surprise_e = -log(share of held-out normal images that score higher with e), at most 20

    When: you have images of good parts, and do not know what to expect. It is the default for images.
    Differs: the paper's two levels, one floor up, with whole methods where it has directions of one network.

    >>> from unseen.methods.distances import Nearest
    >>> from unseen.methods.whole import Whole
    >>> ImageStack((Whole(Nearest()),)).build((3, 4, 4))(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2])
    """

    members: tuple[Method, ...]
    sharpness: tuple[float, float] = (20.0, 40.0)
    known: float = 0.4
    learned: float = 0.5
    folds: int = 5

    @property
    def uses_labels(self) -> bool:
        return any(member.uses_labels for member in self.members)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        learned = torch.tensor([member.uses_labels for member in self.members])
        return ImageStackScorer([member.build(shape) for member in self.members], learned)

    def train(self, scorer: ImageStackScorer, data: Samples, run: Run) -> None:
        normals = (data.y <= 0).nonzero()[:, 0]
        anomalies = (data.y > 0).nonzero()[:, 0]
        if len(normals) < 3:
            raise DataError(
                f"ImageStack learns from some good images and judges on others; it was given {len(normals)}, and needs "
                "at least 3, better 100: add images of good parts"
            )
        normals = normals[torch.randperm(len(normals), generator=run.generator).to(data.x.device)]
        folds = min(self.folds, len(normals))
        fold = torch.arange(len(normals), device=data.x.device) % folds
        rows = replace(data[anomalies], x=summary(data.x[anomalies]), mask=None, resaved=None)
        ways = directions(rows, run.generator, folds=PARTS) or no_directions(rows, folds)
        usable = ~scorer.learned | bool(len(anomalies))
        if not usable.any():
            raise DataError(
                "every member of this ImageStack learns from labelled images, and there are none: label some, or add a "
                "member that learns from good images alone, such as Patches(Nearest())"
            )
        held = []
        for turn, way in enumerate(ways):
            out = fold == turn % folds
            trial = cast(
                ImageStackScorer, seeded(lambda: self.build(tuple(data.x.shape[1:])), run.seed()).to(run.device)
            )
            trial.weights = usable / usable.sum()
            self.learn(trial, data[torch.cat([normals[~out], anomalies[way.inside]])], run)
            with torch.no_grad():
                held.append([trial.evidence(data[rows].both.x) for rows in (normals[out], anomalies[way.outside])])
                scorer.see(trial.evidence_maps(data[normals[out]].both.x))
        self.learn(scorer, data, run)
        scorer.surprise.fit(torch.cat([of_normals for of_normals, _ in held], dim=1))
        scorer.settle()
        for e in usable.nonzero()[:, 0].tolist():
            scorer.auroc[e] = mean_auroc([(good[e], bad[e]) for good, bad in held], ways)
        says = weights(
            scorer.auroc[usable],
            scorer.learned[usable],
            sharpness=self.sharpness,
            known=self.known,
            most=self.learned,
        )
        scorer.weights = torch.zeros_like(scorer.weights).masked_scatter(usable, says)

    def learn(self, scorer: ImageStackScorer, data: Samples, run: Run) -> None:
        """Train in place every member that can learn from these images."""
        for member, module in zip(self.members, scorer.members, strict=True):
            if len(data.anomalies) or not member.uses_labels:
                member.train(module.train(), data, run)
                module.eval()

    def adapt(self, scorer: ImageStackScorer, support: Samples, run: Run) -> ImageStackScorer:
        """A new scorer for the product that `support` shows."""
        moved, good = copy.deepcopy(scorer), support.normals
        fold = torch.arange(len(good), device=good.x.device) % min(REFERENCES, max(len(good), 1))
        for e, member in enumerate(self.members):
            if not hasattr(member, "adapt"):
                moved.weights[e] = 0
                continue
            moved.members[e] = member.adapt(scorer.members[e], support, run)
            if len(good) > 1:
                others = [member.adapt(scorer.members[e], good[fold != k], run) for k in fold.unique()]
                with torch.no_grad():
                    found = torch.cat([other(good[fold == k].both.x) for k, other in enumerate(others)])
                moved.shift[e] = scorer.surprise.normals[e].median() - found.mean()
        if not moved.weights.any():
            raise DataError("no member of this ImageStack that has a say can move to another product: fit anew")
        moved.weights /= moved.weights.sum()
        return moved

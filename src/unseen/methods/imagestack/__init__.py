"""Evidence stack for images: whole methods as evidence, weighed by held-out defect classes (arXiv
2601.19833).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.methods.imagestack.members import ImageEvidence, pooled
from unseen.parts.cells import cell_moments
from unseen.parts.episodes import held_out_splits, no_splits
from unseen.parts.evidence import (
    EvidenceScorer,
    Judge,
    Piece,
    cross_fitted,
    enough_evidence,
    enough_normals,
    held_out_scores,
    name_of,
    own_rows,
    shown_all,
)
from unseen.parts.nets import seeded
from unseen.types import CrossFitted, Method, Run, Samples, ability

_PARTS = 3  # parts of every class, each held out in turn from the other two
_REFERENCES = 5  # folds in which images of a new product are scored by one another


@dataclass(frozen=True)
class ImageStack:
    """Sum of surprisals of several methods for images, each weighed by held-out defect classes
    (arXiv 2601.19833).

    The outer level is the evidence stack's: whole defect classes are held out in turn, then parts
    of each class, with a fold of the normal images; how well a member finds them is its weight. Its
    heat map adds up the surprisals of members that have a map (`Patches`), cell by cell.

    `adapt` moves the members that keep nothing of the old product (`adapts_anew`), such as
    `Patches(Nearest())`, and leaves the others out: directions and defects of one product mislead
    in another. Without any, it moves each member that can. Scores are shifted so that the new
    normal images, each scored by what moved to the others, are as surprising as the old ones.

    Equation:
        score(x)    = sum over members e of  weight_e * surprisal_e(x)
        surprisal_e = -log(share of held-out normal images that score higher with e)

    When: you have images of good parts, and do not know what to expect. It is the default for
    images.
    Differs: the paper's two levels, one floor up, with whole methods where it has directions of one
    network.

    Parameters
    ----------
    members : tuple of methods
        Methods for images.
    inverse_temperature, seen_class_weight, most_from_labels, folds
        As in `EvidenceStack`.

    >>> from unseen.methods import Nearest, Whole
    >>> ImageStack((Whole(Nearest()),)).build((3, 4, 4))(torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2])
    """

    members: tuple[Method, ...]
    inverse_temperature: tuple[float, float] = (40.0, 80.0)
    seen_class_weight: float = 0.3
    most_from_labels: float = 0.3
    folds: int = 5

    @property
    def uses_labels(self) -> bool:
        return any(member.uses_labels for member in self.members)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        pieces = []
        for member in self.members:
            pools = ability(member, "pools") or [""]
            names = [f"{name_of(member)}{pool and ', '}{pool}" for pool in pools]
            pieces += [Piece(name, member.uses_labels, 1 / len(pools)) for name in names]
        return EvidenceScorer(
            pieces, ImageEvidence([member.build(shape) for member in self.members])
        )

    def train(self, scorer: EvidenceScorer, data: Samples, run: Run) -> None:
        self.train_calibrated(scorer, data, run)

    def train_calibrated(
        self, scorer: EvidenceScorer, data: Samples, run: Run
    ) -> Callable[[], CrossFitted]:
        """Train; what is returned scores normals by members that learned from other folds."""
        normals, anomalies = (data.y <= 0).nonzero()[:, 0], (data.y > 0).nonzero()[:, 0]
        enough_normals(len(normals), self, "images")
        normals = normals[torch.randperm(len(normals), generator=run.generator).to(data.x.device)]
        folds = min(self.folds, len(normals))
        fold = torch.arange(len(normals), device=data.x.device) % folds
        rows = replace(data[anomalies], x=cell_moments(data.x[anomalies]), mask=None, resaved=None)
        splits = held_out_splits(rows, run.generator, folds=_PARTS) or no_splits(rows, folds)
        base, usable = cast(ImageEvidence, scorer.base), ~scorer.uses_labels | bool(len(anomalies))
        enough_evidence(usable, self, "a member that learns without, such as Patches(Nearest())")
        maps: list[Tensor] = []  # of the normal images that each trial held out
        trained = self._trials(data, (normals, anomalies), fold, usable, maps, run)
        scores = held_out_scores(fold, splits, trained)
        self.learn(base.members, data, run, {})
        scorer.weigh(scores, splits, usable, self)
        base.settle(maps)

        def calibrated() -> CrossFitted:
            places = shown_all(fold, splits, len(anomalies), trained, scores)
            found = cross_fitted(scorer, normals, fold, scores, places)
            if not base.mapped:
                return found
            peaks = [base.added(maps[k], scorer.weights).flatten(1).amax(dim=1) for k in places]
            return replace(found, peaks=torch.cat(own_rows(fold, peaks)))

        return calibrated

    def _trials(
        self,
        data: Samples,
        rows: tuple[Tensor, Tensor],
        fold: Tensor,
        usable: Tensor,
        maps: list[Tensor],
        run: Run,
    ) -> Callable[[Tensor, Tensor], Judge]:
        """What `held_out_scores` trains: members on some of the images, which score the others;
        `rows` are numbers of the normal ones and of the anomalies, and `maps` gets the maps of the
        normal ones that were held out.
        """
        normals, anomalies = rows
        label_free: dict[int, dict[int, nn.Module]] = {}  # by fold held out and member

        def trained(inside: Tensor, shown: Tensor) -> Judge:
            whole = cast(
                EvidenceScorer, seeded(lambda: self.build(tuple(data.x.shape[1:])), run.seed())
            )
            trial = cast(ImageEvidence, whole.to(run.device).base)
            known = label_free.setdefault(int(fold[~inside][0]), {})
            learned = torch.cat([normals[inside], anomalies[shown]])
            self.learn(trial.members, data[learned], run, known)

            @torch.no_grad()
            def score(out: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
                normal, anomalous = data[normals[out]].both.x, data[anomalies[hidden]].both.x
                maps.append(trial.maps(normal, usable))
                return trial.scores(normal, usable), trial.scores(anomalous, usable)

            return score

        return trained

    def learn(
        self, modules: nn.ModuleList, data: Samples, run: Run, known: dict[int, nn.Module]
    ) -> None:
        """Train in place every member that can learn from these images; what learned from the same
        normal ones without labels before is `known`, by member.
        """
        for k, member in enumerate(self.members):
            if k in known:
                modules[k] = known[k]
            elif len(data.anomalies) or not member.uses_labels:
                member.train(modules[k].train(), data, run)
                modules[k].eval()
                if not member.uses_labels:
                    known[k] = modules[k]

    def adapt(self, scorer: EvidenceScorer, support: Samples, run: Run) -> EvidenceScorer:
        """A new scorer for the product that `support` shows."""
        moved, normal, members = (
            copy.deepcopy(scorer),
            support.normals,
            cast(ImageEvidence, scorer.base).members,
        )
        base = cast(ImageEvidence, moved.base)
        fold = torch.arange(len(normal), device=normal.x.device) % min(
            _REFERENCES, max(len(normal), 1)
        )
        able = [k for k, member in enumerate(self.members) if ability(member, "adapt")]
        anew = [k for k in able if ability(self.members[k], "adapts_anew")]
        moving = anew or able
        for k, member in enumerate(self.members):
            pieces = base.pieces(k)
            if k not in moving:
                moved.weights[pieces] = 0
                continue
            if anew:  # what the old product's defects say of them is no reason here
                moved.weights[pieces] = scorer.shares[pieces]
            move = ability(member, "adapt")
            base.members[k] = move(members[k], support, run)
            if len(normal) > 1:
                others = [move(members[k], normal[fold != part], run) for part in fold.unique()]
                with torch.no_grad():
                    found = torch.cat(
                        [
                            pooled(other, normal[fold == part].both.x)
                            for part, other in enumerate(others)
                        ],
                        dim=1,
                    )
                usual = scorer.surprisal.normals[pieces].median(dim=1).values
                base.shift[pieces] = usual - found.mean(dim=1)
        if not moved.weights.any():
            raise DataError(
                "no member of this ImageStack that has a weight can move to another product: fit "
                "anew"
            )
        moved.weights /= moved.weights.sum()
        moved.lag.fill_(torch.nan)  # nobody knows how far behind a piece is in the new product
        moved.hidden = None
        return moved

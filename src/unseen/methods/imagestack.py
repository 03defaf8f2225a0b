"""Evidence stack for images: whole methods as evidence, weighed by held-out defect classes (arXiv
2601.19833).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.cells import cell_moments
from unseen.parts.episodes import held_out_splits, no_splits
from unseen.parts.evidence import (
    EvidenceScorer,
    Judge,
    Piece,
    cross_fitted,
    enough_normals,
    held_out_scores,
    name_of,
    own_rows,
    shown_all,
)
from unseen.parts.nets import seeded
from unseen.parts.surprisal import Surprisal
from unseen.types import CrossFitted, Method, Run, Samples, ability

_PARTS = 3  # parts of every class, each held out in turn from the other two
_REFERENCES = 5  # folds in which images of a new product are scored by one another
_KEPT = 20_000  # cells of held-out normal images that say how surprising a cell is


@dataclass(frozen=True)
class ImageStack:
    """Sum of surprisals of several methods for images, each weighed by held-out defect classes
    (arXiv 2601.19833).

    The outer level is the evidence stack's: whole defect classes are held out in turn, then parts
    of each class, with a fold of the normal images; how well a member finds them is its weight. Its
    heat map adds up the surprisals of members that have a map (`Patches`), cell by cell.

    `adapt` moves each member that can to a new product, and shifts its scores so that the new
    normal images, each scored by the members moved to the others, are as surprising as the old
    ones; members that cannot are left out.

    Equation:
        score(x)    = sum over members e of  weight_e * surprisal_e(x)
        surprisal_e = -log(share of held-out normal images that score higher with e), at most 20

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
    inverse_temperature: tuple[float, float] = (20.0, 40.0)
    seen_class_weight: float = 0.4
    most_from_labels: float = 0.5
    folds: int = 5

    @property
    def uses_labels(self) -> bool:
        return any(member.uses_labels for member in self.members)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        pieces = [Piece(name_of(member), member.uses_labels) for member in self.members]
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
        if not usable.any():
            raise DataError(
                "every member of this ImageStack learns from labelled images, and there are none: "
                "label some, or add a member that learns from good images alone, such as "
                "Patches(Nearest())"
            )
        maps: list[Tensor] = []  # of the normal images that each trial held out

        def trained(inside: Tensor, shown: Tensor) -> Judge:
            whole = cast(
                EvidenceScorer, seeded(lambda: self.build(tuple(data.x.shape[1:])), run.seed())
            )
            trial = cast(ImageEvidence, whole.to(run.device).base)
            self.learn(trial.members, data[torch.cat([normals[inside], anomalies[shown]])], run)

            @torch.no_grad()
            def score(out: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
                normal, anomalous = data[normals[out]].both.x, data[anomalies[hidden]].both.x
                maps.append(trial.maps(normal, usable))
                return trial.scores(normal, usable), trial.scores(anomalous, usable)

            return score

        scores = held_out_scores(fold, splits, trained)
        self.learn(base.members, data, run)
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

    def learn(self, modules: nn.ModuleList, data: Samples, run: Run) -> None:
        """Train in place every member that can learn from these images."""
        for member, module in zip(self.members, modules, strict=True):
            if len(data.anomalies) or not member.uses_labels:
                member.train(module.train(), data, run)
                module.eval()

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
        for e, member in enumerate(self.members):
            move = ability(member, "adapt")
            if move is None:
                moved.weights[e] = 0
                continue
            base.members[e] = move(members[e], support, run)
            if len(normal) > 1:
                others = [move(members[e], normal[fold != k], run) for k in fold.unique()]
                with torch.no_grad():
                    found = torch.cat(
                        [other(normal[fold == k].both.x) for k, other in enumerate(others)]
                    )
                base.shift[e] = scorer.surprisal.normals[e].median() - found.mean()
        if not moved.weights.any():
            raise DataError(
                "no member of this ImageStack that has a weight can move to another product: fit "
                "anew"
            )
        moved.weights /= moved.weights.sum()
        return moved


class ImageEvidence(nn.Module):
    """Scores of members, of whole images and of cells: (n, d, h, w) -> (e, n).

    `shift` (e,) is added to a member's score: what it takes for the normal images of a new product
    to look as normal as those of the old one.
    """

    shift: Tensor

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mapped = [k for k, member in enumerate(self.members) if ability(member, "map")]
        self.cell_surprisal = Surprisal(len(self.mapped))
        self.register_buffer("shift", torch.zeros(len(self.members)))

    def scores(self, x: Tensor, wanted: Tensor) -> Tensor:
        """The score of each member, 0 of those that are not `wanted` (e,): (n, d, h, w) -> (e,
        n).
        """
        none = x.new_zeros(len(x))
        each = zip(self.members, wanted.tolist(), strict=True)
        return (
            torch.stack([member(x) if chosen else none for member, chosen in each])
            + self.shift[:, None]
        )

    def maps(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Scores of cells by members with a map, on the finest grid, 0 of those not `wanted`: (e',
        n, h, w).
        """
        chosen = [(i, k) for i, k in enumerate(self.mapped) if wanted[k]]
        each = [ability(self.members[k], "map")(x) + self.shift[k] for _, k in chosen]
        finest = max((one.shape[1:] for one in each), default=x.shape[2:])
        found = x.new_zeros(len(self.mapped), len(x), *finest)
        for (i, _), one in zip(chosen, each, strict=True):
            found[i] = F.interpolate(one[:, None], finest, mode="bilinear")[:, 0]
        return found

    def settle(self, maps: Sequence[Tensor]) -> None:
        """Learn how surprising a cell is from those of held-out normal images (e', n, h, w), or
        every so many.
        """
        found = torch.cat([each.flatten(1) for each in maps], dim=1)
        if len(found):
            self.cell_surprisal.fit(found[:, :: found.shape[1] // _KEPT + 1])

    def surprisal_map(self, x: Tensor, weights: Tensor) -> Tensor:
        """Sum of the surprisals of cells, by the weights (e,) of members with a map: (n, d, h, w)
        -> (n, h', w').
        """
        return self.added(self.maps(x, weights > 0), weights)

    def added(self, maps: Tensor, weights: Tensor) -> Tensor:
        """The map that maps of members add up to: (e', n, h, w) -> (n, h, w)."""
        share = weights[self.mapped]
        share = share / share.sum().clamp_min(1e-12)
        surprisal = self.cell_surprisal(maps.flatten(1)).view_as(maps)
        return (share[:, None, None, None] * surprisal).sum(dim=0)

"""Evidence: named pieces, each a score of its own, weighed by held-out anomalies and added up as
surprisals.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import HeldOut
from unseen.parts.exporting import drawing
from unseen.parts.ranking import auroc, outranks
from unseen.parts.surprisal import Surprisal
from unseen.types import CrossFitted, ability

# base scores of the normals and of the anomalies of each split: (e, a), (e, b)
HeldOutScores = list[tuple[Tensor, Tensor]]
# which pieces to score (e,): a tensor, or while a graph is drawn an array, whose values are known
Wanted = Tensor | NDArray[np.bool_]
# what was trained on some rows, and scores others: of normals and of anomalies
Judge = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
DOUBT = 0.1  # AUROC by which a row that was not held out may differ
LEAST = 0.005  # a smaller weight is none: it moves no score by more than 0.1, and costs time
FEW = 10  # rows of a class that is held out, up to which they do not tell how much known ones count
HALF = 20  # held-out rows at which weights follow AUROC half as sharply as they do with many
MORE = (0.55, 0.7, 0.85, 1.0)  # weights of known classes that are tried where there are more
_WORDS = {
    "Forest": "random forest",
    "Logistic": "logistic regression",
    "MultiDirectional": "multi-directional",
    "Nearest": "distance to the nearest normals",
}


@dataclass(frozen=True)
class Piece:
    """One piece of evidence.

    Parameters
    ----------
    name : str
        What a reader calls it.
    uses_labels : bool
        Whether it learns from labelled anomalies.
    share : float
        What it counts before anything was held out: pieces that look at one thing in several ways
        share a weight.
    """

    name: str
    uses_labels: bool
    share: float = 1.0


@dataclass(frozen=True)
class Weighed:
    """What became of a piece: its weight, and its AUROC on held-out classes and on known ones, NaN
    where none was.
    """

    name: str
    weight: float
    auroc_unseen: float
    auroc_seen: float


class Weighing(Protocol):
    """How AUROC becomes weight: fields of a stack, see `evidence_weights`."""

    @property
    def inverse_temperature(self) -> tuple[float, ...]: ...
    @property
    def seen_class_weight(self) -> float: ...
    @property
    def most_from_labels(self) -> float: ...


class BaseScores(Protocol):
    """What scores every piece: (n, *f) -> (e, n), 0 for those that are not `wanted` (e,)."""

    def scores(self, x: Tensor, wanted: Wanted) -> Tensor: ...


class EvidenceScorer(nn.Module):
    """Sum of weighted surprisals of named pieces: (n, *f) -> (n,).

    `weights` (e,), and why: `auroc` (e, 2) on held-out classes and on known ones. `lag` (e, 2, 2):
    how far each piece alone is behind, see `lags`; NaN once it is loaded. `hidden`: of each anomaly
    of a class held out whole what `hidden_pvalues` tells (k, 4); None without any, and once it is
    loaded. `base` scores the pieces."""

    uses_labels: Tensor  # (e,)
    weights: Tensor
    auroc: Tensor
    may_be_nan = ("auroc",)

    def __init__(self, pieces: Sequence[Piece], base: nn.Module) -> None:
        super().__init__()
        self.names = tuple(piece.name for piece in pieces)
        self.shares = torch.tensor([piece.share for piece in pieces])
        self.base = base
        e = len(pieces)
        self.surprisal = Surprisal(e)
        labels = [piece.uses_labels for piece in pieces]
        self.register_buffer("uses_labels", torch.tensor(labels, dtype=torch.bool))
        self.register_buffer("weights", torch.ones(e) / e)
        self.register_buffer("auroc", torch.full((e, 2), torch.nan))
        self.lag = torch.full((e, 2, 2), torch.nan)  # no buffer: what is saved is what it leads to
        self.hidden: Tensor | None = None  # no buffer either: members keep it, see `hidden_pvalues`

    @property
    def evidence(self) -> tuple[Weighed, ...]:
        """Each piece, and how far it counts."""
        each = zip(self.names, self.weights.tolist(), self.auroc.tolist(), strict=True)
        return tuple(Weighed(name, weight, *both) for name, weight, both in each)

    def base_scores(self, x: Tensor) -> Tensor:
        """The score of each piece that has a weight, 0 of others: (n, *f) -> (e, n)."""
        graph = drawing()
        weights = self.weights if graph is None else graph.value(self, "weights")
        return cast(BaseScores, self.base).scores(x, weights > 0)

    def told(self, x: Tensor) -> Tensor:
        """The score, and how much each piece adds to it: (n, *f) -> (n, 1 + e)."""
        each = self._each(self.base_scores(x))
        return torch.cat([each.sum(dim=0)[None], each]).T

    @property
    def map(self) -> Callable[[Tensor], Tensor] | None:
        """The map of surprisals, (n, d, h, w) -> (n, h', w'), of a base with one; else None."""
        if not ability(self.base, "mapped"):
            return None
        return lambda x: cast(Tensor, ability(self.base, "surprisal_map")(x, self.weights))

    def forward(self, x: Tensor) -> Tensor:
        return self.added(self.base_scores(x))

    def added(self, scores: Tensor) -> Tensor:
        """The score that base scores add up to: (e, n) -> (n,)."""
        return self._each(scores).sum(dim=0)

    def _each(self, scores: Tensor) -> Tensor:
        """What each piece adds: (e, n) -> (e, n)."""
        return self.weights[:, None] * self.surprisal(scores)

    def weigh(
        self,
        scores: HeldOutScores,
        splits: Sequence[HeldOut],
        usable: Tensor,
        by: Weighing,
        *,
        more: Sequence[float] = (),
    ) -> None:
        """Learn surprisal and weight of each usable piece (e,) from the scores of what was held
        out.

        `more`: larger weights of known classes, tried where classes that were held out whole have
        more than `FEW` rows. The one stays whose sum ranks best what was held out, classes and
        rows of known ones weighed by the field: what finds known classes better does not stay
        where it finds hidden ones less.
        """
        self.surprisal.fit(torch.cat([normals for normals, _ in scores], dim=1))
        for e in usable.nonzero()[:, 0].tolist():
            self.auroc[e] = mean_auroc(
                [(normals[e], anomalies[e]) for normals, anomalies in scores], splits
            )
        least = by.seen_class_weight
        hidden, shown = (
            [len(split.outside) for split in splits if split.known == known]
            for known in (False, True)
        )
        tries = [share for share in more if share > least and sum(hidden) > FEW * len(hidden)]
        found = []
        for share in (least, *tries):
            weights = evidence_weights(
                self.auroc[usable],
                self.uses_labels[usable],
                rows=(sum(hidden) or sum(shown), sum(shown) or sum(hidden)),
                inverse_temperature=by.inverse_temperature,
                seen_class_weight=share,
                most=by.most_from_labels,
                shares=self.shares.to(usable.device)[usable],
            )
            weights = torch.where(weights < LEAST, 0.0, weights)
            weights = weights / weights.sum()
            self.weights = torch.zeros_like(self.weights).masked_scatter(usable, weights)
            whole = [(self.added(normals), self.added(anomalies)) for normals, anomalies in scores]
            unseen, seen = mean_auroc(whole, splits).tolist()
            found.append(((1 - least) * unseen + least * seen, self.weights, whole))
        _, self.weights, whole = max(found, key=lambda each: each[0])
        for e in usable.nonzero()[:, 0].tolist():
            each = [(normals[e], anomalies[e]) for normals, anomalies in scores]
            self.lag[e] = lags(whole, each, splits)
        self.hidden = hidden_pvalues(whole, splits)


def held_out_scores(
    fold: Tensor,
    splits: Sequence[HeldOut],
    trained: Callable[[Tensor, Tensor], Judge],
) -> HeldOutScores:
    """The outer level: base scores of what each split holds out, by pieces that learned without it.

    `fold` (m,): of each normal row, of which one is held out by each split in turn.
    `trained(inside, shown)` learns from the normals of a mask (m,) and the anomalies of row
    numbers, and returns what scores others."""
    folds, found = int(fold.max()) + 1, []
    for turn, split in enumerate(splits):
        out = fold == turn % folds
        found.append(trained(~out, split.inside)(out, split.outside))
    return found


def shown_all(
    fold: Tensor,
    splits: Sequence[HeldOut],
    anomalies: int,
    trained: Callable[[Tensor, Tensor], Judge],
    found: HeldOutScores,
) -> list[int]:
    """For each fold of the normals (m,) the place in `found` of its scores by pieces that learned
    from all anomalies, as those that stay do; what no split scored so is scored and added.

    By pieces to which a class is not shown normals score as they will not later."""
    every, places = torch.arange(anomalies, device=fold.device), []
    for k in range(int(fold.max()) + 1):
        if k < len(splits) and not len(splits[k].outside):
            places.append(k)
            continue
        places.append(len(found))
        found.append(trained(fold != k, every)(fold == k, every[:0]))
    return places


@torch.no_grad()
def cross_fitted(
    scorer: EvidenceScorer, rows: Tensor, fold: Tensor, scores: HeldOutScores, places: list[int]
) -> CrossFitted:
    """Scores of the normal rows with these numbers (m,), from base scores of each fold."""
    each = own_rows(fold, [scores[k][0] for k in places])
    found = torch.cat([scorer.added(one) for one in each])
    return CrossFitted(rows[fold.argsort(stable=True)], found)


def own_rows(fold: Tensor, each: Sequence[Tensor]) -> list[Tensor]:
    """What was found for the rows of each fold (m,), without what stands behind them, such as
    images once more: (..., at least as many).
    """
    return [found[..., : int((fold == k).sum())] for k, found in enumerate(each)]


def enough_normals(count: int, method: object, noun: str) -> None:
    """DataError for fewer than 3 normals: some are learned from, others judge."""
    if count < 3:
        raise DataError(
            f"{type(method).__name__} learns from some normal {noun} and judges on others; it was "
            f"given {count}, and needs at least 3, better {'1,000' if noun == 'rows' else '100'}: "
            f"add normal {noun}"
        )


def enough_evidence(usable: Tensor, method: object, other: str) -> None:
    """DataError where no piece is `usable` (e,): all would score alike. `other` is what to add."""
    if not usable.any():
        raise DataError(
            f"no evidence of this {type(method).__name__} tells anything: what learns from labels "
            "was given no labelled anomaly, and what does not finds nothing to look at: label "
            f"anomalies, or add {other}"
        )


def name_of(method: Any, where: str = "") -> str:
    """What a reader calls the piece that a method is, with the switches that are on.

    >>> from unseen.methods import Nearest, Whole
    >>> name_of(Nearest(whiten=True), "on raw features"), name_of(Whole(Nearest()))
    ('distance ... (whiten) on raw features', 'distance to the nearest normals on whole images')
    """
    base, kind = getattr(method, "base", None), type(method).__name__
    if base is not None and kind in ("Whole", "Patches"):
        return name_of(base, "on whole images" if kind == "Whole" else "on patches")
    words = _WORDS.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    marks = ", ".join(
        field.name for field in dataclasses.fields(method) if getattr(method, field.name) is True
    )
    own = f"{words} ({marks})" if marks else words
    return f"{own} {where}".strip()


def mean_auroc(scores: list[tuple[Tensor, Tensor]], splits: Sequence[HeldOut]) -> Tensor:
    """Mean AUROC over splits that hold out classes, and over those that hold out rows of known
    classes: (2,).

    `scores`: those of the normals and of the anomalies that each split held out. NaN where none
    held out any."""
    means = []
    for known in (False, True):
        each = [
            auroc(n, a)
            for (n, a), split in zip(scores, splits, strict=True)
            if split.known == known and len(a)
        ]
        means.append(sum(each) / len(each) if each else torch.nan)
    both = torch.tensor(means)
    return torch.where(both.isnan(), both.nanmean(), both)


def lags(
    whole: list[tuple[Tensor, Tensor]],
    alone: list[tuple[Tensor, Tensor]],
    splits: Sequence[HeldOut],
) -> Tensor:
    """By how much AUROC one score is behind another on classes held out and on known ones, and the
    standard error of that: (2, 2).

    Mean over splits, each of which gives both scores of the normals and of the anomalies that it
    held out. The error is that of paired rows (DeLong et al. 1988), and of a row more that differs
    by `DOUBT`: that few rows agree is no proof. NaN where nothing was held out, or a single row."""
    found = []
    for known in (False, True):
        each = [k for k, split in enumerate(splits) if split.known == known and len(split.outside)]
        gaps = [
            [a - b for a, b in zip(outranks(*whole[k]), outranks(*alone[k]), strict=True)]
            for k in each
        ]
        if min((len(side) for gap in gaps for side in gap), default=0) < 2:
            found.append([torch.nan, torch.nan])
            continue
        variance = [float(side.var() / len(side)) for gap in gaps for side in gap]
        once = DOUBT / sum(len(splits[k].outside) for k in each)
        error = (sum(variance) / len(gaps) ** 2 + once**2) ** 0.5
        found.append([sum(float(gap[1].mean()) for gap in gaps) / len(gaps), error])
    return torch.tensor(found)


def hidden_pvalues(whole: list[tuple[Tensor, Tensor]], splits: Sequence[HeldOut]) -> Tensor | None:
    """How anomalies stand among normals for what was never shown their class: for each that a split
    held out with its whole class the number of the split, that of the row, and its conformal
    p-value among the normals that such splits held out (k, 3), float64. None without any.

    `whole`: scores of the normals and of the anomalies that each split held out.

    >>> normals, anomalies = torch.arange(9.0), torch.tensor([8.5, 4.0])
    >>> rows = torch.tensor([5, 3])
    >>> hidden_pvalues([(normals, anomalies)], [HeldOut(rows, rows, False)]).tolist()
    [[0.0, 5.0, 0.1, 0.1], [0.0, 3.0, 0.6, 0.1]]
    """
    hiding = [k for k, split in enumerate(splits) if not split.known and len(split.outside)]
    if not hiding:
        return None
    normals = torch.cat([whole[k][0] for k in hiding]).sort().values
    found = []
    for k in hiding:
        above = len(normals) - torch.searchsorted(normals, whole[k][1].contiguous())
        pvalue = (1 + above).double() / (len(normals) + 1)
        rows = splits[k].outside.double()
        finest = torch.full_like(rows, 1 / (len(normals) + 1))
        found.append(torch.stack([torch.full_like(rows, k), rows, pvalue, finest], dim=1))
    return torch.cat(found).cpu()


def evidence_weights(
    auroc: Tensor,
    uses_labels: Tensor,
    *,
    rows: tuple[int, int],
    inverse_temperature: tuple[float, ...],
    seen_class_weight: float,
    most: float,
    shares: Tensor | None = None,
) -> Tensor:
    """Weights of evidence, which sum to 1, from its AUROC on held-out and on known classes: (e, 2),
    (e,) -> (e,).

    (1 - w) u + w k with w = `seen_class_weight`, where u and k are proportional to `shares` (e,)
    times exp(inverse temperature * AUROC * n / (n + 20)). n, of `rows`, is how many anomalies tell
    each AUROC: of few it is mostly luck, and weights stay near one another. All evidence counts for
    u, but what `uses_labels` (e,) has at most `most` of it; for k that alone counts. Where nothing
    could be held out (NaN), shares alone decide, and there is no k.

    >>> labels = torch.tensor([False, True, True])
    >>> evidence_weights(
    ...     torch.zeros(3, 2),
    ...     labels,
    ...     rows=(20, 20),
    ...     inverse_temperature=(10, 40),
    ...     seen_class_weight=0.3,
    ...     most=0.4,
    ... )
    tensor([0.4200, 0.2900, 0.2900])
    >>> evidence_weights(
    ...     torch.full((3, 2), torch.nan),
    ...     labels,
    ...     rows=(0, 0),
    ...     inverse_temperature=(10, 40),
    ...     seen_class_weight=0.3,
    ...     most=0.4,
    ... )
    tensor([0.6000, 0.2000, 0.2000])
    """
    w = seen_class_weight if uses_labels.any() and not auroc.isnan().any() else 0.0
    unseen, seen = (
        torch.tensor(inverse_temperature, device=auroc.device)
        * torch.tensor([n / (n + HALF) for n in rows], device=auroc.device)
        * auroc.nan_to_num(0.0)
    ).unbind(dim=1)
    if shares is not None:
        unseen, seen = unseen + shares.log(), seen + shares.log()
    u = unseen.softmax(dim=0)
    if u[uses_labels].sum() > most and not uses_labels.all():
        # each side by itself: what labels leave of the sum may be less than its rounding
        with_labels, without = (
            unseen.masked_fill(left_out, -torch.inf).softmax(dim=0)
            for left_out in (~uses_labels, uses_labels)
        )
        u = most * with_labels + (1 - most) * without
    if w == 0:
        return u
    return (1 - w) * u + w * seen.masked_fill(~uses_labels, -torch.inf).softmax(dim=0)

"""Contamination audit: training rows that were taken for normal, those that look least like it
first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.data.labels import calibrators
from unseen.data.split import Rows
from unseen.errors import DataError, Unsupported
from unseen.parts.confidence import Confident, excess, excess_weights

Array = NDArray[np.float64]
Opinion = tuple[Rows, Array, Array]  # row numbers, their weights, their scores: (k,) each
# of the held-out scores that must be found again: a tree may decide otherwise on another processor
ALIKE = 0.99


class _Trained(Protocol):
    """A detector's member, as far as the audit asks: `calibration` (m,) are scores of the rows
    `held_out` (m,) by what did not learn from them; `in_training` its own where it did.
    """

    @property
    def scorer(self) -> nn.Module: ...

    @property
    def calibration(self) -> Array: ...

    @property
    def held_out(self) -> Rows | None: ...

    @property
    def in_training(self) -> Array | None: ...


Member = TypeVar("Member", bound=_Trained)


def audited(
    members: Sequence[Member],
    codes: NDArray[np.int64],
    normal: str,
    score: Callable[[Member, Rows], Array],
    stands: Rows,
) -> pa.Table:
    """`row`, `weight`, `score` and `label` of the training rows with codes (n,) of at most 0,
    lowest weight first.

    The score is how far a row lies beyond the lower quartile of its like, in units of the distance
    to Tukey's fence: from 1 on the weight falls as 1 / score. Who decides: members that carry
    weights (CoMet), of the rows that they were trained on; for rows that none of them was trained
    on, a member that they were held back from; else the members that were trained on them. Several
    are averaged. Rows are compared with those that the same member saw, or did not see, as well:
    what was learned from scores lower. `score(member, rows)` scores rows of the training table.
    `stands` (n,): the row that counted in a row's place; copies are as suspect as that one.
    """
    taken, rows = codes <= 0, np.flatnonzero(stands == np.arange(len(stands)))
    adapted = len(members) == 1 and members[0].in_training is None
    if adapted and np.array_equal(
        np.sort(_held_out_by(members[0])), rows[calibrators(codes[rows])]
    ):
        raise Unsupported(
            "adapt moved this detector to these rows, and trained it on none of them, so there is "
            "nothing to audit: audit the detector that it came from, or fit one on these rows"
        )
    for member in members:
        _check_same_table(member, taken, rows, score)
    weight, outlyingness = np.full((2, len(codes)), np.nan)
    for opinions in (
        _carried(members, rows),
        _outside(members),
        _inside_opinions(members, taken, score),
    ):
        if np.isnan(weight[taken]).any():  # else nobody is asked
            without = np.isnan(weight)
            for all_, mean in zip(
                (weight, outlyingness), _mean_opinion(list(opinions), len(codes)), strict=True
            ):
                all_[without] = mean[without]
    weight, outlyingness, rows = weight[stands], outlyingness[stands], np.flatnonzero(taken)
    rows = rows[np.lexsort((rows, -outlyingness[rows], weight[rows]))]
    labels = pa.array([normal if code == 0 else None for code in codes[rows]], pa.string())
    return pa.table(
        {"row": rows, "weight": weight[rows], "score": outlyingness[rows], "label": labels}
    )


def _check_same_table(
    member: Member, taken: NDArray[np.bool_], rows: Rows, score: Callable[[Member, Rows], Array]
) -> None:
    """DataError unless this is the table that the member was trained on, as far as the rows that it
    held out tell.
    """
    held_out = _held_out_by(member)
    if isinstance(member.scorer, Confident) and len(member.scorer.weight) + len(held_out) != len(
        rows
    ):
        trained = len(member.scorer.weight) + len(held_out)
        raise DataError(
            f"expected the {trained:,} rows that the detector was trained on, found {len(rows):,}"
        )
    foreign = held_out.max() >= len(taken) or not taken[held_out].all()
    if foreign or not as_in_training(member, score(member, held_out)):
        raise DataError(
            "expected the table that the detector was trained on, found one in which the rows "
            "that it held out score otherwise: the audit needs the very same rows and labels, in "
            "the same order"
        )


def _held_out_by(member: _Trained) -> Rows:
    if member.held_out is None:
        raise Unsupported(
            "this detector is of an earlier release and does not say which rows it held out: fit "
            "again"
        )
    return member.held_out


def as_in_training(member: _Trained, found: Array) -> bool:
    """Whether the rows that it held out score (m,) as they did in training, nearly all of them."""
    expected = member.calibration if member.in_training is None else member.in_training
    agree = np.isclose(found, expected, rtol=1e-3, atol=1e-3 * float(np.std(expected)))
    return bool(agree.mean() >= ALIKE)


def _carried(members: Sequence[Member], counted: Rows) -> Iterator[Opinion]:
    """Weights that CoMet trained with, of the rows that it trained on."""
    for member in members:
        if isinstance(member.scorer, Confident):
            weight, outlyingness = (
                t.cpu().double().numpy() for t in (member.scorer.weight, member.scorer.outlyingness)
            )
            yield np.setdiff1d(counted, _held_out_by(member)), weight, outlyingness


def _outside(members: Sequence[Member]) -> Iterator[Opinion]:
    """Weights of rows by members that did not see them."""
    for member in members:
        yield _held_out_by(member), *_weights_and_excess(member.calibration)


def _inside_opinions(
    members: Sequence[Member], taken: NDArray[np.bool_], score: Callable[[Member, Rows], Array]
) -> Iterator[Opinion]:
    """Weights of rows by members that were trained on them."""
    for member in members:
        rows = np.setdiff1d(np.flatnonzero(taken), _held_out_by(member))
        yield rows, *_weights_and_excess(score(member, rows))


def _weights_and_excess(scores: Array) -> tuple[Array, Array]:
    """Weights of rows, and their excess over the fence: (k,) -> (k,), (k,)."""
    outlyingness = excess(torch.from_numpy(scores))
    return excess_weights(outlyingness).double().numpy(), outlyingness.double().numpy()


def _mean_opinion(opinions: Sequence[Opinion], n: int) -> tuple[Array, Array]:
    """Mean weight and score of each row that a member judged, NaN for the others: (n,),
    (n,).
    """
    count, weight, outlyingness = np.zeros((3, n))
    for rows, *figures in opinions:
        count[rows] += 1
        weight[rows] += figures[0]
        outlyingness[rows] += figures[1]
    with np.errstate(invalid="ignore"):
        return weight / count, outlyingness / count

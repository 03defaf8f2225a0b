"""How a detector judges rows in which some columns are those of their nearest normal, and the
reasons that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from unseen.data.frames import python_value
from unseen.data.news import how_new
from unseen.data.schema import Schema
from unseen.data.split import Rows
from unseen.data.values import floats, written
from unseen.detector.conformal import Conformal, mean_deviation, outranked
from unseen.detector.members import Member
from unseen.detector.policy import check_level
from unseen.detector.references import References, check_kept
from unseen.errors import DataError, Unsupported
from unseen.explain.reasons import Change, Neighbour, Reason, Reasons, check_top
from unseen.explain.search import search
from unseen.types import Encoder, ability

Array = NDArray[np.float64]
Encoded = Sequence[NDArray[np.float32]]  # rows as each member sees them
BLOCK = 1024  # rows that are explained at a time
ASIDE = 5  # columns that do not count in a distance, as many as a reader can change at once
FAR, TIES = 2.0, 1e-3  # but for ties: up to so many standard deviations, times this
NEAR = 64  # normals near a row that it may be compared with
LEAST = 0.005  # a smaller share of the difference is not worth a reader's time


@dataclass(frozen=True)
class Judge:
    """What judges rows: a detector's members, what p-values follow from, where it computes, and
    the calibration scores of each member among which a row's stand.
    """

    members: tuple[Member, ...]
    conformal: Conformal
    device: torch.device
    among: Sequence[Array]

    def judged(self, each: Encoded, new: Array) -> tuple[Array, Array, Array]:
        """Scores as `Reasons` has them, p-values, and what each piece of evidence of `pieces` adds,
        of encoded rows that show so much that is new (k,): (k,), (k,), (k, e).
        """
        pairs = zip(self.members, each, strict=True)
        told = [member.told(x, self.device, new) for member, x in pairs]
        used = [place for place, _ in self.pieces]
        pieces = np.mean([adds for _, adds in told], axis=0)[:, used]
        return *self.placed([found for found, _ in told]), pieces

    def placed(self, each: Sequence[Array]) -> tuple[Array, Array]:
        """Scores and p-values of rows that the members give these scores, (k,) each."""
        if len(each) == 1:
            return each[0], self.conformal.pvalue(each[0])
        pvalues = self.conformal.pvalue(outranked(self.among, each))
        return mean_deviation([member.calibration for member in self.members], each), pvalues

    @cached_property
    def pieces(self) -> tuple[tuple[int, str], ...]:
        """Places and names of the pieces of evidence that have a weight; none of a method without
        pieces.
        """
        known = [ability(member.scorer, "evidence") for member in self.members]
        if None in known:
            return ()
        weighed = enumerate(zip(*known, strict=True))
        return tuple(
            (k, each[0].name) for k, each in weighed if any(piece.weight > 0 for piece in each)
        )


class Beside:
    """Rows of a table (n), each beside normals, as `search` asks for them.

    Their columns are those that are used, then others in which a value can be new, as they were
    constant in training. `near` are the places of the normals (n, t) in their table, the nearest
    first.
    """

    def __init__(self, judge: Judge, rows: pa.Table, normals: pa.Table, near: Rows) -> None:
        self.judge, encoder = judge, cast(Schema, judge.members[0].encoder)
        used, place = np.unique(near, return_inverse=True)
        self.near: Rows = place.reshape(near.shape)
        self.rows, self.table, self.precedent = rows, normals.take(used), encoder.precedent
        self.own = [member.encoder.encode(rows) for member in judge.members]
        self.normal = [member.encoder.encode(self.table) for member in judge.members]
        encoders = [cast(Schema, member.encoder) for member in judge.members]
        self.owner = [np.asarray(each.origin) for each in encoders]
        self.used, names = encoder.columns, [column.name for column in encoder.columns]
        others = self.precedent.names - set(names)
        self.names = names + [name for name in rows.column_names if name in others]
        amount = encoder.unprecedented(rows)
        self.some_new = bool(amount.any())
        self.gaps, self.far = np.zeros((2, len(rows), len(self.names)))
        for name, (gap, far) in encoder.news_by_column(rows).items() if self.some_new else ():
            self.gaps[:, self.names.index(name)] = gap
            self.far[:, self.names.index(name)] = far
        self.pieces = np.zeros((len(rows), len(judge.pieces)))  # of the rows themselves, once asked
        self.blank = np.zeros(len(rows), dtype=bool)
        every = np.ones((len(rows), len(self.names)), dtype=bool)
        self.blank = amount > self._new(np.arange(len(rows)), every) + 0.5

    @property
    def columns(self) -> int:
        return len(self.names)

    @property
    def normals(self) -> int:
        return int(self.near.shape[1])

    def farthest(self, rows: Rows, normals: Rows, most: int) -> Rows:
        """See `Hybrids`."""
        apart, near = self.gaps[rows] + self.far[rows], self.near[rows, normals]
        for own, normal, owner in zip(self.own, self.normal, self.owner, strict=True):
            steps = np.flatnonzero(np.diff(owner, prepend=-1))  # where each column begins
            distance = np.maximum.reduceat(np.abs(own[rows] - normal[near]), steps, axis=1)
            apart[:, : distance.shape[1]] += distance
        return np.argsort(-apart, axis=1, kind="stable")[:, :most]

    def _new(self, rows: Rows, own: NDArray[np.bool_]) -> Array:
        """How much hybrids show that training never did; the normals are of training."""
        gaps, far = self.gaps[rows] * own, self.far[rows] * own
        moves, farthest = (far > 0).sum(axis=1), far.max(axis=1)
        blank = self.blank[rows] & own.all(axis=1)
        return how_new(self.precedent, gaps.sum(axis=1), moves, farthest, blank)

    def judged(self, rows: Rows, normals: Rows, own: NDArray[np.bool_]) -> tuple[Array, Array]:
        """See `Hybrids`."""
        near = self.near[rows, normals]
        each = [
            np.where(own[:, owner], mine[rows], normal[near])
            for mine, normal, owner in zip(self.own, self.normal, self.owner, strict=True)
        ]
        new = self._new(rows, own) if self.some_new else np.zeros(len(own))
        found, pvalues, pieces = self.judge.judged(each, new)
        whole = own.all(axis=1)
        self.pieces[rows[whole]] = pieces[whole]
        return found, pvalues

    def reason(self, row: int, normal: int, column: int, added: float, whole: float) -> Reason:
        """A column of a row beside one of its normals, and what it adds of the whole difference."""
        name, share = self.names[column], added / whole if whole > 0 else float("nan")
        value = self._value(self.rows, row, column)
        if column < len(self.used):
            usual = self._value(self.table, int(self.near[row, normal]), column)
            return Reason(name, value, usual, added, share)
        constants = {constant.name: constant for constant in self.precedent.constants}
        if name not in constants:
            return Reason(name, value, "always a value", added, share)
        constant = constants[name].value
        boolean = constants[name].kind == "boolean"
        return Reason(name, value, bool(constant) if boolean else constant, added, share)

    def _value(self, table: pa.Table, row: int, column: int) -> object:
        """A value as the table has it; a number that it has as text as a number."""
        value = python_value(table[self.names[column]][row])
        if isinstance(value, str) and column < len(self.used):
            meant = self.used[column]
            text = pa.chunked_array([pa.array([value], pa.large_string())])
            read = floats(written(text), meant.spelling) if meant.kind == "number" else None
            return value if read is None else float(read[0])
        return value


class Training:
    """Training rows that stay, and the nearest of them.

    `names` are those of the codes: normal, and each class."""

    def __init__(
        self,
        members: Sequence[Member],
        device: torch.device,
        known: References,
        names: Sequence[str],
    ) -> None:
        self.schema, self.known, self.names = cast(Schema, members[0].encoder), known, names
        self.x = self.schema.encode(known.rows)
        self.sides = [np.flatnonzero(side) for side in (known.codes == 0, known.codes > 0)]
        normals = known.normals
        self.scores = [  # of the normals, by each member
            member.encoded_scores(member.encoder.encode(normals), device, 0.0) for member in members
        ]

    def apart(self, x: NDArray[np.float32], side: int) -> Array:
        """How far encoded rows (n, d) lie from the normals (side 0) or the labelled anomalies (1):
        (n, m).

        A distance is the sum over columns, each as far apart as its encoded columns are at most,
        without the `ASIDE` columns, or half of all, that are farthest: what lies far out in a few
        columns has its neighbours by the others, and few columns have to change. Of rows that are
        as near, those are nearer that are so in those columns, too."""
        others, schema = self.x[self.sides[side]], self.schema
        begins = np.flatnonzero(np.diff(np.asarray(schema.origin), prepend=-1))
        aside = min(ASIDE, (len(begins) + 1) // 2, len(begins) - 1)
        found, each = np.empty((len(x), len(others))), np.arange(len(others))
        for k, row in enumerate(x):
            columns = np.abs(others - row)
            if len(begins) < len(row):
                columns = np.maximum.reduceat(columns, begins, axis=1)
            found[k] = TIES * np.minimum(columns, FAR).sum(axis=1)
            for _ in range(aside):
                columns[each, columns.argmax(axis=1)] = 0.0
            found[k] += columns.sum(axis=1)
        return found

    def nearest_normals(self, apart: Array, judge: Judge, alpha: float) -> Rows:
        """For rows that lie so far from the normals (n, m) the places of the nearest that have p >
        alpha themselves, up to `NEAR`, the nearest first: (n, t). Where fewer have, they come
        again; where none at all has, the nearest stand in.
        """
        order = np.argsort(apart, axis=1, kind="stable")
        near, ordinary = order[:, :NEAR], judge.placed(self.scores)[1] > alpha
        if not ordinary[near].any(axis=1).all():
            first = np.argsort(~ordinary[order], axis=1, kind="stable")[:, :NEAR]
            near = np.take_along_axis(order, first, axis=1)
        usual = ordinary[near]
        count = usual.sum(axis=1)[:, None]
        first = np.argsort(~usual, axis=1, kind="stable")
        turn = np.arange(near.shape[1]) % np.where(count, count, near.shape[1])
        return np.take_along_axis(near, np.take_along_axis(first, turn, axis=1), axis=1)

    def neighbours(self, apart: Array, best: Rows, side: int) -> list[Neighbour]:
        """The rows of training that are nearest (n,), and how far they lie, of (n, m)."""
        places, each = self.sides[side][best], np.arange(len(best))
        return [
            Neighbour(int(self.known.numbers[k]), self.names[self.known.codes[k]], distance)
            for k, distance in zip(places, apart[each, best].tolist(), strict=True)
        ]


def check_explained(encoder: Encoder, known: References | None) -> References:
    """What reasons compare with; Unsupported where an earlier release kept none of it."""
    if known is None:
        raise Unsupported(
            "reasons compare a row with normal rows of training, and an earlier release saved this "
            "detector without any: fit and save it again"
        )
    if encoder.noun != "rows":
        check_kept(known)
    return known


def explained(
    judge: Judge, training: Training, X: object, *, top: int, alpha: float
) -> list[Reasons]:
    """Reasons of rows, a block at a time."""
    check_level("alpha", alpha)
    check_top(top)
    table = training.schema.arrow(training.schema.admit(X))
    if not len(table):
        raise DataError("expected at least one row to explain, got none")
    blocks = [table.slice(k, BLOCK) for k in range(0, len(table), BLOCK)]
    return [each for block in blocks for each in _of_block(judge, training, block, top, alpha)]


def _of_block(
    judge: Judge, training: Training, table: pa.Table, top: int, alpha: float
) -> list[Reasons]:
    n, x = len(table), training.schema.encode(table)
    apart = training.apart(x, 0)
    near = training.nearest_normals(apart, judge, alpha)
    beside = Beside(judge, table, training.known.normals, near)
    found = search(beside, n, alpha)
    normals = training.neighbours(apart, near[np.arange(n), found.normal], 0)
    anomalies: list[Neighbour | None] = [None] * n
    if len(training.sides[1]):
        apart = training.apart(x, 1)
        anomalies[:] = training.neighbours(apart, apart.argmin(axis=1), 1)
    names = [name for _, name in judge.pieces]
    reasons = []
    for k in range(n):
        whole = float(found.score[k] - found.baseline[k])
        added = dict(zip(found.named[k].tolist(), found.added[k].tolist(), strict=True))
        shown = [j for j, adds in added.items() if adds > LEAST * abs(whole)][:top]
        change, normal = found.changes[k], int(found.normal[k])
        back = sorted(change[0], key=lambda j: -added[j]) if change else []
        each = {j: beside.reason(k, normal, j, added[j], whole) for j in {*shown, *back}}
        others = sum(adds for j, adds in added.items() if j not in shown)
        reasons.append(
            Reasons(
                float(found.score[k]),
                float(found.baseline[k]),
                float(found.pvalue[k]),
                tuple(each[j] for j in shown),
                float(found.rest[k]) + others,
                Change(tuple(each[j] for j in back), change[1]) if change else None,
                normals[k],
                anomalies[k],
                tuple(zip(names, beside.pieces[k].tolist(), strict=True)),
            )
        )
    return reasons

"""Learning the columns of a training table, many at once, and what of constants and gaps it
shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.columns import Column, Kind
from unseen.data.fates import HEAD, nature
from unseen.data.precedent import Constant, Precedent
from unseen.data.scaling import CELLS
from unseen.data.spelling import PLAIN, Spelling
from unseen.data.values import booleans, labels, numbers

# of so many normal rows, one may show more that no other shows than what is taken for commonplace
ALONE = 500
# values of a column, and at least half of them, without which nobody knows whether it is constant
FEWEST = 3

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Plan:
    """A column that is to be learned."""

    name: str
    kind: Kind
    spelling: Spelling = PLAIN


@dataclass
class Witness:
    """What training rows (n,) show of gaps and constants."""

    normals: Mask
    complete: list[str] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    present: Mask = field(init=False)  # (n,)
    # (2, n): columns that move, or lack a value, in this row alone
    alone: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.present = np.zeros(len(self.normals), dtype=bool)
        self.alone = np.zeros((2, len(self.normals)), dtype=np.int64)

    def see(
        self, plans: list[Plan], values: NDArray[np.float64], found: list[str] | None = None
    ) -> None:
        """Columns (n, k), NaN where missing: numbers, yes and no as 1 and 0, or places among the
        levels `found`.
        """
        gaps = np.isnan(values)
        lacking = gaps.sum(axis=0)
        self.present |= ~gaps.all(axis=1)
        self.complete += [plans[j].name for j in np.flatnonzero(lacking == 0)]
        np.add.at(self.alone[1], gaps[:, lacking == 1].argmax(axis=0), 1)
        head = np.sort(values[:HEAD], axis=0)
        filled = (~np.isnan(head)).sum(axis=0)
        steady = np.flatnonzero(filled >= FEWEST)
        second = min(1, len(head) - 1)  # a fold of two rows is one row
        # the second and last but one of equal ones
        usual, other = (head[second, steady], head[filled[steady] - 2, steady])
        steady, usual = steady[usual == other], usual[usual == other]
        steady, usual = steady[np.isfinite(usual)], usual[np.isfinite(usual)]
        moved = ~gaps[:, steady] & (values[:, steady] != usual)
        enough = 2 * lacking[steady] <= len(values)
        np.add.at(self.alone[0], moved[:, enough & (moved.sum(axis=0) == 1)].argmax(axis=0), 1)
        for j, value in zip(
            steady[enough & ~moved.any(axis=0)], usual[enough & ~moved.any(axis=0)], strict=True
        ):
            self.keep(plans[j], float(value) if found is None else found[int(value)])

    def keep(self, plan: Plan, value: float | str) -> None:
        """Remember a column as constant."""
        if plan.kind != "text":
            self.constants.append(Constant(plan.name, plan.kind, value, plan.spelling))

    def precedent(self) -> Precedent:
        rows = self.alone[:, self.normals]
        place = rows.shape[1] - 1 - rows.shape[1] // ALONE
        moves, gaps = np.partition(rows, place, axis=1)[:, place].tolist()
        return Precedent(
            tuple(self.constants), tuple(self.complete), not self.present.all(), moves, gaps
        )


def learn(
    plans: list[Plan],
    constant: Sequence[str],
    given: pa.Table | NDArray[Any],
    names: Sequence[str],
    witness: Witness,
) -> list[Column]:
    """The columns that are used, from all of a table or a matrix; the witness sees those that are
    constant, too.
    """
    if isinstance(given, np.ndarray):
        place = {name: j for j, name in enumerate(names)}
        for name in constant:
            if np.isfinite(value := float(given[0, place[name]])):
                witness.keep(Plan(name, "number"), value)
        witness.complete += constant
        return _learn_matrix(plans, given, [place[plan.name] for plan in plans], witness)
    arrays = dict(zip(given.column_names, given.columns, strict=True))
    for name in constant:
        _learn_constant(name, arrays[name], witness)
    return _learn_table(plans, arrays, witness)


def _learn_matrix(
    plans: list[Plan], array: NDArray[Any], places: list[int], witness: Witness
) -> list[Column]:
    """Columns of numbers, at these places of a matrix (n, k), NaN where missing."""
    columns = []
    for start, stop in _chunks(len(plans), len(array)):
        values = array[:, places[start:stop]].astype(np.float64)
        columns += Column.learn_numbers(
            [plan.name for plan in plans[start:stop]], values, witness.normals
        )
        witness.see(plans[start:stop], values)
    return columns


def _learn_table(
    plans: list[Plan], table: Mapping[str, pa.ChunkedArray], witness: Witness
) -> list[Column]:
    """Columns of any kind, in the order of the plans; numbers are learned many at once."""
    normals, measured = witness.normals, [plan for plan in plans if plan.kind == "number"]
    learned = {}
    for start, stop in _chunks(len(measured), len(normals)):
        part = measured[start:stop]
        values = np.column_stack(
            [numbers(plan.name, table[plan.name], plan.spelling) for plan in part]
        )
        for column in Column.learn_numbers(
            [p.name for p in part], values, normals, [p.spelling for p in part]
        ):
            learned[column.name] = column
        witness.see(part, values)
    for plan in plans:
        if plan.kind != "number":
            learned[plan.name] = Column.learn(plan.name, plan.kind, table[plan.name], normals)
            witness.see([plan], *_placed(plan, learned[plan.name], table[plan.name]))
    return [learned[plan.name] for plan in plans]


def _learn_constant(name: str, array: pa.ChunkedArray, witness: Witness) -> None:
    """Remember the value of a column that has but one and no gap, unless it is a date."""
    found, one = nature(name, array), array[:1]
    witness.complete.append(name)
    if found.kind == "number":
        spelling = found.spelling
        value = float(numbers(name, one, spelling)[0])
        if np.isfinite(value):
            witness.keep(Plan(name, "number", spelling), value)
    elif found.kind == "boolean":
        witness.keep(Plan(name, "boolean"), float(booleans(name, one)[0]))
    elif found.kind not in ("date", "local date"):
        witness.keep(Plan(name, "category"), labels(one)[1][0])


def _placed(
    plan: Plan, column: Column, array: pa.ChunkedArray
) -> tuple[NDArray[np.float64], list[str] | None]:
    """Values (n, 1) of a column that holds no numbers, NaN where missing, and the levels that they
    are places among.
    """
    if plan.kind == "boolean":
        return booleans(plan.name, array)[:, None], None
    codes, found = labels(array, column.levels)
    places = np.arange(float(len(codes))) if plan.kind == "text" else codes.astype(np.float64)
    places[codes < 0] = np.nan
    return places[:, None], found


def _chunks(k: int, n: int) -> Iterator[tuple[int, int]]:
    """Begin and end of as many of k columns as a block of n rows may hold."""
    step = max(CELLS // max(n, 1), 1)
    yield from ((start, min(start + step, k)) for start in range(0, k, step))

"""What rows show that training never did: constant columns that move, gaps where there were none,
rows of gaps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.columns import Column
from unseen.data.precedent import Constant, Precedent, log_distance
from unseen.data.rows import Layout, numbers_of
from unseen.data.scaling import CELLS
from unseen.data.spelling import PLAIN, beginning
from unseen.data.values import is_text, is_usable, written

log = logging.getLogger("unseen")

SHOWN = 10  # columns that a warning names
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Finding:
    """A column that shows something new: in how many rows, the first of them from 0, and what it
    shows there.
    """

    name: str
    rows: int
    first: int
    value: str = ""

    def in_words(self, n: int) -> str:
        return (
            f"{self.name!r} in {self.rows:,} of {n:,} rows, first{self.value} in row "
            f"{self.first + 1:,}"
        )


@dataclass(frozen=True)
class News:
    """What rows show that training never did: how much, 0 where nothing (n,), and by column."""

    amount: NDArray[np.float64]
    moves: tuple[_Finding, ...] = ()
    gaps: tuple[_Finding, ...] = ()
    blank: Mask | None = None
    filled: tuple[str, ...] = ()

    def tell(self, once: NotedOnce) -> None:
        """A warning for each sort of it that was not told before."""
        n = len(self.amount)
        for found, sentence in (
            (self.moves, "columns that were constant in training have other values: %s"),
            (self.gaps, "values are missing in columns in which training never lacked one: %s"),
        ):
            if found:
                parts = [finding.in_words(n) for finding in found[:SHOWN]]
                more = f"; and {len(found) - SHOWN:,} more columns" if len(found) > SHOWN else ""
                once.warn(sentence, "; ".join(parts) + more, [finding.name for finding in found])
        if self.blank is not None:
            rows, first = f"{self.blank.sum():,}", f"{self.blank.argmax() + 1:,}"
            once.warn(
                "rows in which every value is missing: %s",
                f"{rows} of {n:,}, the first is row {first}",
                [""],
            )
        if self.filled:
            names = ", ".join(map(repr, self.filled[:SHOWN])) + (
                ", ..." if len(self.filled) > SHOWN else ""
            )
            once.warn(
                "columns that had no value in training have some, and are not used: %s",
                names,
                self.filled,
            )


class NotedOnce:
    """What was logged already of a table that comes in batches, each sort and column once; `done`
    rows went before the batch, which goes `through` this row, 0 for a table as a whole.
    """

    def __init__(self) -> None:
        self.done, self.through = 0, 0
        self._noted = set[tuple[str, str]]()

    def warn(self, sentence: str, what: str, names: Sequence[str]) -> None:
        """Log a warning, unless all of it was said before."""
        of = {(sentence, name) for name in names}
        if not of <= self._noted:
            self._noted |= of
            again = ", counted from 1 again" if self.done else ""
            part = f"in rows {self.done + 1:,} to {self.through:,}{again}: "
            where = part if self.through else ""
            log.warning(where + sentence, what)


class _Watch:
    """Collects gaps and moves, column by column or many at once."""

    def __init__(self, rows: int) -> None:
        self.gaps, self.moves = np.zeros((2, rows), dtype=np.int64)
        self.far = np.zeros(rows)
        self.gap_findings: list[_Finding] = []
        self.move_findings: list[_Finding] = []

    def see_gaps(self, names: Sequence[str], gaps: Mask) -> None:
        """Gaps (n, k) in columns that had none."""
        self.gaps += gaps.sum(axis=1)
        for j in np.flatnonzero(gaps.any(axis=0)).tolist():
            self.gap_findings.append(
                _Finding(names[j], int(gaps[:, j].sum()), int(gaps[:, j].argmax()))
            )

    def see_moves(
        self, constants: Sequence[Constant], far: NDArray[np.float64], values: Sequence[Any]
    ) -> None:
        """How far constants moved (n, k), and their values (k) of (n,)."""
        moved = far > 0
        self.moves += moved.sum(axis=1)
        np.maximum(self.far, far.max(axis=1, initial=0.0), out=self.far)
        for j in np.flatnonzero(moved.any(axis=0)).tolist():
            first = int(moved[:, j].argmax())
            value = values[j][first]
            shown = value.as_py() if isinstance(value, pa.Scalar) else value.item()
            change = (
                f" {beginning(_figure(shown))} in place of "
                f"{beginning(_constant_in_words(constants[j]))}"
            )
            self.move_findings.append(
                _Finding(constants[j].name, int(moved[:, j].sum()), first, change)
            )

    def in_order(self, names: Sequence[str]) -> None:
        """Gaps by the order of their columns, however they were found."""
        if len(self.gap_findings) > 1:
            place = {name: j for j, name in enumerate(names)}
            self.gap_findings.sort(key=lambda found: place[found.name])

    def lacking(self, complete: int) -> NDArray[np.int64]:
        """Rows that lack a value in all columns, so many, that never lacked one."""
        return np.flatnonzero(self.gaps == complete)

    def news(self, precedent: Precedent, blank: Mask, filled: tuple[str, ...]) -> News:
        amount = how_new(precedent, self.gaps, self.moves, self.far, blank)
        found = tuple(self.move_findings), tuple(self.gap_findings)
        return News(amount, *found, blank if blank.any() else None, filled)


def news_of_table(
    precedent: Precedent, layout: Layout, empty: Sequence[str], table: pa.Table
) -> News:
    """What a table shows that training never did."""
    n, place = len(table), {name: j for j, name in enumerate(table.schema.names)}
    watch, used = _Watch(n), {column.name: column for column in layout.columns}
    groups, others = layout.looked_at
    for names in groups:
        for block in _column_blocks(list(range(len(names))), n):
            some = names if len(block) == len(names) else [names[j] for j in block]
            gaps = np.isnan(numbers_of(table, some))
            if gaps.any():
                watch.see_gaps(some, gaps)
    for name in others:
        if (gap := _missing(table.column(place[name]), used.get(name))) is not None:
            watch.see_gaps([name], gap[:, None])
    for constant in precedent.constants:
        if constant.name not in place:
            continue
        array = table.column(place[constant.name])
        if (far := constant.moved(array)).any():
            watch.see_moves([constant], far[:, None], [array])
    rows = watch.lacking(len(others) + sum(map(len, groups)))
    if not precedent.blank:
        for column in layout.columns:
            array = table.column(place[column.name])
            gap = _missing(array.take(rows), column) if len(rows) else None
            rows = rows[:0] if gap is None else rows[gap]
    blank = np.zeros(n, dtype=bool)
    blank[rows if not precedent.blank else rows[:0]] = True
    filled = tuple(
        name for name in empty if name in place and _holds_any(table.column(place[name]))
    )
    watch.in_order(precedent.complete)
    return watch.news(precedent, blank, filled)


def news_of_matrix(
    precedent: Precedent,
    columns: Sequence[Column],
    empty: Sequence[str],
    array: NDArray[Any],
    names: Sequence[str],
) -> News:
    """What a matrix (n, k) shows that training never did; all constants are numbers."""
    n, place = len(array), {name: j for j, name in enumerate(names)}
    watch = _Watch(n)
    floating = array.dtype.kind == "f"
    for block in _column_blocks(
        [place[name] for name in precedent.complete] if floating else [], n
    ):
        gaps = np.isnan(array[:, block])
        if gaps.any():
            watch.see_gaps([names[j] for j in block], gaps)
    constants = precedent.constants
    for block in _column_blocks(list(range(len(constants))), n):
        part = [constants[j] for j in block]
        values = array[:, [place[constant.name] for constant in part]].astype(np.float64)
        far = log_distance(values, np.array([float(constant.value) for constant in part]))
        if far.any():
            watch.see_moves(part, far, list(values.T))
    blank = np.zeros(n, dtype=bool)
    if floating and not precedent.blank:
        used = [place[column.name] for column in columns]
        rows = watch.lacking(len(precedent.complete))
        rows = rows[np.isnan(array[rows, used[0]])]
        blank[rows[np.isnan(array[rows][:, used]).all(axis=1)]] = True
    filled = tuple(
        name for name in empty if not floating or not np.isnan(array[:, place[name]]).all()
    )
    return watch.news(precedent, blank, filled)


def how_new(
    precedent: Precedent,
    gaps: NDArray[np.int64],
    moves: NDArray[np.int64],
    far: NDArray[np.float64],
    blank: Mask,
) -> NDArray[np.float64]:
    """How much rows show that training never did, from the numbers of columns that lack a value and
    that moved, the farthest move, and whether they are blank: (n,) each -> (n,).
    """
    beyond = np.maximum(gaps - precedent.gaps, 0) + np.maximum(moves - precedent.moves, 0) + blank
    return np.where(beyond > 0, beyond + far, 0.0)


def news_by_column(
    precedent: Precedent, columns: Sequence[Column], table: pa.Table
) -> dict[str, tuple[Mask, NDArray[np.float64]]]:
    """By the name of a column in which rows show something new: where they lack a value that
    training never lacked, and how far each moved from a constant, (n,) each.
    """
    present, used = set(table.column_names), {column.name: column for column in columns}
    nowhere, found = np.zeros(len(table), dtype=bool), {}
    for name in precedent.complete:
        if name in present and (gap := _missing(table[name], used.get(name))) is not None:
            found[name] = gap, np.zeros(len(table))
    for constant in precedent.constants:
        if constant.name in present and (far := constant.moved(table[constant.name])).any():
            found[constant.name] = found.get(constant.name, (nowhere,))[0], far
    return found


def _missing(array: pa.ChunkedArray, column: Column | None) -> Mask | None:
    """Which values are missing (n,), None where none is."""
    if is_text(array.type):
        spelling = PLAIN if column is None else column.spelling
        array = written(array, () if column is None else column.levels)
        if spelling.gaps:
            array = pc.if_else(
                pc.is_in(array, value_set=pa.array(spelling.gaps, array.type)), None, array
            )
    if pa.types.is_floating(array.type):
        gaps = np.isnan(array.to_numpy())
    else:
        gaps = (
            np.array(pc.is_null(array), dtype=bool) if array.null_count else np.zeros(0, dtype=bool)
        )
    return gaps if gaps.any() else None


def merged(precedent: Precedent, news: News) -> Precedent:
    """The precedent once these rows are known, too."""
    moved, lacking = ({finding.name for finding in found} for found in (news.moves, news.gaps))
    return replace(
        precedent,
        constants=tuple(constant for constant in precedent.constants if constant.name not in moved),
        complete=tuple(name for name in precedent.complete if name not in lacking),
        blank=precedent.blank or news.blank is not None,
    )


def _figure(value: object) -> str:
    """A value as a user would write it: whole numbers without a point."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _constant_in_words(constant: Constant) -> str:
    return str(bool(constant.value)) if constant.kind == "boolean" else _figure(constant.value)


def _holds_any(array: pa.ChunkedArray) -> bool:
    gap = _missing(array, None)
    return is_usable(array.type) and len(array) > 0 and (gap is None or not gap.all())


def _column_blocks(items: list[int], n: int) -> Iterator[list[int]]:
    """As many columns at a time as a block of n rows may hold."""
    step = max(CELLS // max(n, 1), 1)
    yield from (items[start : start + step] for start in range(0, len(items), step))

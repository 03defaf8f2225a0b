"""Training rows that occur more than once: copies of one record, or a state that comes again?

A copy calibrates against itself: held out, it looks as normal as the row that was trained on, and
the p-values of fresh rows become far too small. A row that by its nature occurs often, such as a
machine at rest or one of a few patterns, is what fresh rows will be like, and has to count each
time. What tells them apart is whether a row could be there twice by chance: not if it holds a value
that no other row holds, nor if no other row differs from it in a single column, or in a few columns
that change together, such as the two that two levels have of a category."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.split import Rows
from unseen.errors import DataError

Hashes = NDArray[np.uint64]

CHOICES = ("keep", "once")
STATE = 0.01  # share of the rows, and
OFTEN = 20  # times, from which on a row is a state that comes again, whatever its values
CLEAR = 5  # times as often as any copy: less is the end of copies that are unevenly many
# distinct rows that hardly occur an even number of times each, unless all of them were copied
MANY = 30
FEW = 10  # distinct rows: fewer are all states, and fewer may repeat equally often by chance
# 5% quantile of the gaps between values, in units of their median: random values have .07, whole
# numbers 1
GRID = 0.2
# standard deviations: rows that differ by less in every column differ in the last digits
COARSE = 0.01
NEARLY = 0.1  # share of the rows from which on near copies are worth a warning
MOST = 1 << 20  # cells of rows that near copies are looked for among
BLOCK = 1 << 20  # cells hashed at a time
# rows like one that are expected by how often its parts occur: from there on it may well be there
# twice
LIKELY = 0.3
ROWS = 256  # distinct rows, for which those are looked for that are most like them,
CELLS = 1 << 26  # among so many cells, and
BLOCKS = 64  # sets of columns that change together


@dataclass(frozen=True)
class Table:
    """Encoded rows (n, d), which columns of the user each of the d comes from, and what else must
    agree (n,).
    """

    x: NDArray[np.float32]
    origin: NDArray[np.int64]
    kind: NDArray[np.int64]

    def total(self) -> Hashes:
        """A hash of each row: (n,)."""
        return _hashed(self.x) + _mixed(self.kind.astype(np.uint64))

    def units(self) -> Iterator[tuple[int, Callable[[Rows], Hashes]]]:
        """The user's columns, each with what hashes its part of some rows; a total less it is the
        total without it.
        """
        for j in np.unique(self.origin):
            yield int(j), partial(self._part, np.flatnonzero(self.origin == j))

    def _part(self, columns: NDArray[np.int64], rows: Rows) -> Hashes:
        return _hashed(self.x[np.ix_(rows, columns)], columns)

    def take(self, rows: Rows) -> Table:
        """Some of the rows; of all in their order, the same."""
        if np.array_equal(rows, np.arange(len(self.x))):
            return self
        return Table(self.x[rows], self.origin, self.kind[rows])

    def without(self, j: int) -> Table:
        """The rows without a column of the user's."""
        kept = self.origin != j
        return Table(self.x[:, kept], self.origin[kept], self.kind)


def representatives(table: Table, repeats: str | None, *, chance: bool = True) -> Rows:
    """For each row the number of the row that stands for it, itself where it counts: (n,).

    `repeats`: "keep" counts every row, "once" each distinct row once, None copies once and other
    repeats as they come. `chance`: whether a row could be there twice by chance at all, as no image
    could.

    >>> rows = Table(
    ...     np.array([[0.5, 0.1], [0.7, 0.3], [0.5, 0.1]], np.float32),
    ...     np.arange(2),
    ...     np.zeros(3, np.int64),
    ... )
    >>> representatives(rows, "once"), representatives(rows, "keep")
    (array([0, 1, 0]), array([0, 1, 2]))
    """
    if repeats not in (None, *CHOICES):
        raise DataError(f"repeats must be 'keep', 'once' or None, got {repeats!r}")
    n = len(table.x)
    total = table.total()
    _, first, place, count = np.unique(
        total, return_index=True, return_inverse=True, return_counts=True
    )
    if repeats == "keep" or len(first) == n:
        return np.arange(n)
    if repeats is None and (times := _whole_copies(table.kind[first], count)[place]).max() > 1:
        return _of_one(table, total, times, chance=chance)
    real = (
        _by_chance(table, total, first, count > 1)
        if repeats is None and chance
        else np.zeros(len(first), dtype=bool)
    )
    if repeats is None:
        real |= _states(count, real, n)
    return np.where(real[place], np.arange(n), first[place])


def _states(count: Rows, real: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Which distinct rows, that occur so often among n, are states; copies may be many of one row
    and few of others.
    """
    if len(count) < FEW:
        return np.ones(len(count), dtype=bool)
    often, again = (count >= OFTEN) & (count >= STATE * n), count[count > 1]
    if len(again) >= FEW and again.min() == again.max():  # all rows were copied alike
        return np.zeros(len(count), dtype=bool)
    copied = count[(count > 1) & ~often & ~real]
    return often & (count >= CLEAR * copied.max()) if len(copied) >= FEW else often


def _whole_copies(kind: NDArray[np.int64], count: Rows) -> Rows:
    """How often the table was put together from itself, to tell by how often its distinct rows
    occur: (u,) -> (u,).

    Ever the same number of times, or a multiple of it: no chance does that to many rows, however
    few values they have."""
    times = np.ones(len(count), dtype=np.int64)
    for each in np.unique(kind):
        of = kind == each
        if of.sum() >= MANY:
            times[of] = np.gcd.reduce(count[of])
    return times


def _of_one(table: Table, total: Hashes, times: Rows, *, chance: bool) -> Rows:
    """`representatives` of a table that holds rows so many `times` as they were (n,), all but one
    of them copies.
    """
    order = np.argsort(total, kind="stable")
    begins = np.r_[True, total[order][1:] != total[order][:-1]]
    nth = np.arange(len(order)) - np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    stands = np.empty(len(order), dtype=np.int64)
    stands[order] = order[np.arange(len(order)) - nth % times[order]]
    own = np.flatnonzero(stands == np.arange(len(stands)))
    return own[representatives(table.take(own), None, chance=chance)][np.searchsorted(own, stands)]


def nearly(table: Table) -> int | str | None:
    """Where near copies differ: the number of the user's column, "digits" for the last digits, None
    without any.

    Rows are looked through that agree in half of the columns, for differences in a column of the
    other half."""
    units = np.unique(table.origin)
    if len(units) < 2 or len(table.x) < 2:  # values of one column lie near each other by chance
        return None
    for half in (units[: len(units) // 2], units[len(units) // 2 :]):
        agreeing = _alike(table, np.isin(table.origin, half))
        total, shares = agreeing.total(), {}
        for j, unit in agreeing.units():
            if j not in half:
                shares[j] = _shared(total - unit(np.arange(len(total)))).mean()
        for j in sorted(shares, key=lambda j: -shares[j])[:2]:
            if shares[j] >= NEARLY and _copies(agreeing.without(j)):
                return j
    coarse = Table(np.round(table.x / COARSE).astype(np.float32), table.origin, table.kind)
    return "digits" if _copies(_alike(coarse, np.ones(coarse.x.shape[1], dtype=bool))) else None


def _copies(table: Table) -> bool:
    """Whether copies are a share of the rows worth a word; of two copies one is counted."""
    return (
        len(table.x) > 0
        and np.mean(representatives(table, None) != np.arange(len(table.x))) >= NEARLY / 2
    )


def _alike(table: Table, columns: NDArray[np.bool_]) -> Table:
    """At most about MOST cells of the rows: all with some of the contents that these columns have,
    none with others.
    """
    step = -(-table.x.size // MOST)
    if step < 2 or not columns.any():
        return table
    rows = np.flatnonzero(_hashed(table.x[:, columns]) % np.uint64(step) == 0)
    return table.take(rows)


def _by_chance(
    table: Table, total: Hashes, first: Rows, repeated: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether distinct rows (u,), given by where they first occur, may well be there twice."""
    if len(np.unique(table.origin)) == 1:
        return np.full(len(first), _is_grid(table.x[first]))
    recurs, alike = np.ones(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
    parts = []
    for _, unit in table.units():
        own = unit(first)
        parts.append(own)
        recurs &= _shared(own)
        alike |= _likely(total[first], own, len(first))
        if not recurs[repeated].any():
            break
    undecided = np.flatnonzero(recurs & repeated & ~alike)
    if len(undecided):
        alike |= _in_blocks(np.column_stack(parts), total[first], undecided, len(total))
    return recurs & alike


def _in_blocks(parts: Hashes, total: Hashes, undecided: Rows, n: int) -> NDArray[np.bool_]:
    """Which distinct rows are likely by a block of columns that change together, the rest of which
    they share: (u,).

    A block are those columns in which some undecided row differs from one of those most like it: of
    a category in columns of its levels two of these, of a sum the sum and a summand. `parts` are
    hashes of the columns (u, d)."""
    u, d = parts.shape
    step = -(-len(undecided) // ROWS)
    others = np.arange(0, u, max(-(-u * d * ROWS // CELLS), 1))
    blocks: dict[bytes, int] = {}
    for row in undecided[::step]:
        differs = parts[others] != parts[row]
        count = differs.sum(axis=1)
        count[count == 0] = d + 1
        for near in np.argsort(count, kind="stable")[:3]:
            if count[near] <= d // 2 + 1:
                key = differs[near].tobytes()
                blocks[key] = blocks.get(key, 0) + 1
    likely = np.zeros(u, dtype=bool)
    for key in sorted(blocks, key=lambda key: -blocks[key])[:BLOCKS]:
        block = np.frombuffer(key, dtype=bool)
        likely |= _likely(total, parts[:, block].sum(axis=1, dtype=np.uint64), n)
    return likely


def _likely(total: Hashes, part: Hashes, n: int) -> NDArray[np.bool_]:
    """Which distinct rows are to be expected among n, had a part of theirs nothing to do with the
    rest: (u,) -> (u,).

    A rest that no other row has tells nothing.
    """
    rest, u = _times(total - part), len(total)
    return (rest > 1) & (n * (rest / u) * (_times(part) / u) >= LIKELY)


def _times(hashes: Hashes) -> NDArray[np.float64]:
    """How often each occurs: (n,) -> (n,)."""
    _, place, count = np.unique(hashes, return_inverse=True, return_counts=True)
    return count[place].astype(np.float64)


def _is_grid(values: NDArray[np.float32]) -> bool:
    """Whether distinct values lie evenly, as whole numbers and rounded ones do."""
    gaps = np.diff(np.unique(values.sum(axis=1)))
    return len(gaps) < 2 or bool(np.quantile(gaps, 0.05) >= GRID * np.median(gaps))


def _shared(hashes: Hashes) -> NDArray[np.bool_]:
    """Which of these occur more than once: (n,) -> (n,)."""
    order = np.argsort(hashes, kind="stable")
    same = hashes[order][1:] == hashes[order][:-1]
    found = np.zeros(len(hashes), dtype=bool)
    found[order[1:]] = same
    found[order[:-1]] |= same
    return found


def _hashed(x: NDArray[np.float32], columns: NDArray[Any] | None = None) -> Hashes:
    """The sum of a hash of each cell, by its column and bits, so that a column can be taken out:
    (n, d) -> (n,).
    """
    n, d = x.shape
    salt = _mixed(
        np.arange(1, d + 1, dtype=np.uint64) if columns is None else (columns + 1).astype(np.uint64)
    )
    found = np.zeros(n, dtype=np.uint64)
    step = max(BLOCK // max(d, 1), 1)
    for start in range(0, n, step):
        bits = (x[start : start + step] + np.float32(0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
        found[start : start + step] = _mixed(bits.astype(np.uint64) ^ salt).sum(
            axis=1, dtype=np.uint64
        )
    return found


def _mixed(z: Hashes) -> Hashes:
    """Steele, Lea & Flood 2014, SplitMix64: a permutation of 64-bit numbers in which every bit
    moves every other.
    """
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))

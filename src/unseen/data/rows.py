"""Rows of tables and matrices as blocks of raw numbers, to be standardised."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.columns import Column
from unseen.data.scaling import Fill
from unseen.errors import DataError

# Arrow's types of which many columns are read at once, and become float64 as one by one
_NUMBERS = {kind.id for kind in (pa.float64(), pa.float32(), pa.int64(), pa.int32(), pa.uint32())}
_NUMBERS |= {kind.id for kind in (pa.int16(), pa.uint16(), pa.int8(), pa.uint8(), pa.uint64())}


def alike(schema: pa.Schema, wanted: Collection[str]) -> list[list[str]]:
    """Those of the wanted columns that are numbers to Arrow, by their type: `numbers_of` reads each
    list of them at once.

    >>> table = pa.table({"a": [1.5], "b": [1], "c": ["x"], "d": [2.5], "e": [0.5]})
    >>> alike(table.schema, {"a", "b", "c", "d"})
    [['a', 'd'], ['b']]
    """
    groups = dict[int, list[str]]()
    for name, kind in zip(schema.names, schema.types, strict=True):
        if kind.id in _NUMBERS and name in wanted:
            groups.setdefault(kind.id, []).append(name)
    return list(groups.values())


def numbers_of(table: pa.Table, names: list[str]) -> NDArray[Any]:
    """The values of columns of one type of numbers, NaN where missing: (n, k)."""
    part = table if names == table.schema.names else table.select(names)
    batches = part.combine_chunks().to_batches()
    each = [batch.to_tensor(null_to_nan=True).to_numpy() for batch in batches]
    return each[0] if len(each) == 1 else np.concatenate([np.empty((0, len(names))), *each])


@dataclass(frozen=True)
class Layout:
    """How tables of one Arrow schema are read: which of their columns at once, which one by one.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the tables.
    columns : sequence of Column
        Those that are encoded.
    complete : sequence of str
        Those of which it matters whether they lack a value.
    """

    schema: pa.Schema
    columns: Sequence[Column]
    complete: Sequence[str]

    @cached_property
    def encoded(self) -> list[tuple[list[str], slice | NDArray[np.int64], NDArray[np.int64]]]:
        """Columns of numbers that are read at once: their names, where their values stand in an
        encoded row, and where it is told that they are missing, -1 of those that never were.
        """
        ends = np.cumsum([len(column.scales) for column in self.columns])
        place = {
            column.name: (end - len(column.scales), end - 1 if column.missing else -1)
            for column, end in zip(self.columns, ends.tolist(), strict=True)
            if column.kind == "number"
        }
        found = []
        for names in alike(self.schema, place):
            values, gaps = np.array([place[name] for name in names]).T
            in_a_row = slice(values[0], values[-1] + 1)
            straight = np.array_equal(values, np.arange(values[0], values[-1] + 1))
            found.append((names, in_a_row if straight else values, gaps))
        return found

    @cached_property
    def others(self) -> list[tuple[Column, slice]]:
        """Columns that are encoded one by one, and where they stand in an encoded row."""
        known, end = {name for names, *_ in self.encoded for name in names}, 0
        found = []
        for column in self.columns:
            first, end = end, end + len(column.scales)
            if column.name not in known:
                found.append((column, slice(first, end)))
        return found

    @cached_property
    def looked_at(self) -> tuple[list[list[str]], list[str]]:
        """Columns that may lack a value for the first time: those that are read at once, and
        others.
        """
        groups = alike(self.schema, set(self.complete))
        left = set(self.schema.names).difference(*groups)
        return groups, [each for each in self.complete if each in left]


def table_rows(layout: Layout, table: pa.Table) -> Fill:
    """What writes rows of a table into a block, of numbers many columns at once."""
    place = {name: j for j, name in enumerate(table.schema.names)}

    def fill(block: NDArray[np.float64], start: int) -> None:
        part = table if len(block) == len(table) else table.slice(start, len(block))
        for names, values, gaps in layout.encoded:
            block[:, values] = found = numbers_of(part, names)
            if (lacking := gaps >= 0).any():
                block[:, gaps[lacking]] = np.isnan(found[:, lacking])
        for column, where in layout.others:
            try:
                column.write(block[:, where], part.column(place[column.name]))
            except DataError:
                # the same error, with the counts of the whole column
                column.raw(table.column(place[column.name]))
                raise

    return fill


def matrix_rows(take: NDArray[np.int64], array: NDArray[Any]) -> Fill:
    """What writes rows of a matrix (n, m) into a block (r, d), without a look at single columns.

    `take` (d,) are the columns of the matrix; the second time one occurs, it stands for "is
    missing"."""
    indicators = 1 + np.flatnonzero(take[1:] == take[:-1])
    whole = np.array_equal(take, np.arange(array.shape[1]))

    def fill(block: NDArray[np.float64], start: int) -> None:
        rows = array[start : start + len(block)]
        block[...] = rows if whole else rows[:, take]
        if len(indicators):
            block[:, indicators] = np.isnan(block[:, indicators])

    return fill

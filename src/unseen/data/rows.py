"""Rows of tables and matrices as blocks of raw numbers, to be standardised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.columns import Column
from unseen.data.scaling import Fill
from unseen.errors import DataError


def table_rows(columns: Sequence[Column], table: pa.Table) -> Fill:
    """What writes rows of a table into a block, column by column."""
    # pyarrow looks at all names for each
    arrays = dict(zip(table.column_names, table.columns, strict=True))

    def fill(block: NDArray[np.float64], start: int) -> None:
        end = 0
        for column in columns:
            first, end = end, end + len(column.scales)
            array = (
                arrays[column.name]
                if len(block) == len(table)
                else arrays[column.name].slice(start, len(block))
            )
            try:
                column.write(block[:, first:end], array)
            except DataError:
                column.raw(
                    arrays[column.name]
                )  # the same error, with the counts of the whole column
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

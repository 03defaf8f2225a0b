"""What the cells of used columns say, to be compared: numbers, or words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.columns import Column
from unseen.data.values import NOTHING, booleans, facts, labels, numbers


def readings(
    columns: Iterable[Column], table: Mapping[str, pa.ChunkedArray]
) -> dict[str, NDArray[Any]]:
    """Values by column: of numbers float64, NaN where missing; of a text its length; of categories
    and of yes or no words, None where missing: (n,) each.

    >>> from unseen.data.schema import Schema
    >>> table = pa.table({"size": ["1", "2", ""], "open": ["t", "f", "t"]})
    >>> readings(Schema.infer(table).columns, dict(zip(table.column_names, table, strict=True)))
    {'size': array([ 1.,  2., nan]), 'open': array(['yes', 'no', 'yes'], dtype=object)}
    """
    return {column.name: _read(column, table[column.name]) for column in columns}


def _read(column: Column, array: pa.ChunkedArray) -> NDArray[Any]:
    if column.kind == "number":
        return numbers(column.name, array, column.spelling)
    if column.kind == "text":
        return facts(array)[:, 0]
    if column.kind == "boolean":
        said = booleans(column.name, array)
        words = np.array(["no", "yes", None], dtype=object)
        return words[np.where(np.isnan(said), 2, said).astype(int)]
    codes, levels = labels(array, [level for level in column.levels if level in NOTHING])
    return np.array([*levels, None], dtype=object)[codes]

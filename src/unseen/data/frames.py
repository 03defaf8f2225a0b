"""Data frames of any kind, and lists of rows with named values, as Arrow tables."""

from __future__ import annotations

import logging
import numbers
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.names import distinct_names

log = logging.getLogger("unseen")
# what a column of mixed Python objects may hold
SCALARS = (str, numbers.Number, date, time, timedelta, UUID)
# of values that have no type of their own
FAILURES = (pa.ArrowException, TypeError, ValueError, OverflowError)


def python_value(value: pa.Scalar) -> object:
    """A value in Python's own types; as text where they cannot hold it: times beyond the year 9999,
    or of a zone that is not known here.

    >>> python_value(pa.scalar(2**50, pa.timestamp("s"))), python_value(pa.scalar(2.5))
    ('1125899906842624 as timestamp[s]', 2.5)
    """
    try:
        found: object = value.as_py()
        return found
    except (*FAILURES, KeyError):
        try:
            return f"{value.cast(pa.int64()).as_py()} as {value.type}"
        except FAILURES:
            return f"a value of {value.type}"


def python_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table (n), each value as `python_value` has it."""
    try:
        return list(table.to_pylist())
    except (*FAILURES, KeyError):
        columns = [map(python_value, column) for column in table.columns]
        rows = zip(*columns, strict=True)
        return [dict(zip(table.column_names, row, strict=True)) for row in rows]


def framed(frame: nw.DataFrame[Any]) -> pa.Table:
    """The columns of a data frame whose names are distinct."""
    if (numeric := _matrix_of(frame)) is not None:
        return tabulate(numeric, frame.columns, from_pandas=True)
    return pa.table({name: _column(name, frame[name]) for name in frame.columns})


def records(rows: Sequence[Mapping[Any, Any]]) -> pa.Table:
    """A column for each name that any of the rows has, in order of appearance; null where a row
    lacks it.

    >>> records([{"a": 1, "b": "x"}, {"a": 2.5}]).to_pydict()
    {'a': [1.0, 2.5], 'b': ['x', None]}
    """
    names = list(rows[0]) if rows else []
    alike = all(list(row) == names for row in rows)  # as most are: a third of the time
    if not alike:
        names = list(dict.fromkeys(name for row in rows for name in row))
    given, note = distinct_names(names)
    if note:
        log.warning(note)
    columns: Any = ([row.get(name) for row in rows] for name in names)
    if alike:
        each = [row.values() for row in rows]
        if set(map(type, chain.from_iterable(each))) == {float}:  # half the time again
            return tabulate(np.array(list(map(list, each))), given, from_pandas=True)
        columns = zip(*each, strict=True)
    pairs = zip(given, columns, strict=True)
    return pa.table({name: _as_arrow(name, values) for name, values in pairs})


def plain_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Arrow values without what only says how they are kept: dictionaries and extensions."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return (
        column.cast(column.type.storage_type)
        if isinstance(column.type, pa.BaseExtensionType)
        else column
    )


def is_plain(kind: pa.DataType) -> bool:
    return not (pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType))


def tabulate(array: NDArray[Any], names: Sequence[str], *, from_pandas: bool = False) -> pa.Table:
    """An Arrow table with these names for the columns of a matrix (n, d); NaN is null if it comes
    `from_pandas`.
    """
    columns = np.ascontiguousarray(array.T, dtype=array.dtype if from_pandas else np.float64)
    return pa.Table.from_arrays(
        [pa.array(column, from_pandas=from_pandas) for column in columns], names=list(names)
    )


def _matrix_of(frame: nw.DataFrame[Any]) -> NDArray[Any] | None:
    """The values of a pandas frame whose columns are all of one of numpy's types of numbers: (n,
    d).
    """
    if not nw.dependencies.is_pandas_dataframe(native := frame.to_native()):
        return None
    types = set(native.dtypes)
    alike = len(types) == 1 and isinstance(kind := types.pop(), np.dtype) and kind.kind in "if"
    return np.asarray(native.to_numpy()) if alike else None


def _column(name: str, series: nw.Series[Any]) -> pa.ChunkedArray:
    """One column as Arrow values; a column of mixed Python objects as text."""
    native = series.to_native()
    kind = str(getattr(native, "dtype", ""))
    if kind.startswith(("period", "Sparse")):  # pandas alone has these
        native = native.dt.to_timestamp() if kind.startswith("period") else native.sparse.to_dense()
        series = nw.from_native(native, series_only=True)
    try:
        values = series.to_arrow()
        chunked = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        inner = chunked.type.value_type if pa.types.is_dictionary(chunked.type) else chunked.type
        if not (isinstance(inner, pa.BaseExtensionType) or _is_pointer(series, inner)):
            return plain_values(chunked)
    except FAILURES:
        pass
    absent = series.is_null().to_list()
    return _text(
        name,
        [None if gone else value for value, gone in zip(series.to_list(), absent, strict=True)],
    )


def _is_pointer(series: nw.Series[Any], kind: pa.DataType) -> bool:
    """Whether polars wrote addresses of objects in place of the objects."""
    return series.dtype == nw.Object and pa.types.is_fixed_size_binary(kind)


def _as_arrow(name: str, values: Sequence[Any]) -> pa.Array | pa.ChunkedArray:
    """Python objects as Arrow values of one type, else as text."""
    try:
        return pa.array(values, from_pandas=True)
    except FAILURES:
        return _text(name, values)


def _text(name: str, values: Sequence[Any]) -> pa.ChunkedArray:
    """The text of each object, null where it is missing."""
    given = [None if _is_absent(value) else value for value in values]
    for row, value in enumerate(given, start=1):
        if not (value is None or isinstance(value, SCALARS) or type(value).__name__ == "Interval"):
            raise DataError(
                f"column {name!r}: expected numbers or text, got a {type(value).__name__} in row "
                f"{row}; turn such values into columns of their own, or drop the column"
            )
    return pa.chunked_array(
        [pa.array([None if v is None else str(v) for v in given], pa.large_string())]
    )


def _is_absent(value: Any) -> bool:
    """Whether an object stands for a missing value; pandas' own cannot be compared."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value

"""Every table a user may hold becomes one of two things: an Arrow table with named columns, or a matrix of numbers."""

from __future__ import annotations

import difflib
import numbers
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date, time, timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray
from scipy.sparse import issparse

from unseen.errors import DataError

SCALARS = (str, numbers.Number, date, time, timedelta)  # what a column of mixed Python objects may hold


def admit(table: object) -> pa.Table | NDArray[Any]:
    """An Arrow table for any data frame, a matrix (n, d) for any array or list of rows of numbers.

    >>> admit({"rows": 1})
    Traceback (most recent call last):
    unseen.errors.DataError: expected a data frame or a 2-D array of numbers, got dict
    """
    if issparse(table):
        raise DataError("Sparse data was passed, but dense data is required. Use '.toarray()' to make it dense.")
    try:
        frame = nw.from_native(table, eager_only=True, pass_through=True)
        if isinstance(frame, nw.DataFrame):
            names = distinct(frame.columns)
            return pa.table(
                {name: arrow(name, series) for name, series in zip(names, frame.iter_columns(), strict=True)}
            )
    except DuplicateError as error:
        raise DataError(f"column names must be distinct: {error}; rename the repeated ones") from error
    return matrix(table)


def distinct(names: Sequence[object]) -> list[str]:
    """The names as text, or a DataError when two are spelled alike (a data frame may hold both 1 and '1')."""
    spelled = [str(name) for name in names]
    repeated = sorted(name for name, count in Counter(spelled).items() if count > 1)
    if repeated:
        raise DataError(f"column names must be distinct, but these occur more than once: {repeated}; rename them")
    return spelled


def arrow(name: str, series: nw.Series[Any]) -> pa.ChunkedArray:
    """One column of a data frame as Arrow values; a column of mixed Python objects as text."""
    try:
        values = series.to_arrow()
    except (pa.ArrowException, TypeError, OverflowError):
        values = pa.array(mixed(name, series), pa.large_string())
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def mixed(name: str, series: nw.Series[Any]) -> list[str | None]:
    """The text of each object, None where it is missing."""
    absent = series.is_null().to_list()
    values = [None if gone else value for value, gone in zip(series.to_list(), absent, strict=True)]
    for row, value in enumerate(values, start=1):
        if value is not None and not isinstance(value, SCALARS):
            raise DataError(
                f"column {name!r}: expected numbers or text, got a {type(value).__name__} in row {row}; "
                "turn such values into columns of their own, or drop the column"
            )
    return [None if value is None else str(value) for value in values]


def matrix(table: object) -> NDArray[Any]:
    """A 2-D array of real numbers (n, d); what cannot be one is refused in scikit-learn's words."""
    try:
        array = np.asarray(table)
    except ValueError as error:
        raise DataError(f"expected a data frame or a 2-D array of numbers: {error}") from error
    if np.iscomplexobj(array):
        raise DataError("Complex data not supported: pass real and imaginary part as two columns")
    if array.ndim == 0:
        raise DataError(f"expected a data frame or a 2-D array of numbers, got {type(table).__name__}")
    if array.ndim == 1:
        raise DataError(
            f"Expected 2D array, got 1D array instead: shape {array.shape}. Reshape your data either using "
            "array.reshape(-1, 1) if it has a single feature or array.reshape(1, -1) if it is a single sample."
        )
    if array.ndim > 2:
        raise DataError(f"Found array with dim {array.ndim}, expected 2: shape {array.shape}; give one row a sample")
    return array if array.dtype.kind in "buif" else parsed(array)


def parsed(array: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers out of an array of objects or text."""
    if array.dtype.kind not in "OUS":
        raise DataError(f"expected an array of numbers, got {array.dtype}; pass a data frame to keep other types")
    try:
        return array.astype(np.float64)
    except ValueError as error:
        raise DataError(f"{error}: an array must hold numbers only; pass a data frame to keep text") from error


def tabulate(array: NDArray[Any], names: Sequence[str]) -> pa.Table:
    """An Arrow table with these names for the columns of a matrix (n, d)."""
    columns = (np.array(array[:, j], dtype=np.float64) for j in range(len(names)))
    return pa.table({name: pa.chunked_array([pa.array(column)]) for name, column in zip(names, columns, strict=True)})


def require(wanted: Collection[str], present: Sequence[str], *, where: str) -> None:
    """DataError unless every wanted name is present; it names those that look alike.

    >>> require(["byte"], ["bytes", "service"], where="the table")
    Traceback (most recent call last):
    unseen.errors.DataError: the table has no column 'byte' (did you mean 'bytes'?); it has 'bytes', 'service'
    """
    absent = [name for name in wanted if name not in set(present)]
    if not absent:
        return
    shown = ", ".join(repr(name) + resembling(name, present) for name in absent[:5])
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    held = ", ".join(map(repr, present[:20])) + (", ..." if len(present) > 20 else "")
    raise DataError(f"{where} has no column {shown}{more}; it has {held or 'no columns'}")


def resembling(name: str, present: Sequence[str]) -> str:
    folded = {other.casefold(): other for other in present}
    close = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=3)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""

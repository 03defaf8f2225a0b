"""Every table a user may hold becomes one of two things: an Arrow table with named columns, or a
matrix of numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import issparse

from unseen.data.frames import framed, is_plain, plain_values, records
from unseen.errors import DataError
from unseen.names import distinct_names

log = logging.getLogger("unseen")


def admit(table: object) -> pa.Table | NDArray[Any]:
    """An Arrow table for any data frame or list of dictionaries, a matrix (n, d) for any array or
    list of numbers.

    >>> admit({"rows": 1})
    Traceback (most recent call last):
    unseen.errors.DataError: expected a data frame or a 2-D array of numbers, got dict
    """
    if issparse(table):
        raise DataError(
            "Sparse data was passed, but dense data is required. Use '.toarray()' to make it dense."
        )
    if isinstance(table, list | tuple) and table and all(isinstance(row, Mapping) for row in table):
        return records(table)
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if isinstance(table, pa.Table):
        if len(set(table.column_names)) == table.num_columns and all(
            map(is_plain, set(table.schema.types))
        ):
            return table  # as it is, in a time that does not count for wide tables
        return pa.Table.from_arrays(
            [plain_values(column) for column in table.columns],
            names=_distinct_names(table.column_names),
        )
    if nw.dependencies.is_pandas_dataframe(table):  # others cannot have two columns of one name
        table = table.set_axis(_distinct_names(table.columns), axis=1)
    frame = nw.from_native(table, eager_only=True, pass_through=True)
    return framed(frame) if isinstance(frame, nw.DataFrame) else _matrix(table)


def without(table: pa.Table, names: Collection[str | None]) -> pa.Table:
    """The other columns of a table; Arrow's own `drop_columns` takes two of them for a name that
    comes twice.
    """
    gone, known = set(names), table.schema.names
    return table if gone.isdisjoint(known) else table.select([n for n in known if n not in gone])


def named_in_text(frame: object) -> bool:
    """Whether all columns of a data frame are named by texts: pandas allows numbers, too."""
    return not nw.dependencies.is_pandas_dataframe(frame) or all(
        isinstance(name, str) for name in frame.columns
    )


def _distinct_names(names: Iterable[object]) -> list[str]:
    given, note = distinct_names(names)
    if note:
        log.warning(note)
    return given


def _matrix(table: object) -> NDArray[Any]:
    """A 2-D array of real numbers (n, d); what cannot be one is refused in scikit-learn's words."""
    try:
        array = np.asarray(_unmasked(table))
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"expected a data frame or a 2-D array of numbers: {error}") from error
    if np.iscomplexobj(array):
        raise DataError("Complex data not supported: pass real and imaginary part as two columns")
    if array.ndim == 0:
        raise DataError(
            f"expected a data frame or a 2-D array of numbers, got {type(table).__name__}"
        )
    if array.ndim == 1:
        raise DataError(
            f"Expected 2D array, got 1D array instead: shape {array.shape}. Reshape your data "
            "either using array.reshape(-1, 1) if it has a single feature or array.reshape(1, -1) "
            "if it is a single sample; one row of a data frame is frame.iloc[[0]]."
        )
    if array.ndim > 2:
        raise DataError(
            f"Found array with dim {array.ndim}, expected 2: shape {array.shape}; give one row a "
            "sample"
        )
    return array if array.dtype.kind in "buif" else _parsed_numbers(array)


def _parsed_numbers(array: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers out of an array of objects or text."""
    if array.dtype.kind not in "OUS":
        raise DataError(
            f"expected an array of numbers, got {array.dtype}; pass a data frame to keep other "
            "types"
        )
    try:
        return _nulls(array).astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{error}: an array must hold numbers only; pass a data frame to keep text"
        ) from error


def _unmasked(table: object) -> object:
    """A masked array as numbers, NaN where the mask is."""
    if not isinstance(table, np.ma.MaskedArray):
        return table
    if table.dtype.kind not in "buifO":
        raise DataError(
            f"expected a masked array of numbers, got {table.dtype}; pass a data frame to keep "
            "other types"
        )
    return np.ma.filled(table.astype(object if table.dtype.kind == "O" else np.float64), np.nan)


def _nulls(array: NDArray[Any]) -> NDArray[Any]:
    """An array in which pandas' NA is None, as float() knows neither."""
    if array.dtype.kind != "O":
        return array
    copy = array.copy()
    copy[np.reshape([type(value).__name__ == "NAType" for value in array.flat], array.shape)] = None
    return copy

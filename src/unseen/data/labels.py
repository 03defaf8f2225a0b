"""Labels as a user gives them, and the codes that training wants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.types import NORMAL, UNLABELLED


def encode_labels(y: Any, *, rows: int, normal: str = "normal") -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes (n,) and the names of the anomaly classes, in the order of their codes 1, 2, ...

    0, False or the name `normal` is normal; -1, None or NaN is unlabelled; every other value names an anomaly class.
    No y at all: every row is taken for normal.

    >>> encode_labels(["normal", "dos", None, "probe"], rows=4)
    (array([ 0,  1, -1,  2]), ('dos', 'probe'))
    >>> encode_labels([-1, 1, 1], rows=3)
    Traceback (most recent call last):
    unseen.errors.DataError: y holds only -1 and 1, which is scikit-learn's convention for predictions ...
    """
    if y is None:
        return np.zeros(rows, dtype=np.int64), ()
    values = [None if absent(v) else v for v in listed(y, rows)]
    present = set(values) - {None}
    if present and present <= {-1, 1} and -1 in present and 1 in present:
        raise DataError(
            "y holds only -1 and 1, which is scikit-learn's convention for predictions and ambiguous as labels: "
            "pass 0 or 'normal' for normal rows, a class name or 1, 2, ... for anomalies, -1 only for unlabelled rows"
        )
    names = {v: str(v) for v in present if not is_normal(v, normal) and v != UNLABELLED}
    classes = tuple(
        sorted(set(names.values()), key=lambda name: (not name.isdigit(), name.zfill(20) if name.isdigit() else name))
    )
    place = {name: code for code, name in enumerate(classes, start=1)}
    codes = {v: NORMAL if is_normal(v, normal) else UNLABELLED if v == UNLABELLED else place[names[v]] for v in present}
    codes[None] = UNLABELLED
    return np.fromiter((codes[v] for v in values), dtype=np.int64, count=len(values)), classes


def encode_groups(groups: Any, *, rows: int) -> NDArray[np.int64]:
    """Codes 0, 1, ... (n,) of which kind of normal a row belongs to; all 0 when nothing is said."""
    if groups is None:
        return np.zeros(rows, dtype=np.int64)
    values = np.asarray(groups)
    if values.shape != (rows,):
        raise DataError(f"groups must have shape ({rows},), one per row of X, got {values.shape}")
    return np.unique(values.astype(str), return_inverse=True)[1].astype(np.int64)


def listed(y: Any, rows: int) -> list[Any]:
    """Plain Python values of a list, array, series or Arrow column: whole numbers as ints, text stripped."""
    values = y.to_pylist() if isinstance(y, pa.Array | pa.ChunkedArray) else np.asarray(y, dtype=object)
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(f"y must have shape ({rows},), one label per row, got {values.shape}")
        values = values.tolist()
    if len(values) != rows:
        raise DataError(f"y must have one label per row: X has {rows} rows, y has {len(values)}")
    return [whole(v) for v in values]


def whole(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float | np.floating) and not math.isnan(value) and float(value).is_integer():
        return int(value)
    return value.item() if isinstance(value, np.generic) else value


def absent(value: Any) -> bool:
    """None, NaN, an empty text, and pandas' NA and NaT, which alone differ from themselves or cannot tell."""
    try:
        return value is None or value == "" or bool(value != value)
    except TypeError:  # pandas.NA has no truth
        return True


def is_normal(value: Any, normal: str) -> bool:
    return value == normal or (not isinstance(value, str) and value == NORMAL) or (value == "0" and normal == "normal")

"""Labels as a user gives them, and the codes that training wants."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.types import NORMAL, UNLABELLED

BOOLEANS = {"false": "0", "true": "1"}
WHOLE = re.compile(r"-?\d+\.0+")  # a number that pandas writes with a point, as the column has gaps


def encode_labels(
    y: Any, *, rows: int, normal: str = "normal", known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes (n,) and the names of the anomaly classes, in the order of their codes 1, 2, ...; those `known` go first.

    The name `normal` is normal, and so is 0 or False unless another name is given; -1, None or NaN is unlabelled;
    every other value names an anomaly class. Labels read as text mean what they mean as numbers.
    No y at all: every row is taken for normal.

    >>> encode_labels(["normal", "dos", None, "probe"], rows=4)
    (array([ 0,  1, -1,  2]), ('dos', 'probe'))
    >>> encode_labels([-1, 1, 1], rows=3)
    Traceback (most recent call last):
    unseen.errors.DataError: y holds only -1 and 1, which is scikit-learn's convention for predictions ...
    """
    if y is None:
        return np.zeros(rows, dtype=np.int64), known
    names = [None if absent(v) else spelled(v) for v in listed(y, rows)]
    present = {name for name in names if name is not None}
    if present == {"-1", "1"}:
        raise DataError(
            "y holds only -1 and 1, which is scikit-learn's convention for predictions and ambiguous as labels: "
            "pass 0 or 'normal' for normal rows, a class name or 1, 2, ... for anomalies, -1 only for unlabelled rows"
        )
    fixed: dict[str | None, int] = {None: UNLABELLED, "-1": UNLABELLED, normal: NORMAL}
    if normal == "normal":  # another name leaves 0 to be a class
        fixed["0"] = NORMAL
    classes = (*known, *sorted(present - fixed.keys() - set(known), key=numbers_first))
    codes = fixed | {name: code for code, name in enumerate(classes, start=1)}
    return np.fromiter((codes[name] for name in names), dtype=np.int64, count=len(names)), classes


def encode_groups(groups: Any, *, rows: int, known: tuple[str, ...] = ()) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes 0, 1, ... (n,) of which kind of normal a row belongs to, and the kinds' names; those `known` go first.

    All 0, and no new name, when nothing is said.
    """
    if groups is None:
        return np.zeros(rows, dtype=np.int64), known
    values = np.asarray(groups)
    if values.shape != (rows,):
        raise DataError(f"groups must have shape ({rows},), one per row of X, got {values.shape}")
    present, place = np.unique(values.astype(str), return_inverse=True)
    names = (*known, *(str(name) for name in present if name not in known))
    codes = np.array([names.index(name) for name in present], dtype=np.int64)
    return codes[place], names


def listed(y: Any, rows: int) -> list[Any]:
    """The values of a list, array, series or Arrow column."""
    values = y.to_pylist() if isinstance(y, pa.Array | pa.ChunkedArray) else np.asarray(y, dtype=object)
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(f"y must have shape ({rows},), one label per row, got {values.shape}")
        values = values.tolist()
    if len(values) != rows:
        raise DataError(f"y must have one label per row: X has {rows} rows, y has {len(values)}")
    return list(values)


def spelled(value: Any) -> str:
    """One name for one label, typed or read as text: "1" for 1, 1.0, True, "1.0" and "true"."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    text = str(value).strip()
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def numbers_first(name: str) -> tuple[bool, str]:
    """Sorts 9 before 10, and numbers before words."""
    return not name.isdigit(), name.rjust(20) if name.isdigit() else name


def absent(value: Any) -> bool:
    """None, NaN, an empty text, and pandas' NA and NaT, which alone differ from themselves or cannot tell."""
    try:
        return value is None or str(value).strip() == "" or bool(value != value)
    except TypeError:  # pandas.NA has no truth
        return True

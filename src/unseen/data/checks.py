"""What is asked of a table before anything is learned from it, each refused in a sentence that
helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from unseen.data.columns import Kind
from unseen.data.fates import SHOWN
from unseen.errors import DataError
from unseen.names import require, resembling
from unseen.wording import option


def check_width(array: NDArray[Any], expected: int) -> None:
    if array.shape[1] != expected:  # scikit-learn's words
        raise DataError(
            f"X has {array.shape[1]} features, but Detector is expecting {expected} features as "
            "input"
        )


def check_request(names: Sequence[str], kinds: Mapping[str, str], drop: Sequence[str]) -> None:
    """DataError unless the columns and kinds that are asked for exist."""
    if not isinstance(kinds, Mapping):
        raise DataError(
            f"kinds must give kinds by the names of columns, as {{'port': 'category'}}, got "
            f"{kinds!r}"
        )
    require([*kinds, *drop], names, where="the table")
    for name, kind in kinds.items():
        if kind not in get_args(Kind):
            raise DataError(
                f"{option('kinds', {name: kind})}: a kind must be one of "
                f"{', '.join(get_args(Kind))}, got {kind!r}{resembling(str(kind), get_args(Kind))}"
            )


def check_not_empty(table: pa.Table | NDArray[Any]) -> None:
    """DataError, in scikit-learn's words, for a table of no rows or no columns."""
    for count, what in zip(table.shape, ("sample(s)", "feature(s)"), strict=True):
        if count == 0:
            raise DataError(
                f"Found array with 0 {what} (shape={table.shape}) while a minimum of 1 is required."
            )


def normal_rows(normals: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    """Which rows are normal (n,); all of them when nothing is said."""
    mask = np.ones(n, dtype=bool) if normals is None else np.asarray(normals)
    if mask.dtype != bool or mask.shape != (n,):
        raise DataError(
            f"normals must be {n} booleans, one for each row, got {mask.dtype} of shape "
            f"{mask.shape}"
        )
    if not mask.any():
        raise DataError(
            f"none of the {n} rows is marked normal, so nothing can be learned of the normal; mark "
            "some"
        )
    return mask


def shortlist(dropped: Mapping[str, str]) -> str:
    """Columns and the reasons why they are not used, the first of many."""
    more = f", and {len(dropped) - SHOWN:,} more columns" if len(dropped) > SHOWN else ""
    return (
        ", ".join(f"{name!r}: {reason!r}" for name, reason in list(dropped.items())[:SHOWN]) + more
    )

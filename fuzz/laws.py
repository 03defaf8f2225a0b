"""What must hold for every detector and all rows."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fuzz.trial import Wrong
from unseen import Detector, UnseenError
from unseen.methods import METHODS
from unseen.methods.evidence import VIEWS
from unseen.types import Method

CHEAP = (
    "mahalanobis",
    "nearest",
    "nearest-ratio",
    "isolation-forest",
    "logistic",
    "forest",
    "fecam",
    "dcc",
)
FEWER = {
    "steps": 20,
    "episodes": 2,
    "inner_steps": 4,
    "outer_steps": 4,
    "tuning_steps": 5,
    "trees": 5,
    "batch": 32,
}
ALONE = 4  # rows that are scored alone as well


def quick(method: Any) -> Any:
    """The method with fewer steps and trees, members likewise: faults of its input show all the
    same.
    """
    fields = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    changes: dict[str, Any] = {
        name: min(most, fields[name]) for name, most in FEWER.items() if name in fields
    }
    for name, value in fields.items():
        if name in VIEWS or name == "methods":
            changes[name] = tuple(quick(each) for each in value)
        elif dataclasses.is_dataclass(value):
            changes[name] = quick(value)
    return dataclasses.replace(method, **changes)


def drawn(rng: np.random.Generator) -> Method:
    """Mostly a method that takes no time, sometimes any, sometimes the default."""
    among = (
        CHEAP
        if rng.random() < 0.75
        else tuple(METHODS)
        if rng.random() < 0.7
        else ("evidence-stack",)
    )
    return quick(METHODS[str(rng.choice(among))])


def check_sound(scores: NDArray[np.float64], pvalues: NDArray[np.float64]) -> None:
    """Scores are finite, p-values in (0, 1]."""
    if not np.isfinite(scores).all():
        raise Wrong(f"a score is not finite: {scores[~np.isfinite(scores)][:3]}")
    if not ((pvalues > 0) & (pvalues <= 1)).all():
        raise Wrong(f"a p-value is not in (0, 1]: {pvalues[~((pvalues > 0) & (pvalues <= 1))][:3]}")


def check_rows(detector: Detector, table: Any, rng: np.random.Generator) -> None:
    """Sound; and equal rows have equal scores and p-values, alone, in any order and in any
    company.
    """
    try:
        scores, pvalues = detector.anomaly_score(table), detector.pvalue(table)
    except UnseenError:
        return
    check_sound(scores, pvalues)
    rows = np.arange(len(scores))
    order = rng.permutation(rows)
    check_equal("in another order", pvalues[order], detector.pvalue(taken(table, order)))
    for row in rng.permutation(rows)[:ALONE]:
        check_equal("alone", pvalues[[row]], detector.pvalue(taken(table, [row])))
    same: dict[Any, set[float]] = defaultdict(set)
    for row, pvalue in zip(spelled(table), pvalues, strict=False):
        same[row].add(float(pvalue))
    if uneven := [values for values in same.values() if len(values) > 1]:
        raise Wrong(f"equal rows have different p-values: {sorted(uneven[0])}")


def check_equal(where: str, before: NDArray[np.float64], now: NDArray[np.float64]) -> None:
    if not np.array_equal(before, now):
        at = int(np.flatnonzero(before != now)[0])
        raise Wrong(
            f"a p-value changes {where}: {before[at]} became {now[at]}, {np.sum(before != now)} of "
            f"{len(now)}"
        )


def taken(table: Any, rows: Any) -> Any:
    """Rows of an Arrow table or of an array."""
    return table.take(pa.array(rows)) if isinstance(table, pa.Table) else table[np.asarray(rows)]


def spelled(table: Any) -> list[str]:
    """Each row as a text that tells it from others."""
    if not isinstance(table, pa.Table):
        return [repr(row) for row in table.tolist()]
    columns = [counted(table[name]).to_pylist() for name in table.column_names]
    return [repr(row) for row in zip(*columns, strict=True)]


def counted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as whole numbers: Python knows none after the year 9999."""
    if not pa.types.is_temporal(column.type):
        return column
    return column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())

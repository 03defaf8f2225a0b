"""Reasons of alarms as columns of a table: what a reader is told, and the same as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.detector.detector import Detector
from unseen.explain.reasons import Reasons

# columns behind the verdict; null where a row is no alarm
TOLD = ("reasons", "change", "most_alike", "reasons_json")
_SCHEMA = pa.schema([(name, pa.string()) for name in TOLD])


def reason_columns(
    detector: Detector, rows: Any, alarms: NDArray[np.int64], n: int, *, top: int, alpha: float
) -> pa.Table:
    """The columns `TOLD` for n rows, of which those at these places (k,) are alarms."""
    found: list[dict[str, str | None]] = [dict.fromkeys(TOLD) for _ in range(n)]
    if len(alarms):
        each = detector.explain(rows.take(alarms), top, alpha=alpha)
        for place, reasons in zip(alarms.tolist(), each, strict=True):
            found[place] = _cells(reasons)
    return pa.Table.from_pylist(found, _SCHEMA)


def _cells(reasons: Reasons) -> dict[str, str | None]:
    return {
        "reasons": str(reasons),
        "change": None if reasons.change is None else str(reasons.change),
        "most_alike": "; ".join(
            f"{each.label}: training row {each.row + 1:,}"
            for each in (reasons.nearest_normal, reasons.nearest_anomaly)
            if each is not None
        ),
        "reasons_json": json.dumps(reasons.to_json(), allow_nan=False),
    }


def of_alarms(told: pa.Table, alarms: NDArray[np.bool_]) -> pa.Table:
    """The columns `TOLD`, null where a row (n,) turned out to be no alarm."""
    return pa.table(
        {
            name: pa.array(
                [text if alarm else None for text, alarm in zip(each, alarms, strict=True)],
                pa.string(),
            )
            for name, each in ((name, told[name].to_pylist()) for name in TOLD)
        }
    )

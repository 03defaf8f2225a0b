"""Reasons of alarms as columns of a table: what a reader is told, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.split import take
from unseen.detector.detector import Detector
from unseen.explain.places import ImageReasons
from unseen.explain.reasons import Reasons
from unseen.scoring.tables import KINDS
from unseen.types import Source

# columns behind the verdict; null where a row is no alarm
TOLD = ("reasons", "change", "most_alike", "reasons_json")
_SCHEMA = pa.schema([(name, pa.string()) for name in TOLD])


def kind_columns(
    detector: Detector,
    rows: Any,
    places: NDArray[np.int64],
    pvalues: NDArray[np.float64],
    n: int,
) -> pa.Table:
    """The columns `KINDS` for n rows, of which alarms (k) with p-values (k,) are at these places
    (k,).
    """
    gaps = pa.table([pa.nulls(1, pa.string()), *[pa.nulls(1, pa.float64())] * 2], names=KINDS)
    order = np.full(n, len(places))
    order[places] = np.arange(len(places))
    if not len(places):
        return gaps.take(order)
    found = detector.kinds_of_rows(rows, pvalues, np.ones(len(places), dtype=bool)).table()
    return pa.concat_tables([found, gaps]).take(order)


def reason_columns(
    detector: Detector,
    rows: Any,
    alarms: NDArray[np.int64],
    places: NDArray[np.int64],
    n: int,
    *,
    top: int,
    alpha: float,
) -> pa.Table:
    """The columns `TOLD` for n rows, of which those at these places (k,) are alarms: the rows with
    these numbers (k,).
    """
    found: list[dict[str, str | None]] = [dict.fromkeys(TOLD) for _ in range(n)]
    if len(alarms):
        each: Sequence[Any] = detector.explain(rows.take(alarms), top, alpha=alpha)
        for place, reasons in zip(places.tolist(), each, strict=True):
            found[place] = _cells(reasons)
    return pa.Table.from_pylist(found, _SCHEMA)


def told_again(detector: Detector, source: Source, places: Sequence[int]) -> list[dict[str, str]]:
    """Kind and reasons of the rows of a source at these places (k), which is read a second time;
    nothing of images.
    """
    if not places or source.noun != "rows":
        return [{} for _ in places]
    done, found, numbers = 0, [], []
    wanted = np.sort(np.asarray(places, dtype=np.int64))
    for batch in source.batches(detector.schema_):
        here = wanted[(wanted >= done) & (wanted < done + len(batch.keys))]
        if len(here):
            found.append(take(batch.rows, here - done))
            numbers += here.tolist()
        done += len(batch.keys)
    rows = pa.concat_tables(found, promote_options="permissive")
    kinds = detector.verdict(rows).kind
    reasons = [str(each) for each in detector.explain(rows)]
    told = {
        number: {"kind": str(kind), "reasons": why}
        for number, kind, why in zip(numbers, kinds, reasons, strict=True)
    }
    return [told[place] for place in places]


def _cells(reasons: Reasons | ImageReasons) -> dict[str, str | None]:
    found = {
        "reasons": str(reasons),
        "reasons_json": json.dumps(reasons.to_json(), allow_nan=False),
    }
    if isinstance(reasons, ImageReasons):
        like = (*(place.most_alike for place in reasons.places[:1]), reasons.nearest_anomaly)
        alike = [f"{each.label}: {each}" for each in like if each is not None]
        return found | {"change": None, "most_alike": "; ".join(alike)}
    return found | {
        "change": None if reasons.change is None else str(reasons.change),
        "most_alike": "; ".join(
            f"{each.label}: training row {each.row + 1:,}"
            for each in (reasons.nearest_normal, reasons.nearest_anomaly)
            if each is not None
        ),
    }


def of_alarms(told: pa.Table, alarms: NDArray[np.bool_]) -> pa.Table:
    """The same columns, with gaps where a row (n,) turned out to be no alarm."""
    alarm = pa.array(alarms)
    columns = {
        name: pc.if_else(alarm, told[name], pa.nulls(len(alarms), told[name].type))
        for name in told.column_names
    }
    return pa.table(columns)

"""Reasons of alarms as columns of a table: what a reader is told, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.split import take
from unseen.detector.detector import Detector
from unseen.errors import Unsupported
from unseen.explain.places import ImageReasons
from unseen.explain.reasons import Reasons
from unseen.io.write import FORMAT
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
    places: NDArray[np.int64],
    n: int,
    *,
    top: int,
    alpha: float,
    groups: Any,
) -> pa.Table:
    """The columns `TOLD` for n rows, of which alarms (k) of such domains, or None, are at these
    places (k,).
    """
    found: list[dict[str, str | None]] = [dict.fromkeys(TOLD) for _ in range(n)]
    if len(places):
        each: Sequence[Any] = detector.explain(rows, top, alpha=alpha, groups=groups)
        for place, reasons in zip(places.tolist(), each, strict=True):
            found[place] = _cells(reasons)
    return pa.Table.from_pylist(found, _SCHEMA)


def told_again(
    detector: Detector, source: Any, places: Sequence[int], alpha: float
) -> list[dict[str, str]]:
    """Reasons of the rows or images of a source at these places (k), with p-values above alpha as
    unremarkable: the source is read a second time. Nothing where an earlier release kept no rows to
    compare with.
    """
    if not places:
        return []
    wanted, groups = np.sort(np.asarray(places, dtype=np.int64)), None
    if source.noun == "images":
        rows = source.maps(wanted)
    else:
        rows, groups = _rows_at(detector, source, wanted)
    try:
        each = list(map(str, detector.explain(rows, alpha=alpha, groups=groups)))
    except Unsupported:
        return [{} for _ in places]
    told = {number: {"reasons": text} for number, text in zip(wanted.tolist(), each, strict=True)}
    return [told[place] for place in places]


def _rows_at(
    detector: Detector, source: Source, wanted: NDArray[np.int64]
) -> tuple[pa.Table, list[Any] | None]:
    """Rows of a table by their numbers, in rising order (k,), and their domains where rows are
    judged by domain.
    """
    done, found, groups = 0, [], list[Any]()
    for batch in source.batches(detector.schema_):
        here = wanted[(wanted >= done) & (wanted < done + len(batch.keys))] - done
        if len(here):
            found.append(take(batch.rows, here))
            groups += [] if batch.groups is None else [batch.groups[k] for k in here.tolist()]
        done += len(batch.keys)
    return pa.concat_tables(found, promote_options="permissive"), groups or None


def _cells(reasons: Reasons | ImageReasons) -> dict[str, str | None]:
    found = {
        "reasons": str(reasons),
        "reasons_json": json.dumps({"format": FORMAT, **reasons.to_json()}, allow_nan=False),
    }
    if isinstance(reasons, ImageReasons):
        like = (reasons.nearest_normal, reasons.nearest_anomaly)
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

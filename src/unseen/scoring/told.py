"""What is told of judged rows: verdicts, and kinds and reasons of alarms, also as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.split import take
from unseen.data.tables import without
from unseen.detector.detector import Detector
from unseen.detector.explaining import check_explained
from unseen.detector.policy import Policy
from unseen.errors import Unsupported
from unseen.explain.places import ImageReasons
from unseen.explain.reasons import Reasons
from unseen.io.write import FORMAT
from unseen.scoring.scored import GROUP, Block, Scored
from unseen.scoring.tables import KINDS, RESULTS, ROW, check_keep
from unseen.types import Source

# columns behind the verdict; null where a row is no alarm
TOLD = ("reasons", "change", "most_alike", "reasons_json")
_SCHEMA = pa.schema([(name, pa.string()) for name in TOLD])


@dataclass(frozen=True)
class Telling:
    """What is told of judged rows: verdicts, and of alarms kinds and reasons; no alarm has a
    p-value above the level.

    Parameters
    ----------
    detector : Detector
        A fitted one.
    policy : Policy
        Which p-values are alarms.
    kinds : bool
        Whether kinds are told.
    reasons : int
        How many columns or places are named of each alarm.
    alarms : bool
        Whether the rows or images themselves of alarms are given.
    """

    detector: Detector
    policy: Policy
    kinds: bool = False
    reasons: int = 0
    alarms: bool = False

    def check(self, keep: Iterable[str]) -> None:
        """Whether the detector can tell all that, before rows are read; kinds are learned, and
        `keep`, columns to copy, are refused where the result has one of that name.
        """
        self.detector.check_reach(self.policy)
        if self.kinds:
            self.detector.known_kinds()
        if self.reasons:
            known = getattr(self.detector, "references_", None)
            check_explained(self.detector.schema_, known)
        more = (*(KINDS if self.kinds else ()), *(TOLD if self.reasons else ()))
        check_keep(tuple(keep), taken=(*RESULTS, *more))

    @property
    def kept(self) -> float:
        """The largest p-value of rows that have to be seen again."""
        return self.policy.level if self._again else 0.0

    @property
    def _again(self) -> bool:
        """Whether rows of alarms have to be seen again."""
        return self.kinds or self.reasons > 0 or self.alarms

    def scored(self, block: Block, threshold: float, maps: Any = None) -> Scored:
        """Rows with the verdicts that a threshold gives them; `maps` sees images again."""
        alarm, n = block.pvalue <= threshold, len(block.keys)
        verdict = np.where(np.isnan(block.score), "failed", np.where(alarm, "anomaly", "normal"))
        places, kinds, reasons, groups = np.flatnonzero(alarm), None, None, None
        rows: Any = block.rows
        if self._again:
            if not (stay := alarm[block.pvalue <= self.kept]).all():
                rows = rows.filter(pa.array(stay))
            groups = rows[GROUP].to_pylist() if GROUP in rows.schema.names else None
            rows = without(rows, [GROUP] if groups is not None else [])
            if maps is not None and len(places):
                rows = maps(rows[ROW].to_numpy())
        if self.kinds:
            kinds = kind_columns(self.detector, rows, places, block.pvalue[places], n)
            normal = pa.array(verdict, pa.string(), mask=verdict != "normal")
            kinds = kinds.set_column(0, KINDS[0], pc.coalesce(kinds[KINDS[0]], normal))
        if self.reasons:
            reasons = reason_columns(
                self.detector, rows, places, n, top=self.reasons, alpha=threshold, groups=groups
            )
        told = (kinds, reasons, rows if self.alarms else None)
        return Scored(block.keys, block.score, block.pvalue, verdict, threshold, *told)


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

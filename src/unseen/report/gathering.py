"""What the report shows of rows that were scored: alarms, all scores, whether they drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.detector.drift import Drift

ALERTS = 20  # alarms that are shown
KINDS_SHOWN = 30  # kinds whose alarms are counted
COLUMNS = 12  # columns that tell an alarm apart
SAMPLED = 200_000  # scores that charts are drawn of


@dataclass(frozen=True)
class Picture:
    """An image inside the page.

    Parameters
    ----------
    source : str
        A data URI.
    width, height : int
        Its pixels.
    text : str
        What it shows, for who cannot see it.
    """

    source: str
    width: int
    height: int
    text: str


@dataclass(frozen=True)
class Alert:
    """An alarm.

    Parameters
    ----------
    place : int
        Which row of the source it is, from 0.
    keys : dict
        What tells it apart, by column.
    score, pvalue : float
        What the detector says.
    kind, reasons : str
        Of which kind it is, and which columns made it; empty where that is not told.
    pictures : tuple of Picture
        The image and its heat; none of rows.
    """

    place: int
    keys: dict[str, Any]
    score: float
    pvalue: float
    kind: str = ""
    reasons: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Judged:
    """What a report needs of rows that were scored.

    Parameters
    ----------
    name : str
        What the source is called.
    rows : int
        How many rows were judged.
    failed : int
        How many could not be judged.
    flagged : int
        Alarms among those that were.
    threshold : float
        The largest p-value that is an alarm.
    score, pvalue : array
        Of the rows, or of as many drawn evenly as charts are drawn of (k,).
    alerts : list of Alert
        The alarms that score highest.
    drift : Drift or str, optional
        What `Detector.drift` found, or why it could not tell.
    scale : Picture, optional
        The scale of the heat in all pictures.
    kinds : Counter
        How many alarms there are of each kind, where that is told.
    """

    name: str
    rows: int
    failed: int
    flagged: int
    threshold: float
    score: NDArray[np.float64]
    pvalue: NDArray[np.float64]
    alerts: list[Alert] = field(default_factory=list)
    drift: Drift | str = ""
    scale: Picture | None = None
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def by_kind(self) -> list[list[str]]:
        """Kinds and their alarms, most frequent first."""
        return [[kind, f"{count:,}"] for kind, count in self.kinds.most_common(KINDS_SHOWN)]

    @property
    def places(self) -> list[int]:
        """Which rows of the source the alarms are, from 0."""
        return [alert.place for alert in self.alerts]

    def with_told(self, told: Sequence[Mapping[str, Any]]) -> Judged:
        """The same, what is told of the alarms with them: fields of `Alert`."""
        both = zip(self.alerts, told, strict=True)
        return replace(self, alerts=[replace(alert, **more) for alert, more in both])


def gathered(parts: Iterable[Any], name: str) -> Judged:
    """What the page shows of rows as the scoring stream yields them (`Scored`); where kinds are
    told, the highest alarms of each.
    """
    scores, pvalues, kinds = [np.zeros(0)], [np.zeros(0)], Counter[str]()
    rows = failed = flagged = seen = 0
    threshold = 0.0
    alerts: dict[str, list[Alert]] = {}
    for part in parts:
        there = ~np.isnan(part.score)
        rows, failed = rows + int(there.sum()), failed + int((~there).sum())
        flagged, threshold = flagged + int(part.flagged.sum()), part.threshold
        scores.append(part.score[there])
        pvalues.append(part.pvalue[there])
        places = np.flatnonzero(part.flagged)
        told = [""] * len(places)
        if part.kinds is not None:
            told = part.kinds["kind"].take(pa.array(places)).to_pylist()
            kinds.update(told)
        for kind in dict.fromkeys(told):
            here = places[[each == kind for each in told]]
            here = here[np.argsort(-part.score[here], kind="stable")][:ALERTS]
            more = [
                Alert(seen + int(k), keys, float(part.score[k]), float(part.pvalue[k]), kind)
                for k, keys in zip(here, _keys_of(part.keys, here), strict=True)
            ]
            alerts[kind] = sorted([*alerts.get(kind, []), *more], key=_falling)[:ALERTS]
        seen += len(part.score)
    every = max(1, -(-rows // SAMPLED))
    score, pvalue = (np.concatenate(found)[::every] for found in (scores, pvalues))
    ranked = [(rank, alert) for each in alerts.values() for rank, alert in enumerate(each)]
    ranked.sort(key=lambda pair: (pair[0], _falling(pair[1])))  # a turn of each kind, and another
    shown = sorted((alert for _, alert in ranked[:ALERTS]), key=_falling)
    return Judged(name, rows, failed, flagged, threshold, score, pvalue, shown, kinds=kinds)


def _falling(alert: Alert) -> float:
    return -alert.score


def _keys_of(table: pa.Table, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """What tells these rows (k,) apart; why an image failed is told of no alarm."""
    names = [name for name in table.column_names if name != "problem"][:COLUMNS]
    return table.select(names).take(pa.array(rows)).to_pylist()

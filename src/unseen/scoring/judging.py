"""Judging: scores and p-values of a source, block by block; how often each p-value occurs; and the
verdicts that follow. One machine and a cluster judge by the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.news import NotedOnce
from unseen.data.split import take
from unseen.data.tables import without
from unseen.detector.band import Band
from unseen.detector.detector import Detector
from unseen.detector.explaining import check_explained
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io import read
from unseen.io.write import read_aside, write_aside
from unseen.scoring.tables import KINDS, RESULTS, ROW, check_keep
from unseen.scoring.told import TOLD, kind_columns, reason_columns
from unseen.types import Source, ability

Array = NDArray[np.float64]
GROUP = "unseen.group"  # beside rows that wait: their domain


@dataclass(frozen=True)
class Scored:
    """Judged rows.

    Parameters
    ----------
    keys : Table
        What tells the rows apart (n).
    score : array
        Scores (n,), NaN where a row could not be judged.
    pvalue : array
        p-values (n,), NaN where a row could not be judged.
    verdict : array
        "anomaly" for an alarm, else "normal"; "failed" where a row could not be judged (n,).
    threshold : float
        The largest p-value that is an alarm.
    kinds : Table, optional
        Where kinds are asked for, `Verdicts.table` of the alarms; "normal" and gaps of normal rows,
        gaps where a row could not be judged (n).
    reasons : Table, optional
        Columns that tell the reasons of alarms, null for other rows (n).
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    verdict: NDArray[np.str_]
    threshold: float
    kinds: pa.Table | None = None
    reasons: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which are alarms: (n,)."""
        return self.verdict == "anomaly"

    def table(self) -> pa.Table:
        """Keys, `score`, `pvalue`, `verdict`, and what is told of kinds and reasons."""
        columns = {
            "score": pa.array(self.score, from_pandas=True),
            "pvalue": pa.array(self.pvalue, from_pandas=True),
            "verdict": pa.array(self.verdict, pa.string()),
        }
        found = self.keys
        for name in RESULTS:
            found = found.append_column(name, columns[name])
        for more in (self.kinds, self.reasons):
            found = found if more is None else _widened(found, more)
        return found


@dataclass(frozen=True)
class Block:
    """Keys (n), scores and p-values (n,), and those rows of which something may be told: they have
    a p-value up to the level of the policy. Of images the numbers, by which they are seen again.
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    rows: pa.Table


@dataclass
class Pvalues:
    """How often each p-value occurs among rows that are judged together, wherever they are. There
    are few of them: each is a rank among the calibration rows.

    Parameters
    ----------
    each : Counter
        The number of rows by their p-value.

    >>> here, there = Pvalues(), Pvalues()
    >>> here.add(np.array([0.01, 0.9, np.nan]))
    >>> there.add(np.array([0.01, 0.04]))
    >>> here.merge(there)
    >>> sorted(here.each.items()), here.threshold(Policy.fdr(0.05))
    ([(0.01, 2), (0.04, 1), (0.9, 1)], 0.01)
    """

    each: Counter[float] = field(default_factory=Counter)

    def add(self, pvalue: Array) -> None:
        """Count p-values (n,), NaN where a row could not be judged."""
        values, counts = np.unique(pvalue[~np.isnan(pvalue)], return_counts=True)
        self.each.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Pvalues) -> None:
        """Count those of other rows, too."""
        self.each.update(other.each)

    def threshold(self, policy: Policy) -> float:
        """The largest p-value that is an alarm."""
        return policy.threshold(np.array(list(self.each)), np.array(list(self.each.values())))


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
    """

    detector: Detector
    policy: Policy
    kinds: bool = False
    reasons: int = 0

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
        return self.policy.level if self.kinds or self.reasons else 0.0

    def scored(self, block: Block, threshold: float, maps: Any = None) -> Scored:
        """Rows with the verdicts that a threshold gives them; `maps` sees images again."""
        alarm, n = block.pvalue <= threshold, len(block.keys)
        verdict = np.where(np.isnan(block.score), "failed", np.where(alarm, "anomaly", "normal"))
        places, kinds, reasons, groups = np.flatnonzero(alarm), None, None, None
        rows: Any = block.rows
        if self.kinds or self.reasons:
            rows = rows.filter(pa.array(alarm[block.pvalue <= self.kept]))
            groups = rows[GROUP].to_pylist() if GROUP in rows.column_names else None
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
        return Scored(block.keys, block.score, block.pvalue, verdict, threshold, kinds, reasons)


def judge(
    source: Source,
    detector: Detector,
    kept: float,
    band: Band,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Block]:
    """Blocks of a source, in order.

    Parameters
    ----------
    source : Source
        Where the rows come from.
    detector : Detector
        A fitted one.
    kept : float
        Rows with a p-value up to this one stay in their block, to be seen again.
    band : Band
        Counts the p-values.
    progress : callable
        Is told the number of rows of each block.
    """
    once = NotedOnce()
    for batch in source.batches(detector.schema_):
        scores, pvalues = np.full((2, len(batch.keys)), np.nan)
        if once.done or len(batch.keys) >= read.ROWS:  # more came before, or may come
            once.through = once.done + len(batch.keys)
        try:
            if len(batch.used):
                scores[batch.used], pvalues[batch.used] = detector.judged(
                    batch.rows, groups=batch.groups, once=once
                )
            elif batch.rows is not None:
                detector.schema_.encode(batch.rows)  # no rows, but columns are checked all the same
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{batch.where}: {error}") from error
        band.add(pvalues)
        progress(len(batch.keys))
        rows = pa.table({})
        if kept:
            low = np.flatnonzero(pvalues[batch.used] <= kept)
            images = ability(source, "maps") is not None
            numbers = pa.table({ROW: once.done + batch.used[low]})
            rows = numbers if images else take(batch.rows, low)
            if batch.groups is not None:
                own = pa.array([batch.groups[k] for k in low.tolist()])
                rows = rows.append_column(GROUP, own)
        yield Block(batch.keys, scores, pvalues, rows)
        once.done += len(batch.keys)


def set_aside(blocks: Iterable[Block], file: Path) -> Pvalues:
    """Write blocks to a new file, where they wait until all p-values are known; what theirs are."""
    found = Pvalues()
    with write_aside(file) as out:
        for block in blocks:
            judged = block.keys
            for name, values in (("score", block.score), ("pvalue", block.pvalue)):
                judged = judged.append_column(name, pa.array(values))
            out(judged)
            out(block.rows)
            found.add(block.pvalue)
    return found


def taken_back(file: Path) -> Iterator[Block]:
    """The blocks that `set_aside` wrote."""
    tables = read_aside(file)
    for judged, rows in zip(tables, tables, strict=True):
        score, pvalue = (judged[name].to_numpy() for name in ("score", "pvalue"))
        yield Block(without(judged, ("score", "pvalue")), score, pvalue, rows)


def _widened(left: pa.Table, right: pa.Table) -> pa.Table:
    """The columns of one table behind those of another."""
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left

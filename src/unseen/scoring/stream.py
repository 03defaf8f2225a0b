"""The scoring stream: rows of any source, judged block by block; what becomes of them is a sink's
matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

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
from unseen.io.atomic import scratch_folder
from unseen.io.text import STANDARD
from unseen.io.write import Writer
from unseen.scoring.tables import KINDS, RESULTS, check_keep
from unseen.scoring.told import TOLD, kind_columns, of_alarms, reason_columns
from unseen.types import Batch, Source, ability

Array = NDArray[np.float64]
Block = tuple[pa.Table, Array, Array, pa.Table | None]  # keys, scores, p-values, what is told


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


def score(
    source: Source,
    detector: Detector,
    policy: Policy,
    *,
    beside: Path | None = None,
    kinds: bool = False,
    reasons: int = 0,
) -> Iterator[Scored]:
    """Judge all rows of a source, in order, a block at a time.

    Parameters
    ----------
    source : Source
        Where the rows come from: `TableSource` or `ImageFolder`, of this package.
    detector : Detector
        A fitted one; several threads may share it.
    policy : Policy
        Which p-values are alarms. One that needs all of them, such as a false-discovery rate, reads
        the source to its end first.
    beside : Path, optional
        Where what was judged waits meanwhile, in a hidden file beside this path; without it in the
        folder for temporary files.
    kinds : bool
        Whether to tell of which kind alarms are, as `Detector.verdict` does.
    reasons : int
        How many columns, or places of an image, to name as the reasons of an alarm, in columns
        behind the verdict; 0 tells none, and takes no time.

    Yields
    ------
    Scored
        Judged rows, in the order of the source.

    Raises
    ------
    NotFitted
        Before `fit`.
    DataError
        For rows of another sort than those of training, with the place in the source.
    Unsupported
        Where kinds or reasons are asked for, and an earlier release saved the detector.
    """
    if ability(source, "batches") is None:
        raise DataError(
            "expected a source, such as TableSource(FrameRows(frame)), TableSource(FileRows(path)) "
            f"or ImageFolder(path), got {type(source).__name__}"
        )
    if not isinstance(policy, Policy):
        raise DataError(f"expected a policy, such as Policy.alpha(0.05), got {policy!r:.80}")
    detector.check_reach(policy)
    if kinds:
        detector.known_kinds()  # learned, or refused, before rows are read
    if reasons:
        check_explained(detector.schema_, getattr(detector, "references_", None))
    more = (*(KINDS if kinds else ()), *(TOLD if reasons else ()))
    check_keep(ability(source, "keep") or (), taken=(*RESULTS, *more))
    judged = _judged(source, detector, Asked(kinds, reasons, policy.level))
    if not policy.needs_all:
        threshold = policy.threshold(np.zeros(0))
        yield from (_with_verdicts(*each, threshold) for each in judged)
        return
    if beside is None or str(beside) == STANDARD:
        beside = Path(gettempdir(), "scores")
    with scratch_folder(Path(beside)) as folder:
        seen = _written(judged, hidden := folder / "judged.parquet")
        threshold = policy.threshold(np.array(list(seen)), np.array(list(seen.values())))
        for batch in read.batches(hidden):
            told = batch.select(more) if more else None
            keys = without(batch, ("score", "pvalue", *more))
            scores, pvalues = (_as_numbers(batch[name]) for name in ("score", "pvalue"))
            yield _with_verdicts(keys, scores, pvalues, told, threshold)


@dataclass(frozen=True)
class Asked:
    """What is told of rows with p-values up to `level`: kinds, and so many reasons."""

    kinds: bool
    reasons: int
    level: float

    def told(self, detector: Detector, batch: Batch, pvalues: Array) -> pa.Table | None:
        """Columns beside the verdict (n), gaps where a p-value (n,) is above the level."""
        may, n = np.flatnonzero(pvalues[batch.used] <= self.level), len(batch.keys)
        places, found = batch.used[may], None
        if self.kinds:
            rows = take(batch.rows, may) if len(may) else None
            found = kind_columns(detector, rows, places, pvalues[places], n)
        if self.reasons:
            reasons = reason_columns(
                detector, batch.rows, may, places, n, top=self.reasons, alpha=self.level
            )
            found = reasons if found is None else _widened(found, reasons)
        return found


def _judged(source: Source, detector: Detector, asked: Asked) -> Iterator[Block]:
    """Keys, scores, p-values and what is asked for beside them, block by block; no alarm has a
    p-value above the level.
    """
    detector.check_fitted()
    once, band = NotedOnce(), Band(len(detector.conformal_.scores))
    for batch in source.batches(detector.schema_):
        scores, pvalues = np.full((2, len(batch.keys)), np.nan)
        told = None
        if once.done or len(batch.keys) >= read.ROWS:  # more came before, or may come
            once.through = once.done + len(batch.keys)
        try:
            if len(batch.used):
                scores[batch.used], pvalues[batch.used] = detector.judged(
                    batch.rows, groups=batch.groups, once=once
                )
            elif batch.rows is not None:
                detector.schema_.encode(batch.rows)  # no rows, but columns are checked all the same
            told = asked.told(detector, batch, pvalues)
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{batch.where}: {error}") from error
        band.add(pvalues)
        yield batch.keys, scores, pvalues, told
        once.done += len(batch.keys)
    band.tell(detector.schema_.noun)


def _with_verdicts(
    keys: pa.Table, score: Array, pvalue: Array, told: pa.Table | None, threshold: float
) -> Scored:
    """Rows with the verdicts that a threshold gives them."""
    alarm = pvalue <= threshold
    verdict = np.where(np.isnan(score), "failed", np.where(alarm, "anomaly", "normal"))
    found = None if told is None else of_alarms(told, alarm)
    names = () if found is None else found.column_names
    kinds, reasons = (
        found.select(each) if found is not None and each[0] in names else None
        for each in (KINDS, TOLD)
    )
    if kinds is not None:
        normal = pa.array(verdict, pa.string(), mask=verdict != "normal")
        kinds = kinds.set_column(0, KINDS[0], pc.coalesce(kinds[KINDS[0]], normal))
    return Scored(keys, score, pvalue, verdict, threshold, kinds, reasons)


def _written(judged: Iterator[Block], hidden: Path) -> Counter[float]:
    """Write judged rows to a file; how often each p-value occurs.

    There are no more of them than calibration rows, and some thousands of a tail.
    """
    seen: Counter[float] = Counter()
    with Writer(hidden) as out:
        for keys, scores, pvalues, told in judged:
            table = keys.append_column("score", pa.array(scores, from_pandas=True))
            table = table.append_column("pvalue", pa.array(pvalues, from_pandas=True))
            out.write(table if told is None else _widened(table, told))
            values, counts = np.unique(pvalues[~np.isnan(pvalues)], return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return seen


def _widened(left: pa.Table, right: pa.Table) -> pa.Table:
    """The columns of one table behind those of another."""
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left


def _as_numbers(column: pa.ChunkedArray) -> Array:
    """Numbers, NaN where there is none: (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

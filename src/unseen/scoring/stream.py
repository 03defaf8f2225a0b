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
from numpy.typing import NDArray

from unseen.data.news import NotedOnce
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
from unseen.scoring.tables import RESULTS, check_keep
from unseen.scoring.told import TOLD, of_alarms, reason_columns
from unseen.types import Source, ability

Array = NDArray[np.float64]
Block = tuple[pa.Table, Array, Array, pa.Table | None]  # keys, scores, p-values, reasons


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
    reasons : Table, optional
        Columns that tell the reasons of alarms, null for other rows (n).
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    verdict: NDArray[np.str_]
    threshold: float
    reasons: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which are alarms: (n,)."""
        return self.verdict == "anomaly"

    def table(self) -> pa.Table:
        """Keys, `score`, `pvalue` and `verdict`, and what tells reasons."""
        columns = {
            "score": pa.array(self.score, from_pandas=True),
            "pvalue": pa.array(self.pvalue, from_pandas=True),
            "verdict": pa.array(self.verdict, pa.string()),
        }
        found = self.keys
        for name in RESULTS:
            found = found.append_column(name, columns[name])
        return found if self.reasons is None else _beside_each_other(found, self.reasons)


def score(
    source: Source,
    detector: Detector,
    policy: Policy,
    *,
    beside: Path | None = None,
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
    reasons : int
        How many columns to name as the reasons of an alarm, in columns behind the verdict; 0 tells
        none, and takes no time.

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
        Where reasons are asked for, and there can be none: for images, for one.
    """
    if ability(source, "batches") is None:
        raise DataError(
            "expected a source, such as TableSource(FrameRows(frame)), TableSource(FileRows(path)) "
            f"or ImageFolder(path), got {type(source).__name__}"
        )
    if not isinstance(policy, Policy):
        raise DataError(f"expected a policy, such as Policy.alpha(0.05), got {policy!r:.80}")
    detector.check_reach(policy)
    if reasons:
        check_explained(detector.schema_, getattr(detector, "references_", None))
    judged = _judged(source, detector, reasons, policy.level)
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
            told = batch.select(TOLD) if reasons else None
            keys = without(batch, ("score", "pvalue", *(TOLD if reasons else ())))
            scores, pvalues = (_as_numbers(batch[name]) for name in ("score", "pvalue"))
            yield _with_verdicts(keys, scores, pvalues, told, threshold)


def _judged(source: Source, detector: Detector, reasons: int, level: float) -> Iterator[Block]:
    """Keys, scores, p-values and what tells reasons, block by block; no alarm has a p-value above
    the level.
    """
    detector.check_fitted()
    once, band = NotedOnce(), Band(len(detector.conformal_.scores))
    for batch in source.batches(detector.schema_):
        scores, pvalues = np.full((2, len(batch.keys)), np.nan)
        if once.done or len(batch.keys) >= read.ROWS:  # more came before, or may come
            once.through = once.done + len(batch.keys)
        try:
            if len(batch.used):
                scores[batch.used] = detector.anomaly_score(batch.rows, once=once)
                pvalues[batch.used] = detector.conformal_.pvalue(scores[batch.used])
            elif batch.rows is not None:
                detector.schema_.encode(batch.rows)  # no rows, but columns are checked all the same
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{batch.where}: {error}") from error
        band.add(pvalues)
        told = None
        if reasons:
            check_keep(batch.keys.column_names, taken=TOLD)
            may = np.flatnonzero(pvalues <= level)
            n = len(batch.keys)
            told = reason_columns(detector, batch.rows, may, n, top=reasons, alpha=level)
        yield batch.keys, scores, pvalues, told
        once.done += len(batch.keys)
    band.tell(detector.schema_.noun)


def _with_verdicts(
    keys: pa.Table, score: Array, pvalue: Array, told: pa.Table | None, threshold: float
) -> Scored:
    """Rows with the verdicts that a threshold gives them."""
    alarm = pvalue <= threshold
    verdict = np.where(np.isnan(score), "failed", np.where(alarm, "anomaly", "normal"))
    reasons = None if told is None else of_alarms(told, alarm)
    return Scored(keys, score, pvalue, verdict, threshold, reasons)


def _beside_each_other(left: pa.Table, right: pa.Table) -> pa.Table:
    """A table with the columns of both (n)."""
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left


def _written(judged: Iterator[Block], hidden: Path) -> Counter[float]:
    """Write judged rows to a file; how often each p-value occurs.

    There are no more of them than calibration rows, and some thousands of a tail.
    """
    seen: Counter[float] = Counter()
    with Writer(hidden) as out:
        for keys, scores, pvalues, told in judged:
            table = keys.append_column("score", pa.array(scores, from_pandas=True))
            table = table.append_column("pvalue", pa.array(pvalues, from_pandas=True))
            out.write(table if told is None else _beside_each_other(table, told))
            values, counts = np.unique(pvalues[~np.isnan(pvalues)], return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return seen


def _as_numbers(column: pa.ChunkedArray) -> Array:
    """Numbers, NaN where there is none: (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

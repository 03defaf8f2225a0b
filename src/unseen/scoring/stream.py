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
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io import read
from unseen.io.atomic import scratch_folder
from unseen.io.text import STANDARD
from unseen.io.write import Writer
from unseen.scoring.tables import RESULTS
from unseen.types import Source, ability

Array = NDArray[np.float64]


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
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    verdict: NDArray[np.str_]
    threshold: float

    def __len__(self) -> int:
        return len(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which are alarms: (n,)."""
        return self.verdict == "anomaly"

    def table(self) -> pa.Table:
        """Keys, `score`, `pvalue` and `verdict`."""
        columns = {
            "score": pa.array(self.score, from_pandas=True),
            "pvalue": pa.array(self.pvalue, from_pandas=True),
            "verdict": pa.array(self.verdict, pa.string()),
        }
        found = self.keys
        for name in RESULTS:
            found = found.append_column(name, columns[name])
        return found


def score(
    source: Source, detector: Detector, policy: Policy, *, beside: Path | None = None
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
    """
    if ability(source, "batches") is None:
        raise DataError(
            "expected a source, such as TableSource(FrameRows(frame)), TableSource(FileRows(path)) "
            f"or ImageFolder(path), got {type(source).__name__}"
        )
    if not isinstance(policy, Policy):
        raise DataError(f"expected a policy, such as Policy.alpha(0.05), got {policy!r:.80}")
    detector.check_reach(policy)
    judged = _judged(source, detector)
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
            keys = without(batch, ("score", "pvalue"))
            scores, pvalues = (_as_numbers(batch[name]) for name in ("score", "pvalue"))
            yield _with_verdicts(keys, scores, pvalues, threshold)


def _judged(source: Source, detector: Detector) -> Iterator[tuple[pa.Table, Array, Array]]:
    """Keys, scores and p-values, block by block."""
    detector.check_fitted()
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
        yield batch.keys, scores, pvalues
        once.done += len(batch.keys)


def _with_verdicts(keys: pa.Table, score: Array, pvalue: Array, threshold: float) -> Scored:
    """Rows with the verdicts that a threshold gives them."""
    alarm = np.where(pvalue <= threshold, "anomaly", "normal")
    return Scored(keys, score, pvalue, np.where(np.isnan(score), "failed", alarm), threshold)


def _written(judged: Iterator[tuple[pa.Table, Array, Array]], hidden: Path) -> Counter[float]:
    """Write judged rows to a file; how often each p-value occurs.

    There are no more of them than calibration rows, and some thousands of a tail.
    """
    seen: Counter[float] = Counter()
    with Writer(hidden) as out:
        for keys, scores, pvalues in judged:
            table = keys.append_column("score", pa.array(scores, from_pandas=True))
            out.write(table.append_column("pvalue", pa.array(pvalues, from_pandas=True)))
            values, counts = np.unique(pvalues[~np.isnan(pvalues)], return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return seen


def _as_numbers(column: pa.ChunkedArray) -> Array:
    """Numbers, NaN where there is none: (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

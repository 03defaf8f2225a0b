"""The scoring stream: rows of any source, judged block by block; what becomes of them is a sink's matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.news import ToldOnce
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io.atomic import scratch
from unseen.io.read import batches
from unseen.io.text import STANDARD
from unseen.io.write import Writer
from unseen.scoring.tables import TableFile
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed
from unseen.types import Source

RESULTS = ("score", "pvalue", "verdict")


@dataclass(frozen=True)
class Scored:
    """Judged rows: a table `keys` that tells them apart, scores and p-values, NaN where one could not be judged, and
    the largest p-value that is an alarm: (n,) each.
    """

    keys: pa.Table
    score: NDArray[np.float64]
    pvalue: NDArray[np.float64]
    threshold: float

    def __len__(self) -> int:
        return len(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which are alarms: (n,)."""
        return self.pvalue <= self.threshold

    @property
    def verdict(self) -> NDArray[np.str_]:
        """ "anomaly" for an alarm, else "normal"; "failed" where one could not be judged: (n,)."""
        return np.where(np.isnan(self.score), "failed", np.where(self.flagged, "anomaly", "normal"))

    def table(self) -> pa.Table:
        """Keys, `score`, `pvalue` and `verdict`."""
        found = self.keys
        for name in RESULTS:
            column = pa.array(getattr(self, name), from_pandas=True)
            found = found.append_column(name, column.cast(pa.string()) if name == "verdict" else column)
        return found


def score(source: Source, detector: Detector, policy: Policy, *, beside: Path | None = None) -> Iterator[Scored]:
    """Judge all rows of a source, in order, a block at a time.

    Parameters
    ----------
    source : Source
        Where the rows come from.
    detector : Detector
        A fitted one; several threads may share it.
    policy : Policy
        Which p-values are alarms. One that needs all of them, such as a false-discovery rate, reads the source to its
        end first; what was judged waits in a hidden file `beside` a path, or in the folder for temporary files.
    """
    detector.check_reach(policy)
    judged = _judged(source, detector)
    if not policy.needs_all:
        threshold = policy.threshold(np.zeros(0))
        yield from (Scored(*each, threshold) for each in judged)
        return
    with scratch(beside or Path(gettempdir(), "scores")) as folder:
        seen = _written(judged, hidden := folder / "judged.parquet")
        threshold = policy.threshold(np.array(list(seen)), np.array(list(seen.values())))
        for batch in batches(hidden):
            keys = batch.drop_columns(["score", "pvalue"])
            yield Scored(keys, *(_filled(batch[name]) for name in ("score", "pvalue")), threshold)


def _judged(source: Source, detector: Detector) -> Iterator[tuple[pa.Table, NDArray[np.float64], NDArray[np.float64]]]:
    """Keys, scores and p-values, block by block."""
    detector.check_fitted()
    told = ToldOnce()
    for batch in source.batches(detector.schema_):
        scores, pvalues = np.full((2, len(batch.keys)), np.nan)
        try:
            if len(batch.used):
                scores[batch.used] = detector.anomaly_score(batch.rows, told=told)
                pvalues[batch.used] = detector.conformal_.pvalue(scores[batch.used])
            elif batch.rows is not None:
                detector.schema_.encode(batch.rows)  # no rows, but columns are checked all the same
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{batch.where}: {error}") from error
        yield batch.keys, scores, pvalues
        told.done += len(batch.keys)


def _written(
    judged: Iterator[tuple[pa.Table, NDArray[np.float64], NDArray[np.float64]]], hidden: Path
) -> Counter[float]:
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


def _filled(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers, NaN where there is none: (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


@dataclass
class TableSink:
    """Writes judged rows to a CSV or Parquet file, whole or not there; counts them, and the alarms."""

    target: Path
    rows: int = 0
    flagged: int = 0
    threshold: float = 0.0

    def take(self, judged: Iterator[Scored], progress: Callable[[int], None] = lambda done: None) -> None:
        """Write all of them."""
        with Writer(self.target) as out:
            for scored in judged:
                out.write(scored.table())
                self.rows += len(scored)
                self.flagged += int(scored.flagged.sum())
                self.threshold = scored.threshold
                progress(len(scored))


def score_file(
    bundle: Bundle,
    source: str | Path,
    target: str | Path,
    *,
    keep: Sequence[str] = (),
    alpha: float | None = None,
    fdr: float | None = None,
    header: bool = True,
) -> TableSink:
    """Write the columns `keep` of a file, and score, p-value and verdict of each row, in its order.

    Parameters
    ----------
    bundle : Bundle
        The saved detector.
    source, target : path
        The file to score, and the CSV or Parquet file to write; "-" is standard input or output.
    keep : sequence of str
        Columns of the file to copy; without any, the first column is `row`, counted from 1.
    alpha, fdr : float, optional
        One of two policies, as in `Detector.detect`.
    header : bool
        Without it, or if the detector was trained so, the first line of a CSV file is a row.
    """
    check_keep(keep)
    policy = Policy.asked(alpha, fdr)
    rows = TableFile(Path(source), header=header and headed(bundle.facts), keep=tuple(keep))
    sink = TableSink(Path(target))
    beside = None if str(target) == STANDARD else Path(target)
    sink.take(score(rows, bundle.detector, policy, beside=beside))
    return sink


def check_keep(keep: Sequence[str], *, taken: Sequence[str] = RESULTS) -> None:
    """DataError for names that the results have `taken`, or that are named twice."""
    clash = [name for name in keep if name in taken]
    if clash:
        raise DataError(
            f"column {clash[0]!r} cannot be kept, as the result has one of that name: rename it, or keep others"
        )
    twice = sorted({name for name in keep if keep.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is to be kept twice; name it once")

"""The scoring stream: rows of any source, judged block by block; what becomes of them is a sink's
matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Self

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
    alarms : Table or Maps, optional
        The rows or images themselves of the alarms, where they are asked for (k).
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    verdict: NDArray[np.str_]
    threshold: float
    kinds: pa.Table | None = None
    reasons: pa.Table | None = None
    alarms: Any = None

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
    alarms: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Generator[Scored, None, None]:
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
        behind the verdict; 0 tells none, and takes no time. What would have been unremarkable is
        what is no alarm.
    alarms : bool
        Whether to yield the rows or images themselves of the alarms, too.
    progress : callable
        Is told the number of rows of each block that was scored.

    Yields
    ------
    Scored
        Judged rows, in the order of the source. Close it (`contextlib.closing`) where you may stop
        before the end, so that nothing is left of what waits.

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
    judged = _judged(source, detector, policy.level if more or alarms else 0.0, progress)
    tell = _Telling(detector, policy.level, kinds, reasons, alarms, ability(source, "maps"))
    if not policy.needs_all:
        yield from (tell.scored(block, policy.level) for block in judged)
        return
    if beside is None or str(beside) == STANDARD:
        beside = Path(gettempdir(), "scores")
    with scratch_folder(Path(beside)) as folder:
        seen: Counter[float] = Counter()
        count = 0
        for block in judged:
            block.set_aside(folder / str(count))
            values, counts = np.unique(block.pvalue[~np.isnan(block.pvalue)], return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            count += 1
        threshold = policy.threshold(np.array(list(seen)), np.array(list(seen.values())))
        for k in range(count):
            yield tell.scored(_Block.taken_back(folder / str(k)), threshold)


@dataclass(frozen=True)
class _Block:
    """Keys (n), scores and p-values (n,), and those rows of which something may be told: they have
    a p-value up to the level of the policy. Of images the numbers, by which they are seen again.
    """

    keys: pa.Table
    score: Array
    pvalue: Array
    rows: pa.Table

    def set_aside(self, place: Path) -> None:
        """Write it to two files with this name and an ending, until all p-values are known."""
        judged = self.keys
        for name, values in (("score", self.score), ("pvalue", self.pvalue)):
            judged = judged.append_column(name, pa.array(values))
        write_aside(judged, place.with_suffix(".judged"))
        write_aside(self.rows, place.with_suffix(".rows"))

    @classmethod
    def taken_back(cls, place: Path) -> Self:
        """What `set_aside` wrote."""
        judged = read_aside(place.with_suffix(".judged"))
        score, pvalue = (judged[name].to_numpy() for name in ("score", "pvalue"))
        keys = without(judged, ("score", "pvalue"))
        return cls(keys, score, pvalue, read_aside(place.with_suffix(".rows")))


@dataclass(frozen=True)
class _Telling:
    """Gives rows their verdicts, and tells kinds and reasons of those that are alarms; no alarm has
    a p-value above the level.
    """

    detector: Detector
    level: float
    kinds: bool
    reasons: int
    alarms: bool
    maps: Callable[[NDArray[np.int64]], Any] | None  # of images by their numbers

    def scored(self, block: _Block, threshold: float) -> Scored:
        """Rows with the verdicts that a threshold gives them."""
        alarm, n = block.pvalue <= threshold, len(block.keys)
        verdict = np.where(np.isnan(block.score), "failed", np.where(alarm, "anomaly", "normal"))
        places, kinds, reasons, groups = np.flatnonzero(alarm), None, None, None
        rows: Any = block.rows
        if self.kinds or self.reasons or self.alarms:
            rows = rows.filter(pa.array(alarm[block.pvalue <= self.level]))
            groups = rows[GROUP].to_pylist() if GROUP in rows.column_names else None
            rows = without(rows, [GROUP] if groups is not None else [])
            if self.maps is not None and len(places):
                rows = self.maps(rows[ROW].to_numpy())
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


def _judged(
    source: Source, detector: Detector, level: float, progress: Callable[[int], None]
) -> Iterator[_Block]:
    """Blocks of a source; of rows with a p-value up to the level the rows themselves, too."""
    detector.check_fitted()
    once, band = NotedOnce(), Band(len(detector.conformal_.scores))
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
        kept = pa.table({})
        if level:
            low = np.flatnonzero(pvalues[batch.used] <= level)
            images = ability(source, "maps") is not None
            numbers = pa.table({ROW: once.done + batch.used[low]})
            kept = numbers if images else take(batch.rows, low)
            if batch.groups is not None:
                own = pa.array([batch.groups[k] for k in low.tolist()])
                kept = kept.append_column(GROUP, own)
        yield _Block(batch.keys, scores, pvalues, kept)
        once.done += len(batch.keys)
    band.tell(detector.schema_.noun)


def _widened(left: pa.Table, right: pa.Table) -> pa.Table:
    """The columns of one table behind those of another."""
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left

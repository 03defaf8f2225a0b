"""Judging: scores and p-values of a source, block by block, and how often each p-value occurs. One
machine and a cluster judge by the same functions, and tell what they judged by `told`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from unseen.data.news import NotedOnce
from unseen.data.split import take
from unseen.data.tables import without
from unseen.detector.band import Band
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io import read
from unseen.io.write import read_aside, write_aside
from unseen.scoring.scored import GROUP, Array, Block
from unseen.scoring.tables import ROW
from unseen.types import Source, ability


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

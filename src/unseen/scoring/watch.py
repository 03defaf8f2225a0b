"""Drift in a source: its rows in order, a block at a time."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from unseen.detector.detector import Detector
from unseen.detector.drift import Drift
from unseen.errors import DataError
from unseen.types import Source


def watched(
    source: Source,
    detector: Detector,
    *,
    level: float = 0.01,
    anomalies: float = 0.05,
    progress: Callable[[int], None] = lambda done: None,
) -> Drift:
    """`Detector.drift` of a source of any size, in bounded memory.

    Parameters
    ----------
    source : Source
        Where the rows come from, in the order in which they came: `TableSource` or `ImageFolder`.
    detector : Detector
        A fitted one.
    level : float
        The chance of an alarm without drift, at most.
    anomalies : float
        The share of anomalies that may be among them.
    progress : callable
        Is told the number of rows of each block.

    Returns
    -------
    Drift
        What was found; rows are counted as the source counts them.

    Raises
    ------
    NotFitted, Unsupported
        As in `Detector.drift`.
    DataError
        Likewise, with the place in the source.
    """
    monitor, done = detector.monitor(level=level, anomalies=anomalies), 0
    for batch in source.batches(detector.schema_):
        try:
            if len(batch.used):
                monitor.see(batch.rows, done + batch.used)
            elif batch.rows is not None:
                detector.schema_.encode(batch.rows)  # no rows, but columns are checked all the same
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{batch.where}: {error}") from error
        done += len(batch.keys)
        progress(len(batch.keys))
    return monitor.report()

"""What becomes of judged rows: a table; what becomes of images is in `report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.io.write import Writer
from unseen.scoring.scored import Scored


@dataclass
class TableSink:
    """Writes judged rows to a file, and counts them.

    Parameters
    ----------
    target : Path
        CSV or Parquet file to write, whole or not there; "-" is standard output.
    rows : int
        Rows written so far.
    flagged : int
        Alarms among them.
    threshold : float
        The largest p-value that is an alarm, known once rows are written.
    smallest : float
        The smallest p-value so far.
    kinds : Counter
        How many alarms there are of each kind, where kinds are told.
    """

    target: Path
    rows: int = 0
    flagged: int = 0
    threshold: float = 0.0
    smallest: float = 1.0
    kinds: Counter[str] = field(default_factory=Counter)

    def write(self, judged: Iterator[Scored]) -> None:
        """Write all of them."""
        with Writer(self.target) as out:
            for scored in judged:
                out.write(scored.table())
                kinds = scored.kinds
                told = [] if kinds is None else kinds["kind"].filter(scored.flagged).to_pylist()
                self.count(len(scored), int(scored.flagged.sum()), scored.pvalue, told)
                self.threshold = scored.threshold

    def count(self, rows: int, flagged: int, pvalue: NDArray[np.float64], kinds: list[str]) -> None:
        """Count rows that are written: p-values (n,), and the kinds of the alarms among them."""
        self.rows += rows
        self.flagged += flagged
        self.smallest = float(np.fmin.reduce(pvalue, initial=self.smallest))
        self.kinds.update(kinds)

    def merge(self, other: TableSink) -> None:
        """Count what another one wrote of the same rows, too."""
        self.count(other.rows, other.flagged, np.array([other.smallest]), [])
        self.kinds.update(other.kinds)
        self.threshold = other.threshold

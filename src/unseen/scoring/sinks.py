"""What becomes of judged rows: a table; what becomes of images is in `report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unseen.detector.policy import Policy
from unseen.io.write import Writer
from unseen.scoring.judging import Scored
from unseen.scoring.rows import FileRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed


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
                self.rows += len(scored)
                self.flagged += int(scored.flagged.sum())
                self.threshold = scored.threshold
                self.smallest = float(np.fmin.reduce(scored.pvalue, initial=self.smallest))
                if scored.kinds is not None:
                    self.kinds.update(scored.kinds["kind"].filter(scored.flagged).to_pylist())


def score_file(
    bundle: Bundle,
    source: str | Path,
    target: str | Path,
    *,
    keep: Sequence[str] = (),
    alpha: float | None = None,
    fdr: float | None = None,
    header: bool = True,
    reasons: int = 0,
    progress: Callable[[int], None] = lambda done: None,
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
    reasons : int
        How many columns to name as the reasons of an alarm; 0 tells none.
    progress : callable
        Is told the number of rows of each batch.
    """
    policy = Policy.of(alpha, fdr)
    place = FileRows(Path(source), header and headed(bundle.facts))
    rows = TableSource(place, keep=tuple(keep))
    sink = TableSink(Path(target))
    how: dict[str, Any] = {"beside": sink.target, "reasons": reasons, "progress": progress}
    with closing(score(rows, bundle.detector, policy, **how)) as judged:
        sink.write(judged)
    return sink

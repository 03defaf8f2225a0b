"""Rows that are judged: with their scores and p-values, and then with their verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.scoring.tables import RESULTS

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


def _widened(left: pa.Table, right: pa.Table) -> pa.Table:
    """The columns of one table behind those of another."""
    for name in right.column_names:
        left = left.append_column(name, right[name])
    return left

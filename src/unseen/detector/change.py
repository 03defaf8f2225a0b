"""Where a stream of ranks changes: counts over time in bounded memory, and the split that tells
most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BINS = 2048  # of time, at most
LEAST = 30  # rows that a change must have behind it


class History:
    """How many rows of each sort came when; from `BINS` on, neighbouring times are joined.

    Parameters
    ----------
    sorts : int
        How many sorts of rows there are.

    >>> history = History(2)
    >>> history.add(np.arange(6), np.array([0, 0, 0, 1, 1, 1]))
    >>> history.counts.sum(axis=0), history.width
    (array([3, 3]), 1)
    """

    def __init__(self, sorts: int) -> None:
        self.width = 1  # rows of a bin
        self._filled = 0
        self._counts = np.zeros((BINS, sorts), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows by time and sort (bins, sorts)."""
        return self._counts[: self._filled]

    def add(self, rows: NDArray[np.int64], sort: NDArray[np.int64]) -> None:
        """Rows with these numbers (n,), each of a sort (n,)."""
        if not len(rows):
            return
        while rows.max() // self.width >= BINS:
            joined = self._counts.reshape(BINS // 2, 2, -1).sum(axis=1)
            self._counts[: BINS // 2], self._counts[BINS // 2 :] = joined, 0
            self.width *= 2
        np.add.at(self._counts, (rows // self.width, sort), 1)
        self._filled = int(rows.max()) // self.width + 1


def change_point(counts: NDArray[np.int64], before: Array) -> int:
    """The bin at which what comes differs most from what came before.

    counts (bins, sorts), the sorts in an order; before (sorts,), rows that came before all of them,
    such as the calibration. The largest two-sample statistic over splits t and cuts k of the order,

        |F_after(k) - F_before(k)| sqrt(n_before n_after / n) / sqrt(F(k) (1 - F(k)))

    >>> counts = np.repeat([[50, 50], [90, 10]], [4, 6], axis=0)
    >>> change_point(counts, np.array([100.0, 100.0]))
    4
    """
    up_to = before + np.vstack([np.zeros(counts.shape[1]), np.cumsum(counts, axis=0)[:-1]])
    all_ = before + counts.sum(axis=0)
    n, earlier = all_.sum(), up_to.sum(axis=1)
    later = n - earlier
    cdf = np.cumsum(all_)[:-1] / n
    ahead = np.cumsum(up_to, axis=1)[:, :-1]
    difference = ahead / earlier[:, None] - (cdf * n - ahead) / np.maximum(later, 1)[:, None]
    spread = np.sqrt(np.maximum(cdf * (1 - cdf), 1 / n))
    told = (np.abs(difference) / spread).max(axis=1) * np.sqrt(earlier * later / n)
    return int(np.where(later >= min(LEAST, later[0]), told, 0.0).argmax())

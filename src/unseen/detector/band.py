"""How many rows that look normal may be flagged by luck."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from unseen.detector.shift import percent

log = logging.getLogger("unseen")

FAR, FLAGGED = 0.01, 0.05  # p-values of rows far out, and of rows that count as flagged
FALSE = 1e-3  # files without drift that are warned of, at most


def counted_ranks(m: int) -> tuple[int, int]:
    """Of m calibration rows, how many are far out, at least one, and how many more are flagged.

    >>> counted_ranks(999), counted_ranks(40)
    ((10, 40), (1, 1))
    """
    far = max(1, int(FAR * (m + 1) + 1e-9))
    return far, max(int(FLAGGED * (m + 1) + 1e-9) - far, 0)


def chance_of_more(flagged: int, rows: int, rank: int, m: int) -> float:
    """Chance that at least so many of n normal rows score above the rank-th highest of m
    calibration rows; 1 for rank 0.

    Beta-binomial: the share above that score is Beta(rank, m - rank + 1). In whole numbers it is a
    hypergeometric tail: at least x rows are above if and only if of the x + rank - 1 highest of all
    at most rank - 1 are calibration rows.

    >>> round(chance_of_more(1, 1, 1, 9), 6)  # a new row is the highest of ten
    0.1
    """
    if not flagged or not rank:
        return 1.0
    return float(hypergeom.cdf(rank - 1, rows + m, m, flagged + rank - 1))


class Band:
    """Counts p-values of a stream and warns once, at its end, where more rows that look normal are
    flagged than luck explains. Rows far out may be anomalies and do not count.

    Parameters
    ----------
    m : int
        Calibration rows.

    >>> band = Band(999)
    >>> band.add(np.full(40, 0.03))
    >>> band.add(np.full(960, 0.5))
    >>> round(band.chance, 1)  # as many as expected
    0.5
    """

    def __init__(self, m: int) -> None:
        self._m = m
        self._far, self._flags = counted_ranks(m)
        self._rows = self._flagged = 0

    def add(self, pvalues: NDArray[np.float64]) -> None:
        """Count p-values (n,), NaN where a row could not be judged."""
        near = pvalues > self._far / (self._m + 1) * (1 + 1e-9)
        self._rows += int(near.sum())
        last = (self._far + self._flags) / (self._m + 1) * (1 + 1e-9)
        self._flagged += int((near & (pvalues <= last)).sum())

    def merge(self, other: Band) -> None:
        """Count what another one counted of the same stream, too."""
        self._rows += other._rows
        self._flagged += other._flagged

    @property
    def chance(self) -> float:
        """The chance of so many flagged rows, or more, without drift."""
        return chance_of_more(self._flagged, self._rows, self._flags, self._m - self._far)

    def tell(self, noun: str) -> None:
        """Warn where the chance is below one in a thousand."""
        if self.chance <= FALSE:
            log.warning(
                "%s of %s %s that do not lie far out have p <= %s, where %s are expected: there "
                "are many anomalies, or normal %s have drifted, and more of them are flagged than "
                "you ask for; drift says what moved and since when, recalibrate takes it into "
                "account",
                *(percent(self._flagged / self._rows), f"{self._rows:,}", noun, FLAGGED),
                *(percent(self._flags / (self._m - self._far + 1)), noun),
            )

"""Conformal calibration: what a score means, said by normal rows that training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Conformal:
    """Scores of held-out normals, sorted (m,): the yardstick for p-values and thresholds (Vovk et al. 2005).

    For a normal row drawn like the held-out ones, P(pvalue <= alpha) <= alpha, whatever the scorer.
    """

    scores: Array

    @classmethod
    def fit(cls, scores: Array) -> Conformal:
        """Calibrate on scores of held-out normals (m,), in any order."""
        if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
            raise DataError(f"calibration needs finite scores of shape (m,), at least one; got shape {scores.shape}")
        return cls(np.sort(scores))

    def pvalue(self, score: Array) -> Array:
        """Chance that a normal row scores at least this high: (n,) -> (n,) in [1/(m+1), 1].

        >>> Conformal.fit(np.array([1., 2., 3.])).pvalue(np.array([2.5]))
        array([0.5])
        """
        above = len(self.scores) - np.searchsorted(self.scores, score, side="left")
        return np.asarray((1 + above) / (len(self.scores) + 1), dtype=np.float64)

    def threshold(self, alpha: float) -> float:
        """Score above which exactly the rows with pvalue <= alpha lie; infinite when alpha < 1/(m+1).

        >>> Conformal.fit(np.array([1., 2., 3.])).threshold(0.5)
        2.0
        """
        check_level("alpha", alpha)
        rank = int(np.floor(alpha * (len(self.scores) + 1) + 1e-9))  # how many p-values are <= alpha
        return np.inf if rank == 0 else float(self.scores[-rank]) if rank <= len(self.scores) else -np.inf


def outranked(calibration: Sequence[Array], scores: Sequence[Array]) -> Array:
    """One score out of K folds' scores of the same rows: how many calibration normals a row outranks, each in its fold.

    `calibration`: K sorted arrays of out-of-fold scores, m in all; `scores`: K arrays (n,) -> (n,) in [0, m + 1).
    Against the numbers 1 .. m as calibration scores this gives the p-values of the cross-conformal predictor
    (Vovk 2015, eq. 4). The fraction orders rows that outrank equally many: the mean deviation from the folds' medians.

    >>> outranked([np.array([1., 2.]), np.array([10., 20.])], [np.array([1.5, 9.]), np.array([30., 90.])]).round(2)
    array([3.83, 4.97])
    """
    rank = sum(np.searchsorted(c, s, side="left") for c, s in zip(calibration, scores, strict=True))
    deviation = np.mean([standardised(c, s) for c, s in zip(calibration, scores, strict=True)], axis=0)
    return np.asarray(rank + 0.5 + 0.5 * deviation / (1 + np.abs(deviation)), dtype=np.float64)


def standardised(calibration: Array, score: Array) -> Array:
    """Distance from the median in units of the spread between the median and the 90% quantile: (m,), (n,) -> (n,)."""
    middle, high = np.quantile(calibration, [0.5, 0.9])
    return np.asarray((score - middle) / max(high - middle, 1e-12), dtype=np.float64)


def benjamini_hochberg(pvalues: Array, fdr: float, counts: NDArray[np.int64] | None = None) -> float:
    """Largest p-value to reject so that the expected share of false alarms is at most `fdr`; 0 when none (n,) -> float.

    `counts` (n,): how often each p-value occurs, where they are too many to list.

    Benjamini & Hochberg 1995; holds for conformal p-values too, which depend on one another positively (Bates et al.
    2023).

    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.04, 0.9]), fdr=0.05)
    0.02
    """
    check_level("fdr", fdr)
    order = np.argsort(pvalues)
    ordered = pvalues[order]
    rank = np.cumsum(np.ones(len(pvalues)) if counts is None else counts[order])
    passes = np.flatnonzero(ordered <= fdr * rank / max(rank[-1:].sum(), 1) + 1e-12)
    return float(ordered[passes[-1]]) if len(passes) else 0.0


def check_level(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise DataError(f"{name} must lie between 0 and 1, exclusive, got {value}: 0.01 means one in a hundred")

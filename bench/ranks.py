"""Do methods differ, beyond what the choice of data sets explains? Ranks, Friedman's test, Wilcoxon's with Holm's step.

Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Mean ranks of methods, 1 = best, Friedman's p-value, and Holm-corrected p-values of all pairs."""

    names: tuple[str, ...]  # best mean rank first
    ranks: tuple[float, ...]
    blocks: int
    friedman: float
    pairs: dict[tuple[str, str], float]  # (better, worse) -> p

    def alike(self, level: float = 0.05) -> list[tuple[int, int]]:
        """Longest runs of neighbouring methods of which no two differ: positions of first and last."""
        runs = []
        for first in range(len(self.names)):
            last = first
            while last + 1 < len(self.names) and all(
                self.pairs[pair] > level for pair in combinations(self.names[first : last + 2], 2)
            ):
                last += 1
            if last > first and not any(start <= first and last <= end for start, end in runs):
                runs.append((first, last))
        return runs


def compare(names: Sequence[str], figures: Figures) -> Comparison:
    """Three methods or more on the same blocks, higher = better: (blocks, methods).

    >>> found = compare(["a", "b", "c"], np.array([[0.9, 0.8, 0.7], [0.8, 0.9, 0.7], [0.9, 0.8, 0.1]]))
    >>> found.names, [round(rank, 2) for rank in found.ranks]
    (('a', 'b', 'c'), [1.33, 1.67, 3.0])
    """
    ranks = rankdata(-figures, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    sorted_names = tuple(names[j] for j in order)
    pairs = list(combinations(range(len(order)), 2))
    raw = [different(figures[:, order[i]], figures[:, order[j]]) for i, j in pairs]
    corrected = dict(zip([(sorted_names[i], sorted_names[j]) for i, j in pairs], holm(raw), strict=True))
    friedman = float(friedmanchisquare(*figures.T).pvalue)
    return Comparison(sorted_names, tuple(ranks[order].tolist()), len(figures), friedman, corrected)


def different(first: Figures, second: Figures) -> float:
    """Wilcoxon's signed-rank test of two methods on the same blocks, two-sided; 1 where they are equal everywhere."""
    gap = first - second
    return 1.0 if not gap.any() else float(wilcoxon(gap).pvalue)


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m, times m - k + 1, and never below a smaller one's.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(pvalues)
    corrected, least = [0.0] * m, 0.0
    for place, number in enumerate(np.argsort(pvalues, kind="stable").tolist()):
        least = max(least, min(1.0, (m - place) * pvalues[number]))
        corrected[number] = least
    return corrected

"""What a scorer finds of anomalies by where they lie: AUROC by thirds, rank correlations; rows have weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.entrants import Scores
from bench.store import Record


def class_weights(classes: NDArray[Any]) -> Scores:
    """Weights that sum to 1 and are the same for each class: (n,) -> (n,).

    >>> class_weights(np.array([3, 3, 5])).tolist()
    [0.25, 0.25, 0.5]
    """
    _, own, rows = np.unique(classes, return_inverse=True, return_counts=True)
    return 1 / (len(rows) * rows[own])


def measured(normal: Scores, anomaly: Scores, weight: Scores, places: dict[str, Scores]) -> Record:
    """What a scorer finds of the anomalies, in all and by where they lie: (m,), (n,), (n,), (n,) each."""
    found = outscored(normal, anomaly)
    return {
        "auroc": float(weight @ found),
        "blind": float(weight @ (found < 0.5)),
        **{f"{name}_thirds": by_thirds(found, value, weight) for name, value in places.items()},
        **{f"{name}_rank": rank_correlation(anomaly, value, weight) for name, value in places.items()},
    }


def outscored(normal: Scores, anomaly: Scores) -> Scores:
    """Share of the normals that each anomaly outscores, ties half; their mean is the AUROC: (m,), (n,) -> (n,).

    >>> outscored(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 9.0])).tolist()
    [0.375, 1.0]
    """
    ordered = np.sort(normal)
    return (np.searchsorted(ordered, anomaly, "left") + np.searchsorted(ordered, anomaly, "right")) / (2 * len(ordered))


def by_thirds(found: Scores, value: Scores, weight: Scores) -> list[float]:
    """Mean of what was found in each third of the weight, lowest values first; rows on a border count by parts."""
    order = np.argsort(value, kind="stable")
    ends = np.cumsum(weight[order]) / weight.sum()
    share = np.array([np.clip(ends, low / 3, (low + 1) / 3) for low in range(3)])  # (3, n), of the weight so far
    inside = np.diff(share, axis=1, prepend=np.arange(3)[:, None] / 3)
    return (inside @ found[order] * 3).tolist()


def rank_correlation(a: Scores, b: Scores, weight: Scores) -> float:
    """Spearman's, of weighted rows: (n,), (n,), (n,) -> [-1, 1]; NaN where either is constant."""
    one, other = (ranks(value, weight) for value in (a, b))
    one, other = one - np.average(one, weights=weight), other - np.average(other, weights=weight)
    size = np.sqrt((weight @ one**2) * (weight @ other**2))
    return float(weight @ (one * other) / size) if size > 0 else float("nan")


def ranks(value: Scores, weight: Scores) -> Scores:
    """The weight below each row and half of the weight on its level: (n,), (n,) -> (n,)."""
    _, level = np.unique(value, return_inverse=True)
    there = np.bincount(level, weight)
    return (np.cumsum(there) - there / 2)[level]

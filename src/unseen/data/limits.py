"""Columns in which training shows a few values, each often: one far from all of them is a kind of
its own.

Trees never cut where nothing was, and a level without a row of training moves no weight: a method
may be blind to the plainest of new kinds, so what lies beyond is found here, for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEW = 50  # values of a column that are settings
# rows that must show each of them: then there is hardly one that training missed by chance
EACH = 5
HEAD = 1000  # rows that show at once that a column has many values
RARE = 1e-3  # share of the normals up to which a value of their own is a fault of theirs

Limits = tuple[tuple[float, float] | None, ...]


def limits(x: NDArray[np.float32]) -> Limits:
    """How far values may lie, for each column of few values (n, d): beyond the last by the widest
    gap of all: (d,).

    >>> limits(
    ...     np.repeat(np.array([[0, 7, 0], [1, 7, 1], [3, 7, 9]], np.float32), [20, 20, 3], axis=0)
    ... )
    (None, (7.0, 7.0), None)
    >>> limits(np.repeat(np.array([[0], [1], [3]], np.float32), 5, axis=0))
    ((-2.0, 5.0),)
    """
    found: list[tuple[float, float] | None] = []
    for column in x.T:
        if len(np.unique(column[:HEAD])) > FEW:
            found.append(None)
            continue
        values, counts = np.unique(column, return_counts=True)
        apart = float(np.diff(values).max(initial=0.0))
        usual = len(values) <= FEW and counts.min() >= EACH
        found.append((float(values[0]) - apart, float(values[-1]) + apart) if usual else None)
    return tuple(found)


def commonplace(x: NDArray[np.float32]) -> bool:
    """Whether normal rows (n, d) often lie beyond what the others show: then a later one may, too.

    One row may by a fault of its own; of many columns with rare values some row always does.

    >>> often = np.repeat([[0.0, 0.0]], 20, axis=0).astype(np.float32)
    >>> commonplace(np.r_[often, [[9.0, 0.0]]]), commonplace(np.r_[often, [[9.0, 0.0], [0.0, 9.0]]])
    (False, True)
    """
    alone = set()
    for column in x.T:
        if len(np.unique(column[:HEAD])) > FEW:
            continue
        values, counts = np.unique(column, return_counts=True)
        if not 1 < len(values) <= FEW + 1:
            continue
        for end, others in ((0, slice(1, None)), (-1, slice(-1))):
            apart = np.diff(values[others]).max(initial=0.0)
            far = abs(values[end] - values[others][end]) > apart
            if far and counts[end] == 1 and counts[others].min() >= EACH:
                alone.add(int(np.flatnonzero(column == values[end])[0]))
    return len(alone) > max(1, RARE * len(x))


def hull(one: Limits, other: Limits) -> Limits:
    """Limits that hold what lies within either; none for a column, or all, of which one knows none.

    >>> hull(((0.0, 1.0), (0.0, 1.0), None), ((5.0, 6.0), None, (0.0, 1.0)))
    ((0.0, 6.0), None, None)
    """
    return tuple(
        None if a is None or b is None else (min(a[0], b[0]), max(a[1], b[1]))
        for a, b in zip(one, other, strict=False)
    )


def beyond(x: NDArray[np.float32], limits: Limits) -> NDArray[np.float64]:
    """In how many columns each row lies beyond the limits: (n, d) -> (n,).

    >>> beyond(np.array([[2.0, 7.0], [9.0, 8.0]], np.float32), ((-2.0, 5.0), (7.0, 7.0)))
    array([0., 2.])
    """
    bounded = np.array([j for j, each in enumerate(limits) if each is not None], dtype=np.int64)
    if not len(bounded):
        return np.zeros(len(x))
    low, high = np.array([limits[j] for j in bounded], dtype=np.float32).T
    part = x if len(bounded) == x.shape[1] else x[:, bounded]
    return np.asarray(((part < low) | (part > high)).sum(axis=1), dtype=np.float64)

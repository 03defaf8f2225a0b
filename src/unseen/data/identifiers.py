"""Numbers that only name or count rows, or say when: of no use for later rows, all of which lie
beyond them.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

# fewer equally spaced whole numbers, or fewer numbers that only rise, may be chance
ROW_NUMBERS = 20
SHUFFLED = 50  # so many whole numbers without a repeat may be row numbers in another order
CHANCE = 1e-6  # that numbers drawn from a range do not repeat; below it they were given out
DOUBT = 1e-3  # below it, at least a word is said
UNITS = (1.0, 1e3, 1e6, 1e9)  # a second in seconds, milliseconds, microseconds, nanoseconds
EPOCH = (631_152_000.0, 2_524_608_000.0)  # 1990 to 2050 in seconds since 1970
CLOCK = re.compile(r"date|stamp|epoch|^time$|^ts$|_ts$|_at$", re.IGNORECASE)

NAMED = re.compile(r"(?i:(^|[ _-])(id|uid|guid|key|number|no|nr)$)|[a-z](Id|ID)$")
CALENDAR = (19_000_101, 21_001_231)  # days as numbers: 20240131

RISES = (
    "it only rises (or falls) with the rows, so every later row lies beyond what training showed"
)
UNIQUE = "whole numbers of which none occurs twice, as row numbers in another order"
KEYS = "whole numbers of which none occurs twice, under a name of keys"
MOMENTS = (
    "it may be a time stamp (seconds since 1970), so every later row lies beyond what "
    "training showed"
)


def counter_kind(name: str, values: NDArray[np.float64]) -> tuple[str, str]:
    """Of numbers (n,), NaN where missing: "identifier", "date" or "local date", else ""; and a
    doubt in words.

    >>> counter_kind("id", np.random.default_rng(0).permutation(np.arange(100.0)))
    ('identifier', '')
    >>> counter_kind("bytes", np.array([300.0, 20, 20, 41] * 20))
    ('', '')
    """
    if len(values) < ROW_NUMBERS or not np.isfinite(values).all():
        return "", ""
    steps = np.diff(values)
    directed = bool((steps > 0).all() or (steps < 0).all())
    whole = bool((values == np.rint(values)).all())
    if whole and directed and (steps == steps[0]).all():
        return "identifier", ""
    if _moments(values) and (steps != 0).mean() > 0.5:
        if (steps >= 0).all() or (steps <= 0).all() or CLOCK.search(name):
            return "date", ""
        return "", MOMENTS
    if whole and _days(values) and len(np.unique(values)) >= ROW_NUMBERS:
        return "local date", ""
    if directed or (
        ((steps >= 0).all() or (steps <= 0).all()) and len(np.unique(values)) >= SHUFFLED
    ):
        return "", RISES
    return _dense(name, values) if whole else ("", "")


def suspect_columns(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Columns of a matrix (n, k) at which `counter_kind` is worth a look: (j,)."""
    head = values[: 2 * SHUFFLED]
    if len(head) < ROW_NUMBERS or not values.shape[1]:
        return np.zeros(0, dtype=np.int64)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        steps = np.diff(head, axis=0)
    whole = (head == np.rint(head)).all(axis=0)
    ordered = np.sort(head, axis=0)
    distinct = whole & (ordered[1:] > ordered[:-1]).all(axis=0)
    large = (head >= CALENDAR[0]).all(axis=0)
    return np.flatnonzero((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0) | distinct | large)


def _moments(values: NDArray[np.float64]) -> bool:
    """Whether all numbers are moments between 1990 and 2050, in one unit, of less than a fifth of
    that time.
    """
    low, high = values.min(), values.max()
    inside = any(EPOCH[0] * unit <= low and high <= EPOCH[1] * unit for unit in UNITS)
    return bool(inside and high - low < 0.2 * high)


def _days(values: NDArray[np.float64]) -> bool:
    """Whether all whole numbers are days spelled as 20240131."""
    month, day = values // 100 % 100, values % 100
    inside = CALENDAR[0] <= values.min() and values.max() <= CALENDAR[1]
    return bool(inside and ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _dense(name: str, values: NDArray[np.float64]) -> tuple[str, str]:
    """Whether whole numbers lie so densely that they would repeat had they not been given out one
    by one; a name of identifiers is reason enough for a doubt.
    """
    n = len(values)
    if (
        len(np.unique(values[: 2 * SHUFFLED])) < min(n, 2 * SHUFFLED)
        or len(ordered := np.unique(values)) < n
    ):
        return "", ""
    # a few outliers do not hide that the others are dense
    first, last = (ordered[n // 20], ordered[-1 - n // 20])
    inner = n - 2 * (n // 20)
    places = max(last - first + 1, inner)
    chance = np.exp(np.log1p(-np.arange(inner) / places).sum())
    if chance < CHANCE and n >= SHUFFLED:
        return "identifier", ""
    return "", UNIQUE if chance < DOUBT else KEYS if NAMED.search(name) else ""

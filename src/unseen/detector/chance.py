"""How likely the next anomaly is of a kind that nobody has labelled: Good and Turing's estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from unseen.detector.policy import check_level
from unseen.errors import DataError


@dataclass(frozen=True)
class UnseenChance:
    """The chance that the next anomaly is of a kind without a label.

    It holds where labelled anomalies were met at random, as they came, one by one. It says nothing
    where somebody chose which kinds to label or how many of each, where one incident gave many
    rows, and where kinds come that could not occur before.

    Parameters
    ----------
    estimate : float
        The share of labelled anomalies that are the only one of their kind.
    low, high : float
        Ends of the interval for the chance.
    level : float
        How often such intervals hold the chance.
    labels : int
        Labelled anomalies that were counted.
    kinds : int
        Their kinds.
    once : int
        Kinds of which there is one.
    """

    estimate: float
    low: float
    high: float
    level: float
    labels: int
    kinds: int
    once: int


def good_turing(counts: NDArray[np.int64], level: float = 0.9) -> UnseenChance:
    """The chance that the next draw is of a kind not drawn yet, from how often each was.

    With f1 kinds that were drawn once, f2 twice, of n draws, the chance M is estimated by f1 / n
    (Good 1953; McAllester & Schapire 2000, whose own interval is wider than 0.8 below 100 draws).
    The spread of f1 - n M is sqrt(f1 (1 - f1 / n) + 2 f2) (Esty 1983). The interval goes z spreads
    down from f1, and up to the n M from which f1 is z spreads away, the spread being taken at n M
    for f1, as Wilson's does: so it has a width where no kind was drawn once, too.

    Parameters
    ----------
    counts : array
        How often each kind was drawn (k,), each at least once.
    level : float
        How often the interval is to hold the chance.

    Returns
    -------
    UnseenChance
        Estimate and interval, from 0 to 1.

    Raises
    ------
    DataError
        For no draw, and for a level that is no share between 0 and 1, exclusive.

    >>> chance = good_turing(np.array([6, 2, 1, 1]))
    >>> chance.estimate, round(chance.low, 2), round(chance.high, 2)
    (0.2, 0.0, 0.55)
    """
    check_level("level", level)
    n, once, twice = int(counts.sum()), int((counts == 1).sum()), int((counts == 2).sum())
    if n == 0:
        raise DataError(
            "no anomaly is labelled, so nothing tells how many kinds are not: label anomalies as "
            "they come, each by its kind"
        )
    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    # (f1 - x)^2 = z^2 (x (1 - x / n) + 2 f2), for x = n M
    square, linear = 1 + z2 / n, 2 * once + z2
    root = np.sqrt(max(linear**2 - 4 * square * (once**2 - 2 * z2 * twice), 0.0))
    low = (once - np.sqrt(z2 * (once * (1 - once / n) + 2 * twice))) / n
    high = (linear + root) / (2 * square * n)
    return UnseenChance(
        once / n, max(float(low), 0.0), min(float(high), 1.0), level, n, len(counts), once
    )

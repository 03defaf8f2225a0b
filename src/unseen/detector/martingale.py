"""Evidence against "these rows come like those before", gathered row by row and valid at any time.

Conformal test martingales: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World,
chapter 8 (2nd edition, 2022). The simple jumper: Vovk et al., Retrain or not retrain (2021),
algorithm 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST = 1 << 17  # scores that are remembered; beyond, half of them, drawn at random, go on
BLOCK = 256  # rows that are ranked at once
RATES = (1e-4, 1e-3, 1e-2)  # share of the capital that is spread over all bets anew after each row
TAIL = 0.05  # p-values that a bet on the tail is on


class OnlineRanks:
    """p-values of rows as they come, each ranked among the calibration and all rows before it.

    p = (number of earlier scores above + u) / (number of earlier scores + 1), u uniform on (0, 1).
    If calibration and rows are exchangeable, these are independent and uniform, however long the
    stream: ranks in the calibration alone share its luck. When memory is full, half of what is
    remembered goes on, drawn at random and without a look at the order: order and set are
    independent, so the law stays exact.

    Parameters
    ----------
    scores : array
        Scores of calibration rows, without ties (m,).
    rng : Generator
        Where u and the draws come from.

    >>> rank = OnlineRanks(np.array([1.0, 2.0, 3.0]), np.random.default_rng(0))
    >>> np.floor(4 * rank(np.array([9.0]))), np.floor(5 * rank(np.array([0.0])))
    (array([0.]), array([4.]))
    """

    def __init__(self, scores: Array, rng: np.random.Generator) -> None:
        self._rng = rng
        self._past = np.sort(scores)
        self._thin()

    def __call__(self, scores: Array) -> Array:
        """p-values of the next rows, in order: (n,) -> (n,), low where a score is high."""
        parts = [self._ranked(scores[at : at + BLOCK]) for at in range(0, len(scores), BLOCK)]
        return np.concatenate([np.zeros(0), *parts])

    def _ranked(self, scores: Array) -> Array:
        place = np.searchsorted(self._past, scores)
        inside = np.tril(scores[None, :] > scores[:, None], -1).sum(axis=1)  # earlier in the block
        above = len(self._past) - place + inside
        found = (above + self._rng.random(len(scores))) / (
            len(self._past) + 1 + np.arange(len(scores))
        )
        order = np.argsort(scores, kind="stable")
        self._past = np.insert(self._past, place[order], scores[order])
        self._thin()
        return np.asarray(found, dtype=np.float64)

    def _thin(self) -> None:
        if len(self._past) > MOST:
            self._past = np.sort(self._rng.choice(self._past, MOST // 2, replace=False))


def bets(p: Array) -> Array:
    """What a stake of 1 on each way to be not uniform has become after a p-value: (n,) -> (n, 9).

    Each is at least 0 and 1 on average over uniform p. The first is no bet; then p that are lower
    or higher throughout, 1 + e (1 - 2p); many at most 0.05; and many, or few, at both ends,
    1 + e (3 (1 - 2p)^2 - 1).

    >>> bets(np.array([0.0, 0.5])).round(2).tolist()[1]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.95, 0.84, 0.6, 1.4]
    """
    slope, ends = 1 - 2 * p, 3 * (1 - 2 * p) ** 2 - 1
    columns = [np.ones_like(p), *(1 + e * slope for e in (-0.75, -0.25, 0.25, 0.75))]
    columns += [np.where(p <= TAIL, a, (1 - a * TAIL) / (1 - TAIL)) for a in (2.0, 4.0)]
    return np.stack([*columns, *(1 + e * ends for e in (0.4, -0.4))], axis=1)


class Martingale:
    """Capital that starts at 1 and only luck can multiply while p-values are uniform.

    The capital stands on all `bets`, and after each row a share J of it is spread evenly anew, so
    that it can follow a change at any time; the mean over several J. By Ville's inequality the
    chance that it ever reaches 1 / level is at most the level.

    >>> uniform = np.random.default_rng(0).random(1000)
    >>> [bool(Martingale().play(p).max() >= np.log(1 / 0.01)) for p in (uniform, uniform**2)]
    [False, True]
    """

    def __init__(self) -> None:
        ways = bets(np.zeros(1)).shape[1]
        self._stakes = np.full((len(RATES), ways), 1 / (ways * len(RATES)))
        self._log = 0.0  # of what was taken out of the stakes, so that no number grows too large

    def play(self, p: Array) -> Array:
        """Natural logarithm of the capital after each row: (n,) -> (n,)."""
        blocks = [self._block(p[at : at + BLOCK]) for at in range(0, len(p), BLOCK)]
        return np.concatenate([np.zeros(0), *blocks])

    def _block(self, p: Array) -> Array:
        rates, stakes = np.array(RATES), self._stakes
        ways = stakes.shape[1]
        kept = bets(p)[:, None, :] * (1 - rates)[:, None]  # (n, rates, ways)
        spread, every = rates / (1 - rates) / ways, np.ones(ways)
        totals = np.empty((len(p), len(rates)))
        for outcome, total in zip(kept, totals, strict=True):
            stakes *= outcome
            np.dot(stakes, every, out=total)
            stakes += (spread * total)[:, None]
        found = self._log + np.log(totals @ (1 / (1 - rates)))
        self._log += float(np.log(stakes.sum()))
        stakes /= stakes.sum()
        return np.asarray(found, dtype=np.float64)

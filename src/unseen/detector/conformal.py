"""Conformal calibration: what a score means, said by normal rows that training never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.detector.policy import Policy, check_level
from unseen.errors import DataError
from unseen.parts.extremes import pareto
from unseen.parts.ranking import ALIKE
from unseen.wording import option

Array = NDArray[np.float64]
ROWS = 50  # calibration normals below which no tail is fitted
TOP = 10  # of them the highest, or a tenth where that is more, shape the tail
LEAST = 1e-9  # no smaller p-value is ever given: nobody can check it
DIGITS = 3  # of a p-value in the tail, rounded up: more would be a pretence


@dataclass(frozen=True)
class Tail:
    """How the chance of a score goes on falling beyond all calibration scores: a model, where
    `Conformal` is a proof.

    Peaks over a threshold: beyond a high score, excesses of any usual distribution come near a
    generalised Pareto one (Pickands 1975; Balkema & de Haan 1974). Beyond the k highest of m
    calibration scores,

        P(score > start + x) = (k + 1) / (m + 1) * (1 + shape x / scale)^(-1 / shape)

    with shape = max(0, fitted) + 1/k and scale = mean excess * (1 - max(0, fitted)). Where the tail
    is exponential, that is exact on average over calibration sets, however few rows: 1/k is the
    price of not knowing its scale. A shape below 0 would mean that no normal row ever scores beyond
    some point, which k rows cannot show.

    Parameters
    ----------
    start : float
        Score beyond which the tail goes: the (k + 1)-th highest of the calibration.
    beyond : float
        Chance of a score above it, (k + 1) / (m + 1).
    shape : float
        How slowly the chance falls: above 0, larger for a heavier tail.
    scale : float
        Unit of the excess over the start; infinite where the excesses have no spread, so that the
        tail says nothing.
    ranked : int
        m, where scores are those of `outranked` among m, whose fraction holds the deviation that
        the tail is of; else 0.

    >>> # an exponential distribution, evenly spaced
    >>> tail = Tail.fit(-np.log((np.arange(1000) + 0.5) / 1000))
    >>> tail.pvalue(np.array([np.log(1e4), np.log(1e5)]))  # what is due is 0.0001 and 0.00001
    array([1.28e-04, 1.52e-05])
    """

    start: float
    beyond: float
    shape: float
    scale: float
    ranked: int = 0

    @classmethod
    def fit(cls, scores: Array, *, ranked: bool = False) -> Tail:
        """Learn from calibration scores (m,), of folds from their deviations; a tail without spread
        says nothing.
        """
        m, ordered = len(scores), np.sort(scores)
        if m < ROWS:
            raise DataError(
                f"a tail needs at least {ROWS} calibration normals, got {m}: train on more normal "
                "rows"
            )
        k = max(TOP, m // 10)
        excess = ordered[-k:] - ordered[-k - 1]
        shape = max(0.0, pareto(excess)[0])
        scale = float(excess.mean()) * (1 - shape)
        usable = scale > 1e-12 * max(1.0, abs(float(ordered[-1])))
        return cls(
            float(ordered[-k - 1]),
            (k + 1) / (m + 1),
            shape + 1 / k,
            scale if usable else np.inf,
            m if ranked else 0,
        )

    def pvalue(self, score: Array) -> Array:
        """Chance that a normal row scores at least this high, beyond all calibration rows: (n,) ->
        (n,).
        """
        excess = np.maximum(
            (deviation_at_rank(score, self.ranked) if self.ranked else score) - self.start, 0
        )
        p = np.maximum(
            self.beyond * (1 + self.shape * excess / self.scale) ** (-1 / self.shape), LEAST
        )
        unit = 10.0 ** (np.floor(np.log10(p)) - (DIGITS - 1))
        return np.asarray(np.maximum(np.ceil(p / unit - 1e-9) * unit, LEAST), dtype=np.float64)

    def threshold(self, alpha: float) -> float:
        """Score whose p-value is alpha; infinite below the smallest p-value that is ever given."""
        if alpha < LEAST:
            return np.inf
        score = self.start + self.scale / self.shape * ((alpha / self.beyond) ** -self.shape - 1)
        return self.ranked + float(fraction(score)) if self.ranked else score


@dataclass(frozen=True)
class Conformal:
    """Scores of held-out normals: the yardstick for p-values and thresholds (Vovk et al. 2005).

    For a normal row drawn like the held-out ones, P(pvalue <= alpha) <= alpha, whatever the scorer.
    With a `tail`, rows that score above all m have p-values below 1/(m+1); those are a model's, and
    the promise ends at 1/(m+1).

    Parameters
    ----------
    scores : array
        Scores of held-out normals, sorted (m,).
    tail : Tail or None
        How the chance of a score goes on falling beyond them; None: no p-value is below 1/(m+1).
    alike : float
        Calibration scores up to so much below a score count as equal to it, so that rounding never
        makes a row an anomaly; `fit` takes their `tie_width`.
    """

    scores: Array
    tail: Tail | None = None
    alike: float = 0.0

    @classmethod
    def fit(cls, scores: Array, *, tail: bool = False) -> Conformal:
        """Calibrate on scores of held-out normals.

        Parameters
        ----------
        scores : array
            Scores (m,), in any order.
        tail : bool
            Whether a model goes on beyond them, which takes at least 50.

        Returns
        -------
        Conformal
            With these scores (m,), sorted.

        Raises
        ------
        DataError
            For no scores, another shape or scores that are not finite, and for too few for a tail.
        """
        if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
            raise DataError(
                "calibration needs finite scores of shape (m,), at least one; got shape "
                f"{scores.shape}"
            )
        return cls(np.sort(scores), Tail.fit(scores) if tail else None, tie_width(scores))

    @classmethod
    def across(cls, calibration: Sequence[Array], *, tail: bool = False) -> Conformal:
        """Calibrate `outranked` scores.

        Parameters
        ----------
        calibration : sequence of array
            K sorted arrays of out-of-fold scores, m in all.
        tail : bool
            Whether a model goes on beyond them, which takes at least 50.

        Returns
        -------
        Conformal
            With the scores 1 .. m (m,).

        Raises
        ------
        DataError
            For too few scores for a tail.
        """
        deviations = np.concatenate([_standardised(c, c) for c in calibration])
        return cls(
            np.arange(1.0, len(deviations) + 1), Tail.fit(deviations, ranked=True) if tail else None
        )

    @property
    def finest(self) -> float:
        """The smallest p-value that there can be."""
        return LEAST if self.tail else 1 / (len(self.scores) + 1)

    def pvalue(self, score: Array) -> Array:
        """Chance that a normal row scores at least this high.

        Parameters
        ----------
        score : array
            Scores of rows (n,).

        Returns
        -------
        array
            p-values (n,), in [1/(m+1), 1]; with a tail in (0, 1].

        >>> Conformal.fit(np.array([1.0, 2.0, 3.0])).pvalue(np.array([2.5]))
        array([0.5])
        >>> Conformal.fit(np.array([1.0, 2.0, 3.0])).pvalue(np.array([2.000001]))  # as if it were 2
        array([0.75])
        """
        above = len(self.scores) - np.searchsorted(self.scores + self.alike, score, side="left")
        p = np.asarray((1 + above) / (len(self.scores) + 1), dtype=np.float64)
        return (
            p
            if self.tail is None
            else np.where(above == 0, np.minimum(p, self.tail.pvalue(score)), p)
        )

    def threshold(self, alpha: float) -> float:
        """Score above which exactly the rows with pvalue <= alpha lie.

        Parameters
        ----------
        alpha : float
            Level, between 0 and 1, exclusive.

        Returns
        -------
        float
            The score; infinite when alpha is below all p-values.

        Raises
        ------
        DataError
            For an alpha that is no such level.

        >>> Conformal.fit(np.array([1.0, 2.0, 3.0])).threshold(0.5)
        2.00000666...
        """
        check_level("alpha", alpha)
        # how many p-values are <= alpha
        rank = int(np.floor(alpha * (len(self.scores) + 1) + 1e-9))
        if rank == 0:
            highest = float(self.scores[-1] + self.alike)
            return np.inf if self.tail is None else max(highest, self.tail.threshold(alpha))
        return float(self.scores[-rank] + self.alike) if rank <= len(self.scores) else -np.inf


def outranked(calibration: Sequence[Array], scores: Sequence[Array]) -> Array:
    """One score out of K folds' scores of the same rows: how many calibration normals a row
    outranks, each in its fold.

    `calibration`: K sorted arrays of out-of-fold scores, m in all; `scores`: K arrays (n,) -> (n,)
    in [0, m + 1). Against the numbers 1 .. m as calibration scores this gives the p-values of the
    cross-conformal predictor (Vovk 2015, eq. 4). The fraction orders rows that outrank equally
    many: the mean deviation from the folds' medians.

    >>> outranked(
    ...     [np.array([1.0, 2.0]), np.array([10.0, 20.0])],
    ...     [np.array([1.5, 9.0]), np.array([30.0, 90.0])],
    ... ).round(2)
    array([3.83, 4.97])
    """
    rank = sum(
        np.searchsorted(c + tie_width(c), s, side="left")
        for c, s in zip(calibration, scores, strict=True)
    )
    return np.asarray(rank + fraction(mean_deviation(calibration, scores)), dtype=np.float64)


def mean_deviation(calibration: Sequence[Array], scores: Sequence[Array]) -> Array:
    """How far K folds' scores of the same rows (n,) lie from the medians of their calibrations,
    in units of each one's spread between the median and the 90% quantile; the mean: (n,).

    >>> mean_deviation([np.array([0.0, 1.0, 2.0])], [np.array([1.0, 2.6])])
    array([0., 2.])
    """
    each = [_standardised(c, s) for c, s in zip(calibration, scores, strict=True)]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def tie_width(scores: Array) -> float:
    """The difference up to which two scores count as equal: (m,) -> float.

    >>> tie_width(np.array([0.0, 2.0, 4.0]))
    1.33...e-05
    """
    return ALIKE * float(np.abs(scores - np.median(scores)).mean())


def fraction(deviation: Array | float) -> Array:
    """Any deviation as a number between 0 and 1, in its order."""
    return np.asarray(0.5 + 0.5 * deviation / (1 + np.abs(deviation)), dtype=np.float64)


def deviation_at_rank(score: Array, rank: int) -> Array:
    """The deviation whose `fraction` a score has above its rank: (n,) -> (n,)."""
    t = 2 * (score - rank) - 1
    return np.asarray(t / np.maximum(1 - np.abs(t), 1e-12), dtype=np.float64)


def _standardised(calibration: Array, score: Array) -> Array:
    """Distance from the median in units of the spread between the median and the 90% quantile:
    (m,), (n,) -> (n,).
    """
    middle, high = np.quantile(calibration, [0.5, 0.9])
    return np.asarray((score - middle) / max(high - middle, 1e-12), dtype=np.float64)


def level_of(share: float) -> str:
    """A share as it is said and typed: two digits, rounded up, so that it can be asked for.

    >>> level_of(1 / 743), level_of(1 / 41), level_of(1 / 5)
    ('0.0014', '0.025', '0.2')
    """
    unit = 10.0 ** (math.floor(math.log10(share)) - 1)
    steps = math.ceil(share / unit * (1 - 1e-12))
    return f"{steps * unit:.2g}"


def out_of_reach(policy: Policy, calibrated: Conformal) -> str | None:
    """What to do where no p-value is as small as the policy asks for, in words; None where some
    can be.
    """
    finest, m = calibrated.finest, len(calibrated.scores)
    if policy.level >= finest:
        return None
    asked = f"level {policy.level:g}"
    ways = f"ask for {level_of(finest)} or more"
    if policy.traffic is not None:
        asked = f"{policy.level * policy.traffic:g} alarms in {policy.traffic:,.0f} rows"
        ways = f"allow {math.ceil(finest * policy.traffic * (1 - 1e-12)):,} alarms or more"
    if m >= ROWS:
        ways += f"; or let a model go on where the normals end ({option('tail', True)})"
    return (
        f"{asked} asked for, but with {m:,} calibration normals no p-value is below 1/{m + 1:,}: "
        f"nothing can be flagged. Train on more normals, {math.ceil(1 / policy.level) - 1:,} of "
        f"which calibrate, or {ways}"
    )

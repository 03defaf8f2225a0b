"""Blind spots: how much of a kind that nobody has labelled a detector is expected to find, told by
kinds that were held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom
from sklearn.base import clone

from unseen.data.split import take
from unseen.detector.conformal import level_of, out_of_reach
from unseen.detector.policy import Policy, check_level
from unseen.errors import DataError, Unsupported
from unseen.quiet import quiet
from unseen.wording import option

Array = NDArray[np.float64]
# chosen by recalls on development tables, see docs/benchmarks/blindspots.md: draws that the prior
# counts on either side; what a class, or a half of a single one, counts; how many count at most
PRIOR, WEIGHT, HALF, LIMIT = 0.15, 1.0, 0.4, 6
ROWS = 20  # of the share that is foretold
CONFIDENCE = 0.9
ALARMS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # levels of `catches`
MOST = 6  # classes that are held out, where that takes training anew
SHARE = 0.01  # of rows that are of kinds that nobody has labelled, where it is not told
TOGETHER = 100_000  # rows that are thought of as scored together, where a policy hangs on them


@dataclass(frozen=True)
class HiddenClass:
    """A known class, or a half of a single one, and what came of it when it was held out.

    Parameters
    ----------
    name : str
        What labels call it.
    pvalues : array
        p-values of its rows by what was never shown the class (k,).
    finest : float
        The smallest p-value that there could be.
    """

    name: str
    pvalues: Array
    finest: float

    def found(self, alpha: float) -> float:
        """The share of its rows that is flagged at a level."""
        return float((self.pvalues <= alpha * (1 + 1e-12)).mean())


@dataclass(frozen=True)
class BlindSpots:
    """How much is found of a kind that nobody has labelled, at a level of false alarms.

    The mean of the shares that were found of known classes when each was held out, and an interval
    for a kind to come, or the mean of several: classes are draws from a beta distribution, whose
    prior was learned on development tables. A class that was held out counts as one draw, a half of
    a single class as .4, and all together as 6 at most. The interval is that of the
    beta-binomial share of 20 rows, 90%.

    Parameters
    ----------
    alpha : float
        The share of normal rows that is flagged.
    classes : tuple of HiddenClass
        What was held out, at least one.

    >>> leak = HiddenClass("leak", np.array([0.01, 0.02, 0.3, 0.04]), 0.01)
    >>> crack = HiddenClass("crack", np.array([0.01, 0.5]), 0.01)
    >>> spots = BlindSpots(0.05, (leak, crack))
    >>> spots.expected, spots.low, spots.high
    (0.61, 0.1, 1.0)
    """

    alpha: float
    classes: tuple[HiddenClass, ...]

    def __post_init__(self) -> None:
        check_level("alpha", self.alpha)
        if self.alpha < self.finest:
            raise DataError(
                f"level {self.alpha:g} asked for, but blind spots are told by calibration rows, "
                "and by normal rows held out with each class, which tell no p-value below "
                f"{level_of(self.finest)}: ask for that or more, or train on more normals"
            )

    @property
    def finest(self) -> float:
        """The smallest level that there is an answer for."""
        return max(each.finest for each in self.classes)

    @property
    def _counts(self) -> tuple[float, float]:
        """How many draws were found, and how many missed, the prior's among them."""
        shares = [each.found(self.alpha) for each in self.classes]
        single = len({each.name for each in self.classes}) < len(shares)  # two halves of it
        draws = min(len(shares), LIMIT) * (HALF if single else WEIGHT)
        found = draws * sum(shares) / len(shares)
        return PRIOR + found, PRIOR + draws - found

    @property
    def expected(self) -> float:
        """The share of such rows that is expected to be found."""
        found, missed = self._counts
        return round(found / (found + missed), 2)

    @property
    def low(self) -> float:
        """The lower end of the 90% interval."""
        return float(betabinom.ppf((1 - CONFIDENCE) / 2, ROWS, *self._counts)) / ROWS

    @property
    def high(self) -> float:
        """The upper end of the 90% interval."""
        return float(betabinom.ppf((1 + CONFIDENCE) / 2, ROWS, *self._counts)) / ROWS

    def at(self, alpha: float | Policy, share: float = SHARE) -> BlindSpots:
        """The same at another level, or under a policy.

        A policy for the share of false alarms, or for costs, hangs on the rows scored together.
        Its level is told by many rows, of which a share is of such kinds, with the p-values of the
        classes that were held out, and all others are normal.

        Parameters
        ----------
        alpha : float or Policy
            The share of normal rows that is flagged, between 0 and 1, exclusive; or a policy.
        share : float
            The share of rows of such kinds; a level, and alarms a day, do not hang on it.

        Returns
        -------
        BlindSpots
            At that level.

        Raises
        ------
        DataError
            For an alpha or a share that is no such share, a level below `finest`, or a policy under
            which no such row raises an alarm.

        >>> leak = HiddenClass("leak", np.array([0.001, 0.002, 0.003, 0.4]), 0.001)
        >>> spots = BlindSpots(0.05, (leak,)).at(Policy.fdr(0.2), share=0.02)
        >>> round(spots.alpha, 4)  # 15 found and 3.7 false of 980 normal and 20 other rows
        0.0037
        """
        level = alpha if not isinstance(alpha, Policy) else _level_of(alpha, share, self.classes)
        return BlindSpots(level, self.classes)

    def catches(self, share: float = SHARE) -> list[dict[str, float]]:
        """What 1,000 rows bring, some of which are of kinds that nobody has labelled.

        Parameters
        ----------
        share : float
            The share of such rows, between 0 and 1, exclusive.

        Returns
        -------
        list of dict
            For each of up to eight levels `alpha`, the `false_alarms` in 1,000 rows, and how many
            such rows are expected to be `caught`, with the interval's ends, `low` and `high`.

        Raises
        ------
        DataError
            For a share that is none.
        """
        check_level("share", share)
        rows = []
        for alpha in (level for level in ALARMS if level >= self.finest):
            here, there = self.at(alpha), 1000 * share
            figures = {"caught": here.expected, "low": here.low, "high": here.high}
            rows.append(
                {"alpha": alpha, "false_alarms": alpha * (1000 - there)}
                | {name: there * value for name, value in figures.items()}
            )
        return rows

    def __str__(self) -> str:
        return (
            f"Of a kind that nobody has labelled it is expected to find {self.expected:.0%} "
            f"({self.low:.0%} to {self.high:.0%}) at {100 * self.alpha:.3g}% false alarms"
        )


def blind_spots_of(detector: Any, alpha: float | Policy, share: float) -> BlindSpots:
    """`Detector.blind_spots` of a fitted detector."""
    if not isinstance(alpha, Policy):
        alpha = Policy.alpha(alpha)
    check_level("share", share)  # before anything is trained
    if not alpha.needs_all and (why := out_of_reach(alpha, detector.conformal_)):
        raise DataError(why)
    classes = tuple(
        _as_flagged(each, detector.conformal_.finest)
        for each in _kept(detector) or _held_out_anew(detector)
    )
    return BlindSpots(_level_of(alpha, share, classes), classes)


def _as_flagged(held: HiddenClass, finest: float) -> HiddenClass:
    """Held-out rows as the detector would flag them, which has no p-value below its `finest`."""
    return replace(held, pvalues=np.maximum(held.pvalues, finest), finest=max(held.finest, finest))


def _level_of(policy: Policy, share: float, classes: tuple[HiddenClass, ...]) -> float:
    """The share of normal rows that a policy flags where a share of rows is like these classes."""
    if not policy.needs_all:
        return policy.level
    check_level("share", share)
    each = max(round(TOGETHER * share / len(classes)), 1)
    others = TOGETHER - each * len(classes)
    places = (np.arange(each) + 0.5) / each
    found = [np.quantile(one.pvalues, places, method="inverted_cdf") for one in classes]
    level = policy.threshold(np.concatenate([(np.arange(others) + 0.5) / others, *found]))
    if level == 0:
        raise DataError(
            f"blind spots under a policy ({policy.kind}, level {policy.level:g}) where a share of "
            f"{share:g} of the rows is of kinds that nobody has labelled: no such row would raise "
            f"an alarm, as held-out rows have no p-value below {max(c.finest for c in classes):g}: "
            f"name a larger share ({option('share', 0.1)}), a level ({option('alpha', 0.05)}), or "
            "train on more normals"
        )
    return level


def _kept(detector: Any) -> tuple[HiddenClass, ...]:
    """What training itself held out, of each class by all members; none where nothing was kept."""
    each = [member.hidden for member in detector.members_ if member.hidden is not None]
    if not each:
        return ()
    found = np.concatenate(each)
    halved = len(np.unique(found[:, 1])) == 1  # splits of a single class are its halves
    kind = found[:, 0] if halved else found[:, 1]
    names = detector.classes_
    return tuple(
        HiddenClass(
            names[int(found[kind == k, 1][0]) - 1], found[kind == k, 2], float(found[:, 3].max())
        )
        for k in np.unique(kind)
    )


def _held_out_anew(detector: Any) -> tuple[HiddenClass, ...]:
    """Classes of labelled rows that stayed with the detector, each scored by what never saw it:
    the detector itself where labels change nothing, else another one trained without it.
    """
    known = getattr(detector, "references_", None)
    if known is None:
        raise Unsupported(
            "this detector was saved by an earlier release, without rows to tell its blind spots "
            "by: fit again"
        )
    codes = np.unique(known.codes[known.codes > 0])
    labels = detector.chosen().uses_labels
    if len(codes) < (2 if labels else 1):
        need = "label rows of two kinds, or 6 of one" if labels else "label a few anomalies"
        raise Unsupported(
            f"blind spots are told by classes that were held out, and of this detector's "
            f"{len(codes)} none could be: {need}, and fit again"
        )
    if detector.schema_.noun != "rows":
        raise Unsupported(
            "blind spots of images are known where training held classes out, as the default does; "
            "for other methods, and bundles of earlier releases, `unseen evaluate` tells them"
        )
    names, found = detector.classes_, []
    for code in codes[:MOST] if labels else codes:
        judge = _without(detector, code) if labels else detector
        with quiet():
            pvalues = judge.pvalue(known.of_class(code))
        found.append(HiddenClass(names[code - 1], pvalues, judge.conformal_.finest))
    return tuple(found)


def _without(detector: Any, code: int) -> Any:
    """A detector like this one that learned from the rows that stayed, but one class."""
    known = detector.references_
    kept = np.flatnonzero(known.codes != code)
    labels = np.array([detector.normal, *detector.classes_], dtype=object)[known.codes[kept]]
    with quiet():
        return clone(detector).fit(take(known.rows, kept), labels)

"""Policies: which p-values raise an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.wording import option


@dataclass(frozen=True)
class Policy:
    """Which p-values raise an alarm; changing it needs no refit.

    Parameters
    ----------
    kind : {"alpha", "fdr", "cost"}
        What `level` is a share of: "alpha", of normal rows flagged; "fdr", of the alarms among the
        rows scored together that may be false; "cost", the highest chance to be normal at which a
        row is worth an alarm.
    level : float
        The share, between 0 and 1, exclusive.
    traffic : float or None
        Rows a day, where the level was chosen for a number of alarms a day.

    Raises
    ------
    DataError
        For a level that is no such share.

    >>> pvalues = np.array([0.01, 0.02, 0.04, 0.9])
    >>> Policy.alpha(0.03).threshold(pvalues), Policy.fdr(0.05).threshold(pvalues)
    (0.03, 0.02)
    """

    kind: Literal["alpha", "fdr", "cost"]
    level: float
    traffic: float | None = None

    def __post_init__(self) -> None:
        check_level(self.kind, self.level)

    @classmethod
    def alpha(cls, level: float) -> Self:
        """Flag rows with a p-value of at most `level`.

        Parameters
        ----------
        level : float
            The share of normal rows that may be flagged.

        Returns
        -------
        Policy
            Of kind "alpha".

        Raises
        ------
        DataError
            For a level that is no share between 0 and 1, exclusive.
        """
        return cls("alpha", level)

    @classmethod
    def fdr(cls, level: float) -> Self:
        """Flag rows so that few of the alarms are false (Benjamini & Hochberg 1995).

        Parameters
        ----------
        level : float
            The share of the alarms, among rows scored together, that may be false.

        Returns
        -------
        Policy
            Of kind "fdr".

        Raises
        ------
        DataError
            For a level that is no share between 0 and 1, exclusive.
        """
        return cls("fdr", level)

    @classmethod
    def per_day(cls, alarms: float, traffic: float) -> Self:
        """Flag rows so that normal ones raise so many alarms a day; anomalies come on top.

        Parameters
        ----------
        alarms : float
            False alarms a day that there is time for.
        traffic : float
            Rows a day.

        Returns
        -------
        Policy
            Of kind "alpha", at the level alarms / traffic.

        Raises
        ------
        DataError
            Unless both are numbers above 0, and more rows than alarms.

        >>> Policy.per_day(20, traffic=100_000).level
        0.0002
        """
        for name, value in (("per_day", alarms), ("traffic", traffic)):
            _check_positive(name, value)
        if alarms >= traffic:
            raise DataError(
                f"{option('per_day')} must be less than {option('traffic')}, the rows a day, got "
                f"{alarms:g} of {traffic:g}: that would flag every row"
            )
        return cls("alpha", alarms / traffic, float(traffic))

    @classmethod
    def cost(cls, miss: float, alarm: float) -> Self:
        """Flag the rows whose alarm is worth its cost, true or false.

        A row is worth an alarm where its chance to be an anomaly is at least alarm / miss. Rows
        scored together tell that chance: of n rows, F(a) n have a p-value of at most a, and at most
        a n of these are normal. So the rows with p <= a cost alarm F(a) n and save at least
        miss (F(a) - a) n, and the a that saves most is taken, as in the two-groups model (Efron
        2008) with a density that falls (Grenander 1956); F(a) counts less its standard error. No
        share of anomalies need be known. A miss that costs 50 alarms or more asks for many of them,
        the more the fewer rows there are to tell from.

        Parameters
        ----------
        miss : float
            What a missed anomaly costs.
        alarm : float
            What it costs to look at an alarm, in the same unit; less than a miss.

        Returns
        -------
        Policy
            Of kind "cost", at the level 1 - alarm / miss.

        Raises
        ------
        DataError
            Unless both are numbers above 0, and a miss costs more.

        >>> pvalues = np.array([0.01, 0.01, 0.02, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
        >>> Policy.cost(miss=10, alarm=1).threshold(pvalues)  # 0.9 * 3/10 - 0.02 - 0.04 = 0.21
        0.02
        >>> Policy.cost(miss=1.01, alarm=1).threshold(pvalues)  # no alarm is worth it
        0.0
        """
        for name, value in (("miss", miss), ("alarm", alarm)):
            _check_positive(name, value)
        if alarm >= miss:
            raise DataError(
                f"a miss must cost more than an alarm, got {miss:g} and {alarm:g}: else no alarm "
                "is worth looking at"
            )
        return cls("cost", 1 - alarm / miss)

    @classmethod
    def of(
        cls, alpha: float | None = None, fdr: float | None = None, policy: Policy | None = None
    ) -> Policy:
        """The policy whose level is given.

        Parameters
        ----------
        alpha, fdr : float, optional
            The level of one of the two policies.
        policy : Policy, optional
            A policy itself.

        Returns
        -------
        Policy
            The policy.

        Raises
        ------
        DataError
            Unless exactly one is given, a level as a share between 0 and 1, exclusive.
        """
        if isinstance(alpha, Policy):
            raise DataError(
                "alpha is a share of normals, such as 0.01, and was given a Policy: write "
                "policy=Policy(...) instead"
            )
        if [alpha, fdr, policy].count(None) != 2 or not isinstance(policy, Policy | None):
            raise DataError(
                f"detect needs one policy: {option('alpha', 0.01)} (share of normals flagged), "
                f"{option('fdr', 0.1)} (share of false alarms), or a Policy"
            )
        if policy is not None:
            return policy
        return cls.alpha(alpha) if alpha is not None else cls.fdr(fdr)  # type: ignore[arg-type]

    @property
    def needs_all(self) -> bool:
        """Whether the threshold hangs on all p-values, so that none can be judged before the last
        is known.
        """
        return self.kind != "alpha"

    def threshold(
        self, pvalues: NDArray[np.float64], counts: NDArray[np.int64] | None = None
    ) -> float:
        """The largest p-value that is an alarm.

        Parameters
        ----------
        pvalues : array
            p-values of rows scored together (n,); "alpha" does not look at them.
        counts : array, optional
            How often each of them occurs (n,), where they are too many to list.

        Returns
        -------
        float
            The level itself for "alpha"; else one of the p-values, 0 where none is an alarm.
        """
        if self.kind == "alpha":
            return self.level
        rule = benjamini_hochberg if self.kind == "fdr" else worth_an_alarm
        return rule(pvalues, self.level, counts)


def benjamini_hochberg(
    pvalues: NDArray[np.float64], fdr: float, counts: NDArray[np.int64] | None = None
) -> float:
    """Largest p-value to reject so that the expected share of false alarms is at most `fdr`; 0 when
    none (n,) -> float.

    `counts` (n,): how often each p-value occurs, where they are too many to list.

    Benjamini & Hochberg 1995; holds for conformal p-values too, which depend on one another
    positively (Bates et al. 2023).

    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.04, 0.9]), fdr=0.05)
    0.02
    """
    check_level("fdr", fdr)
    order = np.argsort(pvalues)
    ordered = pvalues[order]
    rank = np.cumsum(np.ones(len(pvalues)) if counts is None else counts[order])
    passes = np.flatnonzero(ordered <= fdr * rank / max(rank[-1:].sum(), 1) + 1e-12)
    return float(ordered[passes[-1]]) if len(passes) else 0.0


def worth_an_alarm(
    pvalues: NDArray[np.float64], level: float, counts: NDArray[np.int64] | None = None
) -> float:
    """The p-value a at which level * F(a) - a - e(a) is highest; 0 where it is nowhere above 0 (n,)
    -> float.

    F(a) is the share of rows at or below a, and e(a) = (a (1 - a) / n)^1/2 its standard error, were
    all n rows normal: so few rows do not make chance look like anomalies. `counts` as in
    `benjamini_hochberg`.
    """
    order = np.argsort(pvalues, kind="stable")
    a, rank = pvalues[order], np.cumsum(np.ones(len(pvalues)) if counts is None else counts[order])
    n = max(float(rank[-1:].sum()), 1.0)
    gain = level * rank / n - a - np.sqrt(a * (1 - a) / n)
    best = len(gain) - 1 - int(gain[::-1].argmax()) if len(gain) else 0
    return float(pvalues[order][best]) if len(gain) and gain[best] > 0 else 0.0


def _check_positive(name: str, value: object) -> None:
    if (
        not isinstance(value, float | int | np.number)
        or isinstance(value, bool)
        or not 0 < value < np.inf
    ):
        raise DataError(f"{option(name)} must be a number above 0, got {value!r}")


def check_level(name: str, value: object) -> None:
    if not isinstance(value, float | int | np.number) or not 0 < value < 1:
        raise DataError(
            f"{option(name)} must lie between 0 and 1, exclusive, got {value!r}: 0.01 means one in "
            "a hundred"
        )

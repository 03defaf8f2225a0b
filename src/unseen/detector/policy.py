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
    kind : {"alpha", "fdr"}
        What `level` is a share of: "alpha", of normal rows flagged; "fdr", of the alarms among the
        rows scored together that may be false.
    level : float
        The share, between 0 and 1, exclusive.

    Raises
    ------
    DataError
        For a level that is no such share.

    >>> pvalues = np.array([0.01, 0.02, 0.04, 0.9])
    >>> Policy.alpha(0.03).threshold(pvalues), Policy.fdr(0.05).threshold(pvalues)
    (0.03, 0.02)
    """

    kind: Literal["alpha", "fdr"]
    level: float

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
    def of(cls, alpha: float | None = None, fdr: float | None = None) -> Self:
        """The policy whose level is given.

        Parameters
        ----------
        alpha, fdr : float, optional
            The level of one of the two policies.

        Returns
        -------
        Policy
            The policy.

        Raises
        ------
        DataError
            Unless exactly one level is given, a share between 0 and 1, exclusive.
        """
        if (alpha is None) == (fdr is None):
            raise DataError(
                f"detect needs one policy: {option('alpha', 0.01)} (share of normals flagged) or "
                f"{option('fdr', 0.1)} (share of false alarms)"
            )
        return cls.alpha(alpha) if alpha is not None else cls.fdr(fdr)  # type: ignore[arg-type]

    @property
    def needs_all(self) -> bool:
        """Whether the threshold hangs on all p-values, so that none can be judged before the last
        is known.
        """
        return self.kind == "fdr"

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
            The level itself for "alpha"; for "fdr" one of the p-values, 0 where none is an alarm.
        """
        return benjamini_hochberg(pvalues, self.level, counts) if self.needs_all else self.level


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


def check_level(name: str, value: object) -> None:
    if not isinstance(value, float | int | np.number) or not 0 < value < 1:
        raise DataError(
            f"{option(name)} must lie between 0 and 1, exclusive, got {value!r}: 0.01 means one in "
            "a hundred"
        )

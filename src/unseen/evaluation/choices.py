"""The choices of an open-set evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from unseen.errors import DataError
from unseen.wording import option

#: Test rows below which a class is listed, not averaged.
LEAST = 20


@dataclass(frozen=True)
class Protocol:
    """The choices of an open-set evaluation.

    Parameters
    ----------
    seen : int
        anomaly classes with labels
    shots : int
        labelled rows of each of them
    seeds : int
        repetitions, each with other classes and rows
    normals : int
        most training normals
    contamination : float
        share of unlabelled anomalies, of seen classes, among the training normals
    """

    seen: int = 3
    shots: int = 10
    seeds: int = 5
    normals: int = 5000
    contamination: float = 0.0

    def __post_init__(self) -> None:
        for name in ("seen", "shots", "seeds", "normals"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise DataError(f"{option(name)} must be a whole number from 1, got {value!r}")
        share: Any = self.contamination
        if not isinstance(share, Real) or not 0 <= float(share) < 1:
            raise DataError(
                f"{option('contamination')} must be a share of the training normals, from 0 to "
                f"below 1, got {share!r}"
            )


def lacking(classes: Mapping[str, int], unlabelled: int, what: str = "rows") -> dict[str, str]:
    """What an evaluation without a table for testing still needs to say anything: labels, or more
    rows, in words.

    >>> lacking({"leak": 60, "crack": 12}, 0)
    {}
    >>> lacking({"leak": 10}, 3)
    {'labels': 'labels of all rows (3 have none)',
     'rows': "at least 20 test rows of a class of anomalies (half of the largest, 'leak', is 5)"}
    """
    needs = {"labels": f"labels of all {what} ({unlabelled:,} have none)"} if unlabelled else {}
    name, most = max(classes.items(), key=lambda item: item[1], default=("", 0))
    if most < 2 * LEAST:
        half = f"half of the largest, {name!r}, is {most // 2}" if most else "none is labelled"
        needs["rows"] = f"at least {LEAST} test {what} of a class of anomalies ({half})"
    return needs

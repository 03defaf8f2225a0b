"""Reasons: why a row has its score, as a reader is told it, and as plain JSON values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unseen.data.spelling import beginning
from unseen.errors import DataError
from unseen.io.write import strict_json
from unseen.wording import option


@dataclass(frozen=True)
class Reason:
    """One column, and what it adds to the score.

    Parameters
    ----------
    column : str
        Its name.
    value : object
        The row's value, as the user wrote it; None where it is missing.
    normal : object
        That of the nearest normal.
    added : float
        By how much the column raises the score above that of the nearest normal.
    share : float
        The same as a share of the whole difference; NaN where the row scores no higher.
    """

    column: str
    value: Any
    normal: Any
    added: float
    share: float

    def __str__(self) -> str:
        share = "" if self.share != self.share else f" {100 * self.share:.0f}%"
        shown = as_written(self.value)
        return f"{self.column} {shown} (nearest normal: {as_written(self.normal)}){share}"


@dataclass(frozen=True)
class Change:
    """The smallest set of columns found that, put back to the nearest normal's values, makes a row
    unremarkable.

    Parameters
    ----------
    columns : tuple of Reason
        The columns, those that add most first.
    pvalue : float
        The p-value of the row once they are put back.
    """

    columns: tuple[Reason, ...]
    pvalue: float

    def __str__(self) -> str:
        back = ", ".join(f"{each.column} {as_written(each.normal)}" for each in self.columns)
        return f"{back}: p {self.pvalue:.2g}"


@dataclass(frozen=True)
class Neighbour:
    """A training row that is most alike.

    Parameters
    ----------
    row : int
        Its number in the training table, from 0.
    label : str
        Its class.
    distance : float
        How far it lies, in standard deviations of the normal rows, all columns together but the
        five, or half of them, that are farthest.
    """

    row: int
    label: str
    distance: float


@dataclass(frozen=True)
class Reasons:
    """Why a row has its score.

    Parameters
    ----------
    score : float
        What is explained: the anomaly score; of a detector of several folds the mean deviation of
        their scores from the medians of their calibration rows.
    baseline : float
        The same of the nearest normal; `added` of all columns and `rest` are the difference.
    pvalue : float
        The p-value of the row.
    columns : tuple of Reason
        The columns that raise the score most, the largest share first.
    rest : float
        What all other columns add together.
    change : Change or None
        The smallest set of columns found that, put back, gives p > alpha; None where p is above
        alpha already, and where none of the sets that were tried does.
    nearest_normal : Neighbour
        The normal row of training that the row is compared with: the most alike of those that are
        unremarkable themselves, or another near by, where more than five columns would have to go
        back to the most alike, and at most five to that one.
    nearest_anomaly : Neighbour or None
        The labelled anomaly of training that is most alike; None without any.
    evidence : tuple
        Each piece of evidence by its name, and what it adds to the score; empty where a method has
        no pieces.

    >>> why = Reason("bytes_out", 340000, 120, 3.1, 0.62)
    >>> str(why)
    'bytes_out 340,000 (nearest normal: 120) 62%'
    """

    score: float
    baseline: float
    pvalue: float
    columns: tuple[Reason, ...]
    rest: float
    change: Change | None
    nearest_normal: Neighbour
    nearest_anomaly: Neighbour | None
    evidence: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.columns)) or "no column raises the score"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values: numbers, texts, lists, None; other values as their texts."""
        plain: dict[str, Any] = json.loads(
            json.dumps(strict_json(asdict(self)), default=str, allow_nan=False)
        )
        return plain


def check_top(top: object) -> None:
    """DataError unless top is a number of columns, or places, to name."""
    if not isinstance(top, int | np.integer) or top < 1:
        raise DataError(
            f"{option('top')} must be a number of columns, or places, to name, at least 1, got "
            f"{top!r}"
        )


def as_written(value: Any) -> str:
    """A value as a reader knows it.

    >>> as_written(340000.0), as_written(0.123456), as_written("ftp"), as_written(None)
    ('340,000', '0.1235', "'ftp'", 'missing')
    """
    if value is None or value != value:
        return "missing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    return (
        repr(beginning(value)) if isinstance(value, str) and not _is_figure(value) else str(value)
    )


def _is_figure(text: str) -> bool:
    """Whether a text is a number, as in a file in which all is text."""
    try:
        return len(text) < 40 and float(text) == float(text)
    except ValueError:
        return False

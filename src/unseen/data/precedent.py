"""What training showed of constants and gaps, by which a later row is told to be without
precedent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.scaling import ROUNDING, signed_log
from unseen.data.spelling import PLAIN, Spelling, reads
from unseen.data.values import NO, YES, floats, is_text, is_usable, labels, numbers, written
from unseen.errors import DataError

FAR = 1.0  # how far a value lies that cannot be compared with the constant


@dataclass(frozen=True)
class Constant:
    """A column in which training showed one value, apart from gaps.

    Parameters
    ----------
    name : str
        What the table calls the column.
    kind : {"number", "boolean", "category"}
        What it holds.
    value : float or str
        The value: a finite number, 1 or 0 for yes or no, or the text of a category.
    spelling : Spelling
        How text spells its numbers.
    """

    name: str
    kind: Literal["number", "boolean", "category"]
    value: float | str
    spelling: Spelling = PLAIN

    def __post_init__(self) -> None:
        fits = (
            isinstance(self.value, str)
            if self.kind == "category"
            else isinstance(self.value, float)
        )
        if self.kind == "boolean":
            fits = fits and self.value in (0.0, 1.0)
        if not fits or (isinstance(self.value, float) and not math.isfinite(self.value)):
            raise DataError(
                f"column {self.name!r}: {self.value!r} cannot be the constant of a {self.kind}"
            )

    def moved(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        """How far each value lies from the constant, in (0, 1], 0 where it is the same or missing:
        (n,) -> (n,).
        """
        if not is_usable(array.type):
            return np.full(len(array), FAR)
        if self.kind == "number":
            return self._from_number(array)
        codes, found = labels(array, [self.value] if isinstance(self.value, str) else [])
        alike = (YES if self.value else NO) if self.kind == "boolean" else {self.value}
        same = [(level.lower() if self.kind == "boolean" else level) in alike for level in found]
        return np.array([*(0.0 if each else FAR for each in same), 0.0])[codes]

    def _from_number(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        if not is_text(array.type):
            return log_distance(numbers(self.name, array), float(self.value))
        words = written(array)
        unread = np.zeros(len(words), dtype=bool)
        if (values := floats(words, self.spelling)) is None:
            unread = ~reads(pc.fill_null(words, "0"), self.spelling)
            values = floats(
                pc.if_else(pa.array(unread), pa.scalar(None, words.type), words), self.spelling
            )
        assert values is not None
        return np.where(unread, FAR, log_distance(values, float(self.value)))


def log_distance(
    values: NDArray[np.float64], constant: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """How far numbers lie from a constant on the scale of logarithms, in [0, 1]: 0 where it is
    rounding, or missing.

    >>> log_distance(np.array([5.0, np.e - 1, np.nan, np.inf]), 0.0)[1:]
    array([0.5, 0. , 1. ])
    """
    usual = np.atleast_1d(np.asarray(constant, dtype=np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.abs(values - usual) > ROUNDING * np.abs(usual)
        if not moved.any():
            return np.zeros(moved.shape)
        apart = np.abs(signed_log(values) - signed_log(usual))
        far = np.where(np.isinf(apart), FAR, np.maximum(apart / (1 + apart), ROUNDING))
    return np.where(moved, far, 0.0)


@dataclass(frozen=True)
class Precedent:
    """What training showed of constants and gaps, to tell what is without precedent.

    In some tables rows with a value of their own are commonplace, so a training row may show in
    several columns what no other row shows. A later row must exceed that number, in `moves` and in
    `gaps`.

    Parameters
    ----------
    constants : tuple of Constant
        Columns that never moved.
    complete : tuple of str
        Names of the columns that never lacked a value.
    blank : bool
        Whether a training row lacked every value.
    moves : int
        In how many columns a training row alone may have another value than all others.
    gaps : int
        In how many columns a training row alone may lack a value.
    """

    constants: tuple[Constant, ...] = ()
    complete: tuple[str, ...] = ()
    blank: bool = True
    moves: int = 0
    gaps: int = 0

    def __post_init__(self) -> None:
        if min(self.moves, self.gaps) < 0:
            raise DataError(
                f"what is commonplace is a number of columns, got {self.moves} and {self.gaps}"
            )
        for names in (self.complete, [constant.name for constant in self.constants]):
            if len(set(names)) < len(names):
                raise DataError(
                    "a column is named twice among the constants, or among those without a gap"
                )

    @property
    def names(self) -> set[str]:
        return {*self.complete, *(constant.name for constant in self.constants)}


NOTHING_KNOWN = Precedent()

"""Hybrids: some columns of a row, and those of a normal row near it in all others."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]
Change = tuple[tuple[int, ...], float]  # columns, and the p-value once they are put back


class Hybrids(Protocol):
    """Rows (n) in p columns, each beside t normals."""

    @property
    def columns(self) -> int:
        """p."""

    @property
    def normals(self) -> int:
        """t; that of number 0 is the nearest to its row."""

    def farthest(self, rows: Places, normals: Places, most: int) -> Places:
        """The columns in which these rows (k,) lie farthest from these of their normals (k,), the
        farthest first: (k, q), with q at most `most`.
        """

    def judged(self, rows: Places, normals: Places, own: Mask) -> tuple[Array, Array]:
        """Scores and p-values of hybrids (k,): the `own` columns (k, p) of the rows of these
        numbers (k,), and those of their normals of these numbers (k,) in all others.
        """

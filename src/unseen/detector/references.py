"""Training rows that stay with a detector, to be shown beside new ones: normals, and labelled
anomalies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.split import Rows, take
from unseen.errors import DataError, Unsupported
from unseen.types import Encoder

ROWS = 2000  # normals that stay, and labelled anomalies
CELLS = 1 << 20  # values that stay of either, at most; of wide rows fewer stay
LEAST = 100  # rows of either that stay, however wide they are
LOOK = "look"  # column of images: how they look, see `looks`
IMAGES = 200  # images of either that stay: each is looked at once more


@dataclass(frozen=True)
class References:
    """Training rows as a reader knows them.

    Parameters
    ----------
    rows : Table
        The columns that are used, as training had them; of images their names, and how they look
        (k).
    codes : array
        0 for a normal row, 1.. for the anomaly class that labels it (k,).
    numbers : array
        Numbers of the rows in the training table, from 0 (k,).

    Raises
    ------
    DataError
        Where the three do not belong together.
    """

    rows: pa.Table
    codes: NDArray[np.int64]
    numbers: Rows

    def __post_init__(self) -> None:
        lengths = {len(self.rows), len(self.codes), len(self.numbers)}
        if len(lengths) > 1 or not len(self.rows):
            raise DataError(f"expected one code and one number for each row, got {lengths}")
        if self.codes.min() < 0 or self.numbers.min() < 0:
            raise DataError("codes and numbers of rows that stay must be 0 or more")

    @cached_property
    def normals(self) -> pa.Table:
        """Normal rows."""
        return self.rows.take(np.flatnonzero(self.codes == 0))

    def of_class(self, code: int) -> pa.Table:
        """Labelled rows of one class."""
        return self.rows.take(np.flatnonzero(self.codes == code))


def kept_rows(detector: object) -> References:
    """The rows that stay with a fitted detector; Unsupported where an earlier release kept none."""
    found = getattr(detector, "references_", None)
    if found is None:
        raise Unsupported(
            "this detector was saved by an earlier release, which kept no training rows to compare "
            "with: fit it again, and save it"
        )
    return cast(References, found)


def check_kept(known: References) -> None:
    """Unsupported where an earlier release kept names of images only."""
    if LOOK not in known.rows.column_names:
        raise Unsupported(
            "this detector was saved by an earlier release, which kept names of training images "
            "only, and nothing to compare with: fit it again, and save it"
        )


def references(
    encoder: Encoder, rows: Any, codes: NDArray[np.int64], counts: Rows, seed: int
) -> References:
    """The rows that stay: of those that count (m,) normals at random, and anomalies evenly from
    their classes.

    Unlabelled rows that are taken for normal stand in for normals only where no row is labelled
    normal.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(counts)
    most = max(LEAST, min(ROWS, CELLS // max(len(encoder.inputs), 1)))
    if encoder.noun == "images":
        most = IMAGES
    calm = order[codes[order] == 0]
    if not len(calm):
        calm = order[codes[order] <= 0]
    anomalies = order[codes[order] > 0]
    turn = np.zeros(len(anomalies), dtype=np.int64)  # which of its class a row is
    for code in np.unique(codes[anomalies]):
        own = codes[anomalies] == code
        turn[own] = np.arange(own.sum())
    anomalies = anomalies[np.argsort(turn, kind="stable")]
    numbers = np.sort(np.concatenate([calm[:most], anomalies[:most]]))
    return References(
        pa.table(dict(encoder.shown(take(rows, numbers)))), np.maximum(codes[numbers], 0), numbers
    )

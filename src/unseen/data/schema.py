"""Schema: what the columns of a table mean, learned from training rows, and any later table as a matrix by it.

The only place where missing values, infinities, units and categories are met.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter

from unseen.data.columns import REASONS, Column, Kind, fate
from unseen.data.frames import tabulate
from unseen.data.scaling import Fill, standardise
from unseen.data.strict import strictly
from unseen.data.tables import admit, require
from unseen.errors import BundleError, DataError

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Schema:
    """The meaning of a table's columns: `columns` used, in training order, and `dropped` ones with the reason in words.

    `inputs` are the names of all columns that training showed.

    >>> table = pa.table({"bytes": [10, 20, 10, 70], "service": ["http", "ftp", "http", "ftp"], "site": ["a"] * 4})
    >>> schema = Schema.infer(table, drop=["site"])
    >>> schema.features
    ('bytes', 'service=ftp', 'service=http', 'service=<other>')
    >>> schema.encode(table).shape, schema.dropped
    ((4, 4), {'site': 'asked'})
    """

    columns: tuple[Column, ...]
    dropped: dict[str, str]
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        for column in self.columns:
            if len(column.scales) != len(column.features):
                raise DataError(f"column {column.name!r}: {len(column.features)} features, {len(column.scales)} scales")
        named = [*(column.name for column in self.columns), *self.dropped]
        if sorted(named) != sorted(set(self.inputs)) or len(named) != len(self.inputs):
            raise DataError("every input must be named once, among the columns or among the dropped ones")

    @classmethod
    def infer(
        cls,
        table: object,
        *,
        normals: ArrayLike | None = None,
        kinds: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
    ) -> Schema:
        """Learn what the columns mean from training rows; statistics of numbers from the rows marked normal (n,).

        A matrix has columns x0, x1, ..., all of them numbers; `kinds` overrules what the values suggest.
        """
        given = admit(table)
        check_rows(given)
        asked = dict(kinds or {})
        if isinstance(given, np.ndarray):
            names = [f"x{j}" for j in range(given.shape[1])]
            asked = dict.fromkeys(names, "number") | asked
            given = tabulate(given, names)
        check_request(given.column_names, asked, drop)
        mask = normal_rows(normals, len(given))
        fates = {name: "asked" if name in drop else fate(given[name], asked.get(name)) for name in given.column_names}
        dropped = {name: REASONS.get(kind, kind) for name, kind in fates.items() if kind not in get_args(Kind)}
        kept = [(name, kind) for name, kind in fates.items() if name not in dropped]
        if not kept:
            raise DataError(f"no column is left to learn from (n_samples = {len(given)}): {dropped}")
        report(dropped)
        columns = tuple(Column.learn(name, cast(Kind, kind), given[name], mask) for name, kind in kept)
        return cls(columns, dropped, tuple(given.column_names))

    def relearn(self, table: object, *, normals: ArrayLike | None = None) -> Schema:
        """The same columns and kinds, with levels and statistics learned anew from these rows only."""
        given = self.arrow(admit(table))
        check_rows(given)
        mask = normal_rows(normals, len(given))
        columns = tuple(Column.learn(column.name, column.kind, given[column.name], mask) for column in self.columns)
        return Schema(columns, dict(self.dropped), self.inputs)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the encoded columns (d)."""
        return tuple(feature for column in self.columns for feature in column.features)

    @property
    def origin(self) -> tuple[int, ...]:
        """For each encoded column (d), which of `columns` it comes from."""
        return tuple(j for j, column in enumerate(self.columns) for _ in column.features)

    @property
    def width(self) -> int:
        """Number of encoded columns d."""
        return len(self.origin)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an encoded row."""
        return (self.width,)

    @property
    def logarithms(self) -> NDArray[np.float32]:
        """Centre and spread of encoded columns that are signed logarithms, NaN for others: (d, 2).

        >>> Schema.infer(pa.table({"bytes": [0.0, np.e**2 - 1], "flag": [True, False]})).logarithms.tolist()
        [[1.0, 1.0], [nan, nan]]
        """
        scales = [scale for column in self.columns for scale in column.scales]
        rows = [(np.nan, np.nan) if scale.plain else (scale.centre, scale.spread) for scale in scales]
        return np.array(rows, dtype=np.float32)

    def encode(self, table: object) -> NDArray[np.float32]:
        """Any table with the trained columns, in any order, as finite deviations in [-10, 10]: (n, d).

        >>> schema = Schema.infer([[0.0], [np.e**2 - 1]])  # logarithms 0 and 2: mean 1, standard deviation 1
        >>> schema.encode([[np.e**4 - 1], [np.inf]]).tolist()
        [[3.0], [10.0]]
        """
        given = admit(table)
        scales = [scale for column in self.columns for scale in column.scales]
        if isinstance(given, np.ndarray) and all(column.kind == "number" for column in self.columns):
            check_width(given, len(self.inputs))
            take = np.array([self.inputs.index(self.columns[j].name) for j in self.origin])
            return standardise(scales, len(given), matrix_rows(take, given))
        return standardise(scales, len(given), table_rows(self.columns, self.arrow(given)))

    def arrow(self, given: pa.Table | NDArray[Any]) -> pa.Table:
        """The trained columns by name; of a matrix by position."""
        if isinstance(given, np.ndarray):
            check_width(given, len(self.inputs))
            return tabulate(given, self.inputs)
        require([column.name for column in self.columns], given.column_names, where="the table")
        extra = [name for name in given.column_names if name not in set(self.inputs)]
        if extra:
            log.info("columns that training did not show are ignored: %s", ", ".join(map(repr, extra)))
        return given

    def to_json(self) -> dict[str, Any]:
        """Everything learned, as plain JSON values."""
        plain: dict[str, Any] = TypeAdapter(Schema).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, plain: object) -> Schema:
        """The schema that `to_json` wrote."""
        try:
            schema: Schema = strictly(Schema, plain)
        except ValueError as error:
            raise BundleError(f"the saved schema cannot be read, save the detector again: {error}") from error
        for column in schema.columns:
            if len(set(column.features)) < len(column.features):
                raise BundleError(f"the saved schema has a level twice in column {column.name!r}")
        return schema


def table_rows(columns: Sequence[Column], table: pa.Table) -> Fill:
    """What writes rows of a table into a block, column by column."""

    def fill(block: NDArray[np.float64], start: int) -> None:
        end = 0
        for column in columns:
            first, end = end, end + len(column.scales)
            try:
                block[:, first:end] = column.raw(table[column.name].slice(start, len(block)))
            except DataError:
                column.raw(table[column.name])  # the same error, with the counts of the whole column
                raise

    return fill


def matrix_rows(take: NDArray[np.int64], array: NDArray[Any]) -> Fill:
    """What writes rows of a matrix (n, m) into a block (r, d), without a look at single columns.

    `take` (d,) are the columns of the matrix; the second time one occurs, it stands for "is missing".
    """
    indicators = 1 + np.flatnonzero(take[1:] == take[:-1])
    whole = np.array_equal(take, np.arange(array.shape[1]))

    def fill(block: NDArray[np.float64], start: int) -> None:
        rows = array[start : start + len(block)]
        block[...] = rows if whole else rows[:, take]
        if len(indicators):
            block[:, indicators] = np.isnan(block[:, indicators])

    return fill


def check_width(array: NDArray[Any], expected: int) -> None:
    if array.shape[1] != expected:  # scikit-learn's words
        raise DataError(f"X has {array.shape[1]} features, but Detector is expecting {expected} features as input")


def check_request(names: Sequence[str], kinds: Mapping[str, str], drop: Sequence[str]) -> None:
    """DataError unless the columns and kinds that are asked for exist."""
    require([*kinds, *drop], names, where="the table")
    for name, kind in kinds.items():
        if kind not in get_args(Kind):
            raise DataError(f"kinds[{name!r}] must be one of {', '.join(get_args(Kind))}, got {kind!r}")


def check_rows(table: pa.Table | NDArray[Any]) -> None:
    """DataError, in scikit-learn's words, for a table of no rows or no columns."""
    for count, what in zip(table.shape, ("sample(s)", "feature(s)"), strict=True):
        if count == 0:
            raise DataError(f"Found array with 0 {what} (shape={table.shape}) while a minimum of 1 is required.")


def normal_rows(normals: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    """Which rows are normal (n,); all of them when nothing is said."""
    mask = np.ones(n, dtype=bool) if normals is None else np.asarray(normals)
    if mask.dtype != bool or mask.shape != (n,):
        raise DataError(f"normals must be {n} booleans, one for each row, got {mask.dtype} of shape {mask.shape}")
    if not mask.any():
        raise DataError(f"none of the {n} rows is marked normal, so nothing can be learned of the normal; mark some")
    return mask


def report(dropped: Mapping[str, str]) -> None:
    """One warning that lists what was dropped without being asked for."""
    listed = "; ".join(f"{name!r}: {reason}" for name, reason in dropped.items() if reason != "asked")
    if listed:
        log.warning("columns that are not used: %s", listed)

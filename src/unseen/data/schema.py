"""Schema: what the columns of a table mean, learned from training rows, and any later table as a
matrix by it.

The only place where missing values, infinities, units and categories are met.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NoReturn, TypeGuard, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter

from unseen.data.checks import check_not_empty, check_request, check_width, normal_rows, shortlist
from unseen.data.columns import Column, Kind
from unseen.data.fates import REASONS, fates, matrix_fates
from unseen.data.frames import tabulate
from unseen.data.learning import Plan, Witness, learn
from unseen.data.limits import Limits, beyond, commonplace, hull, limits
from unseen.data.news import (
    News,
    NotedOnce,
    merged,
    news_by_column,
    news_of_matrix,
    news_of_table,
)
from unseen.data.precedent import NOTHING_KNOWN, Precedent
from unseen.data.repeats import Table, nearly, representatives
from unseen.data.rows import Layout, matrix_rows, table_rows
from unseen.data.scaling import Scale, standardise
from unseen.data.split import Rows
from unseen.data.strict import strictly
from unseen.data.tables import admit
from unseen.errors import BundleError, DataError, Unsupported
from unseen.names import first_few, require
from unseen.types import Samples

log = logging.getLogger("unseen")
_PLURALS = {"number": "numbers", "boolean": "yes or no", "category": "categories", "text": "texts"}


@dataclass(frozen=True)
class Schema:
    """The meaning of a table's columns, learned from training rows.

    Parameters
    ----------
    columns : tuple of Column
        The columns used, in training order.
    dropped : dict of str to str
        The columns that are not used, each with the reason in words.
    inputs : tuple of str
        Names of all columns that training showed, in its order.
    precedent : Precedent
        What training showed of constants and gaps.
    limits : tuple
        Lower and upper limit of each encoded column of few values (d,), None for others; empty
        while nothing is known of them.

    >>> table = pa.table(
    ...     {
    ...         "bytes": [10, 20, 10, 70],
    ...         "service": ["http", "ftp", "http", "ftp"],
    ...         "site": ["a"] * 4,
    ...     }
    ... )
    >>> schema = Schema.infer(table, drop=["site"])
    >>> schema.features
    ('bytes', 'service=ftp', 'service=http', 'service=<other>')
    >>> schema.encode(table).shape, schema.dropped
    ((4, 4), {'site': 'asked'})
    """

    columns: tuple[Column, ...]
    dropped: dict[str, str]
    inputs: tuple[str, ...]
    precedent: Precedent = NOTHING_KNOWN
    limits: Limits = ()

    noun: ClassVar[str] = "rows"
    _last: ClassVar[Layout | None] = None  # of the tables that were read last

    def __post_init__(self) -> None:
        for column in self.columns:
            if len(column.scales) != len(column.features):
                raise DataError(
                    f"column {column.name!r}: {len(column.features)} features, "
                    f"{len(column.scales)} scales"
                )
        if len(self.limits) not in (0, len(self.origin)):
            raise DataError(
                f"limits are known of {len(self.limits)} encoded columns, and there are "
                f"{len(self.origin)}"
            )
        if any(each is not None and not each[0] <= each[1] for each in self.limits):
            raise DataError("limits of an encoded column must be the lower and the upper one")
        named = [*(column.name for column in self.columns), *self.dropped]
        if sorted(named) != sorted(set(self.inputs)) or len(named) != len(self.inputs):
            raise DataError(
                "every input must be named once, among the columns or among the dropped ones"
            )
        if max(self.precedent.moves, self.precedent.gaps) > len(self.inputs):
            raise DataError(
                "more columns than there are cannot show something new in a training row"
            )
        if unknown := self.precedent.names - set(self.inputs):
            raise DataError(
                f"constants and gaps are known of columns that are none: {sorted(unknown)[:5]}"
            )

    @classmethod
    def infer(
        cls,
        table: object,
        *,
        normals: ArrayLike | None = None,
        kinds: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
    ) -> Schema:
        """Learn what the columns mean from training rows; statistics of numbers from the rows
        marked normal (n,).

        A matrix has columns x0, x1, ..., all of them numbers; `kinds` overrules what the values
        suggest."""
        given = admit(table)
        check_not_empty(given)
        names = (
            [f"x{j}" for j in range(given.shape[1])]
            if isinstance(given, np.ndarray)
            else given.column_names
        )
        check_request(names, kinds or {}, drop)
        chosen = dict(kinds or {})
        witness = Witness(normal_rows(normals, len(given)))
        if isinstance(given, np.ndarray) and not chosen and not drop:
            found = matrix_fates(given, names)
        else:
            if isinstance(given, np.ndarray):
                chosen, given = dict.fromkeys(names, "number") | chosen, tabulate(given, names)
            found = fates(given, chosen, drop)
        dropped = {
            name: REASONS.get(each.kind, each.kind) for name, each in found.items() if not each.used
        }
        if len(dropped) == len(names):
            raise DataError(
                f"no column is left to learn from (n_samples = {len(given)}): {shortlist(dropped)}"
            )
        plans = [
            Plan(name, cast(Kind, each.kind), each.spelling)
            for name, each in found.items()
            if each.used
        ]
        constant = [name for name, each in found.items() if each.kind == "constant"]
        columns = learn(plans, constant, given, names, witness)
        return cls(tuple(columns), dropped, tuple(names), witness.precedent())

    def admit(self, X: object, *, learns: bool = False) -> pa.Table | NDArray[Any]:
        """A matrix, or a table of the columns that training showed; whether it `learns` makes no
        difference.
        """
        given = self._admitted(X)
        return given if isinstance(given, np.ndarray) else self.arrow(given)

    def labels(self, rows: object) -> None:
        """What rows tell of their labels by themselves: nothing."""

    def samples(self, rows: object, y: NDArray[np.int64], group: NDArray[np.int64]) -> Samples:
        """Encoded rows with their labels and domains."""
        return Samples.of(
            torch.from_numpy(self.encode(rows)), torch.from_numpy(y), torch.from_numpy(group)
        )

    def copies(self, rows: object, kind: NDArray[np.int64], repeats: str | None) -> Rows:
        """For each row (n,) the number of the row that stands for it, as `repeats.counted`
        tells.
        """
        return representatives(self._hashable(rows, kind), repeats)

    def repeated(self, rows: object, kind: NDArray[np.int64], counts: Rows) -> int:
        """How many of the rows that count are the same as another one of them."""
        own = self._hashable(rows, kind).take(counts)
        return len(own.x) - len(np.unique(own.total()))

    def near_copies(self, rows: object, kind: NDArray[np.int64], normals: Rows) -> str | None:
        """Where some rows differ that are nearly copies: "column 'a'" or "the last digits"; None
        without any.
        """
        found = nearly(self._hashable(rows, kind).take(normals))
        return (
            found
            if found is None or isinstance(found, str)
            else f"column {self.columns[found].name!r}"
        )

    def _hashable(self, rows: object, kind: NDArray[np.int64]) -> Table:
        """Rows as their method sees them, each column with the user's that it comes from."""
        return Table(self.encode(rows), np.asarray(self.origin), kind)

    def relearn(self, table: object, *, normals: ArrayLike | None = None) -> Schema:
        """The same columns and kinds, with levels and statistics learned anew from these rows only.

        What is without precedent stays as it is: that is told from all rows.
        """
        return replace(self, columns=tuple(self.learned(table, normals)[0]))

    def counted(self, table: object, *, normals: ArrayLike | None = None) -> Schema:
        """The same schema, what is commonplace counted anew: in these rows, the training rows
        without their copies.
        """
        known = self.learned(table, normals)[1].precedent()
        return replace(self, precedent=replace(self.precedent, moves=known.moves, gaps=known.gaps))

    def learned(self, table: object, normals: ArrayLike | None) -> tuple[list[Column], Witness]:
        """The columns as these rows show them, and what the rows show of gaps and constants."""
        given = admit(table)
        check_not_empty(given)
        plans = [Plan(column.name, column.kind, column.spelling) for column in self.columns]
        witness = Witness(normal_rows(normals, len(given)))
        given = given if self.reads_matrix(given) else self.arrow(given)
        return learn(plans, [], given, self.inputs, witness), witness

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the encoded columns (d)."""
        return tuple(feature for column in self.columns for feature in column.features)

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the columns that rows to score must have."""
        return tuple(column.name for column in self.columns)

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

        >>> Schema.infer(
        ...     pa.table({"bytes": [0.0, np.e**2 - 1], "flag": [True, False]})
        ... ).logarithms.tolist()
        [[1.0, 1.0], [nan, nan]]
        """
        scales = [scale for column in self.columns for scale in column.scales]
        rows = [
            (np.nan, np.nan) if scale.plain else (scale.centre, scale.spread) for scale in scales
        ]
        return np.array(rows, dtype=np.float32)

    def encode(self, table: object) -> NDArray[np.float32]:
        """Any table with the trained columns, in any order, as finite deviations in [-10, 10]: (n,
        d).

        >>> # logarithms 0 and 2: mean 1, standard deviation 1
        >>> schema = Schema.infer([[0.0], [np.e**2 - 1]])
        >>> schema.encode([[np.e**4 - 1], [np.inf]]).tolist()
        [[3.0], [10.0]]
        """
        given = self._admitted(table)
        if self.reads_matrix(given):
            place = {name: j for j, name in enumerate(self.inputs)}
            take = np.array([place[self.columns[j].name] for j in self.origin])
            return standardise(self._scales, len(given), matrix_rows(take, given))
        given = self.arrow(given)
        return standardise(self._scales, len(given), table_rows(self._layout(given), given))

    @cached_property
    def _scales(self) -> list[Scale]:
        return [scale for column in self.columns for scale in column.scales]

    def news(self, table: object) -> News:
        """What these rows show that training never did; nothing of a training row."""
        given = self._admitted(table)
        empty = [name for name, reason in self.dropped.items() if reason == REASONS["missing"]]
        if self.reads_matrix(given) and all(
            constant.kind == "number" for constant in self.precedent.constants
        ):
            return news_of_matrix(self.precedent, self.columns, empty, given, self.inputs)
        given = self.arrow(given)
        return news_of_table(self.precedent, self._layout(given), empty, given)

    def unprecedented(self, table: object, once: NotedOnce | None = None) -> NDArray[np.float64]:
        """How much each row shows that training never did, 0 where nothing and in every training
        row: (n,).

        How many columns move that were constant, or lack a value and never did; and up to 1 for how
        far they moved. With `once`, what is new is logged, unless that was done already.

        >>> schema = Schema.infer([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0]])
        >>> schema.unprecedented([[9.0, 5.0], [1.0, np.inf], [np.nan, 5.0]])
        array([0., 2., 1.])
        """
        news = self.news(table)
        if once is not None:
            news.tell(once)
        return news.amount

    def news_by_column(
        self, table: pa.Table
    ) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]:
        """What rows of a table show that training never did, by column: gaps, and how far constants
        moved, (n,) each.
        """
        return news_by_column(self.precedent, self.columns, table)

    def widened(self, table: object) -> Schema:
        """The same schema, to which what these rows show is nothing new."""
        return replace(self, precedent=merged(self.precedent, self.news(table)), limits=())

    def limited(
        self, x: NDArray[np.float32], normals: NDArray[np.bool_], before: Schema | None = None
    ) -> Schema:
        """The same schema, to which encoded rows (n, d) show how far columns of few values go; what
        they showed `before`, in earlier training, stays usual. Where normals often lie beyond what
        the others show, no column has limits.
        """
        found = (None,) * x.shape[1] if commonplace(x[normals]) else limits(x)
        return replace(self, limits=found if before is None else hull(before.limits, found))

    def beyond(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """In how many columns of few values encoded rows lie far from all that training showed: (n,
        d) -> (n,).
        """
        return beyond(x, self.limits)

    def reads_matrix(self, given: pa.Table | NDArray[Any]) -> bool:
        """Whether rows are a matrix of numbers, and read as one; DataError for one of another
        width.
        """
        if not isinstance(given, np.ndarray):
            return False
        check_width(given, len(self.inputs))
        return all(column.kind == "number" for column in self.columns)

    def arrow(self, given: pa.Table | NDArray[Any]) -> pa.Table:
        """The columns that training showed, by name; of a matrix by position."""
        if isinstance(given, np.ndarray):
            check_width(given, len(self.inputs))
            return tabulate(given, self.inputs)
        if self._knows(given):
            return given
        names = given.column_names
        require([column.name for column in self.columns], names, where="the table")
        known = set(self.inputs)
        extra = [name for name in names if name not in known]
        if extra:
            more = f" and {len(extra) - 20:,} more" if len(extra) > 20 else ""
            log.info(
                "columns that the detector did not learn from are ignored: %s",
                ", ".join(map(repr, extra[:20])) + more,
            )
        return given.select([name for name in names if name in known]) if extra else given

    def _admitted(self, table: object) -> pa.Table | NDArray[Any]:
        """A matrix or a table, which is not looked at again where one of its schema was read
        last: of a single row, names and types of columns would take longer than their values.
        """
        return table if self._knows(table) else admit(table)

    def _knows(self, table: object) -> TypeGuard[pa.Table]:
        last = self._last
        return last is not None and isinstance(table, pa.Table) and table.schema.equals(last.schema)

    def _layout(self, table: pa.Table) -> Layout:
        """How a table of the columns that training showed is read."""
        last = self._last
        if last is None or not table.schema.equals(last.schema):
            last = Layout(table.schema, self.columns, self.precedent.complete)
            object.__setattr__(self, "_last", last)  # by any thread: each finds a whole one
        return last

    def shown(self, rows: pa.Table | NDArray[Any]) -> dict[str, pa.ChunkedArray]:
        """The columns that are used, as the rows have them."""
        table = self.arrow(rows)
        return {column.name: table[column.name] for column in self.columns}

    def placer(self, rows: object) -> NoReturn:
        """What places scores of cells, which rows of a table lack: Unsupported."""
        raise Unsupported(
            "heat maps are for images: fit on Images.read(folder), and ask for the heat of images"
        )

    def reads(self) -> object:
        """What two schemas must agree in to read the same tables."""
        return [(column.name, column.kind) for column in self.columns], self.inputs

    def described(self) -> list[tuple[str, str]]:
        """Lines for a reader: how many columns are used, and which are not, and why."""
        dropped = [f"{name} ({reason})" for name, reason in self.dropped.items()]
        return [
            ("columns", f"{len(self.columns)} used, encoded as {self.width} numbers"),
            ("dropped", first_few(dropped)),
        ]

    def columns_by_kind(self) -> list[tuple[str, str]]:
        """Names of the columns used by their kind: "numbers", "categories", ..."""
        by_kind = {kind: [c.name for c in self.columns if c.kind == kind] for kind in _PLURALS}
        return [
            (_PLURALS[kind], f"{len(names)}: {', '.join(names)}")
            for kind, names in by_kind.items()
            if names
        ]

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
            raise BundleError(
                f"the saved schema cannot be read, save the detector again: {error}"
            ) from error
        for column in schema.columns:
            if len(set(column.features)) < len(column.features):
                raise BundleError(f"the saved schema has a level twice in column {column.name!r}")
        return schema

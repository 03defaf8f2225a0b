"""Tables as sources: rows of a file, or in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unseen.data.frames import tabulate
from unseen.data.labels import as_given, encode_labels
from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.io import read
from unseen.io.text import shown
from unseen.names import first_few, require, resembling
from unseen.types import Batch, Encoder, Labelled
from unseen.wording import option

log = logging.getLogger("unseen")
RESULTS = ("score", "pvalue", "verdict")  # columns of judged rows, behind their keys
ROW = "row"  # counts from 1 below the header
_LIKELY = frozenset(
    (
        "label",
        "labels",
        "class",
        "kind",
        "target",
        "y",
        "anomaly",
        "outlier",
        "is_anomaly",
        "is_outlier",
    )
)
_SHOWN = 3  # columns that a hint names
_BLOCK = 16384  # rows in memory that are judged at once


class _Table:
    """What tables share, wherever their rows are: columns that are set aside, and what labels
    tell.
    """

    label: str | None
    normal: str
    drop: tuple[str, ...]
    group: str | None
    keep: tuple[str, ...]

    noun: ClassVar[str] = "rows"

    @property
    def name(self) -> str:
        """What it is called in messages."""
        raise NotImplementedError

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth keeping of where the rows are."""
        raise NotImplementedError

    def _whole(self) -> pa.Table:
        """All rows."""
        raise NotImplementedError

    def _blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; at least one table, which may be empty."""
        raise NotImplementedError

    def labelled(self) -> Labelled:
        """All rows, their labels and domains, and how many there are of each class."""
        aside = [*self.drop, *filter(None, [self.label, self.group])]
        return self._labelled(self._table([*aside, *self.keep]), self.drop, self.group)

    def normals(self) -> Labelled:
        """Rows of another domain to move to: labels count where the file has them; what is set
        aside may be missing.
        """
        table = self._table([])
        aside = [
            name for name in (*self.drop, self.label, self.group) if name in table.column_names
        ]
        y = table[self.label] if self.label in aside else None
        return Labelled(table.drop_columns(aside), y, None, None, self.facts)

    def to_evaluate(self, *, tests: bool = False) -> Labelled:
        """All rows with their labels; one that `tests` may lack columns that are dropped, and
        domains.
        """
        if self.label is None:
            names = self._table([]).column_names
            raise DataError(
                f"{self.name}: an evaluation needs the column that says what each row is, "
                "'normal' or the name of a kind of anomaly "
                f"({option('label', ...)}){_likely_labels(names)}"
            )
        if not tests:
            return self.labelled()
        table = self._table([self.label])
        drop = tuple(name for name in self.drop if name in table.column_names)
        group = self.group if self.group in table.column_names else None
        return self._labelled(table, drop, group)

    def _labelled(self, table: pa.Table, drop: tuple[str, ...], group: str | None) -> Labelled:
        aside = [*drop, *filter(None, [self.label, group])]
        rows = table.drop_columns([name for name in table.column_names if name in aside])
        facts = self.facts | {"label": self.label, "drop": list(drop), "group": group}
        y = None if self.label is None else table[self.label]
        facts |= self._unlabelled(rows) if y is None else self._counts(y)
        groups = table[group].to_pylist() if group else None
        return Labelled(rows, y, groups, table.select(self.keep or table.column_names), facts)

    def places(self, keys: pa.Table, rows: pa.Array) -> dict[str, Any]:
        """The numbers of rows, where no column was chosen to tell them apart, or has that name."""
        return {} if self.keep or ROW in keys.column_names else {ROW: pc.add(rows, 1)}

    def batches(self, encoder: Encoder) -> Iterator[Batch]:
        """The rows, a block at a time, kept columns or row numbers as their keys."""
        done = 0
        for batch in self._blocks(encoder):
            require(self.keep, batch.column_names, where=self.name)
            n = len(batch)
            keys = (
                batch.select(self.keep)
                if self.keep
                else pa.table({ROW: np.arange(done + 1, done + n + 1)})
            )
            rows = batch.drop_columns([name for name in self.keep if name not in encoder.inputs])
            where = (
                f"{self.name}, rows {done + 1:,} to {done + n:,}, counted from 1 again"
                if done
                else self.name
            )
            yield Batch(rows, keys, np.arange(n), where)
            done += n

    def _table(self, wanted: Sequence[str]) -> pa.Table:
        """The rows, at least one, with these columns."""
        table = self._whole()
        require(wanted, table.column_names, where=self.name)
        if len(table) == 0:
            raise DataError(
                f"{self.name}: it has no rows, only columns; expected normal rows and "
                "labelled anomalies"
            )
        return table

    def _unlabelled(self, rows: pa.Table) -> dict[str, Any]:
        """The counts of rows without a label column, of which all rows are taken for normal; that
        is logged.
        """
        if self.normal != "normal":
            raise DataError(
                f"{self.name}: {option('normal', self.normal)} says what the label column calls "
                f"normal, and no column is named: add {option('label', ...)}"
            )
        log.warning(
            "no label column is named (%s): all %s rows are taken for normal%s",
            *(option("label", ...), f"{len(rows):,}", _likely_labels(rows.column_names)),
        )
        return {"rows": len(rows), "normals": len(rows), "unlabelled": 0, "anomalies": {}}

    def _counts(self, labels: pa.ChunkedArray) -> dict[str, Any]:
        """How many rows are normal, unlabelled, and of each class, most frequent first.

        DataError when none is normal, unless most have no label: those are taken for normal, and
        that is logged."""
        codes, names = encode_labels(labels, rows=len(labels), normal=self.normal)
        names = as_given(names, labels)
        counts = count_classes(codes, names)
        if (
            not counts["normals"]
            and self.normal == "normal"
            and 2 * counts["unlabelled"] > len(codes)
        ):
            log.warning(
                "no row of column %r is 'normal': the %s rows without a label are taken for normal",
                *(self.label, f"{counts['unlabelled']:,}"),
            )
        elif not counts["normals"]:
            raise DataError(
                f"{self.name}: no row of column {self.label!r} is "
                f"{self.normal!r}{resembling(self.normal, names)}; of its {len(codes):,} rows "
                f"{counts['unlabelled']:,} have no label, the others are "
                f"{spell_counts(counts['anomalies'])}: say which are normal "
                f"({option('normal', ...)})"
            )
        return counts


@dataclass(frozen=True)
class TableFile(_Table):
    """Rows of a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    file : Path
        The file; "-" is standard input.
    label : str, optional
        Column of labels.
    normal : str
        What the label column calls normal.
    drop : tuple of str
        Columns to leave out.
    group : str, optional
        Column of domains.
    header : bool
        Whether the first line of a CSV file names the columns.
    keep : tuple of str
        Columns that tell the rows apart; without any, all columns when it is learned from, and the
        row number when it is scored.
    """

    file: Path
    label: str | None = None
    normal: str = "normal"
    drop: tuple[str, ...] = ()
    group: str | None = None
    header: bool = True
    keep: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return shown(self.file)

    @property
    def facts(self) -> dict[str, Any]:
        """The file's name, and whether its first line is a row."""
        return {"source": shown(Path(self.file.name))} | ({} if self.header else {"header": False})

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        return read.rows(self.file)

    def _whole(self) -> pa.Table:
        return read.table(self.file, header=self.header)

    def _blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        return read.batches(self.file, header=self.header, expected=encoder.needed)


@dataclass(frozen=True, eq=False)
class TableFrame(_Table):
    """Rows in memory.

    Parameters
    ----------
    frame : data frame, array (n, columns) or list of dict
        The rows; the columns of an array are x0, x1, ...
    label : str, optional
        Column of labels.
    normal : str
        What the label column calls normal.
    drop : tuple of str
        Columns to leave out.
    group : str, optional
        Column of domains.
    keep : tuple of str
        Columns that tell the rows apart; without any, all columns when it is learned from, and the
        row number when it is scored.

    >>> from unseen import Detector, Policy
    >>> from unseen.scoring.stream import score
    >>> flows = [{"id": k, "bytes": k % 7, "load": k % 5} for k in range(100)]
    >>> data = TableFrame(flows, drop=("id",)).labelled()
    >>> detector = Detector("mahalanobis", random_state=0).fit(data.rows, data.y)
    >>> new = TableFrame([{"bytes": 3, "load": 2}, {"bytes": 90, "load": -9}])
    >>> for scored in score(new, detector, Policy.alpha(0.05)):
    ...     scored.table().select(["row", "verdict"]).to_pylist()
    [{'row': 1, 'verdict': 'normal'}, {'row': 2, 'verdict': 'anomaly'}]
    """

    frame: Any = field(repr=False)
    label: str | None = None
    normal: str = "normal"
    drop: tuple[str, ...] = ()
    group: str | None = None
    keep: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "the data frame"

    @property
    def facts(self) -> dict[str, Any]:
        """That the rows were in memory."""
        return {"source": "a data frame"}

    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @cached_property
    def _rows(self) -> pa.Table:
        """The rows as an Arrow table, made once."""
        given = admit(self.frame)
        if isinstance(given, pa.Table):
            return given
        return tabulate(given, [f"x{j}" for j in range(given.shape[1])])

    def _whole(self) -> pa.Table:
        return self._rows

    def _blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        for start in range(0, max(len(self._rows), 1), _BLOCK):
            yield self._rows.slice(start, _BLOCK)


def check_keep(keep: Sequence[str], *, taken: Sequence[str] = RESULTS) -> None:
    """DataError for names that the results have `taken`, or that are named twice."""
    clash = [name for name in keep if name in taken]
    if clash:
        raise DataError(
            f"column {clash[0]!r} cannot be kept, as the result has one of that name: rename it, "
            "or keep others"
        )
    twice = sorted({name for name in keep if keep.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is to be kept twice; name it once")


def _likely_labels(names: Sequence[str]) -> str:
    """A hint at columns whose names suggest labels; none is taken for one."""
    found = [name for name in names if name.casefold().replace(" ", "_") in _LIKELY][:_SHOWN]
    if not found:
        return ""
    columns = " and ".join(map(repr, found))
    what = (
        f"column {columns} looks like labels"
        if len(found) == 1
        else f"columns {columns} look like labels"
    )
    return f"; {what}: if so, add {option('label', found[0])}"


def count_classes(codes: np.ndarray[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    """How many of the codes (n,) are normal, unlabelled, and of each class, most frequent first."""
    counts = {name: int((codes == code).sum()) for code, name in enumerate(names, start=1)}
    return {
        "rows": len(codes),
        "normals": int((codes == 0).sum()),
        "unlabelled": int((codes == -1).sum()),
        "anomalies": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def spell_counts(anomalies: dict[str, int]) -> str:
    """The classes that there are, and how many of each."""
    return first_few(f"{name!r} ({count:,})" for name, count in anomalies.items())

"""Tables as sources: columns that are set aside, labels, and keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unseen.data.draw import Plan
from unseen.data.labels import as_given, encode_labels
from unseen.data.tables import without
from unseen.errors import DataError
from unseen.names import first_few, require, resembling
from unseen.scoring.drawing import Drawing, Drawn, drawn_from
from unseen.scoring.rows import Place
from unseen.types import Batch, Encoder, Labelled
from unseen.wording import option

log = logging.getLogger("unseen")
RESULTS = ("score", "pvalue", "verdict")  # columns of judged rows, behind their keys
KINDS = ("kind", "kind_pvalue", "novelty")  # and behind them, where kinds are asked for
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


@dataclass(frozen=True)
class TableSource:
    """Rows of a table, wherever they are: what is set aside of them, and what their labels tell.

    Parameters
    ----------
    place : FileRows, FilesRows or FrameRows
        Where the rows are.
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
    block : str, optional
        Column of blocks.
    by_group : bool
        Whether rows to score are judged by domain.
    drawing : Drawing, optional
        How rows to learn from are drawn from more than can be held; without it all are.

    >>> from unseen import Detector, Policy
    >>> from unseen.scoring.rows import FrameRows
    >>> from unseen.scoring.stream import score
    >>> flows = [{"id": k, "bytes": k % 7, "load": k % 5} for k in range(100)]
    >>> data = TableSource(FrameRows(flows), drop=("id",)).labelled()
    >>> detector = Detector("mahalanobis", random_state=0).fit(data.rows, data.y)
    >>> new = FrameRows([{"id": 7, "bytes": 3, "load": 2}, {"id": 8, "bytes": 90, "load": -9}])
    >>> for scored in score(TableSource(new, keep=("id",)), detector, Policy.alpha(0.05)):
    ...     scored.table().select(["id", "verdict"]).to_pylist()
    [{'id': 7, 'verdict': 'normal'}, {'id': 8, 'verdict': 'anomaly'}]
    """

    place: Place
    label: str | None = None
    normal: str = "normal"
    drop: tuple[str, ...] = ()
    group: str | None = None
    keep: tuple[str, ...] = ()
    block: str | None = None
    by_group: bool = False
    drawing: Drawing | None = None

    noun: ClassVar[str] = "rows"

    def __post_init__(self) -> None:
        for name in ("drop", "keep"):
            if isinstance(columns := getattr(self, name), str):
                raise DataError(f"{name} must be names of columns, as in ({columns!r},), got text")

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.place.name

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        return self.place.count()

    def labelled(self) -> Labelled:
        """All rows, their labels and domains, and how many there are of each class."""
        wanted = [*self.drop, *filter(None, [self.label, self.group, self.block]), *self.keep]
        return self._labelled(self._drawn(wanted), self.drop, self.group, self.block)

    def normals(self) -> Labelled:
        """Rows of another domain to move to: labels count where the file has them; what is set
        aside may be missing.
        """
        table = self._drawn([]).rows
        aside = [
            name
            for name in (*self.drop, self.label, self.group, self.block)
            if name in table.column_names
        ]
        y = table[self.label] if self.label in aside else None
        return Labelled(without(table, aside), y, None, None, self.place.facts)

    def to_evaluate(self, *, tests: bool = False) -> Labelled:
        """All rows with their labels; one that `tests` may lack columns that are dropped, and
        domains.
        """
        if self.label is None:
            names = self._drawn([]).rows.column_names
            raise DataError(
                f"{self.name}: an evaluation needs the column that says what each row is, "
                "'normal' or the name of a kind of anomaly "
                f"({option('label', ...)}){_likely_labels(names)}"
            )
        if not tests:
            return self.labelled()
        found = self._drawn([self.label])
        names = found.rows.column_names
        drop = tuple(name for name in self.drop if name in names)
        group = self.group if self.group in names else None
        block = self.block if self.block in names else None
        return self._labelled(found, drop, group, block)

    def _labelled(
        self, found: Drawn, drop: tuple[str, ...], group: str | None, block: str | None
    ) -> Labelled:
        table = found.rows
        aside = [*drop, *filter(None, [self.label, group, block])]
        rows = without(table, aside)
        facts = self.place.facts | {"label": self.label, "drop": list(drop), "group": group}
        facts |= {} if block is None else {"block": block}
        y = None if self.label is None else table[self.label]
        facts |= self._unlabelled(rows) if y is None else self._counts(y)
        groups = table[group].to_pylist() if group else None
        facts |= {} if found.facts is None else {"drawn": found.facts}
        keys = table.select(self.keep or table.column_names)
        if found.numbers is not None and not self.keep and ROW not in keys.column_names:
            keys = keys.add_column(0, ROW, pa.array(found.numbers + 1))
        blocks = None if block is None else table[block].to_pylist()
        return Labelled(rows, y, groups, keys, facts, blocks)

    def places(self, keys: pa.Table, rows: pa.Array) -> dict[str, Any]:
        """The numbers of rows, where no column was chosen to tell them apart, or has that name."""
        return {} if self.keep or ROW in keys.column_names else {ROW: pc.add(rows, 1)}

    def batches(self, encoder: Encoder) -> Iterator[Batch]:
        """The rows, a block at a time, kept columns or row numbers as their keys."""
        check_keep(self.keep)
        done = 0
        for batch in self.place.blocks(encoder):
            domain = [self.group] if self.by_group and self.group else []
            require([*self.keep, *domain], batch.schema.names, where=self.name)
            n = len(batch)
            keys = (
                batch.select(self.keep)
                if self.keep
                else pa.table({ROW: np.arange(done + 1, done + n + 1)})
            )
            rows = without(batch, {*self.keep, *domain} - set(encoder.inputs))
            groups = batch[self.group].to_pylist() if domain else None
            where = (
                f"{self.name}, rows {done + 1:,} to {done + n:,}, counted from 1 again"
                if done
                else self.name
            )
            yield Batch(rows, keys, np.arange(n), where, groups)
            done += n

    def _drawn(self, wanted: Sequence[str]) -> Drawn:
        """The rows to learn from, at least one, with these columns."""
        if self.drawing is None:
            found = Drawn(self.place.whole())
            require(wanted, found.rows.column_names, where=self.name)
        else:
            strata = tuple(name for name in (self.group, self.block) if name is not None)
            how = self.drawing
            plan = Plan(how.rows, how.seed, how.anomalies, self.label, self.normal, strata)
            found = drawn_from(self.place, how, plan, wanted, self.drop)
        if not found.rows.column_names:
            raise DataError(f"{self.name}: it has no columns")
        if len(found.rows) == 0:
            raise DataError(
                f"{self.name}: it has no rows, only columns; expected normal rows and "
                "labelled anomalies"
            )
        return found

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

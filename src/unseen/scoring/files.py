"""What the command line reads from files and writes to them: tables with their columns, suspects, JSON."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.labels import as_given, encode_labels
from unseen.errors import DataError
from unseen.io import read
from unseen.io.atomic import Making
from unseen.io.text import shown
from unseen.names import require, resembling
from unseen.report import text as render
from unseen.scoring.stream import check_keep
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed, of_data
from unseen.vision.encoder import Pictures
from unseen.wording import option

AUDITED = ("weight", "score")
ROW = "row"  # counts from 1 below the header
LIKELY = frozenset(
    ("label", "labels", "class", "kind", "target", "y", "anomaly", "outlier", "is_anomaly", "is_outlier")
)
SHOWN = 3  # columns that a hint names

log = logging.getLogger("unseen")


def loaded(folder: Path, data: Path) -> Bundle:
    """The saved detector, if it judges what is there: rows of a file, or images of a folder."""
    bundle = Bundle.load(folder)
    images = isinstance(bundle.detector.schema_, Pictures)
    if images and not os.path.isdir(data):
        raise DataError(f"{data}: expected a folder of images, as {folder} judges images, found a file")
    if os.path.isdir(data) and not images:
        raise DataError(f"{data}: expected a file, as {folder} judges rows of tables, found a folder")
    return bundle


def labelled_rows(
    file: Path, label: str | None, normal: str, drop: Sequence[str], group: str | None, *, header: bool
) -> tuple[pa.Table, pa.ChunkedArray | None, list[Any] | None, dict[str, Any]]:
    """Rows to train on, their labels and kinds of normal, None where no column has any, and what is known of them."""
    aside = [*drop, *filter(None, [label, group])]
    table = table_with(file, aside, header=header)
    facts: dict[str, Any] = {"source": shown(Path(file.name)), "label": label, "drop": list(drop), "group": group}
    facts |= {} if header else {"header": False}
    if label is None:
        facts |= unlabelled(file, without(table, aside), normal)
    else:
        facts |= label_counts(file, table[label], label, normal)
    labels = None if label is None else table[label]
    return without(table, aside), labels, table[group].to_pylist() if group else None, facts


def normal_rows(file: Path, bundle: Bundle, *, header: bool) -> tuple[pa.Table, pa.ChunkedArray | None]:
    """Rows to move to, and their labels: a file with labels may hold other rows than normal ones."""
    facts = of_data(bundle.facts)
    table = table_with(file, [], header=header and headed(bundle.facts))
    aside = [*facts.get("drop", []), *filter(None, [facts.get("label"), facts.get("group")])]
    known = facts.get("label") in table.column_names
    return without(table, aside), table[facts["label"]] if known else None


def unlabelled(file: Path, table: pa.Table, normal: str) -> dict[str, Any]:
    """The counts of a file without a label column, of which all rows are taken for normal; that is said."""
    if normal != "normal":
        raise DataError(
            f"{file}: {option('normal', normal)} says what the label column calls normal, and no column is named: add "
            f"{option('label', ...)}"
        )
    log.warning(
        "no label column is named (%s): all %s rows are taken for normal%s",
        *(option("label", ...), f"{len(table):,}", likely(table.column_names)),
    )
    return {"rows": len(table), "normals": len(table), "unlabelled": 0, "anomalies": {}}


def likely(names: Sequence[str]) -> str:
    """A hint at columns whose names suggest labels; none is taken for one."""
    found = [name for name in names if name.casefold().replace(" ", "_") in LIKELY][:SHOWN]
    if not found:
        return ""
    columns = " and ".join(map(repr, found))
    what = f"column {columns} looks like labels" if len(found) == 1 else f"columns {columns} look like labels"
    return f"; {what}: if so, add {option('label', found[0])}"


def train_and_test(
    file: Path, test: Path | None, label: str | None, drop: Sequence[str], group: str | None, *, header: bool
) -> tuple[pa.Table, pa.Table | None]:
    """Rows to train on, and rows to test on, if there is another file, which may lack what is dropped."""
    if label is None:
        raise DataError(
            f"{file}: an evaluation needs the column that says what each row is, 'normal' or the name of a kind of "
            f"anomaly ({option('label', ...)}){likely(table_with(file, [], header=header).column_names)}"
        )
    aside = [name for name in drop if name not in (label, group)]
    table = without(table_with(file, [*drop, label, *filter(None, [group])], header=header), aside)
    return table, None if test is None else without(table_with(test, [label], header=header), aside)


def suspects(bundle: Bundle, file: Path, keep: Sequence[str], *, header: bool) -> pa.Table:
    """Weight, score and some or all columns of the rows that training took for normal, lowest weight first."""
    table = table_with(file, keep, header=header and headed(bundle.facts))
    kept = keep or table.column_names
    numbered = not keep and ROW not in kept  # a column of that name stands for itself
    check_keep(kept, taken=AUDITED)
    facts = of_data(bundle.facts)
    if len(table) != facts.get("rows", len(table)):
        raise DataError(
            f"{file}: expected the {facts['rows']:,} rows of {facts['source']} that the detector was trained on, found "
            f"{len(table):,}: name that very file"
        )
    aside = [name for name in (facts.get("label"), facts.get("group"), *facts.get("drop", ())) if name]
    require(aside, table.column_names, where=str(file))
    labels = table[facts["label"]] if facts.get("label") else None
    try:
        found = bundle.detector.audit(without(table, aside), labels)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    first = {ROW: pc.add(found["row"], 1)} if numbered else {}
    audited = {name: found[name] for name in AUDITED}
    return pa.table(first | audited | {name: table[name].take(found["row"]) for name in kept})


def label_counts(file: Path, labels: pa.ChunkedArray, label: str, normal: str) -> dict[str, Any]:
    """How many rows are normal, unlabelled, and of each class, most frequent first.

    DataError when none is normal, unless most have no label: those are taken for normal, and that is said.
    """
    codes, names = encode_labels(labels, rows=len(labels), normal=normal)
    names = as_given(names, labels)
    counts = counted(codes, names)
    if not counts["normals"] and normal == "normal" and 2 * counts["unlabelled"] > len(codes):
        log.warning(
            "no row of column %r is 'normal': the %s rows without a label are taken for normal",
            *(label, f"{counts['unlabelled']:,}"),
        )
    elif not counts["normals"]:
        raise DataError(
            f"{file}: no row of column {label!r} is {normal!r}{resembling(normal, names)}; of its {len(codes):,} rows "
            f"{counts['unlabelled']:,} have no label, the others are {spelled(counts['anomalies'])}: say which are "
            f"normal ({option('normal', ...)})"
        )
    return counts


def counted(codes: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """How many of the codes (n,) are normal, unlabelled, and of each class, most frequent first."""
    counts = {name: int((codes == code).sum()) for code, name in enumerate(names, start=1)}
    return {
        "rows": len(codes),
        "normals": int((codes == 0).sum()),
        "unlabelled": int((codes == -1).sum()),
        "anomalies": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def spelled(anomalies: Mapping[str, int]) -> str:
    """The classes that there are, and how many of each."""
    return render.listed(f"{name!r} ({count:,})" for name, count in anomalies.items())


def table_with(file: Path, wanted: Sequence[str], *, header: bool) -> pa.Table:
    """The rows of a file, at least one, that has these columns."""
    table = read.table(file, header=header)
    require(wanted, table.column_names, where=shown(file))
    if len(table) == 0:
        raise DataError(f"{file}: the file has no rows below its header; expected normal rows and labelled anomalies")
    return table


def without(table: pa.Table, drop: Sequence[str]) -> pa.Table:
    return table.drop_columns([name for name in table.column_names if name in drop])


def save_json(file: Path, plain: object) -> None:
    """A file that is whole or not there."""
    with Making() as made:
        made.file(file).write(json.dumps(plain, indent=1).encode())

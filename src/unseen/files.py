"""What the command line reads from files and writes to them: tables with their columns, suspects, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unseen import render
from unseen.bundle import Bundle, write
from unseen.data import read
from unseen.data.labels import encode_labels
from unseen.data.tables import require, resembling
from unseen.errors import DataError
from unseen.stream import check_keep

AUDITED = ("weight", "score")


def suspects(bundle: Bundle, table: pa.Table, file: Path, keep: Sequence[str]) -> pa.Table:
    """Weight, score and some columns of the rows that training took for normal, lowest weight first."""
    check_keep(keep, taken=AUDITED)
    facts = bundle.facts
    if len(table) != facts.get("rows", len(table)):
        raise DataError(
            f"{file}: expected the {facts['rows']:,} rows of {facts['source']} that the detector was trained on, found "
            f"{len(table):,}: name that very file"
        )
    aside = [name for name in (facts.get("label"), facts.get("group"), *facts.get("drop", ())) if name]
    require(aside, table.column_names, where=str(file))
    labels = table[facts["label"]] if "label" in facts else None
    try:
        found = bundle.detector.audit(without(table, aside), labels)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    return pa.table({name: found[name] for name in AUDITED} | {name: table[name].take(found["row"]) for name in keep})


def label_counts(file: Path, labels: pa.ChunkedArray, label: str, normal: str) -> dict[str, Any]:
    """How many rows are normal, unlabelled, and of each class, most frequent first; DataError when none is normal."""
    codes, names = encode_labels(labels, rows=len(labels), normal=normal)
    counts = {name: int((codes == code).sum()) for code, name in enumerate(names, start=1)}
    anomalies = dict(sorted(counts.items(), key=lambda item: -item[1]))
    if not (codes == 0).any():
        found = render.listed(f"{name!r} ({count:,})" for name, count in anomalies.items())
        raise DataError(
            f"{file}: no row of column {label!r} is {normal!r}{resembling(normal, names)}; of its {len(codes):,} rows "
            f"{int((codes == -1).sum()):,} have no label, the others are {found}: say which are normal (--normal NAME)"
        )
    return {
        "rows": len(codes),
        "normals": int((codes == 0).sum()),
        "unlabelled": int((codes == -1).sum()),
        "anomalies": anomalies,
    }


def table_with(file: Path, wanted: Sequence[str]) -> pa.Table:
    """The rows of a file, at least one, that has these columns."""
    table = read.table(file)
    require(wanted, table.column_names, where=str(file))
    if len(table) == 0:
        raise DataError(f"{file}: the file has no rows below its header; expected normal rows and labelled anomalies")
    return table


def without(table: pa.Table, drop: Sequence[str]) -> pa.Table:
    return table.drop_columns([name for name in table.column_names if name in drop])


def save_json(file: Path, plain: object) -> None:
    """A file that is whole or not there."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        write(partial, json.dumps(plain, indent=1).encode())
        partial.rename(file)
    except OSError as error:
        raise DataError(f"{file}: it cannot be written ({error.strerror}); choose another place") from error
    finally:
        partial.unlink(missing_ok=True)

"""What a detector is given: rows of a table or images, the encoder that makes samples of them, and
their copies.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.schema import Schema
from unseen.data.split import Rows, take
from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.names import first_few
from unseen.parts.threads import one_thread
from unseen.types import Encoder
from unseen.vision.encoder import Vision
from unseen.vision.features import Features
from unseen.vision.images import Images
from unseen.vision.maps import Maps
from unseen.wording import option

log = logging.getLogger("unseen")
_FEW = (20, 3)  # normals and labelled anomalies below which a column of one value is no surprise


def to_learn_from(X: Any, features: Features | None) -> Any:
    """Rows before there is an encoder: maps of images, seen twice by `features`; of anything else a
    table or matrix.
    """
    if isinstance(X, Images):
        return Maps.of(X, features, resaved=True)
    return X if isinstance(X, Maps) else admit(X)


def noun_of(rows: Any) -> str:
    """What a user calls rows before there is an encoder."""
    return Vision.noun if isinstance(rows, Maps) else Schema.noun


def encoder_of(rows: Any, normals: NDArray[np.bool_], kinds: Mapping[str, str] | None) -> Encoder:
    """What makes samples of such rows: learned from the columns of a table, known of images."""
    if isinstance(rows, Maps):
        return Vision.infer(rows)
    with one_thread():
        return Schema.infer(rows, normals=normals, kinds=kinds)


def own_labels(rows: Any) -> Any:
    """What rows to learn from tell of their labels by themselves: images by their folders."""
    return rows.labels if isinstance(rows, Maps) else None


def counting_rows(
    rows: Any,
    encoder: Encoder,
    codes: NDArray[np.int64],
    repeats: str | None,
    *,
    tell: bool = False,
) -> Rows:
    """For each training row the number of the row that stands for it, itself where it counts: (n,).

    Copies agree in their class, too; a row that is labelled normal stands for one without a label.
    `tell`: warn of copies, and of what nearly is one.
    """
    best = np.argsort(codes < 0, kind="stable")  # labelled ones first: they may calibrate
    ordered, kind = take(rows, best), np.maximum(codes, 0)[best]
    with one_thread():
        first = encoder.copies(ordered, kind, repeats)
        if tell:
            _warn_of_copies(ordered, encoder, kind, codes[best], first, repeats)
    stands = np.empty(len(codes), dtype=np.int64)
    stands[best] = best[first]
    return stands


def _warn_of_copies(
    rows: Any,
    encoder: Encoder,
    kind: NDArray[np.int64],
    codes: NDArray[np.int64],
    first: Rows,
    repeats: str | None,
) -> None:
    """Warn of copies, of rows that repeat and count each time, and of normal rows that nearly are
    copies.
    """
    counts, n = np.flatnonzero(first == np.arange(len(first))), len(first)
    if repeats != "keep" and (where := encoder.near_copies(rows, kind, counts[codes[counts] <= 0])):
        log.warning(
            "many normal rows differ from another one in %s alone: if they are copies of one "
            "record, p-values come out too small; leave the copies out%s",
            *(where, ", or the column" if where.startswith("column") else ""),
        )
    if len(counts) < n:
        log.warning(
            "%s of %s %s repeat another one and are counted once, as a copy would calibrate "
            "against itself; to count each of them, fit with %s",
            *(f"{n - len(counts):,}", f"{n:,}", encoder.noun, option("repeats", "keep")),
        )
    if repeats is None and (again := encoder.repeated(rows, kind, counts)):
        log.warning(
            "%s of %s rows repeat another one and count each time, as rows of few values and "
            "states do; if they are copies of one record, p-values come out too small: fit with %s",
            *(f"{again:,}", f"{n:,}", option("repeats", "once")),
        )


def doubt_columns(rows: Any, codes: NDArray[np.int64]) -> None:
    """Warn of columns that give the answer away: one value in all normal rows, and in no labelled
    anomaly.
    """
    normals, anomalies = np.flatnonzero(codes == 0), np.flatnonzero(codes > 0)
    if isinstance(rows, Maps) or len(normals) < _FEW[0] or len(anomalies) < _FEW[1]:
        return
    find = _answers_of_matrix if isinstance(rows, np.ndarray) else _answers_of_table
    if found := find(rows, normals, anomalies):
        log.warning(
            "%s in all normal rows, and in no labelled anomaly: if that tells the label, and new "
            "rows will not have it, leave it out",
            first_few(f"column {name!r} is {value!r}" for name, value in found),
        )


def _answers_of_matrix(x: NDArray[Any], normals: Rows, anomalies: Rows) -> list[tuple[str, Any]]:
    first = x[normals[0]]
    same = (x[normals] == first).all(axis=0) & (x[anomalies] != first).all(axis=0)
    return [(f"x{j}", first[j].item()) for j in np.flatnonzero(same).tolist()]


def _answers_of_table(table: pa.Table, normals: Rows, anomalies: Rows) -> list[tuple[str, Any]]:
    begin, found = table.take(normals[: _FEW[0]]), []
    for name, column in zip(begin.column_names, begin.columns, strict=True):
        if pa.types.is_nested(column.type) or len(column.unique()) > 1:
            continue  # nearly all columns end here
        value, same = column[0].as_py(), table[name].to_numpy() == column[0].as_py()
        if value is not None and np.all(same[normals]) and not np.any(same[anomalies]):
            found.append((name, value))
    return found


def refuse(metadata: Mapping[str, Any]) -> None:
    """DataError for what scikit-learn passes beside X and y, and no method here could follow."""
    if "sample_weight" in metadata:
        raise DataError(
            "sample_weight is not supported: p-values count normal rows, each of them once. Leave "
            "it out; a row that may be no normal one can be labelled as unknown (None)"
        )
    if metadata:
        raise DataError(f"fit takes X, y and groups, and no {next(iter(metadata))!r}: leave it out")

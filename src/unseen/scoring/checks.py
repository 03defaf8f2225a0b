"""Calibration rows to check, as a file to fill in, and the answers in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.labels import spellings
from unseen.data.split import take
from unseen.detector.audit import as_in_training
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.io import read
from unseen.io.write import Writer
from unseen.names import require
from unseen.scoring.suspects import training_rows
from unseen.scoring.tables import check_keep
from unseen.types import Source

ROW, ANSWER = "training_row", "answer"
FILLED_IN = (ANSWER, ROW, "pvalue")  # columns in front of those of the training table
ANOMALY = "anomaly"


def to_fill_in(detector: Detector, known: Mapping[str, Any], source: Source, n: int) -> pa.Table:
    """An empty `answer`, the number from 1, the p-value, and the keys of n calibration rows.

    `known`: what the bundle tells of its data. DataError unless the source is what the detector was
    trained on."""
    data = training_rows(known, source)
    check_keep(data.keys.column_names, taken=FILLED_IN)
    found = detector.to_check(n)
    rows = found["row"].to_numpy()
    _check_same_rows(detector, data.rows, source.name)
    front = {
        ANSWER: pa.array([""] * len(rows), pa.string()),
        ROW: rows + 1,
        "pvalue": found["pvalue"],
    }
    keys = data.keys.take(rows)
    return pa.table(front | {name: keys[name] for name in keys.column_names})


def write_to_fill_in(
    detector: Detector, known: Mapping[str, Any], source: Source, n: int, target: Path
) -> int:
    """Write `to_fill_in` to a file; how many rows it has."""
    with Writer(target) as file:
        table = to_fill_in(detector, known, source, n)
        file.write(table)
    return len(table)


def answers_in(file: Path, detector: Detector) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Row numbers from 0, and whether each is normal, of a file that was filled in (k,), (k,); rows
    without an answer are left out.
    """
    table = read.table(file)
    require([ANSWER, ROW], table.column_names, where=str(file))
    normal = spellings([detector.normal])[0]
    anomalies = {ANOMALY, *detector.classes_}
    rows, found = [], []
    for row, text in zip(
        spellings(table[ROW].to_pylist()), spellings(table[ANSWER].to_pylist()), strict=True
    ):
        if text is None:
            continue
        if text not in anomalies | {normal}:
            raise DataError(
                f"{file}: expected '{normal}' or '{ANOMALY}' in column '{ANSWER}', or nothing "
                f"where nobody looked, found {text!r} for row {row}"
            )
        if row is None or not row.isdigit() or int(row) < 1:
            raise DataError(
                f"{file}: expected numbers of rows from 1 in column '{ROW}', found {row!r}: leave "
                "that column as it was written"
            )
        rows.append(int(row) - 1)
        found.append(text == normal)
    if not rows:
        raise DataError(
            f"{file}: column '{ANSWER}' is empty: write '{normal}' or '{ANOMALY}' for the rows "
            "that you looked at"
        )
    return np.array(rows, dtype=np.int64), np.array(found)


def _check_same_rows(detector: Detector, given: Any, name: str) -> None:
    """DataError unless the rows that were held out score as they did in training."""
    rows, device = detector.schema_.admit(given, learns=True), detector.torch_device()
    for member in detector.members_:
        assert member.held_out is not None  # to_check has told
        here = member.held_out.max() < len(rows)
        if not here or not as_in_training(
            member, member.scores(take(rows, member.held_out), device)
        ):
            raise DataError(
                f"{name}: expected the table that the detector was trained on, found one in which "
                "the rows that it held out score otherwise: name that file, with its rows in the "
                "same order"
            )

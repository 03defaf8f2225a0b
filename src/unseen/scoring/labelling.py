"""Rows or images that a detector asks about, as a table to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.names import require
from unseen.scoring.folders import ImageFolder
from unseen.scoring.tables import ROW, check_keep
from unseen.storage.facts import of_data
from unseen.vision.images import writable
from unseen.vision.maps import Maps

ASKED = ("score", "pvalue", "why")  # columns beside those of the rows
LABEL = "label"  # column to fill in where the training data had none
FILE = "file"  # column that names an image
HELD = 2000  # images of a folder, those that score highest, among which some are named


def to_label(detector: Detector, known: Mapping[str, Any], source: Any, n: int) -> pa.Table:
    """The n rows of a source to label next, with an empty column of labels to fill in.

    `known`: what the bundle tells of its data. Rows that have a label are not asked about."""
    if source.noun == "images":
        return _images_to_label(detector, source, n)
    label, table = of_data(known).get("label") or LABEL, source.place.whole()
    if not len(table):
        raise DataError(
            f"{source.name}: expected rows to choose from, found none: name a file that has some"
        )
    check_keep(source.keep, taken=(*ASKED, label))
    kept = list(source.keep) or [name for name in table.column_names if name != label]
    check_keep(kept, taken=ASKED)
    missing = [name for name in detector.schema_.needed if name not in kept]
    require([*kept, *missing], table.column_names, where=source.name)
    y = table[label] if label in table.column_names else None
    seen = [name for name in table.column_names if name in detector.schema_.inputs]
    advice = detector.advise(table.select(seen), n, y)
    rows = advice["row"].to_numpy()
    numbers = {} if ROW in kept else {ROW: rows + 1}
    empty = {label: pa.nulls(len(rows), pa.string())}
    shown = table.take(rows)
    columns = {name: shown[name] for name in [*kept, *missing]}
    return pa.table(empty | numbers | {name: advice[name] for name in ASKED} | columns)


def _images_to_label(detector: Detector, source: ImageFolder, n: int) -> pa.Table:
    """The same of a folder: files as they are found from here, chosen among its `HELD` highest."""
    parts, scores, most = list[Maps](), np.zeros(0), max(HELD, 2 * n)
    for batch in source.batches(detector.schema_):
        if batch.rows is None or not len(batch.rows):
            continue
        parts.append(batch.rows)
        scores = np.concatenate([scores, detector.anomaly_score(batch.rows)])
        if len(scores) > 2 * most:  # a map is large, and a folder may be
            parts, scores = _highest(parts, scores, most)
    if not parts:
        raise DataError(f"{source.name}: none of its images can be used, see the notes")
    [maps], _ = _highest(parts, scores, most)
    advice = detector.advise(maps, n)
    files = [str(maps.images.files[row]) for row in advice["row"].to_pylist()]
    empty = {LABEL: pa.nulls(len(files), pa.string()), FILE: list(map(writable, files))}
    return pa.table(empty | {name: advice[name] for name in ASKED})


def _highest(
    parts: list[Maps], scores: NDArray[np.float64], most: int
) -> tuple[list[Maps], NDArray[np.float64]]:
    """As many images at most, those that score highest (n,), in the order in which they came."""
    places = np.sort(np.argsort(-scores, kind="stable")[:most])
    maps = Maps.joined(parts)
    return [maps if len(places) == len(maps) else maps.take(places)], scores[places]

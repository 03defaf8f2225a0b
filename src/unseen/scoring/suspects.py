"""The contamination audit of a saved detector's training data: those rows first that look least like normal ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.scoring.folders import ImageFolder
from unseen.scoring.tables import ROW, TableFile, check_keep
from unseen.storage.facts import of_data

AUDITED = ("weight", "score")


def suspects(detector: Detector, known: Mapping[str, Any], source: TableFile | ImageFolder) -> pa.Table:
    """Keys, weight and score of the rows that training took for normal, lowest weight first.

    `known`: what the bundle tells of its data. DataError unless the source is what the detector was trained on.
    """
    data, facts = source.labelled(), of_data(known)
    names = [name for name in data.keys.column_names if name not in (ROW, "file")]
    check_keep(names, taken=AUDITED)
    if len(data.rows) != facts.get("rows", len(data.rows)):
        raise DataError(
            f"{source.name}: expected the {facts['rows']:,} {source.noun} of {facts['source']} that the detector was "
            f"trained on, found {len(data.rows):,}: name that very one"
        )
    try:
        found = detector.audit(data.rows, data.y)
    except DataError as error:
        raise DataError(f"{source.name}: {error}") from error
    keys = data.keys.take(found["row"])
    first = keys.select([name for name in keys.column_names if name not in names])
    audited = {name: found[name] for name in AUDITED}
    return pa.table(
        dict(zip(first.column_names, first.columns, strict=True))
        | audited
        | dict(zip(names, (keys[name] for name in names), strict=True))
    )

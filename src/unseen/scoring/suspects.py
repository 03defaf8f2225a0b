"""The contamination audit of a saved detector's training data: those rows first that look least
like normal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.scoring.folders import ImageFolder
from unseen.scoring.tables import ROW, TableFile, check_keep
from unseen.storage.facts import of_data

AUDITED = ("weight", "score")
_FILE = "file"


def suspects(
    detector: Detector, known: Mapping[str, Any], source: TableFile | ImageFolder
) -> pa.Table:
    """Keys, weight and score of the rows that training took for normal, lowest weight first.

    `known`: what the bundle tells of its data. DataError unless the source is what the detector was
    trained on."""
    data, facts = source.labelled(), of_data(known)
    names = [
        name for name in data.keys.column_names if name != _FILE or source.noun == TableFile.noun
    ]
    check_keep(names, taken=AUDITED)
    if len(data.rows) != facts.get("rows", len(data.rows)):
        raise DataError(
            f"{source.name}: expected the {facts['rows']:,} {source.noun} of {facts['source']} "
            "that the detector was "
            f"trained on, found {len(data.rows):,}: name that very one"
        )
    try:
        found = detector.audit(data.rows, data.y)
    except DataError as error:
        raise DataError(f"{source.name}: {error}") from error
    keys = data.keys.take(found["row"])
    first = {_FILE: keys[_FILE]} if source.noun == ImageFolder.noun else {}
    if (
        isinstance(source, TableFile) and not source.keep and ROW not in names
    ):  # a column of that name is its own
        first = {ROW: pc.add(found["row"], 1)}
    audited = {name: found[name] for name in AUDITED}
    return pa.table(first | audited | {name: keys[name] for name in names})

"""The contamination audit of a saved detector's training data: those rows first that look least
like normal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unseen.detector.detector import Detector
from unseen.errors import DataError, Unsupported
from unseen.scoring.tables import check_keep
from unseen.storage.facts import Adapted, of_data, of_form
from unseen.types import Labelled, Source

AUDITED = ("weight", "score")


def suspects(detector: Detector, known: Mapping[str, Any], source: Source) -> pa.Table:
    """Keys, weight and score of the rows that training took for normal, lowest weight first.

    `known`: what the bundle tells of its data. DataError unless the source is what the detector was
    trained on."""
    data = training_rows(known, source)
    check_keep(data.keys.column_names, taken=AUDITED)
    try:
        found = detector.audit(data.rows, data.y)
    except DataError as error:
        raise DataError(f"{source.name}: {error}") from error
    keys = data.keys.take(found["row"])
    first = source.places(keys, found["row"])
    audited = {name: found[name] for name in AUDITED}
    rest = {name: keys[name] for name in keys.column_names if name not in first}
    return pa.table(first | audited | rest)


def training_rows(known: Mapping[str, Any], source: Source) -> Labelled:
    """The rows of a source, as many as a detector with these facts was trained on."""
    if of_form(Adapted, known.get("adapted")) is not None:
        raise Unsupported(
            "adapt moved this detector to other rows, and trained it on none of them, so there is "
            "nothing to audit or check: take the detector that it came from"
        )
    if of_form(Adapted, known.get("recalibrated")) is not None:
        raise Unsupported(
            "recalibrate gave this detector p-values of other rows, and trained it on none of "
            "them, so there is nothing to audit or check: take the detector that it came from"
        )
    data, facts = source.labelled(), of_data(known)
    if len(data.rows) != facts.get("rows", len(data.rows)):
        raise DataError(
            f"{source.name}: expected the {facts['rows']:,} {source.noun} of {facts['source']} "
            f"that the detector was trained on, found {len(data.rows):,}: name that file"
        )
    return data

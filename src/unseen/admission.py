"""What a detector is given: tables, matrices or images, as what it can learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.images import Images
from unseen.data.schema import Schema
from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.parts.features import Features
from unseen.parts.loops import one_thread
from unseen.pictures import Maps, Pictures


def admitted(X: Any, schema: Schema | Pictures | None, features: Features | None) -> Any:
    """Maps of images, seen as those that the schema is of, or by `features`; of anything else a table or a matrix."""
    if isinstance(X, Images | Maps) and isinstance(schema, Schema):
        raise DataError("this detector was trained on a table: expected rows with its columns, got images")
    if isinstance(X, Images):
        return Maps.of(X, schema.features if isinstance(schema, Pictures) else features)
    return X if isinstance(X, Maps) else admit(X)


def schema_of(table: Any, codes: NDArray[np.int64], kinds: Mapping[str, str] | None) -> Schema | Pictures:
    """What the columns mean, or how images are seen."""
    if isinstance(table, Maps):
        d, h, w = table.x.shape[1:]
        return Pictures(table.features, (d, h, w))
    with one_thread():
        return Schema.infer(table, normals=codes <= 0, kinds=kinds)


def refuse(metadata: Mapping[str, Any]) -> None:
    """DataError for what scikit-learn passes beside X and y, and no method here could follow."""
    if "sample_weight" in metadata:
        raise DataError(
            "sample_weight is not supported: p-values count normal rows, each of them once. Leave it out; a row that "
            "may be no normal one can be labelled as unknown (None), and a row that counts more can be there more often"
        )
    if metadata:
        raise DataError(f"fit takes X, y and groups, and no {next(iter(metadata))!r}: leave it out")

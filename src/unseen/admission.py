"""What a detector is given: tables, matrices or images, as what it can learn from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.images import Images
from unseen.data.repeats import Table, counted, nearly
from unseen.data.schema import Schema
from unseen.data.split import Rows
from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.options import option
from unseen.parts.features import Features
from unseen.parts.loops import one_thread
from unseen.pictures import Maps, Pictures

log = logging.getLogger("unseen")


def admitted(X: Any, schema: Schema | Pictures | None, features: Features | None, *, learns: bool = False) -> Any:
    """Maps of images, seen as those that the schema is of, or by `features`; of anything else a table or a matrix.

    `learns`: maps of each image as it is and as it is re-saved; otherwise as it is.
    """
    if isinstance(X, Images | Maps) and isinstance(schema, Schema):
        raise DataError("this detector was trained on a table: expected rows with its columns, got images")
    twice = learns and (schema is None or (isinstance(schema, Pictures) and schema.resaved))
    if isinstance(X, Images):
        return Maps.of(X, schema.features if isinstance(schema, Pictures) else features, resaved=twice)
    if not isinstance(X, Maps):
        return admit(X)
    if twice and schema is not None and X.resaved is None:
        raise DataError(
            "this detector learned from each image as it is and as it is re-saved, and was given maps of images as they"
            " are: give it the images, or Maps.of(images, features, resaved=True)"
        )
    return X if learns else X.plain()


def standing(
    table: Any, schema: Schema | Pictures, codes: NDArray[np.int64], repeats: str | None, *, tell: bool = False
) -> Rows:
    """For each training row the number of the row that stands for it, itself where it counts: (n,).

    Copies agree in their class, too; a row that is labelled normal stands for one without a label. `tell`: warn of
    copies, and of what nearly is one.
    """
    best = np.argsort(codes < 0, kind="stable")  # labelled ones first: they may calibrate
    rows = _hashable(table, schema, np.maximum(codes, 0)).take(best)
    stands = np.empty(len(codes), dtype=np.int64)
    stands[best] = best[counted(rows, repeats, chance=isinstance(schema, Schema))]
    if tell:
        copies, what = int((stands != np.arange(len(stands))).sum()), "rows"
        if isinstance(schema, Pictures):
            what = "images"
        elif repeats != "keep":
            normals = (stands[best] == best) & (codes[best] <= 0)
            _tell_nearly(nearly(rows.take(np.flatnonzero(normals))), schema)
        _tell_copies(copies, len(codes), what)
        if repeats is None and isinstance(schema, Schema):
            own = rows.take(np.flatnonzero(stands[best] == best))
            _tell_states(len(own.x) - len(np.unique(own.total())), len(codes))
    return stands


def _hashable(table: Any, schema: Schema | Pictures, kind: NDArray[np.int64]) -> Table:
    """Rows as their method sees them, each column with the user's that it comes from."""
    if isinstance(schema, Schema):
        with one_thread():
            return Table(schema.encode(table), np.asarray(schema.origin), kind)
    x = table.identical().astype(np.float32)[:, None]
    return Table(x, np.zeros(1, dtype=np.int64), kind)


def _tell_copies(copies: int, n: int, what: str) -> None:
    if copies:
        log.warning(
            "%s of %s training %s repeat another one and are counted once, as a copy would calibrate against itself; "
            "to count each of them, ask for %s",
            *(f"{copies:,}", f"{n:,}", what, option("repeats", "keep")),
        )


def _tell_states(again: int, n: int) -> None:
    if again:
        log.warning(
            "%s of %s training rows repeat another one and count each time, as rows of few values and states do; if "
            "they are copies of one record, p-values come out too small: ask for %s",
            *(f"{again:,}", f"{n:,}", option("repeats", "once")),
        )


def _tell_nearly(found: int | str | None, schema: Schema) -> None:
    if found is not None:
        column = None if found == "digits" else repr(schema.columns[int(found)].name)
        log.warning(
            "many normal rows differ from another one in %s alone: if they are copies of one record, p-values come out "
            "too small; leave the copies out%s",
            *(("the last digits", "") if column is None else (f"column {column}", ", or the column")),
        )


def schema_of(table: Any, codes: NDArray[np.int64], kinds: Mapping[str, str] | None) -> Schema | Pictures:
    """What the columns mean, or how images are seen."""
    if isinstance(table, Maps):
        d, h, w = table.x.shape[1:]
        return Pictures(table.features, (d, h, w), table.resaved is not None)
    with one_thread():
        return Schema.infer(table, normals=codes <= 0, kinds=kinds)


def refuse(metadata: Mapping[str, Any]) -> None:
    """DataError for what scikit-learn passes beside X and y, and no method here could follow."""
    if "sample_weight" in metadata:
        raise DataError(
            "sample_weight is not supported: p-values count normal rows, each of them once. Leave it out; a row that "
            "may be no normal one can be labelled as unknown (None)"
        )
    if metadata:
        raise DataError(f"fit takes X, y and groups, and no {next(iter(metadata))!r}: leave it out")

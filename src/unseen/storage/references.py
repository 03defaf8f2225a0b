"""Training rows that stay with a saved detector, as an Arrow file: read and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from unseen.detector.looks import check_looks
from unseen.detector.references import LEAST, ROWS, References
from unseen.errors import BundleError
from unseen.io.paths import opened
from unseen.storage.manifest import AGAIN, compare, digest, readable
from unseen.types import Encoder

MOST = 1 << 30  # bytes of the file: as it is not packed, they are those of the rows
CODE, NUMBER = "unseen.code", "unseen.number"  # columns beside those of the rows


def saved(references: References | None) -> bytes | None:
    """The file of rows that stay; None without any."""
    if references is None:
        return None
    columns = [*references.rows.columns, references.codes, references.numbers]
    names = [*references.rows.column_names, CODE, NUMBER]
    table = pa.table([*map(_in_one_piece, columns)], names=names)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as out:
        out.write_table(table)
    return bytes(buffer.getvalue())


def read_references(file: Path, *, recorded: str) -> References:
    """The rows of a file with the recorded hash; BundleError for anything else."""
    with readable(file), opened(file) as (stream, size):
        if size > MOST:
            raise BundleError(f"{file}: expected at most {MOST:,} bytes, found {size:,}; {AGAIN}")
        data = stream.read(size)
    compare(file, found=digest(data), recorded=recorded)
    try:
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        table.validate(full=True)
        codes, numbers = (
            table[name].to_numpy().astype(np.int64, casting="safe") for name in (CODE, NUMBER)
        )
        return References(table.drop_columns([CODE, NUMBER]), codes, numbers)
    except Exception as error:  # whatever a file of unknown origin leads to
        raise BundleError(
            f"{file}: expected rows that stay with a detector, but they cannot be read ({error}); "
            f"{AGAIN}"
        ) from error


def fitting(found: References, encoder: Encoder, classes: int) -> References:
    """The same; BundleError for rows that no training of this detector shows."""
    if len(found.rows) > 2 * max(ROWS, LEAST) or found.codes.max() > classes:
        raise BundleError(
            f"expected at most {2 * ROWS:,} rows of {classes} classes, found "
            f"{len(found.rows):,} rows and class {found.codes.max()}"
        )
    if encoder.noun == "rows":
        encoder.encode(found.rows)
    else:
        check_looks(found.rows, encoder)
    return found


def _in_one_piece(column: pa.ChunkedArray | np.ndarray) -> pa.ChunkedArray:
    """A column as the file takes it: of one piece."""
    found = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.array(column)])
    return pa.chunked_array([found.combine_chunks()]) if found.num_chunks != 1 else found

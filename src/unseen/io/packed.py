"""Batches of a Parquet file that take bounded memory, however small a file they are packed into.

A text of a megabyte that occurs in a million rows is stored once. So texts are read as codes of a
dictionary, and few enough rows at a time are unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

# bytes that the rows of one batch may take when unpacked, if there is more than one row
ROOM = 1 << 26
ROWS = 1 << 16


def opened_parquet(
    path: str,
    admit: Callable[[int], None],
    left_out: Collection[str] = (),
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of the file, and its rows; columns that are stored as codes come as the values
    they stand for, and those `left_out` are not read.

    `admit` is told how many bytes a group of rows takes at least.
    """
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        admit(
            max(
                (file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups)),
                default=0,
            )
        )
        columns = [file.schema.column(j) for j in range(len(file.schema))]
    coded = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    source = parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, read_dictionary=coded)
    width = sum(column.length or 8 for column in columns)  # of what has fixed length, in bytes
    rows = min(ROWS, max(1, ROOM // max(1, width)))
    read = _readable(schema.names, left_out)
    types = zip(schema, source.schema_arrow.types, strict=True)
    plain = pa.schema(
        [
            field.with_type(_plain(field.type, coded=kind))
            for field, kind in types
            if read is None or field.name in read
        ]
    )
    return plain, _rows(source, rows, plain, read)


def _readable(names: list[str], left_out: Collection[str]) -> list[str] | None:
    """The columns to read of a file; None for all, also where a name would select more than one:
    "a" is a prefix of "a.b".
    """
    kept = [name for name in names if name not in left_out]
    apart = len(set(names)) == len(names) and not any("." in name for name in names)
    return kept if apart and 0 < len(kept) < len(names) else None


def _rows(
    source: parquet.ParquetFile, rows: int, plain: pa.Schema, read: list[str] | None
) -> Iterator[pa.RecordBatch]:
    with source:
        for batch in source.iter_batches(batch_size=rows, columns=read):
            for piece in _pieces(batch):
                columns = [
                    _unpacked(column, kind)
                    for column, kind in zip(piece.columns, plain.types, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=plain)


def _plain(kind: pa.DataType, *, coded: pa.DataType) -> pa.DataType:
    """The type of a column that may have been stored as codes; nested columns stay as they are
    read.
    """
    if pa.types.is_nested(kind):
        return coded
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return views.get(kind, kind)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces that have room when unpacked."""
    size = np.zeros(len(batch), dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_binary(column.type.value_type):
            lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(
                zero_copy_only=False
            )
            codes = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
            size += np.append(lengths, 0).astype(np.int64)[codes]
    piece = np.cumsum(size) // ROOM
    bounds = [0, *(1 + np.flatnonzero(np.diff(piece))).tolist(), len(batch)]
    yield from (batch.slice(start, end - start) for start, end in pairwise(bounds))


def _is_binary(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _unpacked(column: pa.Array, kind: pa.DataType) -> pa.Array:
    values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return values if values.type == kind else values.cast(kind)

"""Reading CSV, JSON Lines and Parquet files, whole or in batches of constant memory.

Every column of a text file is read as text: a type guessed from the first rows may fail on a later
one. `Schema` makes numbers of it, and knows what counts as missing; here only the empty field does.
"""

from __future__ import annotations

import csv
import logging
import os
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from unseen.errors import DataError
from unseen.io import jsonl, packed
from unseen.io.head import column_names, head
from unseen.io.records import text_fields
from unseen.io.text import CSV, JSON, PARQUET, STANDARD, Text, shown
from unseen.names import require
from unseen.wording import option

log = logging.getLogger("unseen")
ROWS = 16384  # of a batch
SHEETS = (".xlsx", ".xls", ".ods")
# bytes in memory that any file may take, and how many for each byte on disk
FREE, RATIO = (1 << 30, 1000)


def table(path: str | Path, *, header: bool = True) -> pa.Table:
    """The whole of a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    path : str or Path
        The file; "-" is standard input.
    header : bool
        Whether the first line of a CSV file names the columns; else it is a row, and they are
        called x0, x1, ...

    Returns
    -------
    pyarrow.Table
        All rows (n, columns); columns of a CSV file are text, those of Parquet keep their types.

    Raises
    ------
    DataError
        For a file that is not there, is empty, ends in another type, cannot be read as what it is,
        or unpacks to far more than files of data do.

    >>> table("nowhere.csv")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.csv: no such file; check the spelling and the folder
    """
    file = _existing(path)
    with _explained(file):
        source = _text_of(file)
        if source and _is_json(source):
            return jsonl.whole(source, lambda size: _check_unpacked_size(file, size))
        schema, stream = _columns_and_rows(file, source, header)
        pending, size = list[pa.RecordBatch](), 0
        for batch in stream:
            size += batch.nbytes
            _check_unpacked_size(file, size)
            pending.append(batch)
        return pa.Table.from_batches(pending, schema)


def batches(
    path: str | Path,
    rows: int = ROWS,
    *,
    header: bool = True,
    expected: Collection[str] = (),
    most: int | None = None,
) -> Iterator[pa.Table]:
    """Tables of `rows` rows each, fewer where rows are long and at the end, in the order of the
    file.

    One empty table for no rows. Columns that are `expected` are there in JSON Lines even if no
    object has such a key. DataError for more than `most` columns, before rows are read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flows.csv"
    >>> _ = path.write_text("bytes,service\\n10,http\\n,ftp\\n30,http\\n")
    >>> [batch.to_pydict()["bytes"] for batch in batches(path, rows=2)]
    [['10', None], ['30']]
    """
    file = _existing(path)
    with _explained(file):
        schema, stream = _columns_and_rows(file, _text_of(file), header, expected)
        if most is not None and len(schema) > most:
            raise DataError(
                f"{shown(file)}: expected at most {most:,} columns, found {len(schema):,}"
            )
        yield from _rechunked(stream, schema, rows)


def streamed(
    path: str | Path,
    wanted: Collection[str] = (),
    left_out: Collection[str] = (),
    *,
    header: bool = True,
) -> Iterator[pa.Table]:
    """All rows as they come, for whoever keeps but some. The first table tells the columns.

    DataError where a column is missing that is `wanted`; those `left_out` are not read. In JSON
    Lines a column is there from the first row on that has it, so tables may get wider.
    """
    file = _existing(path)
    with _explained(file):
        source = _text_of(file)
        if source and _is_json(source):
            yield from _growing(source, wanted, left_out)
            return
        whole = parquet.read_schema(file).names if source is None and left_out else None
        schema, stream = _columns_and_rows(file, source, header, (), left_out)
        require(wanted, schema.names if whole is None else whole, where=shown(file))
        yield _leaving(schema.empty_table(), left_out)
        for batch in stream:
            yield _leaving(pa.Table.from_batches([batch]), left_out)


def _growing(
    source: Text, wanted: Collection[str], left_out: Collection[str]
) -> Iterator[pa.Table]:
    """Rows of JSON Lines, in tables that get wider."""
    names: list[str] = []
    for batch in jsonl.growing(source, lambda size: _check_unpacked_size(source.file, size)):
        if batch.num_columns != len(names):
            names = column_names(batch.schema.names, source.file)
        yield _leaving(pa.Table.from_batches([batch]).rename_columns(names), left_out)
    require(wanted, names, where=shown(source.file))


def _leaving(rows: pa.Table, left_out: Collection[str]) -> pa.Table:
    return rows.select([name for name in rows.column_names if name not in left_out])


def rows(path: str | Path) -> int | None:
    """How many rows the file holds; None where only reading all of it would tell (all but
    Parquet).
    """
    file = _existing(path)
    if not _is_parquet(file):
        return None
    with _explained(file), parquet.ParquetFile(file) as source:
        return int(source.metadata.num_rows)


def size(path: str | Path) -> int:
    """The bytes of a file; 0 of standard input and of what is no file."""
    file = Path(path)
    return file.stat().st_size if file.is_file() else 0


def check_unpacked(what: str, size: int, disk: int) -> None:
    """DataError for data that unpack to far more than data do: from so many bytes on the `disk`, 0
    if that is unknown, to so many in memory.
    """
    if disk and size > max(FREE, RATIO * disk):
        raise DataError(
            f"{what}: {disk:,} bytes that unpack to more than {RATIO:,} times as much are no "
            "table of data; look at long texts that are repeated, and leave out such columns"
        )


def _text_of(file: Path) -> Text | None:
    return None if _is_parquet(file) else Text(file)


def _existing(path: str | Path) -> Path:
    """The path of a file with something in it, of a kind that can be read."""
    file = Path(path)
    if str(file) == STANDARD:
        return file
    if not file.name.lower().endswith(CSV + JSON + PARQUET):
        advice = (
            "export the sheet as CSV"
            if file.name.lower().endswith(SHEETS)
            else "convert or rename it"
        )
        raise DataError(
            f"{file}: expected a file that ends in {', '.join(CSV + JSON + PARQUET)}; {advice}"
        )
    if os.path.isdir(file):
        raise DataError(f"{file}: expected a file, found a folder; name one file in it")
    if not os.path.exists(file):
        raise DataError(f"{file}: no such file; check the spelling and the folder")
    if file.is_file() and file.stat().st_size == 0:
        raise DataError(
            f"{file}: the file is empty; expected a header line with the names of the columns"
        )
    return file


def _is_parquet(file: Path) -> bool:
    return file.name.lower().endswith(PARQUET)


def _is_json(source: Text) -> bool:
    """By the name of the file; standard input by its first letter."""
    if str(source.file) == STANDARD:
        return source.peek().lstrip().startswith(b"{")
    return source.file.name.lower().endswith(JSON)


def _columns_and_rows(
    file: Path,
    source: Text | None,
    header: bool,
    expected: Collection[str] = (),
    left_out: Collection[str] = (),
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of a file, which has a text unless it is Parquet, and its rows as they come."""
    if source is None:
        opened = packed.opened_parquet(
            str(file),
            lambda size: _check_unpacked_size(file, size),
            left_out,
        )
        return _with_distinct_names(file, *opened)
    return jsonl.opened_jsonl(source, expected) if _is_json(source) else _separated(source, header)


def _with_distinct_names(
    file: Path, schema: pa.Schema, stream: Iterator[pa.RecordBatch]
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The same, no two columns of one name."""
    names = column_names(schema.names, file)
    unlike = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
    return unlike, (pa.RecordBatch.from_arrays(batch.columns, schema=unlike) for batch in stream)


def _separated(source: Text, header: bool) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of a CSV file, all of them text, and its rows."""
    top = head(source, header=header)
    if top.doubtful:
        log.warning(
            "%s: the first line was taken for the names of the columns, but looks like a row of "
            "data: %s; if it is one, say so with %s",
            *(
                shown(source.file),
                ", ".join(map(repr, top.names[:5])) + (", ..." if top.names[5:] else ""),
            ),
            option("header", False),
        )
    schema = pa.schema([(name, pa.string()) for name in column_names(top.names, source.file)])
    return schema, text_fields(source, top, schema)


def _rechunked(
    stream: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    """The same rows in tables of `rows` rows, fewer where they take more than their room."""
    pending: list[pa.RecordBatch] = []
    count, size, empty = 0, 0, True
    for batch in stream:
        while count + len(batch) >= rows:
            taken = rows - count
            yield pa.Table.from_batches([*pending, batch[:taken]], schema)
            batch, pending, count, size, empty = batch[taken:], [], 0, 0, False
        if len(batch):
            pending.append(batch)
            count += len(batch)
            size += batch.nbytes
        if size >= packed.ROOM:
            yield pa.Table.from_batches(pending, schema)
            pending, count, size, empty = [], 0, 0, False
    if pending or empty:
        yield pa.Table.from_batches(pending, schema)


def _check_unpacked_size(file: Path, found: int) -> None:
    check_unpacked(str(file), found, size(file))


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Whatever goes wrong while reading becomes a DataError that says where."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeError, csv.Error, zlib.error) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    kind = (
        "Parquet"
        if _is_parquet(file)
        else "JSON Lines"
        if file.name.lower().endswith(JSON)
        else "CSV"
    )
    return DataError(
        f"{shown(file)}: expected a {kind} file, but it cannot be read as one ({error}); write or "
        "copy it anew"
    )

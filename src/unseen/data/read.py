"""Reading CSV and Parquet files, whole or in batches of constant memory.

Every column of a CSV file is read as text: a type guessed from the first rows may fail on a later one. `Schema` makes
numbers of it, and knows what counts as missing; here only the empty field does.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from unseen.errors import DataError

CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
DELIMITERS = ",;\t|"
BLOCK = 1 << 22  # bytes parsed at a time; no row may be longer


def table(path: str | Path) -> pa.Table:
    """The whole file.

    >>> table("nowhere.csv")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.csv: no such file; check the spelling and the folder
    """
    file = existing(path)
    with explained(file):
        schema, stream = opened(file)
        return pa.Table.from_batches(list(stream), schema)


def batches(path: str | Path, rows: int = 16384) -> Iterator[pa.Table]:
    """Tables of `rows` rows each, the last one shorter, in the order of the file; one empty table for no rows.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flows.csv"
    >>> _ = path.write_text("bytes,service\\n10,http\\n,ftp\\n30,http\\n")
    >>> [batch.to_pydict()["bytes"] for batch in batches(path, rows=2)]
    [['10', None], ['30']]
    """
    file = existing(path)
    with explained(file):
        schema, stream = opened(file)
        yield from rechunked(stream, schema, rows)


def rows(path: str | Path) -> int | None:
    """How many rows the file holds; None where only reading all of it would tell (CSV)."""
    file = existing(path)
    if not is_parquet(file):
        return None
    with explained(file), parquet.ParquetFile(file) as source:
        return int(source.metadata.num_rows)


def existing(path: str | Path) -> Path:
    """The path of a file with something in it, of a kind that can be read."""
    file = Path(path)
    if not file.name.lower().endswith(CSV + PARQUET):
        raise DataError(f"{file}: expected a file that ends in {', '.join(CSV + PARQUET)}; convert or rename it")
    if file.is_dir():
        raise DataError(f"{file}: expected a file, found a folder; name one file in it")
    if not file.exists():
        raise DataError(f"{file}: no such file; check the spelling and the folder")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty; expected a header line with the names of the columns")
    return file


def is_parquet(file: Path) -> bool:
    return file.name.lower().endswith(PARQUET)


def opened(file: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of a file and its rows as they come."""
    if is_parquet(file):
        source = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        check_names(file, source.schema_arrow.names)
        return source.schema_arrow, source.iter_batches()
    names, delimiter, filled = header(file)
    check_names(file, names)
    text = pa.schema([(name, pa.string()) for name in names])
    if not filled:
        return text, iter(())
    return text, arrow_csv.open_csv(
        pa.input_stream(file, compression="detect"),
        read_options=arrow_csv.ReadOptions(block_size=BLOCK),
        # a blank line is a row without a value where there is one column, and nothing elsewhere
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=text, strings_can_be_null=True, null_values=[""], check_utf8=True
        ),
    )


def rechunked(stream: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows` rows."""
    held: list[pa.RecordBatch] = []
    count, empty = 0, True
    for batch in stream:
        while count + len(batch) >= rows:
            taken = rows - count
            yield pa.Table.from_batches([*held, batch[:taken]], schema)
            batch, held, count, empty = batch[taken:], [], 0, False
        if len(batch):
            held.append(batch)
            count += len(batch)
    if held or empty:
        yield pa.Table.from_batches(held, schema)


def text_of(file: Path) -> IO[str]:
    """The decoded text of a CSV file, a byte order mark left out, line ends as they are."""
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def header(file: Path) -> tuple[list[str], str, bool]:
    """Names of the columns, the delimiter that separates most of them, and whether any line follows."""
    with text_of(file) as lines:
        first = next((line for line in lines if line.strip("\r\n")), "")
        if not first:
            raise DataError(f"{file}: the file is empty; expected a header line with the names of the columns")
        bare = re.sub(r'"[^"]*"', "", first)
        delimiter = max(DELIMITERS, key=bare.count)
        lines.seek(0)
        names = next(record for record in csv.reader(lines, delimiter=delimiter) if record)
        return names, delimiter, any(line.strip("\r\n") for line in lines)


def check_names(file: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{file}: column names must be distinct, but these occur more than once: {repeated}; rename them"
        )


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Whatever goes wrong while reading becomes a DataError that says where."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise undecodable(file) or damaged(file, error) from error
    except (pa.ArrowException, OSError, EOFError, csv.Error) as error:
        if is_parquet(file):
            raise damaged(file, error) from error
        raise undecodable(file) or ragged(file) or damaged(file, error) from error


def damaged(file: Path, error: Exception) -> DataError:
    kind = "Parquet" if is_parquet(file) else "CSV"
    return DataError(f"{file}: expected a {kind} file, but it cannot be read as one ({error}); write or copy it anew")


def undecodable(file: Path) -> DataError | None:
    """The error for the first line that is not UTF-8."""
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if (byte := misfit(line)) is not None:
                    return DataError(
                        f"{file}, line {number}: expected UTF-8 text, found the byte 0x{byte:02x}; convert the file, "
                        f"for example from Latin-1: iconv -f latin1 -t utf-8 {file.name} > converted.csv"
                    )
    except (OSError, EOFError):
        return None
    return None


def misfit(line: bytes) -> int | None:
    """The first byte that is not UTF-8."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return line[error.start]
    return None


def ragged(file: Path) -> DataError | None:
    """The error for the first row whose number of fields is not the header's."""
    try:
        names, delimiter, _ = header(file)
        with text_of(file) as lines:
            reader = csv.reader(lines, delimiter=delimiter)
            for record in islice(filter(None, reader), 1, None):
                if len(record) != len(names):
                    return DataError(
                        f"{file}, line {reader.line_num}: expected {len(names)} fields as in the header, found "
                        f"{len(record)}; quote fields that contain {delimiter!r}, or correct the line"
                    )
    except (OSError, EOFError, csv.Error):
        return None
    return None

"""Writing tables, batch by batch, and JSON, so that a file is either whole or not there."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from unseen.errors import DataError, unwritable
from unseen.io.atomic import File, Making
from unseen.io.paths import new_path
from unseen.io.text import STANDARD

FORMAT = 1  # of all JSON for programs: docs/reference/json.md says what it holds
FORMATS = {
    ".csv": arrow_csv.CSVWriter,
    ".parquet": parquet.ParquetWriter,
    ".pq": parquet.ParquetWriter,
}
_PLAIN = {  # of types that hold the same values, the one that is written
    pa.string_view(): pa.string(),
    pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_binary(): pa.binary(),
}


class Writer:
    """Writes a CSV or Parquet file under a hidden name and gives it its own name once all of it is
    on disk.

    With a `making`, together with what else is made there. To standard output, "-", CSV is written
    as it comes.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> with Writer(path) as out:
    ...     out.write(pa.table({"score": [0.5, 2.0]}))
    ...     path.exists()
    False
    >>> path.read_text().split()
    ['"score"', '0.5', '2']
    """

    def __init__(self, path: str | os.PathLike[str], making: Making | None = None) -> None:
        self.path = Path(path)
        self.kind = ".csv" if str(path) == STANDARD else self.path.suffix.lower()
        if self.kind not in FORMATS:
            raise DataError(f"{self.path}: expected a name that ends in {', '.join(FORMATS)}")
        if str(path) != STANDARD:
            new_path(self.path)
        self.alone, self.making = making is None, making or Making()
        self.file: File | _Standard | None = None
        self.sink: arrow_csv.CSVWriter | parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        try:
            self.file = _Standard() if str(self.path) == STANDARD else self.making.file(self.path)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def write(self, table: pa.Table) -> None:
        """Append rows; the first call decides names and types of the columns."""
        assert self.file is not None
        try:
            with unwritable(self.path):
                plain = _plain_table(table)
                self.sink = self.sink or FORMATS[self.kind](self.file.out, plain.schema)
                if isinstance(self.sink, parquet.ParquetWriter):
                    _check_types(plain.schema, self.sink.schema, self.path)
                self.sink.write(plain)
        except pa.ArrowException as error:
            raise DataError(f"{self.path}: {_misfit(table, self.kind) or error}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if self.sink is not None:
                with (
                    unwritable(self.path)
                    if error is None
                    else suppress(OSError, ValueError, pa.ArrowException)
                ):
                    self.sink.close()
            if isinstance(self.file, _Standard):
                self.file.out.flush()
        except BaseException as failure:
            kind, error = type(failure), failure
            raise
        finally:
            if self.alone:
                self.making.__exit__(kind, error, at)


class _Standard:
    """Standard output in the place of a file."""

    def __init__(self) -> None:
        self.out = sys.stdout.buffer


def _plain_table(table: pa.Table) -> pa.Table:
    """The table with plain values for views, large texts and dictionary codes, which may differ
    from batch to batch.
    """
    return table.cast(
        pa.schema([field.with_type(plain_type(field.type)) for field in table.schema])
    )


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type in which values are written."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    return _PLAIN.get(kind, kind)


def _check_types(found: pa.Schema, first: pa.Schema, path: Path) -> None:
    """DataError for rows whose columns have other types than those of the rows before them."""
    for name, kind in zip(first.names, first.types, strict=True):
        if name in found.names and found.field(name).type != kind:
            raise DataError(
                f"{path}: column {name!r} is {found.field(name).type}, and {kind} in the rows "
                "before: all rows make one table, so write the files alike, write CSV, or do not "
                "keep that column"
            )


def _misfit(table: pa.Table, kind: str) -> str:
    """Which columns a format cannot hold, and what to do; nothing where it can hold each of
    them.
    """
    unfit = [
        f"{name!r} ({table[name].type})"
        for name in table.column_names
        if not _fits(table.select([name]), kind)
    ]
    what, other = (
        ("CSV", "write Parquet")
        if kind == ".csv"
        else ("Parquet", "turn them into text or numbers")
    )
    return (
        f"{what} cannot hold the columns {', '.join(unfit)}; leave them out or {other}"
        if unfit
        else ""
    )


def _fits(table: pa.Table, kind: str) -> bool:
    try:
        whole = _plain_table(table)
        with FORMATS[kind](BytesIO(), whole.schema) as sink:
            sink.write(whole)
    except pa.ArrowException:
        return False
    return True


@contextmanager
def write_aside(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A new file for `read_aside`, for the time of one run; yields what appends a table to it, as
    it is, whatever its types.
    """
    how = pa.ipc.IpcWriteOptions(compression="zstd")
    with unwritable(path), pa.OSFile(str(path), "wb") as file:

        def append(table: pa.Table) -> None:
            with unwritable(path), pa.ipc.new_stream(file, table.schema, options=how) as out:
                out.write_table(table)

        yield append


def read_aside(path: Path) -> Iterator[pa.Table]:
    """The tables that `write_aside` wrote, in order."""
    with pa.OSFile(str(path), "rb") as file:
        while file.tell() < file.size():
            with pa.ipc.open_stream(file) as stored:
                table = stored.read_all()
            yield table


def save_json(file: Path, plain: Mapping[str, Any]) -> None:
    """Plain values, with the number of the format; a file that is whole or not there."""
    text = json.dumps({"format": FORMAT, **strict_json(plain)}, indent=1, allow_nan=False)
    with Making() as making:
        making.file(file).write(text.encode())


def strict_json(value: Any) -> Any:
    """Plain values as JSON has them: NaN and infinity become null.

    >>> strict_json({"chance": float("nan"), "ends": (0.5, float("inf"))})
    {'chance': None, 'ends': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {name: strict_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

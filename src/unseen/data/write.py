"""Writing tables, batch by batch, so that a file is either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from unseen.errors import DataError

FORMATS = {".csv": arrow_csv.CSVWriter, ".parquet": parquet.ParquetWriter, ".pq": parquet.ParquetWriter}


class Writer:
    """Writes a CSV or Parquet file under a hidden name and gives it its own name once all of it is on disk.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> with Writer(path) as out:
    ...     out.write(pa.table({"score": [0.5, 2.0]}))
    ...     path.exists()
    False
    >>> path.read_text().split()
    ['"score"', '0.5', '2']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise DataError(f"{self.path}: expected a name that ends in {', '.join(FORMATS)}")
        if os.path.lexists(self.path):
            raise DataError(f"{self.path}: exists already and is left as it is; choose another name or remove it")
        if not self.path.parent.is_dir():
            raise DataError(f"{self.path}: there is no folder {self.path.parent}; create it first")
        self.partial = self.path.with_name(f".{self.path.name}.partial-{secrets.token_hex(4)}")
        self.file: BinaryIO | None = None
        self.sink: arrow_csv.CSVWriter | parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        with self.explained():
            self.file = self.partial.open("xb")
        return self

    def write(self, table: pa.Table) -> None:
        """Append rows; the first call decides names and types of the columns."""
        with self.explained():
            plain = decoded(table)
            if self.sink is None:
                self.check_types(plain.schema)
                self.sink = FORMATS[self.path.suffix.lower()](self.file, plain.schema)
            self.sink.write(plain)

    def check_types(self, schema: pa.Schema) -> None:
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        if nested and self.path.suffix.lower() == ".csv":
            raise DataError(
                f"{self.path}: CSV cannot hold the nested columns {nested}; leave them out or write Parquet"
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self.discard()
            return
        try:
            with self.explained():
                self.commit()
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """All bytes to the disk, then the name."""
        assert self.file is not None
        if self.sink is not None:
            self.sink.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.rename(self.partial, self.path)

    def discard(self) -> None:
        """Leave nothing behind; what fails on the way is of no interest any more."""
        for end in (self.sink, self.file):
            if end is not None:
                with suppress(OSError, ValueError, pa.ArrowException):
                    end.close()
        self.partial.unlink(missing_ok=True)

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "the disk is full" if full else f"it cannot be written ({error})"
            advice = "free some space or choose another disk" if full else "check the folder and its permissions"
            raise DataError(
                f"{self.path}: {what}; the partial file was removed and nothing is left; {advice}"
            ) from error


def decoded(table: pa.Table) -> pa.Table:
    """The table with dictionary-coded columns as plain values, whose codes may differ from batch to batch."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))

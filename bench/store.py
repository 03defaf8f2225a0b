"""Results in one Parquet file that several processes may append to, and that is whole at any time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

Record = dict[str, Any]
Key = tuple[Any, ...]


class Store:
    """Records of one shape, one for each key; a record with the key of an earlier one takes its place.

    Nothing is at `path` before the first record. A killed process leaves the file as it was before its last record.
    """

    def __init__(self, path: Path, schema: pa.Schema, key: tuple[str, ...]) -> None:
        self.path = path
        self.schema = schema
        self.key = key

    def records(self) -> list[Record]:
        """All records, oldest first."""
        return parquet.read_table(self.path, schema=self.schema).to_pylist() if self.path.exists() else []

    def keys(self, *, failed: bool = True) -> set[Key]:
        """Keys of the runs that are done, `failed` ones included or not."""
        if not self.path.exists():
            return set()
        rows = parquet.read_table(self.path, columns=[*self.key, "error"]).to_pylist()
        return {self.key_of(row) for row in rows if failed or row["error"] is None}

    def key_of(self, record: Record) -> Key:
        return tuple(record[name] for name in self.key)

    def append(self, record: Record) -> None:
        """Write the file anew with this record at its end, and put it in the place of the old one at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.locked():
            kept = [old for old in self.records() if self.key_of(old) != self.key_of(record)]
            partial = self.path.with_name(f".{self.path.name}.partial")
            parquet.write_table(pa.Table.from_pylist([*kept, record], self.schema), partial, compression="zstd")
            os.replace(partial, self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time from reading to replacing; the lock goes when its holder ends, however it does."""
        with self.path.with_name(f".{self.path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

"""Results in one Parquet file that several processes may append to; it is whole at any time."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

Record = dict[str, Any]
Key = tuple[Any, ...]
Names = Iterable[str]
TEXT, WHOLE, REAL = pa.string(), pa.int32(), pa.float64()
SPENT = ("fit_seconds", "fit_cpu_seconds", "rows_per_second")
STAMPS = ("versions", "machine", "date")


def schema(*, text: Names = (), whole: Names = (), real: Names = (), **others: Any) -> pa.Schema:
    """Columns by their type; `others` by their names."""
    kinds = ((TEXT, text), (WHOLE, whole), (REAL, real))
    plain = [(name, kind) for kind, names in kinds for name in names]
    return pa.schema([*plain, *others.items()])


class Store:
    """Records of one shape, one for each key; a record replaces an earlier one with its key.

    There is no file before the first record. A killed process leaves the file as it was before its
    last record.
    """

    def __init__(self, path: Path, schema: pa.Schema, key: tuple[str, ...]) -> None:
        self.path = path
        self.schema = schema
        self.key = key

    def records(self) -> list[Record]:
        """All records, oldest first."""
        if not self.path.exists():
            return []
        return parquet.read_table(self.path, schema=self.schema).to_pylist()

    def keys(self, *, failed: bool = True) -> set[Key]:
        """Keys of the runs that are done, `failed` ones included or not."""
        if not self.path.exists():
            return set()
        rows = parquet.read_table(self.path, columns=[*self.key, "error"]).to_pylist()
        return {self.key_of(row) for row in rows if failed or row["error"] is None}

    def key_of(self, record: Record) -> Key:
        return tuple(record[name] for name in self.key)

    def append(self, record: Record) -> None:
        """Write the file anew with this record at its end, and replace the old file at once.

        One process at a time: the lock goes when its holder ends, however it does.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            new = self.key_of(record)
            kept = [old for old in self.records() if self.key_of(old) != new]
            table = pa.Table.from_pylist([*kept, record], self.schema)
            partial = self.path.with_name(f".{self.path.name}.partial")
            parquet.write_table(table, partial, compression="zstd")
            os.replace(partial, self.path)

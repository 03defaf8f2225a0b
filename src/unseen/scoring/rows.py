"""Where rows of a table are: in a file, or in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from unseen.data.frames import tabulate
from unseen.data.tables import admit
from unseen.io import read
from unseen.io.text import shown

_BLOCK = 16384  # rows in memory that are judged at once


@dataclass(frozen=True)
class FileRows:
    """Rows of a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    file : Path
        The file; "-" is standard input.
    header : bool
        Whether the first line of a CSV file names the columns.
    """

    file: Path
    header: bool = True

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return shown(self.file)

    @property
    def facts(self) -> dict[str, Any]:
        """The file's name, and whether its first line is a row."""
        return {"source": shown(Path(self.file.name))} | ({} if self.header else {"header": False})

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        return read.rows(self.file)

    def whole(self) -> pa.Table:
        """All rows."""
        return read.table(self.file, header=self.header)

    def blocks(self, expected: Collection[str]) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none."""
        return read.batches(self.file, header=self.header, expected=expected)


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows in memory.

    Parameters
    ----------
    frame : data frame, array (n, columns) or list of dict
        The rows; the columns of an array are x0, x1, ...
    """

    frame: Any = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "the data frame"

    @property
    def facts(self) -> dict[str, Any]:
        """That the rows were in memory."""
        return {"source": "a data frame"}

    def count(self) -> int:
        """How many rows there are."""
        return len(self._table)

    def whole(self) -> pa.Table:
        """All rows."""
        return self._table

    def blocks(self, expected: Collection[str]) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none."""
        for start in range(0, max(len(self._table), 1), _BLOCK):
            yield self._table.slice(start, _BLOCK)

    @cached_property
    def _table(self) -> pa.Table:
        """The rows as an Arrow table, made once."""
        given = admit(self.frame)
        if isinstance(given, pa.Table):
            return given
        return tabulate(given, [f"x{j}" for j in range(given.shape[1])])

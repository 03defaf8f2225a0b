"""Where rows of a table are: in a file, or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from unseen.data.frames import tabulate
from unseen.data.tables import admit
from unseen.io import read
from unseen.io.text import shown
from unseen.types import Encoder


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

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none."""
        return read.batches(self.file, header=self.header, expected=encoder.needed)


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

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none. The
        columns of an array have the places of those that the encoder learned from.
        """
        table, names = self._table, encoder.inputs
        if self._unnamed and len(names) == table.num_columns:
            table = table.rename_columns(list(names))
        for start in range(0, max(len(table), 1), read.ROWS):
            yield table.slice(start, read.ROWS)

    @cached_property
    def _given(self) -> Any:
        return admit(self.frame)

    @property
    def _unnamed(self) -> bool:
        return not isinstance(self._given, pa.Table)

    @cached_property
    def _table(self) -> pa.Table:
        """The rows as an Arrow table, made once."""
        if not self._unnamed:
            return self._given
        return tabulate(self._given, [f"x{j}" for j in range(self._given.shape[1])])

"""Where rows of a table are: in a file, in several, or in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa

from unseen.data.draw import joined
from unseen.data.frames import tabulate
from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.io import read
from unseen.io.datasets import called, stored
from unseen.io.text import shown
from unseen.names import first_few, require
from unseen.types import Encoder
from unseen.wording import option


@dataclass(frozen=True)
class FileRows:
    """Rows of a CSV, JSON Lines or Parquet file.

    Parameters
    ----------
    file : Path
        The file; "-" is standard input.
    header : bool
        Whether the first line of a CSV file names the columns.
    filesystem : pyarrow.fs.FileSystem, optional
        Where the file is, if not on this machine; it is then a Parquet file.
    told : tuple of (str, str or None)
        Columns that the file lacks, with the one value that they have in all its rows.
    """

    file: Path
    header: bool = True
    filesystem: Any = field(default=None, repr=False)
    told: tuple[tuple[str, str | None], ...] = ()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return shown(self.file)

    @property
    def facts(self) -> dict[str, Any]:
        """The file's name, and whether its first line is a row."""
        return {"source": shown(Path(self.file.name))} | ({} if self.header else {"header": False})

    @property
    def parts(self) -> tuple[FileRows, ...]:
        """The files that hold the rows: this one."""
        return (self,)

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        return read.rows(self.file, self.filesystem)

    def size(self) -> int:
        """Bytes of the file; 0 where that is not known."""
        return read.size(self.file, self.filesystem)

    def whole(self) -> pa.Table:
        """All rows."""
        return self._with_told(
            read.table(self.file, header=self.header, filesystem=self.filesystem)
        )

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none."""
        how: dict[str, Any] = {"expected": encoder.needed, "filesystem": self.filesystem}
        for block in read.batches(self.file, header=self.header, **how):
            yield self._with_told(block)

    def pieces(
        self, wanted: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """All rows, in order, for whoever keeps but some; of columns that are `left_out` nothing is
        read, and DataError where one is missing that is `wanted`.
        """
        told = {name for name, _ in self.told}
        needed = [name for name in wanted if name not in told]
        how: dict[str, Any] = {"header": self.header, "filesystem": self.filesystem}
        for piece in read.pieces(self.file, needed, left_out, **how):
            yield self._with_told(piece, left_out)

    def _with_told(self, rows: pa.Table, left_out: Collection[str] = ()) -> pa.Table:
        for name, value in self.told:
            if name not in rows.column_names and name not in left_out:
                rows = rows.append_column(
                    name, pa.repeat(pa.scalar(value, pa.string()), len(rows))
                )
        return rows


@dataclass(frozen=True)
class FilesRows:
    """Rows of several files with the same columns, one file after the other; rows are counted on.

    Parameters
    ----------
    parts : tuple of FileRows
        The files, in order.
    name : str
        What they are called in messages, together.

    >>> import tempfile
    >>> import pyarrow.parquet as parquet
    >>> folder = Path(tempfile.mkdtemp())
    >>> for k in range(3):
    ...     parquet.write_table(pa.table({"load": [k, k]}), folder / f"{k}.parquet")
    >>> rows = FilesRows.found([folder])
    >>> rows.count(), rows.whole()["load"].to_pylist()
    (6, [0, 0, 1, 1, 2, 2])
    """

    parts: tuple[FileRows, ...]
    name: str

    # rows that `whole` reads at most
    WHOLE: ClassVar[int] = 10_000_000

    @classmethod
    def found(cls, words: Sequence[str | Path], header: bool = True) -> Self:
        """The files that words mean: files, folders of Parquet files, patterns and addresses.

        Raises
        ------
        DataError
            Where a word means no file, or a file is named twice.
        """
        files = tuple(
            FileRows(each.path, header, each.filesystem, each.told) for each in stored(words)
        )
        return cls(files, called(words))

    @property
    def facts(self) -> dict[str, Any]:
        """The last part of their name, how many they are, and whether first lines are rows."""
        name = self.name.rstrip("/").rpartition("/")[2] or self.name
        files = f"{len(self.parts):,} file{'s' * (len(self.parts) > 1)}"
        return {"source": f"{name} ({files})"} | (
            {} if self.parts[0].header else {"header": False}
        )

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        each = [part.count() for part in self.parts]
        return None if None in each else sum(filter(None, each))

    def size(self) -> int:
        """Bytes of the files."""
        return sum(part.size() for part in self.parts)

    def whole(self) -> pa.Table:
        """All rows; DataError where there are more than are read at once."""
        if (self.count() or 0) > self.WHOLE:
            raise DataError(
                f"{self.name}: expected at most {self.WHOLE:,} rows, as they are held in memory "
                f"all at once here, found {self.count():,}: name some of its {len(self.parts):,} "
                "files"
            )
        return joined(self._alike((part, part.whole()) for part in self.parts))

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time."""
        for part in self.parts:
            for block in part.blocks(encoder):
                require(encoder.needed, block.column_names, where=part.name)
                yield block

    def pieces(
        self, wanted: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """All rows, in order, for whoever keeps but some, as `FileRows.pieces`; DataError where a
        file lacks a column of the first, or has one more.
        """
        return self._alike(
            (part, piece) for part in self.parts for piece in part.pieces(wanted, left_out)
        )

    def _alike(self, each: Iterable[tuple[FileRows, pa.Table]]) -> Iterator[pa.Table]:
        """The tables, which have the columns of the first; in JSON Lines keys may come and go."""
        names: list[str] | None = None
        for part, rows in each:
            if not part.file.name.lower().endswith(read.JSON):
                names = rows.column_names if names is None else names
                more = [name for name in rows.column_names if name not in set(names)]
                require(names, rows.column_names, where=part.name)
                if more:
                    raise DataError(
                        f"{part.name}: {self.parts[0].name} lacks {first_few(map(repr, more))}; "
                        "expected files with the same columns: leave these out with "
                        f"{option('drop', ...)}, or write the files anew"
                    )
            yield rows


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

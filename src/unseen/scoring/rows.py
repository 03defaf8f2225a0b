"""Where rows of a table are: in a file, in several, or in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as parquet

from unseen.data.draw import concatenated
from unseen.data.frames import tabulate
from unseen.data.tables import admit, without
from unseen.errors import DataError
from unseen.io import read
from unseen.io.places import Listed
from unseen.io.text import PARQUET, shown
from unseen.names import first_few, require
from unseen.types import Encoder
from unseen.wording import option

_AT_ONCE = 32  # ends of files that are read at a time: an object store answers many at once


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

    def size(self) -> int:
        """Bytes of the file; 0 where that is not known."""
        return read.size(self.file)

    def whole(self) -> pa.Table:
        """All rows."""
        return read.table(self.file, header=self.header)

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time; one table without rows where there are none."""
        return read.batches(self.file, header=self.header, expected=encoder.needed)

    def pieces(
        self, wanted: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """All rows, in order, for whoever keeps but some; of columns that are `left_out` nothing is
        read, and DataError where one is missing that is `wanted`.
        """
        return read.streamed(self.file, wanted, left_out, header=self.header)


@dataclass(frozen=True)
class FilesRows:
    """Rows of several files with the same columns, one file after the other; rows are counted on.

    Parameters
    ----------
    files : tuple of Listed
        The files, in order, on this machine or in an object store.
    called : str
        What they are called in messages, together.
    header : bool
        Whether the first line of a CSV file names the columns.

    >>> import tempfile
    >>> from unseen.io.places import files_of_rows
    >>> folder = Path(tempfile.mkdtemp())
    >>> for k in range(3):
    ...     parquet.write_table(pa.table({"load": [k, k]}), folder / f"{k}.parquet")
    >>> rows = FilesRows(tuple(files_of_rows([str(folder)])), "three files")
    >>> rows.count(), rows.whole()["load"].to_pylist()
    (6, [0, 0, 1, 1, 2, 2])
    """

    files: tuple[Listed, ...]
    called: str
    header: bool = True

    # rows that `whole` reads at most
    WHOLE: ClassVar[int] = 10_000_000

    @property
    def name(self) -> str:
        """What they are called in messages."""
        return self.called

    @property
    def facts(self) -> dict[str, Any]:
        """What they are called, how many they are, and whether first lines are rows."""
        files = f"{len(self.files):,} file{'s' * (len(self.files) > 1)}"
        source = {"source": f"{self.called.rstrip('/').rpartition('/')[2]} ({files})"}
        return source | ({} if self.header else {"header": False})

    def count(self) -> int | None:
        """How many rows there are; None where only reading all of them would tell."""
        each = self.counts()
        return None if None in each else sum(filter(None, each))

    def counts(self) -> list[int | None]:
        """How many rows each file has; None of one where only reading it would tell."""
        with ThreadPoolExecutor(_AT_ONCE) as several:
            return list(several.map(_rows_of, self.files))

    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in self.files)

    def whole(self) -> pa.Table:
        """All rows; DataError where there are more than are read at once."""
        if (self.count() or 0) > self.WHOLE:
            raise DataError(
                f"{self.name}: expected at most {self.WHOLE:,} rows, as they are all held in "
                f"memory at once here, found {self.count():,}: name some of its "
                f"{len(self.files):,} files"
            )
        return concatenated(self.pieces())

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, in order, a few at a time."""
        for file in self.files:
            with file_rows(file, self.header) as rows:
                yield from rows.blocks(encoder)

    def pieces(
        self, wanted: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """All rows, in order, as `FileRows.pieces`; DataError where files have other columns."""
        names: list[str] = []
        for file in self.files:
            with file_rows(file, self.header) as rows:
                for piece in rows.pieces(wanted, left_out):
                    names = self.alike(names, piece.column_names, file)
                    yield piece

    def alike(self, names: list[str], found: list[str], file: Listed) -> list[str]:
        """The names of the columns, which are those of files before, if there were some; DataError
        where they are others.
        """
        require(names, found, where=file.place.name)
        if names and (more := [name for name in found if name not in set(names)]):
            raise DataError(
                f"{file.place.name}: has {first_few(map(repr, more))}, which other files lack; "
                f"expected files with the same columns: leave it out ({option('drop', ...)}), or "
                "write them anew"
            )
        return names or found

    def known_counts(self) -> list[int]:
        """How many rows each file has; DataError where only reading one would tell."""
        each = self.counts()
        if None in each:
            text = self.files[each.index(None)].place.name
            raise DataError(
                f"{text}: only reading all of it tells how many rows it has, so files like it are "
                "read in turn: convert it to Parquet, or leave --engine out"
            )
        return [count for count in each if count is not None]


@contextmanager
def file_rows(file: Listed, header: bool = True) -> Iterator[FileRows]:
    """The rows of one of several files; one of an object store is copied here meanwhile, and is
    called by its address in messages.
    """
    with ExitStack() as stack:
        folder = "" if file.place.here else stack.enter_context(TemporaryDirectory())
        path = file.place.fetched(Path(folder))
        try:
            yield FileRows(path, header)
        except DataError as error:
            raise DataError(str(error).replace(str(path), file.place.name)) from error


def _rows_of(file: Listed) -> int | None:
    """How many rows a file has, by its end; None of text."""
    if not file.place.name.partition("?")[0].lower().endswith(PARQUET):
        return None
    with file.place.reached():
        found = parquet.read_metadata(file.place.path, filesystem=file.place.system)
    return int(found.num_rows)


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

    def size(self) -> int:
        """Bytes on disk: none."""
        return 0

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

    def pieces(
        self, wanted: Collection[str] = (), left_out: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """All rows at once, as `FileRows.pieces`."""
        require(wanted, self._table.column_names, where=self.name)
        yield without(self._table, left_out)

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


Place = FileRows | FilesRows | FrameRows

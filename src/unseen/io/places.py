"""Places: files and folders on this machine or in an object store, by paths, globs and URLs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Self

import pyarrow as pa
from pyarrow import fs

from unseen.errors import DataError, unwritable
from unseen.io.paths import synced
from unseen.io.text import CSV, PARQUET

MAGIC = frozenset("*?[")
MAKING = "_making"  # folder below a place, of what has no name yet
_COPIED = 1 << 22  # bytes at a time


@dataclass(frozen=True)
class Place:
    """A file or a folder.

    Parameters
    ----------
    name : str
        A path, or the URL of an object store such as "s3://bucket/rows"; what its file system needs
        to know, such as `?region=`, stands behind it.

    >>> import tempfile
    >>> folder = Place(tempfile.mkdtemp())
    >>> folder.write("done.json", b"{}")
    >>> folder.names(), (folder / "done.json").read(most=10)
    (['done.json'], b'{}')
    """

    name: str

    @classmethod
    def of(cls, text: str | Path) -> Self:
        """The place by what a user typed; a path is made absolute, as other processes may stand
        elsewhere.
        """
        return cls(str(text) if "://" in str(text) else Path(os.path.abspath(text)).as_posix())

    def __truediv__(self, name: str) -> Place:
        base, mark, how = self.name.partition("?") if self.remote else (self.name, "", "")
        return Place(f"{base.rstrip('/')}/{name}{mark}{how}")

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return "://" in self.name

    @property
    def here(self) -> bool:
        """Whether it is in the file system of the machine, where one can lock and sync."""
        return isinstance(self.system, fs.LocalFileSystem)

    @property
    def system(self) -> fs.FileSystem:
        """The file system that it is in."""
        return self._found()[0]

    @property
    def path(self) -> str:
        """The path that its file system knows it by."""
        return self._found()[1]

    def _found(self) -> tuple[fs.FileSystem, str]:
        if not self.remote:
            return fs.LocalFileSystem(), self.name
        base, mark, how = self.name.partition("?")
        root = base.split("/")[:4]  # s3://bucket/first
        with self.reached():
            system, top = _opened("/".join(root) + mark + how)
        return system, "/".join([top, *base.split("/")[4:]])

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What the file system refuses meanwhile, as a DataError that says where."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{self.name}: it cannot be reached ({error}); check the spelling, and who may "
                "read and write there"
            ) from error

    def info(self) -> fs.FileInfo:
        """Whether it is there, as what, how large and of when."""
        with self.reached():
            return self.system.get_file_info(self.path)

    def names(self) -> list[str]:
        """The names of what is in the folder, sorted; none where there is no folder. What is being
        made has none yet.
        """
        with self.reached():
            chosen = fs.FileSelector(self.path, allow_not_found=True)
            found = sorted(info.base_name for info in self.system.get_file_info(chosen))
        return [name for name in found if name != MAKING]

    def read(self, *, most: int) -> bytes:
        """All bytes of the file, at most `most`."""
        with self.reached(), self.system.open_input_stream(self.path) as stream:
            data: bytes = stream.read(most + 1)
        if len(data) > most:
            raise DataError(f"{self.name}: expected at most {most:,} bytes, found more")
        return data

    def write(self, name: str, data: bytes) -> None:
        """A file in the folder, whole or not there."""
        with self._made(name) as out:
            out.write(data)

    def publish(self, file: Path, name: str) -> None:
        """A copy of a file in the folder, whole or not there; one of that name is replaced."""
        with self._made(name) as out, file.open("rb") as source:
            while block := source.read(_COPIED):
                out.write(block)

    @contextmanager
    def _made(self, name: str) -> Iterator[pa.NativeFile]:
        """What is written gets its name once all of it is there.

        An object store shows an object when it is closed, also one of which the rest is missing: so
        there, too, it is moved."""
        making = self / MAKING / f"{name.replace('/', '-')}-{os.urandom(8).hex()}"
        target = self / name
        refused = unwritable(Path(target.path)) if self.here else nullcontext()
        with target.reached(), refused:
            for folder in (making, target):
                self.system.create_dir(folder.path.rpartition("/")[0], recursive=True)
            with self.system.open_output_stream(making.path) as out:
                yield out
            if self.here:
                synced(Path(making.path))
            self.system.move(making.path, target.path)
            if self.here:
                synced(Path(target.path).parent)

    def clear(self, name: str) -> None:
        """Remove a folder in this one, if it is there."""
        folder = self / name
        with folder.reached():
            if folder.info().type == fs.FileType.Directory:
                self.system.delete_dir(folder.path)

    def fetched(self, folder: Path) -> Path:
        """The file where this process can read it: itself, or a copy in a folder of this
        machine.
        """
        if self.here:
            return Path(self.path)
        copy = Path(mkdtemp(dir=folder)) / PurePosixPath(self.path).name
        with (
            self.reached(),
            self.system.open_input_stream(self.path) as stream,
            copy.open("wb") as out,
        ):
            while block := stream.read(_COPIED):
                out.write(block)
        return copy


@dataclass(frozen=True)
class Listed:
    """A file as a listing has it: its place, bytes, and when it was written, in nanoseconds."""

    place: Place
    size: int
    written: int


def files_of_rows(texts: Sequence[str], *, beside: Place | None = None) -> list[Listed]:
    """Files of rows by their names, globs and folders: in the order in which they are named, those
    of one glob or folder by their paths.

    A folder stands for all CSV and Parquet files in it and in folders below; what begins with "_"
    or "." is left out, as other readers of such folders do.

    Parameters
    ----------
    texts : sequence of str
        Paths and URLs; `*`, `?` and `[` match names of files and folders, of URLs without `?`.
    beside : Place, optional
        Where results are to go, which must lie in none of the folders.

    Raises
    ------
    DataError
        For what is not there, is no file of rows, or is named twice.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.csv", "a.csv", "_SUCCESS"):
    ...     _ = (folder / name).write_text("x\\n1\\n")
    >>> [Path(file.place.name).name for file in files_of_rows([str(folder)])]
    ['a.csv', 'b.csv']
    """
    found: dict[str, Listed] = {}
    for text in texts:
        if str(Path(text)) == "-":
            raise DataError("standard input comes but once, to one machine: name files or folders")
        for place, info in _matching(Place.of(text)):
            if info.type == fs.FileType.Directory and beside is not None:
                _check_apart(place, beside)
            for file in _spread_out(place, info):
                if file.place.name in found:
                    raise DataError(f"{file.place.name}: is named twice; name it once")
                found[file.place.name] = file
    return list(found.values())


def _matching(place: Place) -> Iterator[tuple[Place, fs.FileInfo]]:
    """What a name or a glob stands for."""
    info = place.info()
    if info.type != fs.FileType.NotFound:
        yield place, info
        return
    base, mark, how = place.name.partition("?") if place.remote else (place.name, "", "")
    parts = base.split("/")
    first = next((k for k, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    if first == len(parts):
        raise DataError(f"{place.name}: no such file or folder; check the spelling")
    level = [Place("/".join(parts[:first]) + ("/" if first == 1 else "") + mark + how)]
    for pattern in parts[first:]:
        level = [
            folder / name
            for folder in level
            if folder.info().type == fs.FileType.Directory
            for name in folder.names()
            if fnmatchcase(name, pattern) and (name[:1] not in "._" or pattern[:1] == name[:1])
        ]
    if not level:
        raise DataError(f"{place.name}: no file has such a name; check the spelling")
    yield from ((each, each.info()) for each in level)


def _spread_out(place: Place, info: fs.FileInfo) -> Iterator[Listed]:
    """A file, or all files of rows in a folder."""
    if info.type == fs.FileType.File:
        _check_rows(place.name)
        yield Listed(place, info.size, info.mtime_ns or 0)
        return
    with place.reached():
        chosen = fs.FileSelector(place.path, recursive=True)
        inside = sorted(place.system.get_file_info(chosen), key=lambda each: each.path)
    files = [
        (place / _below(place, each), each) for each in inside if each.type == fs.FileType.File
    ]
    files = [each for each in files if not _is_hidden(_below(place, each[1]))]
    if not files:
        raise DataError(f"{place.name}: the folder holds no files of rows")
    for file, each in files:
        _check_rows(file.name, place.name)
        yield Listed(file, each.size, each.mtime_ns or 0)


def _below(place: Place, info: fs.FileInfo) -> str:
    return info.path[len(place.path.rstrip("/")) + 1 :]


def _is_hidden(path: str) -> bool:
    return any(part[:1] in "._" for part in path.split("/"))


def _check_rows(name: str, folder: str = "") -> None:
    """DataError unless a file is of a kind whose rows can be spread."""
    if name.partition("?")[0].lower().endswith(CSV + PARQUET):
        return
    advice = f"; name those to read, as in '{folder}/*.parquet'" if folder else ""
    raise DataError(f"{name}: expected a file that ends in {', '.join(CSV + PARQUET)}{advice}")


def _check_apart(folder: Place, beside: Place) -> None:
    if f"{beside.name}/".startswith(f"{folder.name.rstrip('/')}/"):
        raise DataError(
            f"{beside.name}: lies in {folder.name}, whose files are to be read: write to a folder "
            "beside it"
        )


@lru_cache(maxsize=64)
def _opened(url: str) -> tuple[fs.FileSystem, str]:
    """A file system, which keeps its connections, and what it calls a URL."""
    system, path = fs.FileSystem.from_uri(url)
    return system, path

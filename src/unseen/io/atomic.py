"""Writing: files and folders that are whole under their names or not there, also where several
belong together.

What is being made has a hidden name, and a lock for as long as its process lives. What a killed
process left has none: the next that writes into the same folder removes it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from unseen.errors import unwritable
from unseen.io.paths import LOCKS, closed, hidden, is_at, locked, new_path, sweep, synced

# of file systems without hard links
UNLINKABLE = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Making:
    """Files and folders in the making: at the end all of them get their names, or none is left.

    What exists is never overwritten, not even what appeared meanwhile.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> with Making() as made:
    ...     made.folder(place / "pictures").write("a/1.txt", b"one")
    ...     made.file(place / "table.csv").write(b"two")
    ...     (place / "table.csv").exists()
    False
    >>> sorted(os.listdir(place)), (place / "pictures" / "a" / "1.txt").read_text()
    (['pictures', 'table.csv'], 'one')
    """

    def __init__(self) -> None:
        self.pieces: list[File | Folder] = []

    def file(self, target: str | Path) -> File:
        """A new file to write to."""
        piece = File(new_path(target))
        self.begin(piece)
        return piece

    def folder(self, target: str | Path) -> Folder:
        """A new folder to fill."""
        piece = Folder(new_path(target))
        self.begin(piece)
        return piece

    def begin(self, piece: File | Folder) -> None:
        sweep(piece.target.parent)
        self.pieces.append(piece)
        with unwritable(piece.target):
            piece.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            for piece in self.pieces:
                piece.discard()

    def finish(self) -> None:
        """All bytes to the disk, then all names."""
        try:
            for piece in self.pieces:
                with unwritable(piece.target):
                    piece.settle()
            for piece in self.pieces:
                with unwritable(piece.target):
                    piece.place()
        except BaseException:
            for piece in self.pieces:
                piece.withdraw()
            raise


class File:
    """A file in the making; `out` is what to write to."""

    out: BinaryIO

    def __init__(self, target: Path) -> None:
        self.target, self.hidden, self.lock = target, target, -1

    def begin(self) -> None:
        while self.lock < 0:
            self.hidden = hidden(self.target)
            self.lock = locked(
                os.open(self.hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), self.hidden
            )
        self.out = os.fdopen(self.lock, "wb", closefd=False)

    def write(self, data: bytes) -> None:
        with unwritable(self.target):
            self.out.write(data)

    def settle(self) -> None:
        self.out.flush()
        os.fsync(self.out.fileno())

    def place(self) -> None:
        """Give it its name, which nothing may have."""
        try:
            os.link(self.hidden, self.target)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            with _reserved(self.target, _create, os.unlink):
                os.replace(self.hidden, self.target)
        synced(self.target.parent)

    def withdraw(self) -> None:
        """Take the name away again, if this has it."""
        if is_at(self.lock, self.target):
            self.target.unlink()

    def discard(self) -> None:
        """Leave nothing hidden; what fails on the way is of no interest any more."""
        if self.lock >= 0:
            with suppress(OSError, ValueError):
                self.out.close()
        if self.hidden != self.target:
            with suppress(OSError):
                self.hidden.unlink()
        self.lock = closed(self.lock)


class Folder:
    """A folder in the making; `hidden` is its present path."""

    def __init__(self, target: Path) -> None:
        self.target, self.hidden, self.lock = target, target, -1

    def begin(self) -> None:
        while self.lock < 0:
            self.hidden = hidden(self.target)
            self.hidden.mkdir()
            with suppress(FileNotFoundError):  # another process took it for left over already
                self.lock = locked(
                    os.open(self.hidden if LOCKS else os.devnull, os.O_RDONLY), self.hidden
                )

    def write(self, name: str, data: bytes) -> None:
        """A file in it, in sub-folders as its name says."""
        file = self.hidden / name
        with unwritable(self.target / name):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as out:
                out.write(data)

    def settle(self) -> None:
        for place, _, names in os.walk(self.hidden, topdown=False):
            for name in (*names, "."):
                synced(Path(place) / name)

    def place(self) -> None:
        """Give it its name, which nothing may have: a folder can take the place of an empty one,
        here of our own.
        """
        posix = LOCKS  # Windows renames to no name that is taken
        with _reserved(self.target, os.mkdir, os.rmdir) if posix else nullcontext():
            os.rename(self.hidden, self.target)
        synced(self.target.parent)

    def withdraw(self) -> None:
        """Take the name away again, if this has it."""
        if is_at(self.lock, self.target):
            shutil.rmtree(self.target, ignore_errors=True)

    def discard(self) -> None:
        """Leave nothing hidden."""
        if self.hidden != self.target:
            shutil.rmtree(self.hidden, ignore_errors=True)
        self.lock = closed(self.lock)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A hidden folder beside a path, for what is needed meanwhile; nothing of it is left.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> with scratch_folder(place / "scores.csv") as folder:
    ...     (folder / "half.parquet").touch()
    >>> os.listdir(place)
    []
    """
    sweep(beside.parent)
    folder = Folder(beside)
    try:
        with unwritable(beside):
            folder.begin()
        yield folder.hidden
    finally:
        folder.discard()


def replace(target: Path, data: bytes) -> None:
    """Write a file in place of what has its name: who reads it meanwhile finds the old one or the
    new one.

    For what can be made again: after a power failure it may be damaged.
    """
    piece = File(target)
    try:
        piece.begin()
        piece.out.write(data)
        piece.out.flush()
        os.replace(piece.hidden, target)
    finally:
        piece.discard()


@contextmanager
def _reserved(
    target: Path, make: Callable[[Path], None], remove: Callable[[Path], None]
) -> Iterator[None]:
    """Take a name with something empty, which fails where the name is taken, for what is then moved
    onto it.
    """
    make(target)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove(target)
        raise


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))

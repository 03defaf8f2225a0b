"""Paths: what can be made there, what may be read there, and names that are hidden and locked while
a process lives.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from unseen.errors import DataError, unwritable

try:
    import fcntl
except ImportError:  # Windows: nothing that is hidden can be told dead
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
HIDDEN = re.compile(r"\..*\.unseen-[0-9a-f]{16}", re.DOTALL)
# for a pipe that nobody writes to
WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
SHOWN = 50  # characters of a name that its hidden name repeats
# of file systems that do not sync folders
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)

log = logging.getLogger("unseen")


def new_path(path: str | Path) -> Path:
    """The path, if something can be made there: worth asking before a long training."""
    given = Path(path)
    with unwritable(given):
        if _exists(given):
            raise DataError(
                f"{given}: exists already and is left as it is; choose another name or remove it"
            )
        if not given.parent.is_dir():
            raise DataError(f"{given}: there is no folder {given.parent}; create it first")
        if not os.access(given.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied")
    return given


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file to read and its size; OSError for a device, a pipe or a folder, which might never end.

    >>> with opened(Path("/dev/zero")):
    ...     pass
    Traceback (most recent call last):
    OSError: [Errno 22] no regular file
    """
    _check_regular(os.stat(path))  # some devices do something when they are opened
    with os.fdopen(os.open(path, os.O_RDONLY | WITHOUT_WAITING), "rb") as file:
        found = os.fstat(file.fileno())
        _check_regular(found)
        yield file, found.st_size


def regular(path: Path, *, most: int) -> bytes:
    """All bytes of a file, at most `most`."""
    with opened(path) as (file, size):
        if size > most:
            raise OSError(errno.EFBIG, f"expected at most {most:,} bytes, found {size:,}")
        return file.read(size)


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no regular file")


def sweep(folder: Path) -> None:
    """Remove what killed processes left hidden in a folder, and say so."""
    with suppress(OSError):
        for path in [
            Path(entry.path) for entry in os.scandir(folder) if HIDDEN.fullmatch(entry.name)
        ]:
            if _removed(path):
                log.info("%s: was left by a process that was killed, and is removed", path)


def _removed(path: Path) -> bool:
    """Whether something hidden is removed, as nobody has its lock."""
    if fcntl is None or path.is_symlink():
        return False
    try:
        lock = os.open(path, os.O_RDONLY | WITHOUT_WAITING)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _exists(path: Path) -> bool:
    """Whether anything has this name; OSError where nothing could have it, such as a name that is
    too long.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a zero byte, or what no file system can spell
        raise OSError(errno.EINVAL, f"no name of a file: {error}") from error
    return True


def hidden(target: Path) -> Path:
    return target.with_name(f".{target.name[:SHOWN]}.unseen-{os.urandom(8).hex()}")


def locked(opened: int, path: Path) -> int:
    """The open descriptor of what is new there, locked; -1 if another process took it for left over
    and removed it.
    """
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(opened, fcntl.LOCK_SH)
    if fcntl is None or is_at(opened, path):
        return opened
    os.close(opened)
    return -1


def closed(lock: int) -> int:
    """Let go of a lock, if there is one: -1."""
    if lock >= 0:
        os.close(lock)
    return -1


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Meanwhile no other process may be alone in this folder; DataError where one is. The lock ends
    with the process, however that ends.
    """
    lock = os.open(folder if LOCKS else os.devnull, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DataError(
            f"{folder}: another run is writing there; wait for its end, or choose another folder"
        ) from error
    finally:
        os.close(lock)


def is_at(opened: int, path: Path) -> bool:
    """Whether what is open is what has this name."""
    try:
        return os.path.samestat(os.fstat(opened), os.lstat(path))
    except OSError:
        return False


def synced(path: Path) -> None:
    """All of a file, or the names in a folder, to the disk."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written to but not read
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(opened)

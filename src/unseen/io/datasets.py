"""The files of a data set: of a folder of Parquet files, a pattern, or the address of an object store.

Partitions of other programs are read as they wrote them: names that begin with . or _ are no data,
and a folder that is called day=monday says what column `day` is of all rows in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as arrow

from unseen.errors import DataError
from unseen.io.read import PARQUET
from unseen.io.text import STANDARD

ANY = re.compile(r"[*?[]")
# "s3://", and what `Path` makes of it; a letter alone is a drive
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,3}(?=[^/])")
GAP = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and Arrow call a missing value


@dataclass(frozen=True)
class Stored:
    """A file of a data set.

    Parameters
    ----------
    path : Path
        Where it is.
    filesystem : pyarrow.fs.FileSystem, optional
        In which file system; None for that of this machine.
    told : tuple of (str, str or None)
        Columns that the names of its folders tell, with their value.
    """

    path: Path
    filesystem: Any = field(default=None, repr=False)
    told: tuple[tuple[str, str | None], ...] = ()


def is_several(word: str | Path) -> bool:
    """Whether it names a folder, a pattern or an address, and not one file of this machine."""
    text = str(word)
    if text == STANDARD or os.path.lexists(text):
        return os.path.isdir(text)
    return bool(ANY.search(text) or ADDRESS.match(text))


def stored(words: Sequence[str | Path]) -> list[Stored]:
    """The files that are meant, word by word, those of one word in the order of their paths.

    Parameters
    ----------
    words : sequence of str or Path
        Files, folders of Parquet files, patterns such as "days/*.parquet", and addresses such as
        "s3://bucket/days".

    Returns
    -------
    list of Stored
        At least one, none of them twice.

    Raises
    ------
    DataError
        Where a word names no file, or a file is named twice.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.parquet", "a.parquet", "_SUCCESS"):
    ...     _ = (folder / name).write_bytes(b"PAR1")
    >>> [each.path.name for each in stored([folder])]
    ['a.parquet', 'b.parquet']
    """
    found = [each for word in words for each in _of_word(str(word))]
    seen = set[str]()
    for each in found:
        if str(each.path) in seen:
            raise DataError(
                f"{each.path}: is named twice, and its rows would count twice; name it once"
            )
        seen.add(str(each.path))
    return found


def called(words: Sequence[str | Path]) -> str:
    """What messages call a data set; no password that an address may hold."""
    names = [re.sub(r"(//)[^/@]*@|\?.*", r"\1", _address(str(word))) for word in words]
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return names[0] + more


def holds_parquet(folder: Path, images: Sequence[str]) -> bool:
    """Whether there are Parquet files in a folder, or below, and none that ends as `images` do."""
    found = False
    for _, _, names in os.walk(folder):
        lower = [name.lower() for name in names if name[:1] not in "._"]
        if any(name.endswith(tuple(images)) for name in lower):
            return False
        found |= any(name.endswith(PARQUET) for name in lower)
    return found


def _address(word: str) -> str:
    """The address with the slashes that `Path` takes away; anything else as it is."""
    match = None if os.path.lexists(word) else ADDRESS.match(word)
    if match is None:
        return word
    scheme = match[1].lower()
    return f"{scheme}://{'/' if scheme == 'file' else ''}{word[match.end() :]}"


def _of_word(word: str) -> list[Stored]:
    """The files of one word."""
    if (address := _address(word)) != word or ADDRESS.match(address):
        return _of_address(address)
    if os.path.isdir(word):
        paths = list(_data(Path(word).rglob("*"), Path(word)))
        if not paths:
            raise _none(word, "in or below this folder")
        return [Stored(path, None, _told(path.relative_to(word))) for path in sorted(paths)]
    if not os.path.lexists(word) and ANY.search(word):
        paths = sorted(Path(each) for each in glob(word, recursive=True) if os.path.isfile(each))
        if not paths:
            raise DataError(f"{word}: no file has such a name; check the pattern and the folder")
        return [Stored(path) for path in paths]
    return [Stored(Path(word))]


def _of_address(address: str) -> list[Stored]:
    """The Parquet files at an address."""
    name = called([address])
    try:
        start = ANY.search(address)
        # a pattern begins behind the last folder that has none
        root = address if start is None else address[: address.rindex("/", 0, start.start())]
        filesystem, base = arrow.FileSystem.from_uri(root)
        known = filesystem.get_file_info(base)
        if known.type == arrow.FileType.File and start is None:
            return [Stored(Path(base), filesystem)]
        every = filesystem.get_file_info(
            arrow.FileSelector(base, recursive=True, allow_not_found=True)
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{name}: expected the address of a file or folder that can be read, but {error}; check "
            "its spelling and your rights there"
        ) from error
    paths = [Path(each.path) for each in every if each.type == arrow.FileType.File]
    if start is not None:
        pattern = base.rstrip("/") + address[len(root) :]
        paths = [path for path in paths if _matches(path.as_posix(), pattern)]
    data = sorted(_data(paths, Path(base)))
    if not data:
        raise _none(name, "at this address")
    return [Stored(path, filesystem, _told(path.relative_to(base))) for path in data]


def _matches(path: str, pattern: str) -> bool:
    """Whether a path is meant by a pattern, in which * stands for no slash, and ** for any folders.

    >>> _matches("a/b/c.pq", "a/*/c.pq"), _matches("a/b/c.pq", "a/*.pq")
    (True, False)
    """
    if "**" in pattern:
        return fnmatchcase(path, pattern.replace("**/", "*"))
    parts = PurePosixPath(path).parts, PurePosixPath(pattern).parts
    return len(parts[0]) == len(parts[1]) and all(map(fnmatchcase, *parts))


def _data(paths: Iterator[Path] | Sequence[Path], root: Path) -> Iterator[Path]:
    """Those that are Parquet files, by their names, and not hidden."""
    for path in paths:
        inner = path.relative_to(root).parts
        if path.name.lower().endswith(PARQUET) and not any(each[0] in "._" for each in inner):
            yield path


def _told(inner: Path) -> tuple[tuple[str, str | None], ...]:
    """Columns that folders tell, as Hive writes them.

    >>> _told(Path("day=mon%2Ftue/site=__HIVE_DEFAULT_PARTITION__/part-0.parquet"))
    (('day', 'mon/tue'), ('site', None))
    """
    pairs = [part.partition("=") for part in inner.parts[:-1] if "=" in part]
    return tuple((name, None if value == GAP else unquote(value)) for name, _, value in pairs)


def _none(name: str, where: str) -> DataError:
    return DataError(
        f"{name}: no file that ends in {' or '.join(PARQUET)} is {where}; name files of another "
        "kind by a pattern, such as 'days/*.csv'"
    )

"""The text of a file or of standard input as it comes: UTF-8 in the end, and no line longer than a
block.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from unseen.errors import DataError

BLOCK = 1 << 22  # bytes parsed at a time; no line may be longer
CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
JSON = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
PARQUET = (".parquet", ".pq")  # which is none
STANDARD = "-"  # standard input, or standard output
FOREIGN = {
    b"PK\x03\x04": "a zip archive, as Excel workbooks are; export the sheet as CSV",
    b"PAR1": "a Parquet file; name it .parquet",
}
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as the next one does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}


def shown(file: Path) -> str:
    """What a message calls the file."""
    return "standard input" if str(file) == STANDARD else str(file)


def lines_in(block: bytes) -> int:
    """How many lines end in it."""
    return max(block.count(b"\n"), block.count(b"\r"))


class Text(io.RawIOBase):
    """A file's text as UTF-8, without the byte order mark that may come first; DataError where it
    is no such text.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.feeds = self.returns = 0  # line ends of blocks that are done
        self.raw = sys.stdin.buffer if str(file) == STANDARD else file.open("rb")
        self.blocks = self._checked()
        self.buffered, self.at = b"", 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if str(self.file) != STANDARD and not self.closed:
            self.raw.close()
        super().close()

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, but at the end of the text."""
        view = memoryview(buffer)
        done = 0
        while done < len(view):
            if self.at == len(self.buffered):
                self.buffered, self.at = next(self.blocks, b""), 0
                if not self.buffered:
                    break
            part = self.buffered[self.at : self.at + len(view) - done]
            view[done : done + len(part)] = part
            done, self.at = done + len(part), self.at + len(part)
        return done

    def peek(self) -> bytes:
        """The first block of what has not been read, which stays to be read; shorter only at the
        end of the text.
        """
        parts = [self.buffered[self.at :]]
        while sum(map(len, parts)) < BLOCK and (block := next(self.blocks, b"")):
            parts.append(block)
        self.buffered, self.at = b"".join(parts), 0
        return self.buffered

    def filled(self) -> bool:
        """Whether there is more than some blank lines."""
        block = self.peek()
        return len(block) >= BLOCK or bool(block.strip(b"\r\n"))

    def lines(self) -> IO[str]:
        """Decoded lines, their ends as they are."""
        return io.TextIOWrapper(io.BufferedReader(self, BLOCK), encoding="utf-8", newline="")

    def _checked(self) -> Iterator[bytes]:
        """Blocks of UTF-8."""
        source, first = self._unpacked()
        for magic, what in FOREIGN.items():
            if first.startswith(magic):
                raise DataError(f"{shown(self.file)}: expected text, found {what}")
        mark, codec = next(
            ((mark, codec) for mark, codec in MARKS.items() if first.startswith(mark)),
            (b"", "utf-8"),
        )
        if codec == "utf-32":
            raise DataError(
                f"{shown(self.file)}: expected UTF-8 or UTF-16 text, found UTF-32 by its byte "
                f"order mark; convert it: iconv -f utf-32 -t utf-8 {self.file.name} > "
                "converted.csv"
            )
        decoder, length, block = codecs.getincrementaldecoder(codec)(), 0, first[len(mark) :]
        while True:
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise self._undecodable(error, codec) from error
            plain = block if codec == "utf-8" else text.encode()
            length = self._bounded(plain, length)
            self.feeds += plain.count(b"\n")
            self.returns += plain.count(b"\r")
            if plain:
                yield plain
            if not block:
                return
            block = source.read(BLOCK)

    def _unpacked(self) -> tuple[IO[bytes] | gzip.GzipFile, bytes]:
        """The file without its compression, and its first block."""
        first = self.raw.read(BLOCK)
        packed = first.startswith(b"\x1f\x8b")
        if self.file.name.lower().endswith(".gz") and not packed:
            raise gzip.BadGzipFile("not a gzipped file")
        if not packed:
            return self.raw, first
        source = gzip.GzipFile(fileobj=io.BufferedReader(_Rejoined(first, self.raw)))
        return source, source.read(BLOCK)

    def _bounded(self, block: bytes, length: int) -> int:
        """The length of the line at the end of the block, where the line at its start has this
        length already.
        """
        starts = [place for place in (block.find(b"\n"), block.find(b"\r")) if place >= 0]
        after = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if length + min(starts, default=len(block)) > BLOCK:
            raise too_long(self.file, 1 + max(self.feeds, self.returns))
        return len(block) - after if starts else length + len(block)

    def _undecodable(self, error: UnicodeDecodeError, codec: str) -> DataError:
        before = error.object[: error.start]
        text = before if codec == "utf-8" else before.decode(codec, errors="ignore").encode()
        line = 1 + max(self.feeds + text.count(b"\n"), self.returns + text.count(b"\r"))
        where = f"{shown(self.file)}, line {line}"
        if codec != "utf-8":
            return DataError(
                f"{where}: expected {codec.upper()} text, as the byte order mark says, found "
                f"other bytes ({error.reason}); write or copy the file anew"
            )
        if b"\0" in error.object[: 1 << 10]:
            return zeros(where, self.file)
        return DataError(
            f"{where}: expected UTF-8 text, found the byte 0x{error.object[error.start]:02x}; "
            "convert the file, for example from Latin-1: iconv -f latin1 -t utf-8 "
            f"{self.file.name} > converted.csv"
        )


class _Rejoined(io.RawIOBase):
    """What was read already, and then the rest."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self.first, self.rest = io.BytesIO(first), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        part = self.first.read(len(view)) or self.rest.read(len(view))
        view[: len(part)] = part
        return len(part)


def zeros(where: str, file: Path) -> DataError:
    return DataError(
        f"{where}: expected text, found zero bytes, as in UTF-16 without a byte order mark; "
        f"convert the file, for example: iconv -f utf-16le -t utf-8 {file.name} > converted.csv"
    )


def too_long(file: Path, line: int) -> DataError:
    return DataError(
        f"{shown(file)}, line {line:,}: expected a row of at most {BLOCK / 2**20:g} MiB, found a "
        "longer one; is it a table, and is every quote closed?"
    )

"""The rows or images of a request: bounded before anything is built of them, in a folder of its
own.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from fastapi import HTTPException, Request
from pydantic_core import from_json

from unseen.errors import DataError
from unseen.io import read
from unseen.scoring.rows import FileRows, FrameRows
from unseen.service.guard import admit_body
from unseen.service.state import Limits
from unseen.types import Encoder
from unseen.vision.pixels import size_of

JSON = "application/json"
ENDINGS = {
    "text/csv": ".csv",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}
BODY = "the body"  # what it is called in messages
FORM = "multipart/form-data"
UNPACKED = 16  # bytes in memory for each byte that a body may have, in all
_GZIP = b"\x1f\x8b"
_ROWS = '{"rows": [{"column": value, ...}, ...]}'


class TooMuch(DataError):
    """More than a client may send at once."""


def media_of(request: Request) -> str:
    """The type of a body."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


@dataclass(frozen=True)
class Given:
    """What a client sent.

    Parameters
    ----------
    json : bytes, optional
        Rows as one JSON text.
    file : Path, optional
        Rows as a file.
    folder : Path, optional
        The folder of the request, in which there are images.
    names : tuple of str
        Of the images, as the client calls them; their files have their numbers.
    """

    json: bytes | None = None
    file: Path | None = None
    folder: Path | None = None
    names: tuple[str, ...] = ()

    def digest(self) -> str:
        """Equal for equal rows or images."""
        found = sha256(self.json or b"")
        for name, file in zip(self.names or ("",), self._files(), strict=False):
            found.update(f"{len(name)} {name} {file.stat().st_size} ".encode(errors="replace"))
            with file.open("rb") as source:
                while piece := source.read(1 << 20):
                    found.update(piece)
        return found.hexdigest()

    def _files(self) -> list[Path]:
        if self.file is not None:
            return [self.file]
        return [] if self.folder is None else sorted(self.folder.iterdir())


async def received(request: Request, media: str, stack: ExitStack, limits: Limits) -> Given:
    """The body of a request; its folder goes when the stack is closed. 413 for too much."""
    if media == JSON:
        body = await body_of(request, limits.json)
        return Given(json=body)
    admit_body(request.scope, limits.body)
    try:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="unseen-")))
        if media == FORM:
            names = await _images_received(request, folder, limits)
            return Given(folder=folder, names=names)
        file = folder / f"rows{ENDINGS[media]}"
        with file.open("wb") as target:
            async for piece in request.stream():
                target.write(piece)
        return Given(file=file, folder=folder)
    except OSError as error:
        raise no_room(error) from error


async def body_of(request: Request, most: int) -> bytes:
    """The whole body; 413 for more bytes."""
    admit_body(request.scope, most)
    return b"".join([piece async for piece in request.stream()])


async def _images_received(request: Request, folder: Path, limits: Limits) -> tuple[str, ...]:
    """The images of a form, in files that have their numbers, from 0, as names; how the client
    calls them.
    """
    names = list[str]()
    async with request.form(max_files=limits.images, max_fields=0) as form:
        for _, part in form.multi_items():
            if isinstance(part, str):
                raise DataError("expected files alone in the form, found a field of text")
            # what it is, its content says; an ending that is alike makes no file another's mask
            with (folder / f"{len(names):06}.jpg").open("wb") as target:
                while piece := await part.read(1 << 16):
                    target.write(piece)
            names.append(str(part.filename))
    if not names:
        raise DataError("expected images as files of a form, found none")
    return tuple(names)


def no_room(error: OSError) -> HTTPException:
    """503: what came cannot be written down."""
    why = error.strerror or "error"
    return HTTPException(503, f"the body cannot be kept ({why}); ask again", {"Retry-After": "5"})


def rows_of_json(body: bytes, limits: Limits, columns: Collection[str] = ()) -> FrameRows:
    """Rows of JSON: {"rows": [{"column": value, ...}, ...]}. No rows have the columns that are
    named, as an empty file has.
    """
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise DataError(f"the body is no JSON ({error}): send {_ROWS}") from error
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"expected {_ROWS}, found other JSON")
    if len(rows) > limits.rows:
        raise _too_many("rows", limits.rows, len(rows))
    if len(names := set().union(*rows)) > limits.columns:
        raise _too_many("columns", limits.columns, len(names))
    return FrameRows(rows or pa.table({name: pa.array([], pa.string()) for name in columns}))


@dataclass(frozen=True)
class BodyRows(FileRows):
    """Rows of a body that was written to a file.

    Parameters
    ----------
    limits : Limits
        What the rows may be at most.
    """

    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return BODY

    def blocks(self, encoder: Encoder) -> Iterator[pa.Table]:
        """All rows, a few at a time; TooMuch where they are more than a client may send."""
        rows, size, start = 0, 0, time.monotonic()
        self._check()
        most = self.limits.columns
        for block in read.batches(self.file, expected=encoder.needed, most=most):
            rows, size = rows + len(block), size + block.nbytes
            if rows > self.limits.rows:
                raise _too_many("rows", self.limits.rows, rows)
            if size > UNPACKED * self.limits.body:
                raise TooMuch("the body unpacks to far more bytes than it has: send less at once")
            if time.monotonic() - start > self.limits.judging:
                raise TooMuch(
                    f"judging took more than {self.limits.judging:g} seconds, after {rows:,} rows; "
                    "send fewer at once"
                )
            yield block

    def _check(self) -> None:
        """Before any row is judged: what is too much by what can be counted."""
        if self.file.suffix == ".parquet":
            rows = self.count() or 0
        else:
            with self.file.open("rb") as body:
                if body.read(2) == _GZIP:
                    raise DataError("expected text, found a gzip archive: send it unpacked")
                body.seek(0)
                rows = sum(piece.count(b"\n") for piece in iter(lambda: body.read(1 << 20), b""))
        if rows > self.limits.rows + 1:
            raise _too_many("rows", self.limits.rows, rows)


def check_pixels(folder: Path, most: int) -> None:
    """TooMuch where the images of a folder have more pixels in all, as they say themselves."""
    pixels = 0
    for file in sorted(folder.iterdir()):
        with suppress(DataError):  # fails by itself when it is judged
            width, height = size_of(file)
            pixels += width * height
    if pixels > most:
        raise TooMuch(f"expected images of at most {most:,} pixels in all, found {pixels:,}")


def _too_many(what: str, most: int, found: int) -> TooMuch:
    return TooMuch(f"expected at most {most:,} {what}, found {found:,}: send less at once")

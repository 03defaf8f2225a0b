"""The rows or images of a request: a body of bounded size, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import HTTPException, Request

from unseen.errors import DataError
from unseen.scoring.rows import FileRows, FrameRows

ENDINGS = {
    "text/csv": ".csv",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}


def rows_of(media: str, body: bytes, folder: Path) -> FileRows | FrameRows:
    """The rows of a body; DataError for what is none, 415 for another type."""
    if media == "application/json":
        return FrameRows(_listed(body))
    if media not in ENDINGS:
        expected = ", ".join(["application/json", *ENDINGS])
        raise HTTPException(415, f"expected rows as one of {expected}, found {media[:80]!r}")
    file = folder / f"rows{ENDINGS[media]}"
    file.write_bytes(body)
    return FileRows(file)


def _listed(body: bytes) -> list[dict[str, Any]]:
    """Rows of JSON: {"rows": [{"column": value, ...}, ...]}."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no JSON ({error}): send {{'rows': [...]}}") from error
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError('expected {"rows": [{"column": value, ...}, ...]}, found other JSON')
    return rows


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one request."""
    with TemporaryDirectory(prefix="unseen-") as folder:
        yield Path(folder)


async def body_of(request: Request, most: int) -> bytes:
    """The whole body; 413 for more bytes."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > most:
            raise HTTPException(413, f"expected a body of at most {most:,} bytes")
    return bytes(found)

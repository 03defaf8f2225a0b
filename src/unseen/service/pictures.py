"""Pictures of images that alarm, as the page shows them: the image, its heat, and what was sent."""

from __future__ import annotations

from threading import Lock
from typing import Any

from unseen.detector.detector import Detector
from unseen.report.images import looked_at, webp
from unseen.scoring.folders import ImageFolder

_DRAWING = Lock()  # one at a time: what draws was not made for many threads
_TYPES = (  # how each begins
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"BM", "image/bmp"),
    (b"RIFF", "image/webp"),
)


def drawn_pictures(
    source: ImageFolder, detector: Detector, row: int, level: float
) -> list[dict[str, Any]]:
    """Rows of the table of pictures for an image of a folder, by its number from 0; the heat where
    the method looks at cells.
    """
    given = source.images.files[row].read_bytes()
    media = next((media for start, media in _TYPES if given.startswith(start)), "image/tiff")
    with _DRAWING:
        seen = looked_at(source, detector, row, level)
    shown = [("image", seen.image), *([] if seen.heat is None else [("heat", seen.heat)])]
    return [
        {"what": "given", "media": media, "bytes": given},
        *({"what": what, "media": "image/webp", "bytes": webp(pixels)} for what, pixels in shown),
    ]

"""Judged images: a table by file, and pictures of those that are flagged, as files or inside the
report.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol
from unicodedata import normalize

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.detector.detector import Detector
from unseen.errors import Unsupported
from unseen.io.atomic import Folder, Making
from unseen.io.paths import new_path
from unseen.io.write import Writer
from unseen.report.gathering import Judged, Picture
from unseen.report.overlay import box, overlay, pieces
from unseen.vision.images import Images, writable
from unseen.vision.maps import Maps
from unseen.vision.pixels import mask_of, pixels_of
from unseen.wording import option

_BLOCK = 64  # images whose maps are in memory at once
BUDGET = 1_500_000  # characters of all pictures in a report
_QUALITY = 70  # of WebP
_NAME = 60  # characters of an image's name in the name of its overlay
_SIDE = 700  # pixels of a drawn image at most: an overlay has room for half of them
_EDGES = ("left", "top", "right", "bottom")


class Part(Protocol):
    """Some judged images, as the scoring stream yields them."""

    @property
    def keys(self) -> Any: ...
    @property
    def score(self) -> NDArray[np.float64]: ...
    @property
    def pvalue(self) -> NDArray[np.float64]: ...
    @property
    def verdict(self) -> NDArray[np.str_]: ...
    @property
    def threshold(self) -> float: ...
    @property
    def kinds(self) -> pa.Table | None: ...
    @property
    def reasons(self) -> pa.Table | None: ...


class Folders(Protocol):
    """A source of images that can be looked at again."""

    @property
    def images(self) -> Images: ...
    def maps(self, rows: NDArray[np.int64]) -> Maps: ...


@dataclass
class ImageSink:
    """Writes score, p-value, verdict and defect box of each image, and a PNG of each that is
    flagged.

    Parameters
    ----------
    source : Folders
        Where the images come from: those that are flagged are seen a second time, to find the
        place.
    detector : Detector
        What judged them.
    target : Path
        CSV or Parquet file to write.
    overlays : Path, optional
        Folder to make. Table and folder are whole or not there.
    level : float
        What the threshold of the heat maps is for, where nothing is flagged.
    rows : int
        Images written so far.
    flagged : int
        Alarms among them.
    threshold : float
        The largest p-value that is an alarm, known once images are written.
    smallest : float
        The smallest p-value.
    kinds : Counter
        How many alarms there are of each kind, where kinds are told.
    """

    source: Folders
    detector: Detector
    target: Path
    overlays: Path | None
    level: float
    rows: int = 0
    flagged: int = 0
    threshold: float = 0.0
    smallest: float = 1.0
    kinds: Counter[str] = field(default_factory=Counter)
    _places: dict[int, dict[str, Any]] = field(default_factory=dict, init=False)

    def write(self, judged: Iterator[Part]) -> None:
        """Write all of them."""
        mapped = any(member.peaks is not None for member in self.detector.members_)
        if self.overlays is not None:
            new_path(self.overlays)
            if not mapped:
                raise Unsupported(
                    f"{option('overlays')} needs a method that looks at cells: this one judges "
                    "images as a whole"
                )
        with Making() as making, Writer(self.target, making) as out:
            each = list(judged)
            score, pvalue, verdict = (
                np.concatenate([getattr(part, name) for part in each])
                for name in ("score", "pvalue", "verdict")
            )
            self.threshold = each[0].threshold
            self.smallest = float(np.fmin.reduce(pvalue, initial=1.0))
            self.rows, self.flagged = (
                int((verdict != "failed").sum()),
                int((verdict == "anomaly").sum()),
            )
            flagged = np.flatnonzero(verdict == "anomaly")
            # the most anomalous first
            flagged = flagged[np.lexsort((-score[flagged], pvalue[flagged]))]
            if mapped:
                folder = None if self.overlays is None else making.folder(self.overlays)
                self._look_at(flagged, score, pvalue, folder)
            keys = pa.concat_tables([part.keys for part in each])
            table = self._table(keys, score, pvalue, verdict)
            told = [_told_of(each, what) for what in ("kinds", "reasons")]
            for name, column in [pair for columns in told for pair in columns.items()]:
                table = table.append_column(name, column)
            if "kind" in table.column_names:
                self.kinds.update(table["kind"].filter(verdict == "anomaly").to_pylist())
            out.write(table)

    def _table(
        self,
        keys: pa.Table,
        score: NDArray[np.float64],
        pvalue: NDArray[np.float64],
        verdict: NDArray[np.str_],
    ) -> pa.Table:
        """A row for each file; with a column for the name of its overlay where there is one to be
        had.
        """
        places = [self._places.get(row, {}) for row in range(len(score))]
        found = {
            "file": keys["file"],
            "score": pa.array(score, from_pandas=True),
            "pvalue": pa.array(pvalue, from_pandas=True),
            "verdict": pa.array(verdict, pa.string()),
            **{
                edge: pa.array([place.get(edge) for place in places], pa.int64()) for edge in _EDGES
            },
            "problem": keys["problem"],
        }
        if self.overlays is not None:
            found["overlay"] = pa.array([place.get("overlay") for place in places], pa.string())
        return pa.table(found)

    def _look_at(
        self,
        flagged: NDArray[np.int64],
        score: NDArray[np.float64],
        pvalue: NDArray[np.float64],
        folder: Folder | None,
    ) -> None:
        """The box of each flagged image and, in a folder, its overlay, numbered."""
        images = self.source.images
        scale = self.detector.heat_range(self.threshold or self.level)
        for rank, (row, heat) in enumerate(self._hot(flagged), start=1):
            found = box(heat, scale[1])
            self._places[row] = dict(zip(_EDGES, found, strict=True)) if found else {}
            if folder is None:
                continue
            title = f"score {score[row]:.4g}, p-value {pvalue[row]:.2g}"
            file = _numbered_name(rank, images.names[row])
            folder.write(file, _drawn(images, row, heat, scale, title=title))
            self._places[row]["overlay"] = file

    def _hot(self, flagged: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Row number and heat (h, w) of each flagged image."""
        for start in range(0, len(flagged), _BLOCK):
            part = flagged[start : start + _BLOCK]
            maps = self.source.maps(part)
            for k, row in enumerate(part.tolist()):
                yield row, self.detector.heat(maps.take(np.array([k])))[0]


def with_pictures(found: Judged, source: Any, detector: Detector, level: float) -> Judged:
    """The same with a picture of each alarm, and of its heat where the method looks at cells; of
    rows as it is.

    Parameters
    ----------
    found : Judged
        What was scored.
    source : Source
        Where it came from: images are seen a second time.
    detector : Detector
        What judged them.
    level : float
        What the threshold of the heat maps is for.

    Returns
    -------
    Judged
        With pictures of up to `BUDGET` characters in all.
    """
    if source.noun != "images" or not found.alerts:
        return found
    drawn, spent, bar = [], 0, None
    for row in found.places:  # one at a time: heat is as large as its image
        name = writable(source.images.names[row])
        seen = looked_at(source, detector, row, level)
        pair = [_embedded(seen.image, f"{name}, the image")]
        if seen.heat is not None and seen.strip is not None:
            pair.append(_embedded(seen.heat, f"{name}, its heat: {_place_in_words(seen.box)}"))
            bar = bar or _embedded(seen.strip, "the scale of the heat, the threshold marked on it")
        spent += sum(len(each.source) for each in pair)
        drawn.append({"pictures": tuple(pair) if spent <= BUDGET or bar is None else ()})
    return replace(found.with_told(drawn), scale=bar)


@dataclass(frozen=True)
class Seen:
    """An image as people are shown it.

    Parameters
    ----------
    image : array
        The image (h, w, 3), of a large one every so many pixels.
    heat, strip : array, optional
        Its heat over it, and the scale of the heat, where the method looks at cells.
    box : tuple of int, optional
        Left, top, right and bottom of the hottest place, where it exceeds the threshold.
    """

    image: NDArray[np.uint8]
    heat: NDArray[np.uint8] | None = None
    strip: NDArray[np.uint8] | None = None
    box: tuple[int, int, int, int] | None = None


def looked_at(source: Folders, detector: Detector, row: int, level: float) -> Seen:
    """An image of a source, and where it is anomalous.

    Parameters
    ----------
    source : Folders
        Where the image is.
    detector : Detector
        What judged it.
    row : int
        Its number in the source, from 0.
    level : float
        What the threshold of the heat is for.
    """
    images = source.images
    if not any(member.peaks is not None for member in detector.members_):
        pixels = pixels_of(images.files[row])
        step = -(-max(pixels.shape) // _SIDE)
        return Seen(pixels[::step, ::step])
    scale = detector.heat_range(level)
    heat = detector.heat(source.maps(np.array([row])))[0]
    image, hot, strip = pieces(_drawn(images, row, heat, scale, title=""))
    return Seen(image, hot, strip, box(heat, scale[1]))


def _place_in_words(edges: tuple[int, int, int, int] | None) -> str:
    if edges is None:
        return "no place of it exceeds the threshold"
    left, top, right, bottom = edges
    return f"hottest between {left} and {right} pixels from the left, {top} and {bottom} from above"


def _embedded(pixels: NDArray[np.uint8], text: str) -> Picture:
    height, width = pixels.shape[:2]
    source = f"data:image/webp;base64,{b64encode(webp(pixels)).decode()}"
    return Picture(source, width, height, text)


def webp(pixels: NDArray[np.uint8]) -> bytes:
    """A WebP file of an image (h, w, 3)."""
    from PIL import Image  # the extra `images`

    file = BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()


def _told_of(parts: Sequence[Part], what: str) -> dict[str, pa.ChunkedArray]:
    """Columns of kinds or reasons; no column of an image can be put back, so without `change`."""
    found = [getattr(part, what) for part in parts]
    if found[0] is None:
        return {}
    table = pa.concat_tables(found)
    return {name: table[name] for name in table.column_names if name != "change"}


def _numbered_name(rank: int, name: str) -> str:
    """A short file name of its own for any image: its rank, then what of its name every system can
    spell.

    >>> _numbered_name(7, "größe/Bild 1.jpg"), _numbered_name(12345, "漢字.png")
    ('0007-grosse-Bild-1.png', '12345.png')
    """
    plain = (
        normalize("NFKD", name.rsplit(".", 1)[0].replace("ß", "ss"))
        .encode("ascii", "ignore")
        .decode()
    )
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", plain)[-_NAME:].strip("-")
    return f"{rank:04}-{kept}.png" if kept else f"{rank:04}.png"


def _drawn(
    images: Images,
    row: int,
    heat: NDArray[np.float32],
    scale: tuple[float, float, float],
    *,
    title: str,
) -> bytes:
    """The overlay of an image; of a large one every so many pixels."""
    low, threshold, top = scale
    pixels, spot = pixels_of(images.files[row]), images.masks[row]
    truth = None if spot is None else mask_of(spot, heat.shape)
    step = -(-max(heat.shape) // _SIDE)
    return overlay(
        pixels[::step, ::step],
        heat[::step, ::step],
        low=low,
        threshold=threshold,
        top=top,
        mask=None if truth is None else truth[::step, ::step],
        title=title,
    )

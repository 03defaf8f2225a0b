"""Judged images: a table by file, and pictures of those that are flagged, with a report page of
them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from unseen.report.overlay import Shown, box, overlay, page
from unseen.vision.images import Images, writable
from unseen.vision.maps import Maps
from unseen.vision.pixels import mask_of, pixels_of
from unseen.wording import option

_BLOCK = 64  # images whose maps are in memory at once
_SHOWN = 200  # images on the report page: a browser would take long over more
_NAME = 60  # characters of an image's name in the name of its overlay
_SIDE = 700  # pixels of a drawn image at most: an overlay has room for half of them
_EDGES = ("left", "top", "right", "bottom")


class Judged(Protocol):
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
    """Writes score, p-value, verdict and defect box of each image; a PNG of each that is flagged,
    and a report of them.

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

    def write(
        self, judged: Iterator[Judged], progress: Callable[[int], None] = lambda done: None
    ) -> None:
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
            each = []
            for part in judged:
                each.append(part)
                progress(len(part.score))
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
                self._look_at(
                    flagged, score, pvalue, folder, failed=int((verdict == "failed").sum())
                )
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
        *,
        failed: int,
    ) -> None:
        """The box of each flagged image and, in a folder, its overlay, numbered, and a report of
        the first ones.
        """
        level, images = self.threshold or self.level, self.source.images
        scale = self.detector.heat_range(level)
        cards: list[Shown] = []
        for rank, (row, heat) in enumerate(self._hot(flagged), start=1):
            found = box(heat, scale[1])
            self._places[row] = dict(zip(_EDGES, found, strict=True)) if found else {}
            if folder is None:
                continue
            name, own, p = images.names[row], float(score[row]), float(pvalue[row])
            picture = _drawn(images, row, heat, scale, title=f"score {own:.4g}, p-value {p:.2g}")
            file = _numbered_name(rank, name)
            self._places[row]["overlay"] = file
            folder.write(file, picture)
            if rank <= _SHOWN:
                label = images.labels[row]
                cards.append(Shown(writable(name), label, own, p, "anomaly", picture, file=file))
        if folder is not None:
            title = f"{len(flagged):,} of {self.rows:,} images flagged"
            notes = self._notes(images, len(flagged), failed, level, scale)
            folder.write("report.html", page(cards, title=title, notes=notes).encode())

    def _hot(self, flagged: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Row number and heat (h, w) of each flagged image."""
        for start in range(0, len(flagged), _BLOCK):
            part = flagged[start : start + _BLOCK]
            maps = self.source.maps(part)
            for k, row in enumerate(part.tolist()):
                yield row, self.detector.heat(maps.take(np.array([k])))[0]

    def _notes(
        self,
        images: Images,
        flagged: int,
        failed: int,
        level: float,
        scale: tuple[float, float, float],
    ) -> list[str]:
        """What a reader of the report needs to know."""
        low, threshold, top = scale
        rest = f"; files that could not be used: {failed:,}" if failed else ""
        text = [
            f"{images.root}: {self.rows:,} images, {flagged:,} flagged for a p-value of at most "
            f"{self.threshold:.3g}{rest}. The most anomalous come first. A p-value is the chance "
            "that a normal image scores as high.",
            f"A colour is the same score of a patch in all images: from {low:.3g}, what the "
            f"hottest patch of a usual normal image has, to {top:.3g} or more.",
            f"The threshold, the line across the colour bar, is {threshold:.3g}: the hottest "
            f"patch of a normal image exceeds it with a chance of about {level:.3g}. What exceeds "
            "it is outlined. An image can be anomalous without.",
        ]
        more = (
            f"The first {_SHOWN} are shown here; the folder of this page has a picture of "
            f"each of the {flagged:,}."
        )
        return [*text, more] if flagged > _SHOWN else text


def _told_of(parts: Sequence[Judged], what: str) -> dict[str, pa.ChunkedArray]:
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

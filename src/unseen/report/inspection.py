"""Images of a folder judged: a table by file, and pictures of those that are flagged, with a report page of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.cli.terminal import progressing
from unseen.detector.detector import Detector
from unseen.errors import Unsupported
from unseen.io.atomic import Folder, Making
from unseen.io.paths import new_path
from unseen.io.write import Writer
from unseen.report.overlay import Shown, box, overlay, page
from unseen.scoring.folder import note, writable
from unseen.storage.bundle import Bundle
from unseen.vision import images as reading
from unseen.vision.encoder import Maps
from unseen.vision.images import Images
from unseen.wording import option

BLOCK = 64  # images whose maps are in memory at once
SHOWN = 200  # images on the report page: a browser would take long over more
NAME = 60  # characters of an image's name in the name of its overlay
SIDE = 700  # pixels of a drawn image at most: an overlay has room for half of them
EDGES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Judged:
    """Scores and p-values of images and, behind them, of files of types that are not read (n,), NaN where one failed.

    `failed`: why, by name; `cut`: the largest alarm; `boxes` and `overlays`, file names, by row.
    """

    images: Images
    score: NDArray[np.float64]
    pvalue: NDArray[np.float64]
    failed: dict[str, str]
    cut: float
    boxes: dict[int, tuple[int, int, int, int] | None] = field(default_factory=dict)
    overlays: dict[int, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        return [*self.images.names, *unread(self.images)]

    @cached_property
    def flagged(self) -> NDArray[np.int64]:
        """Row numbers of the images to raise an alarm for, the oddest first."""
        rows = np.flatnonzero(self.pvalue <= self.cut)
        return rows[np.lexsort((-self.score[rows], self.pvalue[rows]))]

    def table(self, *, drawn: bool) -> pa.Table:
        """A row for each file, in the order of their names, then for each that is of a type that is not read.

        `drawn`: with a column for the name of its overlay.
        """
        verdict = np.where(np.isnan(self.score), "failed", np.where(self.pvalue <= self.cut, "anomaly", "normal"))
        rows = range(len(self.names))
        edges = [self.boxes.get(row) or (None,) * len(EDGES) for row in rows]
        return pa.table(
            {
                "file": pa.array(map(writable, self.names), pa.string()),
                "score": pa.array(self.score, from_pandas=True),
                "pvalue": pa.array(self.pvalue, from_pandas=True),
                "verdict": pa.array(verdict, pa.string()),
                **{edge: pa.array([each[k] for each in edges], pa.int64()) for k, edge in enumerate(EDGES)},
                "problem": pa.array([self.failed.get(name) for name in self.names], pa.string()),
                **({"overlay": pa.array(map(self.overlays.get, rows), pa.string())} if drawn else {}),
            }
        )


def score_folder(
    bundle: Bundle,
    source: Path,
    target: Path,
    *,
    alpha: float | None,
    fdr: float | None,
    overlays: Path | None = None,
    cache: Path | None = None,
) -> Judged:
    """Write score, p-value, verdict and defect box of each image; a PNG of each that is flagged, and a report of them.

    `alpha` and `fdr` as in `Detector.detect`. Maps of a block of images are in memory at once, so images that are
    flagged are seen a second time, to find the place. Table and overlays are whole or not there.
    """
    detector = bundle.detector
    detector.cut(np.zeros(0), alpha=alpha, fdr=fdr)  # refuses a level before minutes are spent
    mapped = any(member.peaks is not None for member in detector.members_)
    if overlays is not None:
        new_path(overlays)
        if not mapped:
            raise Unsupported(
                f"{option('overlays')} needs a method that looks at cells: this one judges images as a whole"
            )
    images = Images.read(source, normal=str(detector.normal))
    with Making() as made, Writer(target, made) as out:
        found = judged(detector, images, alpha=alpha, fdr=fdr, cache=cache)
        level = found.cut or fdr or 0.0  # where nothing is flagged there is no largest alarm
        if overlays is not None:
            draw(detector, found, level, made.folder(overlays), cache)
        elif mapped:
            for row, heat in hot(detector, found, cache):
                found.boxes[row] = box(heat, detector.heat_threshold(level))
        out.write(found.table(drawn=overlays is not None))
    return found


def judged(detector: Detector, images: Images, *, alpha: float | None, fdr: float | None, cache: Path | None) -> Judged:
    """What the detector says of each image, a block of them after the other."""
    score, pvalue = np.full((2, len(images) + len(images.unread)), np.nan)
    failed: dict[str, str] = {}
    names = {name: row for row, name in enumerate(images.names)}
    with progressing("images scored", total=len(images)) as bar:
        for part in blocks(np.arange(len(images))):
            maps = Maps.of(images.take(part), detector.features, cache=cache, failed=failed, progress=bar)
            if len(maps):
                rows = [names[name] for name in maps.images.names]
                score[rows] = detector.anomaly_score(maps)
    note(images, failed)
    used = ~np.isnan(score)
    pvalue[used] = detector.conformal_of().pvalue(score[used])
    reasons = {name: reason.removeprefix(f"{images.root / name}: ") for name, reason in failed.items()}
    return Judged(images, score, pvalue, reasons | unread(images), detector.cut(pvalue[used], alpha=alpha, fdr=fdr))


def unread(images: Images) -> dict[str, str]:
    """Why files of types that are not read are of no use, by name."""
    files = {file.relative_to(images.root).as_posix(): file.suffix.lower() for file in images.unread}
    return {name: f"files of type {kind} are not read; save it as PNG or JPEG" for name, kind in files.items()}


def hot(detector: Detector, found: Judged, cache: Path | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Row number and heat (h, w) of each flagged image, the oddest first."""
    with progressing("places found", total=len(found.flagged)) as bar:
        for part in blocks(found.flagged):
            maps = Maps.of(found.images.take(part), detector.features, cache=cache)
            for k, row in enumerate(part.tolist()):
                yield row, detector.heat(maps.take(np.array([k])))[0]
                bar(1)


def blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    yield from (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def draw(detector: Detector, found: Judged, level: float, folder: Folder, cache: Path | None) -> None:
    """A PNG of every flagged image, numbered, the oddest first, and report.html; fills in the boxes and the names."""
    scale = detector.heat_range(level)
    rows: list[Shown] = []
    for rank, (row, heat) in enumerate(hot(detector, found, cache), start=1):
        name, score, p = found.names[row], float(found.score[row]), float(found.pvalue[row])
        found.boxes[row] = box(heat, scale[1])
        picture = drawn(found.images, row, heat, scale, title=f"score {score:.4g}, p-value {p:.2g}")
        found.overlays[row] = numbered(rank, name)
        folder.write(found.overlays[row], picture)
        if rank <= SHOWN:
            label = found.images.labels[row]
            rows.append(Shown(writable(name), label, score, p, "anomaly", picture, file=found.overlays[row]))
    title = f"{len(found.flagged):,} of {len(found.images):,} images flagged"
    folder.write("report.html", page(rows, title=title, notes=notes(found, level, scale)).encode())


def numbered(rank: int, name: str) -> str:
    """A short file name of its own for any image: its rank, then what of its name every system can spell.

    >>> numbered(7, "größe/Bild 1.jpg"), numbered(12345, "漢字.png")
    ('0007-grosse-Bild-1.png', '12345.png')
    """
    plain = normalize("NFKD", name.rsplit(".", 1)[0].replace("ß", "ss")).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", plain)[-NAME:].strip("-")
    return f"{rank:04}-{kept}.png" if kept else f"{rank:04}.png"


def drawn(
    images: Images, row: int, heat: NDArray[np.float32], scale: tuple[float, float, float], *, title: str
) -> bytes:
    """The overlay of an image; of a large one every so many pixels."""
    low, threshold, top = scale
    pixels, spot = reading.pixels(images.files[row]), images.masks[row]
    truth = None if spot is None else reading.mask(spot, heat.shape)
    step = -(-max(heat.shape) // SIDE)
    return overlay(
        pixels[::step, ::step],
        heat[::step, ::step],
        low=low,
        threshold=threshold,
        top=top,
        mask=None if truth is None else truth[::step, ::step],
        title=title,
    )


def notes(found: Judged, level: float, scale: tuple[float, float, float]) -> list[str]:
    """What a reader of the report needs to know."""
    low, threshold, top = scale
    flagged, failed = len(found.flagged), len(found.failed)
    rest = f"; {failed:,} could not be used" if failed else ""
    text = [
        f"{found.images.root}: {len(found.images):,} images, {flagged:,} flagged for a p-value of at most "
        f"{found.cut:.3g}{rest}. The oddest come first. A p-value is the chance that a good image scores as high.",
        f"A colour is the same score of a patch in all images: from {low:.3g}, what the hottest patch of a usual good "
        f"image has, to {top:.3g} or more.",
        f"The threshold, the line across the colour bar, is {threshold:.3g}: the hottest patch of a good image exceeds "
        f"it with a chance of about {level:.3g}. What exceeds it is outlined. An image can be odd without.",
    ]
    more = f"The first {SHOWN} are shown here; the folder of this page has a picture of each of the {flagged:,}."
    return [*text, more] if flagged > SHOWN else text

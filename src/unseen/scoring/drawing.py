"""A draw from the rows of files, and what is worth keeping of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.draw import LABELLED, Draw, Plan
from unseen.data.labels import as_given, encode_labels
from unseen.data.split import Rows
from unseen.io.places import Listed
from unseen.io.read import check_unpacked
from unseen.scoring.rows import FilesRows, Place, file_rows
from unseen.wording import option

log = logging.getLogger("unseen")
MOST = 1_000_000  # rows of each class that are drawn, where nobody says how many


class Reader(Protocol):
    """What draws from all rows of a place."""

    def __call__(
        self,
        place: Place,
        plan: Plan,
        wanted: Collection[str],
        left_out: Collection[str],
        progress: Callable[[int], Any],
    ) -> Draw: ...


def in_turn(
    place: Place,
    plan: Plan,
    wanted: Collection[str],
    left_out: Collection[str],
    progress: Callable[[int], Any],
) -> Draw:
    """A draw from the rows as they come, in this process."""
    disk, done = place.size(), 0
    draw = Draw(plan, lambda size: check_unpacked(place.name, size, disk))
    for piece in place.pieces(wanted, left_out):
        draw.add(piece, done)
        done += len(piece)
        progress(len(piece))
    return draw


@dataclass(frozen=True)
class InParts:
    """A draw from each of several files by itself; all of them merge to what `in_turn` draws.

    Parameters
    ----------
    files : FilesRows
        The files, of which is known how many rows each has.
    spread : callable
        Makes of each item what a function makes of it, in any order: `map`, or a cluster's.
    """

    files: FilesRows
    spread: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

    def __call__(
        self,
        place: Place,
        plan: Plan,
        wanted: Collection[str],
        left_out: Collection[str],
        progress: Callable[[int], Any],
    ) -> Draw:
        disk, names = place.size(), list[str]()
        draw = Draw(plan, lambda size: check_unpacked(place.name, size, disk))
        work = _OfPart(plan, tuple(wanted), tuple(left_out), self.files.header)
        starts = accumulate(self.files.known_counts(), initial=0)
        items = [Part(*each) for each in zip(self.files.files, starts, strict=False)]
        for part, found in self.spread(work, items):
            names = self.files.alike(names, found.columns, part.file)
            draw.merge(found)
            progress(sum(found.seen.values()))
        return draw


@dataclass(frozen=True)
class Part:
    """A file, and the number of its first row among all."""

    file: Listed
    start: int

    def __str__(self) -> str:
        return self.file.place.name


@dataclass(frozen=True)
class _OfPart:
    """What draws from one file."""

    plan: Plan
    wanted: tuple[str, ...]
    left_out: tuple[str, ...]
    header: bool

    def __call__(self, part: Part) -> tuple[Part, Draw]:
        draw, done = Draw(self.plan), part.start
        with file_rows(part.file, self.header) as rows:
            for piece in rows.pieces(self.wanted, self.left_out):
                draw.add(piece, done)
                done += len(piece)
        draw.thin()
        return part, draw


@dataclass(frozen=True)
class Drawing:
    """How rows are drawn from a table that may be too large to hold.

    Parameters
    ----------
    rows : int
        Rows of each class, at most: of normal ones, of those without a label, of each kind of
        anomaly. Where no class has more, all rows stay.
    seed : int
        The same seed draws the same rows.
    anomalies : int
        Rows of each kind of anomaly, at most, where some class has more than `rows`.
    reader : callable
        What draws: `in_turn` in this process, or a cluster.
    keys : bool
        Whether columns that are left out of learning are read, too, to tell rows apart.
    progress : callable
        Is told the number of rows of each block that was read.
    """

    rows: int = MOST
    seed: int = 0
    anomalies: int = LABELLED
    reader: Reader = in_turn
    keys: bool = False
    progress: Callable[[int], Any] = lambda done: None


@dataclass(frozen=True)
class Drawn:
    """Rows to learn from (n), their numbers among all rows, from 0 (n,), or None where all stay,
    and what is worth keeping of the draw.
    """

    rows: pa.Table
    numbers: Rows | None = None
    facts: dict[str, Any] | None = None


def drawn_from(
    place: Place,
    drawing: Drawing,
    plan: Plan,
    wanted: Collection[str],
    drop: Collection[str] = (),
) -> Drawn:
    """Rows of a place as a plan draws them; what is drawn is logged, unless all rows stay.

    Columns that are `wanted` must be there; those to `drop` are not read, unless keys are."""
    draw = drawing.reader(place, plan, wanted, () if drawing.keys else drop, drawing.progress)
    rows = draw.table()
    if draw.whole:
        return Drawn(rows)
    facts = _facts_of(draw, plan, rows)
    return Drawn(rows, draw.numbers(), facts)


def _facts_of(draw: Draw, plan: Plan, rows: pa.Table) -> dict[str, Any]:
    """What the rows were drawn from, as JSON holds it; that is logged."""
    seen, y = draw.seen, None if plan.label is None else rows[plan.label]
    codes, names = encode_labels(y, rows=len(rows), normal=plan.normal)
    anomalies = {
        given: seen.pop(name) for name, given in zip(names, as_given(names, y), strict=True)
    }
    normals, unlabelled = seen.pop(draw.normal, 0), sum(seen.values())  # of None, and of -1
    _tell(codes, [("normal", normals), ("unlabelled", unlabelled), *anomalies.items()], plan)
    facts = {
        "most": plan.most,
        "most_anomalies": plan.most_anomalies,
        "seed": plan.seed,
        "rows": normals + unlabelled + sum(anomalies.values()),
        "normals": normals,
        "unlabelled": unlabelled,
        "anomalies": dict(sorted(anomalies.items(), key=lambda item: -item[1])),
    }
    if plan.strata:
        strata, floor = draw.strata
        facts |= {"strata": strata, "floor": floor}
        _tell_strata(plan.strata, floor)
    return facts


def _tell(codes: NDArray[np.int64], seen: Sequence[tuple[str, int]], plan: Plan) -> None:
    """Say of which classes some rows were drawn, by the codes of those that stay (n,)."""
    kept = [int((codes == code).sum()) for code in (0, -1, *range(1, len(seen) - 1))]
    fewer = [
        f"{count:,} of {before:,} {name}"
        for count, (name, before) in zip(kept, seen, strict=True)
        if count < before
    ]
    others = ", all others" if len(fewer) < sum(map(bool, kept)) else ""
    log.info(
        "%s of %s rows are drawn (seed %s): %s%s; to draw another number: %s",
        *(f"{len(codes):,}", f"{sum(before for _, before in seen):,}", plan.seed),
        *(", ".join(fewer), others, option("rows", ...)),
    )


def _tell_strata(columns: Sequence[str], floor: int) -> None:
    """Say how many rows each stratum keeps."""
    each = " and ".join(map(repr, columns))
    if floor:
        log.info("each value of %s keeps at least %d normal rows, or all it has", each, floor)
        return
    log.warning(
        "%s has so many values that some may keep no row: draw more (%s) if each one matters",
        *(each, option("rows", ...)),
    )

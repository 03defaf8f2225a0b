"""How a version is made: a detector that learned what people said, or one with new p-values."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.detector.blindspots import BlindSpots
from unseen.errors import DataError, Unsupported
from unseen.io.atomic import scratch_folder
from unseen.names import first_few
from unseen.report.blindspots import what_changed
from unseen.scoring.answers import Learned, with_answers
from unseen.scoring.labelling import LABEL
from unseen.scoring.sources import data_again
from unseen.scoring.tables import TableSource
from unseen.service.leftovers import JOB
from unseen.service.lessons import (
    Lesson,
    answered_table,
    counted_lessons,
    lessons_of,
    readable_lessons,
    scored_again,
    with_files,
    written_pictures,
)
from unseen.service.recent import rows_kept, without_lessons
from unseen.service.registry import Registry, of_model
from unseen.service.store.tables import versions
from unseen.storage.bundle import Bundle
from unseen.storage.facts import of_data
from unseen.types import Labelled
from unseen.wording import option

USUAL = 60.0  # seconds that training is thought to take where nothing tells
NOTES = 20  # warnings that are kept, and characters of each
LONGEST = 500


@dataclass(frozen=True)
class Made:
    """A version in its folder, to be entered.

    Parameters
    ----------
    number : int
        Its number.
    message : str
        What it is, for people.
    facts : dict
        The same, as JSON holds it.
    again : list of dict
        Rows for the table `rescored`.
    """

    number: int
    message: str
    facts: dict[str, Any]
    again: list[dict[str, Any]]


class Progress(logging.Handler):
    """How far a job is, and what was warned of on the way."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.what, self.notes = "starting", list[str]()
        self._stage = 0.0, 0.0, 0.0, 1.0  # its begin, its share before and after, its seconds

    def emit(self, record: logging.LogRecord) -> None:
        note = in_terms_of_serving(record.getMessage())[:LONGEST]
        if len(self.notes) < NOTES and note not in self.notes:
            self.notes.append(note)

    def stage(self, what: str, share: float, until: float = 0.0, seconds: float = 1.0) -> None:
        """What is done now, from which share of the whole to which, and how long it may take."""
        self.what = what
        self._stage = time.monotonic(), share, max(share, until), seconds

    def share(self) -> float:
        """The share of the whole that is thought to be done."""
        begin, share, until, seconds = self._stage
        return share + (until - share) * min((time.monotonic() - begin) / seconds, 1.0)


def retrained(registry: Registry, job: Any, progress: Progress) -> Made:
    """A version that learned what people said, beside the training rows."""
    progress.stage("reading labels", 0.02)
    store, model = registry.store, job.model
    with store.reading() as connection:
        current = of_model(connection, model).current
        lessons = lessons_of(connection, model)
        base = _base(connection, model, current)
    bundle, train = registry.read(model, current), job.settings.get("train")
    source = None if train is None else data_again(bundle, Path(train))
    # rows that stayed with a version that learned would bring answers that were undone since
    taught = bundle if train is not None or base == current else registry.read(model, base)
    seconds = taught.facts.get("fit_seconds")
    expected = float(seconds) if isinstance(seconds, float | int) and seconds > 0 else USUAL
    with scratch_folder(registry.folder(model, 0).with_name("pictures")) as folder:
        if taught.detector.schema_.noun != "rows":
            with store.reading() as connection:
                numbers = [each.alert for each in lessons if each.alert is not None]
                lessons = with_files(lessons, written_pictures(connection, numbers, folder))
        check_lessons(model, lessons)
        data, unread = of_data(taught.facts), list[int]()
        if taught.detector.schema_.noun == "rows":
            group = data.get("group") if source is not None else None
            lessons, unread = readable_lessons(lessons, taught.detector, group)
        if not lessons:
            raise DataError(
                f"model {model!r}: this detector can read no row of its {len(unread):,} labels: "
                "compare their values with its columns, GET /v1/models/NAME"
            )
        label = data.get("label") or LABEL
        rows = TableSource(
            answered_table(lessons, taught.detector, label), label, str(taught.detector.normal)
        )
        progress.stage(f"training on {len(lessons):,} labelled rows", 0.05, 0.8, 2 * expected)
        found = with_answers(taught.detector, taught.facts, rows, source)
        facts = _facts_of_lessons(found, lessons) | {"base": base, "before": current}
        facts |= {"train": None if train is None else Path(train).name}
        own = {"source": f"{taught.facts.get('source', 'the data')} and labels", JOB: job.id}
        new = Bundle(found.detector, found.facts | own)
        facts |= {"unread": unread}
        message = what_changed(found) + _about_unread(unread)
        return _made_whole(registry, job, new, message, facts, progress, folder)


def _about_unread(labels: list[int]) -> str:
    """Which labels were left out, where some were."""
    if not labels:
        return ""
    return (
        f"\n{len(labels):,} of the labels were left out, as the detector cannot read their rows: "
        f"{first_few(map(str, labels))}; undo them, and label the rows as they come to be scored."
    )


def recalibrated_again(registry: Registry, job: Any, progress: Progress) -> Made:
    """A version with p-values that hold for rows as they came of late."""
    progress.stage("reading rows", 0.05, 0.3)
    store, model = registry.store, job.model
    with store.reading() as connection:
        current = of_model(connection, model).current
        lessons = lessons_of(connection, model)
        rows, since = rows_kept(connection, model)
    bundle = registry.read(model, current)
    if bundle.detector.schema_.noun != "rows":
        raise Unsupported(
            "images that passed are not kept: recalibrate on a folder of recent ones with `unseen "
            "recalibrate`, and serve what it makes"
        )
    if rows is None:
        raise DataError(
            f"model {model!r}: no row that passed is kept yet; score some, and check that "
            "`unseen serve --keep-rows` is above 0"
        )
    rows, left = without_lessons(rows, lessons, bundle.detector)
    progress.stage(f"calibrating on {len(rows):,} rows", 0.3, 0.7, 10.0)
    detector = bundle.detector.recalibrate(rows, anomalies=job.settings["anomalies"])
    data = Labelled(rows, None, None, None, {"source": "rows that passed"})
    made = bundle.recalibrated(detector, data)
    new = Bundle(made.detector, made.facts | {JOB: job.id})
    facts = {"rows": len(rows), "left_out": left, "since": since.isoformat(), "before": current}
    message = (
        f"p-values are those of {len(rows):,} rows that passed since {since:%Y-%m-%d %H:%M} UTC; "
        f"{left:,} that are labelled anomalies were left out."
    )
    folder = registry.folder(model, 0)
    return _made_whole(registry, job, new, message, facts, progress, folder)


MAKERS: dict[str, Callable[[Registry, Any, Progress], Made]] = {
    "retrain": retrained,
    "recalibrate": recalibrated_again,
}


def in_terms_of_serving(text: str) -> str:
    """A message that names the training data as they are named to a service."""
    return text.replace(f"({option('data', ...)})", "(unseen serve --train NAME=PATH)")


def check_lessons(model: str, lessons: list[Lesson]) -> None:
    """DataError where there is nothing to learn."""
    if not lessons:
        raise DataError(
            f"model {model!r}: there is no label to learn from, of normal rows or of kinds of "
            "anomalies; label some alerts first"
        )


def _base(connection: Any, model: str, number: int) -> int:
    """The version whose training rows a version has, without what people said since."""
    mine = versions.c.model == model, versions.c.number == number
    facts = connection.execute(versions.select().where(*mine)).one().facts
    return int(facts.get("base", number))


def _made_whole(
    registry: Registry,
    job: Any,
    new: Bundle,
    message: str,
    facts: dict[str, Any],
    progress: Progress,
    folder: Path,
) -> Made:
    """The new detector in its folder, read again to see that it can be, and alerts scored by it."""
    progress.stage("saving", 0.8)
    number = registry.save(job.model, new)
    detector = registry.read(job.model, number).detector
    progress.stage("scoring alerts again", 0.85, 0.95, 10.0)
    with registry.store.reading() as connection:
        again, not_scored = scored_again(connection, job.model, number, detector, folder)
    if not_scored:
        message += f"\n{not_scored:,} earlier alerts cannot be scored by this version."
    facts |= {"notes": list(progress.notes), "scored_again": len(again)}
    return Made(number, message, facts, again)


def _facts_of_lessons(found: Learned, lessons: list[Lesson]) -> dict[str, Any]:
    """What a detector learned, as JSON holds it."""
    flagged = {
        what: {"before": before, "now": now} for what, (before, now) in found.flagged.items()
    }
    spots = {"before": _plain_spots(found.before), "now": _plain_spots(found.now)}
    learned = {"labels": counted_lessons(lessons), "new": list(found.new)}
    return learned | {"flagged": flagged, "blind_spots": spots}


def _plain_spots(spots: BlindSpots | None) -> dict[str, float] | None:
    if spots is None:
        return None
    names = ("alpha", "expected", "low", "high")
    return {name: float(getattr(spots, name)) for name in names}

"""What people said of rows, as a detector learns it; and alerts scored again by what learned."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, func, select

from unseen.data.frames import python_rows
from unseen.data.labels import encode_labels
from unseen.data.news import NotedOnce
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.quiet import quiet
from unseen.scoring.labelling import FILE
from unseen.scoring.rows import FrameRows
from unseen.service.answers import check_values
from unseen.service.store.tables import alerts, labels, pictures
from unseen.vision.images import Images
from unseen.vision.maps import Maps

LEARNED = ("normal", "known", "new")  # answers that are learned from; "unsure" is none
AGAIN = 5000  # alerts that are scored again, the newest
_BLOCK = 500
_UNREAD = (DataError, pa.ArrowException, ValueError, OverflowError)  # of values
_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp"}


@dataclass(frozen=True)
class Lesson:
    """What somebody said of a row.

    Parameters
    ----------
    label : int
        The number of the label.
    alert : int or None
        That of its alert; None of another row.
    answer : str
        One of `LEARNED`.
    kind : str or None
        Of an anomaly, its kind.
    values : dict
        The row as it came.
    """

    label: int
    alert: int | None
    answer: str
    kind: str | None
    values: dict[str, Any]


def lessons_of(connection: Connection, model: str) -> list[Lesson]:
    """The labels of a model that count, oldest first: the last of each alert that was not undone,
    and those of other rows; of rows that are the same the last one.
    """
    stands = labels.c.model == model, labels.c.undone.is_(None)
    last = select(func.max(labels.c.id)).where(*stands, labels.c.alert.is_not(None))
    own = select(labels.c.id).where(*stands, labels.c.alert.is_(None))
    wanted = last.group_by(labels.c.alert).union_all(own)
    told = labels.c.id, labels.c.alert, labels.c.answer, labels.c.kind, labels.c["values"]
    found = (
        select(*told, alerts.c["values"].label("given"))
        .select_from(labels.outerjoin(alerts, alerts.c.id == labels.c.alert))
        .where(labels.c.id.in_(wanted))
        .order_by(labels.c.id)
    )
    newest = dict[str, Lesson]()
    for number, alert, answer, kind, values, given in connection.execute(found):
        row = (given if alert is not None else values) or {}
        same = json.dumps(row, sort_keys=True) if row else f"alert {alert}"
        newest.pop(same, None)  # the order is that of the labels that count
        newest[same] = Lesson(number, alert, answer, kind, row)
    return [each for each in newest.values() if each.answer in LEARNED]


def counted_lessons(lessons: Sequence[Lesson]) -> dict[str, Any]:
    """How many rows are normal, and of each kind, most frequent first."""
    kinds = Counter(each.kind or "" for each in lessons if each.answer != "normal")
    normal = sum(each.answer == "normal" for each in lessons)
    return {"normal": normal, "kinds": dict(kinds.most_common())}


def readable_lessons(
    lessons: Sequence[Lesson], detector: Detector, group: str | None = None
) -> tuple[list[Lesson], list[int]]:
    """Lessons with the columns that a detector learns from and nothing else, which may be of any
    form; and the numbers of labels whose rows it cannot read. Columns that a row lacks are empty.
    """
    kept = dict.fromkeys([*detector.schema_.inputs, *([] if group is None else [group])])
    rows = [{name: each.values.get(name) for name in kept} for each in lessons]
    blank = {k for k, each in enumerate(lessons) if not kept.keys() & each.values.keys()}
    unread = blank | unread_rows(rows, detector)
    found = [
        Lesson(each.label, each.alert, each.answer, each.kind, row)
        for k, (each, row) in enumerate(zip(lessons, rows, strict=True))
        if k not in unread
    ]
    return found, [lessons[k].label for k in sorted(unread)]


def unread_rows(rows: Sequence[Mapping[str, Any]], detector: Detector) -> set[int]:
    """The places of rows (n) that a detector cannot read: all are tried at once, then halves of
    those among which there is one, each beside a training row: a boolean that is a number by itself
    is none among others.
    """
    found, among = set[int](), [(0, len(rows))] if rows else []
    kept = getattr(detector, "references_", None)
    beside = [] if kept is None else python_rows(kept.rows.slice(0, 1))
    with quiet():
        while among:
            start, stop = among.pop()
            try:
                table = as_trained(FrameRows([*beside, *rows[start:stop]]).whole(), detector)
                detector.schema_.encode(detector.schema_.admit(table))
            except _UNREAD:
                middle = (start + stop) // 2
                if stop - start > 1:
                    among += [(start, middle), (middle, stop)]
                else:
                    found.add(start)
    return found


def answered_table(lessons: Sequence[Lesson], detector: Detector, column: str) -> FrameRows:
    """Rows with their labels in a column, as `with_answers` takes them; DataError for a kind that
    the detector would take for normal or for no label.
    """
    spelled = [
        str(detector.normal) if each.answer == "normal" else str(each.kind) for each in lessons
    ]
    codes, _ = encode_labels(spelled, rows=len(spelled), normal=detector.normal)
    for each, code in zip(lessons, codes.tolist(), strict=True):
        if (code > 0) != (each.answer != "normal"):
            raise DataError(
                f"label {each.label}: calls its row of the kind {each.kind!r}, which to this model "
                "is no kind of anomaly; undo it, and name the kind otherwise"
            )
    rows = [each.values | {column: name} for each, name in zip(lessons, spelled, strict=True)]
    return FrameRows(as_trained(FrameRows(rows).whole(), detector))


def check_rows(rows: Sequence[dict[str, Any]], detector: Detector) -> None:
    """DataError for rows that nothing could tell again, or that the detector could not judge: no
    retraining could learn them.
    """
    if rows and detector.schema_.noun != "rows":
        raise DataError(f"labels: this model judges {detector.schema_.noun}; answer their alerts")
    for row in rows:
        check_values(row)
    if rows:
        try:
            detector.schema_.encode(as_trained(FrameRows(rows).whole(), detector))
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"labels of rows: {error}") from error


def as_trained(rows: pa.Table, detector: Detector) -> pa.Table:
    """Rows that came as JSON, with the types of the training rows where they can be had."""
    kept = getattr(detector, "references_", None)
    for field in () if kept is None else kept.rows.schema:
        place = rows.column_names.index(field.name) if field.name in rows.column_names else -1
        if place >= 0 and rows.schema.types[place] != field.type:
            try:
                rows = rows.set_column(place, field.name, rows[field.name].cast(field.type))
            except pa.ArrowException:
                continue
    return rows


def written_pictures(
    connection: Connection, numbers: Sequence[int], folder: Path
) -> dict[int, Path]:
    """The images of alerts as they came, in files of a folder; of those that were kept."""
    found = dict[int, Path]()
    for start in range(0, len(numbers), _BLOCK):
        wanted = pictures.c.alert.in_(numbers[start : start + _BLOCK])
        mine = select(pictures).where(wanted, pictures.c.what == "given")
        for row in connection.execute(mine):
            file = folder / f"{row.alert}{_ENDINGS.get(row.media, '.png')}"
            file.write_bytes(row.bytes)
            found[row.alert] = file
    return found


def with_files(lessons: Sequence[Lesson], files: dict[int, Path]) -> list[Lesson]:
    """Lessons about images that are there, each naming its file."""
    return [
        Lesson(each.label, each.alert, each.answer, each.kind, {FILE: str(files[each.alert])})
        for each in lessons
        if each.alert in files
    ]


def scored_again(
    connection: Connection, model: str, version: int, detector: Detector, folder: Path
) -> tuple[list[dict[str, Any]], int]:
    """Rows for the table `rescored`, of the newest alerts, open or labelled; and how many alerts
    this detector cannot score.
    """
    newest = select(alerts.c.id, alerts.c["values"]).where(alerts.c.model == model)
    rows = connection.execute(newest.order_by(alerts.c.id.desc()).limit(AGAIN)).all()
    found, once = list[dict[str, Any]](), NotedOnce()
    for numbers, given in _scorable(connection, rows, detector, folder):
        try:
            scores, pvalues = detector.judged(given, once=once)
        except _UNREAD:  # images of another kind, say
            continue
        each = zip(numbers, scores.tolist(), pvalues.tolist(), strict=True)
        found += [
            {"alert": number, "version": version, "score": score, "pvalue": pvalue}
            for number, score, pvalue in each
            if np.isfinite(score)
        ]
    return found, len(rows) - len(found)


def _scorable(
    connection: Connection, rows: Sequence[Any], detector: Detector, folder: Path
) -> Iterator[tuple[list[int], Any]]:
    """Blocks of numbers of alerts, and what there is to score of them."""
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        if detector.schema_.noun == "rows":
            inputs = set(detector.schema_.inputs)  # others may be of any form
            given = [{k: each for k, each in values.items() if k in inputs} for _, values in part]
            unread = unread_rows(given, detector)  # such as came when the model had other columns
            numbers = [number for k, (number, _) in enumerate(part) if k not in unread]
            rest = [each for k, each in enumerate(given) if k not in unread]
            if rest:
                yield numbers, as_trained(FrameRows(rest).whole(), detector)
            continue
        files = written_pictures(connection, [number for number, _ in part], folder)
        if files:
            none: tuple[None, ...] = (None,) * len(files)
            images = Images(tuple(files.values()), none, none, folder)
            maps = Maps.of(images, detector.features, failed={})
            if len(maps):
                yield [int(file.stem) for file in maps.images.files], maps

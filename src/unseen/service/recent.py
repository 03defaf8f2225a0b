"""Rows that passed of late: a bounded sample of each model, to recalibrate on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, delete, func, insert, select

from unseen.data.tables import without
from unseen.detector.detector import Detector
from unseen.scoring.rows import FrameRows
from unseen.service.lessons import Lesson, as_trained, readable_lessons
from unseen.service.store.tables import now, recent

KEPT = 5000  # rows of a model
TOGETHER = 256  # tables that wait, from which on they become one: a row alone takes far more
DAY = 86_400.0  # seconds over which the sample is spread, where rows are many


class Recent:
    """Draws rows of each model as they pass, to be `taken` and written.

    While few passed, each is drawn; later each with the chance `keep` / (rows of about the last
    day), and the oldest make room. So the sample is spread over that time, however many come.

    Parameters
    ----------
    keep : int
        Rows of a model that are kept.
    seed : int
        Of the draw.
    """

    def __init__(self, keep: int = KEPT, seed: int = 0) -> None:
        self.keep = keep
        self._rng = np.random.default_rng(seed)
        self._lock = Lock()
        self._passed: dict[str, tuple[float, float]] = {}  # rows, as if all came now, and when
        self._drawn: dict[str, list[pa.Table]] = {}

    def see(self, model: str, rows: pa.Table, at: float | None = None) -> None:
        """Draw some of the rows (n, columns) that passed, at a time in seconds."""
        if not self.keep or not len(rows):
            return
        at = time.monotonic() if at is None else at
        with self._lock:
            before, when = self._passed.get(model, (0.0, at))
            passed = before * float(np.exp(-(at - when) / DAY)) + len(rows)
            self._passed[model] = passed, at
            chosen = self._rng.random(len(rows)) < self.keep / passed
            if chosen.any():
                some = rows if chosen.all() else rows.filter(pa.array(chosen))
                drawn = self._drawn.setdefault(model, [])
                drawn.append(some)
                if len(drawn) >= TOGETHER:  # nobody took them for long
                    drawn[:] = [each.combine_chunks() for each in joined_alike(drawn)]

    def taken(self) -> list[dict[str, Any]]:
        """What was drawn, as it is written: packed while nobody waits for the database."""
        with self._lock:
            drawn, self._drawn = self._drawn, {}
        return [
            {"model": model, "at": now(), "rows": len(part), "block": _packed(part)}
            for model, tables in drawn.items()
            for table in joined_alike(tables)
            for part in (table.slice(k, self.keep) for k in range(0, len(table), self.keep))
        ]

    def write(self, connection: Connection, blocks: list[dict[str, Any]]) -> None:
        """Write what was taken, and remove what is more than is kept."""
        connection.execute(insert(recent), blocks)
        for model in {each["model"] for each in blocks}:
            _pruned(connection, model, self.keep)


def rows_kept(connection: Connection, model: str) -> tuple[pa.Table | None, datetime]:
    """The rows of a model that are kept, and since when; None without any."""
    mine = select(recent).where(recent.c.model == model).order_by(recent.c.id)
    blocks = connection.execute(mine).all()
    if not blocks:
        return None, now()
    tables = [pa.ipc.open_stream(row.block).read_all() for row in blocks]
    return _together(tables), blocks[0].at


def without_lessons(
    rows: pa.Table, lessons: Sequence[Lesson], detector: Detector
) -> tuple[pa.Table, int]:
    """The rows (n) that nobody called an anomaly, and how many of them somebody did; rows are the
    same where the detector sees no difference.
    """
    told = [each for each in lessons if each.answer != "normal" and each.values]
    read, _ = readable_lessons(told, detector)  # no row here is as the others
    known = [each.values for each in read]
    rows = as_trained(rows, detector)
    if not known:
        return rows, 0
    labelled = detector.schema_.encode(as_trained(FrameRows(known).whole(), detector))
    of = {each.tobytes() for each in np.ascontiguousarray(labelled)}
    x = np.ascontiguousarray(detector.schema_.encode(rows))
    stay = np.array([each.tobytes() not in of for each in x])
    return rows.filter(pa.array(stay)), int((~stay).sum())


def _pruned(connection: Connection, model: str, keep: int) -> None:
    """Remove the oldest blocks that are not needed for so many rows."""
    mine = recent.c.model == model
    after = func.sum(recent.c.rows).over(order_by=recent.c.id.desc())  # rows from here on
    counted = select(recent.c.id, recent.c.rows, after.label("total")).where(mine).subquery()
    needless = select(counted.c.id).where(counted.c.total - counted.c.rows >= keep)
    connection.execute(delete(recent).where(mine, recent.c.id.in_(needless)))


def joined_alike(tables: Sequence[Any]) -> list[Any]:
    """Tables of the same columns as one; maps of images as they are."""
    if not all(hasattr(table, "schema") for table in tables):
        return list(tables)
    found = list[list[pa.Table]]()
    for table in tables:
        alike = next((group for group in found if group[0].schema.equals(table.schema)), None)
        if alike is None:
            found.append([table])
        else:
            alike.append(table)
    return [pa.concat_tables(group) for group in found]


def _together(tables: list[pa.Table]) -> pa.Table:
    """All rows in one table; where types differ, as of CSV beside JSON, as text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        words = [
            pa.table({name: table[name].cast(pa.large_string()) for name in table.column_names})
            for table in tables
        ]
        return pa.concat_tables(words, promote_options="default")


def _packed(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(out, table.schema, options=options) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(out.getvalue())


def inputs_of(rows: Any, detector: Detector) -> pa.Table:
    """The columns that a detector reads."""
    others = set(rows.column_names).difference(detector.schema_.inputs)
    return without(rows, others) if others else rows

"""Labels that leave the database and come back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, func, select

from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.service.answers import Answer
from unseen.service.labelfiles import HEADS, Line, task_of
from unseen.service.labelling import add_labels, move_on, stale
from unseen.service.lessons import check_rows
from unseen.service.store.tables import alerts, labels
from unseen.service.store.trail import tell

_AT_ONCE = 500  # requests whose alerts are looked up at once


@dataclass(frozen=True)
class Imported:
    """What became of a file.

    Parameters
    ----------
    alerts, rows : int
        Labels that were added: of alerts, and of rows that are no alerts here.
    same : int
        Lines that say what is known already.
    """

    alerts: int
    rows: int
    same: int


def exported(connection: Connection, model: str) -> Iterator[dict[str, Any]]:
    """The labels that count, the oldest first: of each alert the last one, and those of rows."""
    last = select(func.max(labels.c.id)).where(labels.c.model == model, labels.c.undone.is_(None))
    counts = labels.c.id.in_(last.where(labels.c.alert.is_not(None)).group_by(labels.c.alert))
    own = labels.c.alert.is_(None) & labels.c.undone.is_(None) & (labels.c.model == model)
    wanted = select(labels, alerts.c.request, alerts.c.row, alerts.c["values"].label("given"))
    found = wanted.join(alerts, labels.c.alert == alerts.c.id, isouter=True).where(counts | own)
    for each in connection.execute(found.order_by(labels.c.id)):
        line = {name: getattr(each, name) for name in HEADS if name not in ("at", "values")}
        values = each.values if each.alert is None else each.given
        yield line | {"at": each.at.isoformat(), "values": values or {}}


def as_tasks(connection: Connection, model: str) -> Iterator[str]:
    """Label Studio's JSON, a task at a time: labels as annotations, and open alerts as tasks to
    annotate.
    """
    wanted = select(alerts).where(alerts.c.model == model, alerts.c.answer.is_(None))
    open_ = connection.execute(wanted.order_by(alerts.c.id))
    before = "["
    for line in chain(exported(connection, model), (dict(each._mapping) for each in open_)):
        yield before + json.dumps(task_of(line))
        before = ",\n"
    yield "[]" if before == "[" else "]\n"


def import_labels(
    connection: Connection, model: str, lines: Sequence[Line], who: str, detector: Detector
) -> Imported:
    """Add the labels of a file, all or none, as one act; what is known already is left. Stale where
    an alert was answered otherwise, DataError for a row that the detector could not judge.
    """
    known = _alerts_of(connection, model, lines)
    before = {_sayings(each) for each in exported(connection, model)}
    answered: dict[int, Line] = {}
    rows: list[dict[str, Any]] = []
    for line in lines:
        alert = known.get((line.request, line.row))
        if alert is None:
            if not line.values:
                raise DataError(
                    f"labels: there is no alert of row {line.row} of request {line.request!r} "
                    "here, and the line has no values of a row"
                )
            if _sayings(line.cells()) not in before:
                rows.append(line.cells("key", "answer", "kind", "values"))
                before.add(_sayings(line.cells()))
        elif alert.answer is not None:
            if Answer(alert.answer, alert.answer_kind) != line.answer:
                raise stale(connection, alert)
        elif answered.setdefault(alert.id, line).answer != line.answer:
            raise DataError(f"labels: the file answers row {line.row} of {line.request} twice")
    check_rows([row["values"] for row in rows], detector)
    move_on(connection, {number: line.answer for number, line in answered.items()})
    rows += [{"alert": k, **line.cells("key", "answer", "kind")} for k, line in answered.items()]
    act = add_labels(connection, model, rows, who, "import")
    added = Imported(len(answered), len(rows) - len(answered), len(lines) - len(rows))
    tell(connection, who, "import", model, None, {"act": act.id, **asdict(added)})
    return added


def _alerts_of(
    connection: Connection, model: str, lines: Sequence[Line]
) -> dict[tuple[str | None, int | None], Row[Any]]:
    """The alerts that labels are of, by request and row; nobody else changes them meanwhile."""
    requests = sorted({line.request for line in lines if line.request and line.row})
    found = {}
    for k in range(0, len(requests), _AT_ONCE):
        among = alerts.c.model == model, alerts.c.request.in_(requests[k : k + _AT_ONCE])
        for row in connection.execute(select(alerts).where(*among).with_for_update()):
            found[row.request, row.row] = row
    return found


def _sayings(cells: dict[str, Any]) -> str:
    """Equal of labels of rows that say the same."""
    told = [cells["key"], cells["answer"], cells["kind"], cells["values"]]
    return json.dumps(told, sort_keys=True)

"""Labels: what people answer to alerts, what they say of other rows, and how it is undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from unseen.errors import DataError
from unseen.service.answers import Answer, NoAlert, NotYours, Stale, Undone
from unseen.service.registry import Registry
from unseen.service.store.tables import alerts, labels, now
from unseen.service.store.trail import tell
from unseen.service.tokens import Who


@dataclass(frozen=True)
class Act:
    """What one call labelled, and is undone together.

    Parameters
    ----------
    id : str
        What `undo` names.
    labels : int
        How many labels it made.
    """

    id: str
    labels: int


def answer_alert(
    connection: Connection,
    model: str,
    number: int,
    given: Answer,
    *,
    revision: int,
    who: str,
    origin: str,
    duplicates_to: int = 0,
) -> Act:
    """Answer an alert as it was seen, at its revision, and with it its open near duplicates with
    numbers up to `duplicates_to`. Stale where somebody answered meanwhile; NoAlert.
    """
    row = alert_of(connection, model, number)
    new = {"answer": given.answer, "answer_kind": given.kind, "revision": alerts.c.revision + 1}
    same = alerts.c.id == number, alerts.c.revision == revision
    if not connection.execute(update(alerts).where(*same).values(**new)).rowcount:
        raise stale(connection, alert_of(connection, model, number))
    alike = (
        alerts.c.model == model,
        alerts.c.similar == row.similar,
        alerts.c.answer.is_(None),
        alerts.c.id <= duplicates_to,
    )
    changed = update(alerts).where(*alike).values(**new).returning(alerts.c.id, alerts.c.key)
    rows = [(number, row.key), *((each.id, each.key) for each in connection.execute(changed))]
    found = [{"alert": each, "key": key} | _of(given) for each, key in rows]
    act = add_labels(connection, model, found, who, origin)
    detail = {"answer": given.answer, "kind": given.kind, "act": act.id, "alerts": len(rows)}
    tell(connection, who, "label", model, number, detail)
    return act


def label_rows(
    connection: Connection,
    model: str,
    rows: Sequence[tuple[Answer, str | None, dict[str, Any]]],
    *,
    who: str,
    origin: str,
) -> Act:
    """Labels of rows that are no alerts: of each its answer, its key and its values by column."""
    for _, _, values in rows:
        if not values:
            raise DataError("a label of a row that is no alert needs the row's values")
    found = [_of(given) | {"key": key, "values": values} for given, key, values in rows]
    act = add_labels(connection, model, found, who, origin)
    tell(connection, who, "label", model, None, {"act": act.id, "rows": len(rows)})
    return act


def add_labels(
    connection: Connection, model: str, rows: Sequence[dict[str, Any]], who: str, origin: str
) -> Act:
    """Write labels as one act: of each row the number of its alert or its values, its key, answer
    and kind. Whoever calls it moves the alerts on, and tells the audit trail.
    """
    act = Act(uuid4().hex, len(rows))
    own = {"model": model, "act": act.id, "at": now(), "by": who, "origin": origin}
    usual = {"alert": None, "values": None}
    if rows:
        connection.execute(insert(labels), [own | usual | row for row in rows])
    return act


def move_on(connection: Connection, answers: dict[int, Answer]) -> None:
    """Give alerts, by number, the answers that count from now on."""
    new = {
        "answer": bindparam("said"),
        "answer_kind": bindparam("named"),
        "revision": alerts.c.revision + 1,
    }
    rows = [{"number": n, "said": each.answer, "named": each.kind} for n, each in answers.items()]
    if rows:
        moved = update(alerts).where(alerts.c.id == bindparam("number")).values(**new)
        connection.execute(moved, rows)


def undo(connection: Connection, model: str, act: str, who: Who) -> int:
    """Take back all labels of an act, and give their number; alerts go back to the answer that
    they had before. NoAlert, NotYours, and Undone for one that was undone before.
    """
    mine = labels.c.model == model, labels.c.act == act
    row = connection.execute(select(labels.c.by).where(*mine).limit(1)).first()
    if row is None:
        raise NoAlert(f"model {model!r}: there is no label of the act {act[:40]!r}")
    if row.by != who.name and not who.may("manage"):
        raise NotYours(f"this label is by {row.by}: they, or an administrator, may undo it")
    gone = {"undone": now(), "undone_by": who.name}
    done = connection.execute(update(labels).where(*mine, labels.c.undone.is_(None)).values(**gone))
    if not done.rowcount:
        raise Undone("this label was undone before; nothing was changed")
    touched = select(labels.c.alert).where(*mine)
    opened = {"answer": None, "answer_kind": None, "revision": alerts.c.revision + 1}
    connection.execute(update(alerts).where(alerts.c.id.in_(touched)).values(**opened))
    for number, answer, kind in counting(connection, labels.c.alert.in_(touched)):
        before = {"answer": answer, "answer_kind": kind}
        connection.execute(update(alerts).where(alerts.c.id == number).values(**before))
    tell(connection, who.name, "undo", model, None, {"act": act, "labels": done.rowcount})
    return int(done.rowcount)


def counting(connection: Connection, *which: Any) -> list[tuple[int, str, str | None]]:
    """The label that counts of each of some alerts, the last that was not undone: number of the
    alert, answer and kind.
    """
    last = select(func.max(labels.c.id)).where(*which, labels.c.undone.is_(None))
    wanted = last.group_by(labels.c.alert)
    found = select(labels.c.alert, labels.c.answer, labels.c.kind).where(labels.c.id.in_(wanted))
    return [(each.alert, each.answer, each.kind) for each in connection.execute(found)]


def last_act(connection: Connection, model: str, who: str) -> str | None:
    """The last act of somebody that may be undone."""
    mine = labels.c.model == model, labels.c.by == who, labels.c.undone.is_(None)
    found: str | None = connection.execute(
        select(labels.c.act).where(*mine).order_by(labels.c.id.desc()).limit(1)
    ).scalar()
    return found


def first_of(connection: Connection, model: str, act: str) -> int | None:
    """The alert that an act answered first; None where it was about rows."""
    mine = labels.c.model == model, labels.c.act == act
    found: int | None = connection.execute(
        select(labels.c.alert).where(*mine).order_by(labels.c.id).limit(1)
    ).scalar()
    return found


def classes_of(registry: Registry, model: str) -> list[str]:
    """The kinds of anomalies that the serving version learned."""
    return [str(each) for each in registry.serving(model).bundle.detector.classes_]


def kinds_named(connection: Connection, model: str, classes: Sequence[str]) -> list[str]:
    """The kinds that an alert may be said to be: those that the detector learned, then those that
    people named, in the order of their first label.
    """
    named = select(labels.c.kind, func.min(labels.c.id).label("first")).where(
        labels.c.model == model, labels.c.undone.is_(None), labels.c.kind.is_not(None)
    )
    first = named.group_by(labels.c.kind).order_by("first")
    return list(dict.fromkeys([*classes, *(each.kind for each in connection.execute(first))]))


def check_kind(connection: Connection, model: str, given: Answer, classes: Sequence[str]) -> None:
    """DataError for a known kind that nobody knows: it may be misspelled."""
    if given.answer == "known" and given.kind not in kinds_named(connection, model, classes):
        raise DataError(
            f"there is no known kind {given.kind!r}; answer 'new' to name one, or choose a known "
            "one"
        )


def alert_of(connection: Connection, model: str, number: int) -> Row[Any]:
    """An alert of a model; NoAlert."""
    mine = alerts.c.model == model, alerts.c.id == number
    row = connection.execute(select(alerts).where(*mine)).first()
    if row is None:
        raise NoAlert(f"model {model!r}: there is no alert {number}")
    return row


def _of(given: Answer) -> dict[str, Any]:
    return {"answer": given.answer, "kind": given.kind}


def stale(connection: Connection, row: Row[Any]) -> Stale:
    """What somebody else answered, as a sentence and as values."""
    last = connection.execute(
        select(labels.c.by, labels.c.at)
        .where(labels.c.alert == row.id, labels.c.undone.is_(None))
        .order_by(labels.c.id.desc())
        .limit(1)
    ).first()
    newest = {"alert": row.id, "revision": row.revision, "answer": row.answer}
    newest |= {"kind": row.answer_kind, "by": None if last is None else last.by}
    if last is None or row.answer is None:
        what = "its label was undone meanwhile"
    else:
        when = f"{last.at:%Y-%m-%d %H:%M} UTC"
        what = f"{last.by} answered {Answer(row.answer, row.answer_kind)} at {when}"
    return Stale(
        f"alert {row.id}: {what}. Your answer was not saved; look again, and answer the alert as "
        "it is now if you disagree",
        newest,
    )

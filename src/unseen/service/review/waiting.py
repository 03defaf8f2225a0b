"""What waits for an answer: the queue of a model, as far as a day's time for alarms goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, func, select

from unseen.service.labelling import last_act
from unseen.service.ranking import open_alerts
from unseen.service.store.tables import alerts, audit, labels, now, traffic

SHOWN = 100  # alerts of a queue on a page
WINDOW = timedelta(days=30)  # of traffic, for which there is so much time a day


@dataclass(frozen=True)
class Queue:
    """The open alerts of a model, those to look at first in front.

    Parameters
    ----------
    rows : sequence of Row
        The first of them.
    open : int
        How many there are.
    left : int or None
        For how many more there is time, at so many a day; None where all are shown.
    days : int
        Days of traffic in the window.
    mark : str
        Changes with anything that the page shows.
    """

    rows: Sequence[Row[Any]]
    open: int
    left: int | None
    days: int
    mark: str


def queue_of(connection: Connection, model: str, per_day: int | None) -> Queue:
    """The queue of a model: of so many alarms for each day of traffic, those that are not looked at
    yet.
    """
    since = now() - WINDOW
    days = days_seen(connection, model)
    left = None
    if per_day is not None:
        seen = select(func.count(labels.c.act.distinct())).where(
            labels.c.model == model, labels.c.at > since, labels.c.undone.is_(None)
        )
        looked = connection.execute(seen.where(labels.c.alert.is_not(None))).scalar() or 0
        left = max(0, per_day * days - looked)
    rows = open_alerts(connection, model, limit=min(SHOWN, SHOWN if left is None else left))
    mine = alerts.c.model == model, alerts.c.answer.is_(None)
    count = connection.execute(select(func.count()).select_from(alerts).where(*mine)).scalar()
    return Queue(rows, count or 0, left, days, mark_of(connection, model))


def days_seen(connection: Connection, model: str) -> int:
    """On how many days of the window rows passed, or alarmed; at least 1."""
    since = now() - WINDOW
    hours = select(traffic.c.hour).where(traffic.c.model == model, traffic.c.hour > since)
    found = {each.date() for each in connection.execute(hours).scalars()}
    ends = select(func.min(alerts.c.at), func.max(alerts.c.at))
    first, last = connection.execute(ends.where(alerts.c.model == model, alerts.c.at > since)).one()
    return max(1, len(found) or (1 if first is None else (last.date() - first.date()).days + 1))


def mark_of(connection: Connection, model: str) -> str:
    """Equal as long as nothing changed that the page shows: new alerts come later than others, and
    every change is in the audit trail.
    """
    last = connection.execute(select(func.max(audit.c.id))).scalar()
    newest = select(func.max(alerts.c.at)).where(alerts.c.model == model)
    return sha256(f"{last} {connection.execute(newest).scalar()}".encode()).hexdigest()[:16]


def undo_of(connection: Connection, model: str, who: str) -> dict[str, Any] | None:
    """What somebody may undo next: the act, how many labels it has, and what they say."""
    act = last_act(connection, model, who)
    if act is None:
        return None
    mine = select(labels.c.answer, labels.c.kind, labels.c.alert).where(labels.c.act == act)
    found = connection.execute(mine.order_by(labels.c.id)).all()
    return {"act": act, "labels": len(found), **dict(found[0]._mapping)}

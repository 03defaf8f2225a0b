"""Retention: rows and labels deleted by age or by key, with a line in the audit trail that names
none of their values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from unseen.errors import DataError
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, labels, now, pictures, recent, rescored
from unseen.service.store.trail import tell

BLOCK = 1000  # alerts of one transaction: others write in between
CENTURY = timedelta(days=36_500)
TOLD = ("alerts", "labels", "pictures", "recent")


@dataclass(frozen=True)
class Purged:
    """What was deleted.

    Parameters
    ----------
    counts : dict of str to int
        By table: "alerts", "labels", "pictures", "recent" (blocks of rows that passed).
    gone : bool
        False where SQLite's log still holds some of it, as somebody was reading: purge again.
    """

    counts: dict[str, int]
    gone: bool


def purge(
    store: Store,
    who: str,
    *,
    before: datetime | None = None,
    key: str | None = None,
    labelled: bool = False,
) -> Purged:
    """Delete rows and labels, by age or by key.

    Parameters
    ----------
    store : Store
        The database.
    who : str
        For the audit trail.
    before : datetime, optional
        Alerts that nobody answered and rows that passed, of before this time with its zone.
    key : str, optional
        Alerts with this key, with their labels, and labels of rows with it. Rows that passed are
        kept without keys, and are found by their age alone.
    labelled : bool
        With `before`: labels of before that time, and alerts that were answered, as well. A
        detector that is retrained afterwards does not know them any more.

    Returns
    -------
    Purged
        How many of each.

    Raises
    ------
    DataError
        Unless exactly one of `before` and `key` is given, and for a time without a zone.
    """
    if (before is None) == (key is None):
        raise DataError("expected an age or a key, one of the two, so that no more is deleted")
    if before is not None and before.tzinfo is None:
        raise DataError(f"expected a time with its zone, found {before.isoformat()}")
    total, more = Counter[str](dict.fromkeys(TOLD, 0)), True
    while more:
        with store.writing() as connection:
            found = _alerts_deleted(connection, before, key, labelled)
            more = found["alerts"] == BLOCK
            if not more:
                found += _rest_deleted(connection, before, key, labelled)
            if found.total():
                by = {"by": "key"} if before is None else {"before": before.isoformat()}
                tell(connection, who, "purge", None, None, by | found)
        total.update(found)
    return Purged(dict(total), store.emptied())


def in_words(purged: Purged) -> str:
    """What was deleted, for an operator."""
    told = "deleted: " + ", ".join(f"{name} {count:,}" for name, count in purged.counts.items())
    left = "\nsome of it is still in SQLite's log, as somebody was reading: purge again"
    return told if purged.gone else told + left


def time_of(age: timedelta) -> datetime:
    """When something of that age came; DataError for an age below 0, or of more than a century."""
    if not timedelta(0) <= age <= CENTURY:
        raise DataError(
            f"expected an age from 0 to {CENTURY.days:,} days, such as 90d, found {age}"
        )
    return now() - age


def _alerts_deleted(
    connection: Connection, before: datetime | None, key: str | None, labelled: bool
) -> Counter[str]:
    """Delete up to `BLOCK` alerts with all that belongs to them, and count it."""
    which = [alerts.c.key == key] if before is None else [alerts.c.at < before]
    if before is not None and not labelled:
        which.append(alerts.c.answer.is_(None))
    wanted = select(alerts.c.id).where(*which).order_by(alerts.c.id).limit(BLOCK)
    numbers = connection.execute(wanted).scalars().all()
    found = Counter[str]()
    for table in (labels, pictures, rescored):
        gone = connection.execute(delete(table).where(table.c.alert.in_(numbers)))
        found[table.name] = gone.rowcount
    found["alerts"] = connection.execute(delete(alerts).where(alerts.c.id.in_(numbers))).rowcount
    return Counter({name: found[name] for name in TOLD if found[name]})


def _rest_deleted(
    connection: Connection, before: datetime | None, key: str | None, labelled: bool
) -> Counter[str]:
    """Delete labels of rows that are no alerts, and rows that passed, and count them."""
    found = Counter[str]()
    if before is None or labelled:
        own = labels.c.key == key if before is None else labels.c.at < before
        gone = connection.execute(delete(labels).where(labels.c.alert.is_(None), own))
        found["labels"] = gone.rowcount
    if before is not None:
        found["recent"] = connection.execute(delete(recent).where(recent.c.at < before)).rowcount
    return +found

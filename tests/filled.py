"""Rows in every table of the service's database, with what is hard to keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import inspect, text

from unseen.service.store.tables import metadata

AT = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
ELSEWHERE = datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))
HARD = {"größe": 0.1 + 0.2, "n": -1e308, "inf": float("inf"), "text": "\u0000 \ud83d 'x\\"}


def rows():
    """Rows by table, in an order in which they can be inserted."""
    alert = {"model": "m", "version": 1, "at": AT, "score": 1 / 3, "pvalue": 1e-300}
    alert |= {"values": HARD, "similar": "0" * 64}
    return {
        "tokens": [{"name": "ann", "role": "admin", "digest": "a" * 64, "created": AT}],
        "models": [{"name": "m", "created": AT, "current": 1, "policy": "alpha", "level": 0.01}],
        "sessions": [
            {"digest": "c" * 64, "token": 1, "csrf": "d", "created": AT, "expires": ELSEWHERE}
        ],
        "versions": [
            {"model": "m", "number": 1, "digest": "b" * 64, "origin": "given", "created": AT}
            | {"facts": {"rows": 3}}
        ],
        "alerts": [
            alert | {"request": "q", "row": 1, "key": "ключ\t'1'", "kind": "überlast"},
            alert | {"request": "q", "row": 2**40, "kind": "", "reasons": {"columns": []}},
        ],
        "pictures": [
            {"alert": 1, "what": "heat", "media": "image/png", "bytes": bytes(range(256))}
        ],
        "labels": [
            {"model": "m", "alert": 1, "act": "1", "at": ELSEWHERE, "by": "ann", "origin": "page"}
            | {"answer": "known", "kind": "x", "undone": AT, "undone_by": "ann"},
            {
                "model": "m",
                "act": "2",
                "at": AT,
                "by": "ann",
                "origin": "import",
                "answer": "normal",
            }
            | {"key": "k", "values": HARD},
        ],
        "jobs": [
            {"model": "m", "what": "retrain", "state": "done", "settings": {}, "by": "ann"}
            | {"created": AT, "progress": 0.5}
        ],
        "rescored": [{"alert": 1, "version": 2, "score": 0.1, "pvalue": 0.2}],
        "traffic": [
            {"model": "m", "version": 1, "hour": AT, "rows": 2**40, "alarms": 2, "failed": 0}
        ],
        "drifts": [
            {"model": "m", "version": 1, "at": AT, "rows": 5, "drifted": True, "report": [1, None]}
        ],
        "recent": [{"model": "m", "at": AT, "rows": 2, "block": b"\x00\xff"}],
        "audit": [{"at": AT, "who": "ann", "what": "label", "subject": "1", "detail": {"a": "b"}}],
    }


def fill(store):
    """Put them in, and give them back."""
    found = rows()
    assert found.keys() == metadata.tables.keys()
    with store.writing() as connection:
        for name, each in found.items():
            for row in each:
                connection.execute(metadata.tables[name].insert(), row)
    return found


def everything(store):
    """All rows of all tables as the database has them, whatever its schema."""
    with store.reading() as connection:
        names = [name for name in inspect(connection).get_table_names() if name[:7] != "alembic"]
        return {
            name: sorted(
                str(sorted(row._mapping.items(), key=lambda pair: pair[0]))
                for row in connection.execute(text(f'SELECT * FROM "{name}"'))
            )
            for name in names
        }

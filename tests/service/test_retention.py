"""Retention: what is deleted, by age or by key, is gone from the file; the audit trail tells how
many and no value.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select
from stand import Stand, saved

from filled import AT, everything, fill
from unseen.errors import DataError
from unseen.service import retention
from unseen.service.retention import in_words, purge, time_of
from unseen.service.store import schema
from unseen.service.store.copying import counted
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, audit, labels, pictures, recent

NEW = datetime(2026, 11, 1, tzinfo=UTC)
LIMIT = datetime(2026, 10, 1, tzinfo=UTC)
SECRET = "s3cr3t-of-" + "customer"


@pytest.fixture
def store(url):
    """Old and new alerts, with and without answers, each with a label, a picture and a secret."""
    found = Store(url)
    schema.upgrade(found)
    fill(found)
    with found.writing() as connection:
        for table in (labels, pictures, alerts, recent):
            connection.execute(table.delete())
        connection.execute(insert(alerts), [alert(k) for k in range(8)])
        numbers = connection.execute(select(alerts.c.id).order_by(alerts.c.id)).scalars().all()
        of = {"what": "image", "media": "image/png"}
        row = {"model": "m", "act": "3", "by": "ann", "origin": "api", "answer": "new"} | {
            "kind": SECRET
        }
        for k, number in enumerate(numbers):
            shot = of | {"alert": number, "bytes": f"{SECRET}-{k}".encode() * 2000}
            connection.execute(insert(pictures), shot)
            if k % 2:
                connection.execute(insert(labels), row | {"alert": number, "at": NEW})
        own = row | {"values": {"x": SECRET}}
        connection.execute(insert(labels), own | {"at": AT, "key": "k1"})
        connection.execute(insert(labels), own | {"at": NEW, "key": "k2"})
        for at in (AT, NEW):
            row = {"model": "m", "at": at, "rows": 1, "block": SECRET.encode()}
            connection.execute(insert(recent), row)
    yield found
    found.close()


def alert(k):
    """Four old ones and four new ones by turns of answers; two keys."""
    row = {"model": "m", "version": 1, "request": f"r{k}", "row": 1, "at": AT if k < 4 else NEW}
    row |= {"key": f"k{k % 3}", "score": 1.0, "pvalue": 0.001, "similar": "s"}
    row |= {"values": {"who": f"{SECRET}-{k}", "long": "x" * 3000}}
    return row | {"answer": "new" if k % 2 else None}


def left(store):
    """What is left of alerts by request, and of labels and recent rows by number."""
    with store.reading() as connection:
        requests = connection.execute(select(alerts.c.request).order_by(alerts.c.id)).scalars()
        found = list(requests)
    counts = counted(store)
    return found, counts["labels"], counts["pictures"], counts["recent"]


def test_by_age_what_has_an_answer_stays(store):
    found = purge(store, "ann", before=LIMIT)
    assert found.counts == {"alerts": 2, "labels": 0, "pictures": 2, "recent": 1}
    assert left(store) == (["r1", "r3", "r4", "r5", "r6", "r7"], 6, 6, 1)


def test_by_age_with_answers(store):
    found = purge(store, "ann", before=LIMIT, labelled=True)
    assert found.counts == {"alerts": 4, "labels": 3, "pictures": 4, "recent": 1}
    assert left(store) == (["r4", "r5", "r6", "r7"], 3, 4, 1)


def test_by_key_nothing_stays(store):
    found = purge(store, "ann", key="k1")  # alerts 1, 4 and 7, of which 1 and 7 have an answer
    assert found.counts == {"alerts": 3, "labels": 3, "pictures": 3, "recent": 0}
    assert left(store) == (["r0", "r2", "r3", "r5", "r6"], 3, 5, 2)


def test_a_large_purge_lets_others_write_in_between(store, monkeypatch):
    monkeypatch.setattr(retention, "BLOCK", 3)
    found = purge(store, "ann", before=NEW + timedelta(1), labelled=True)
    assert found.counts == {"alerts": 8, "labels": 6, "pictures": 8, "recent": 2}
    with store.reading() as connection:
        lines = connection.execute(select(audit.c.detail).where(audit.c.what == "purge")).scalars()
        assert [line.get("alerts") for line in lines] == [3, 3, 2]


def test_the_trail_tells_how_many_and_no_value(store):
    purge(store, "ann", key="k1")
    purge(store, "bob", before=LIMIT)
    with store.reading() as connection:
        lines = connection.execute(select(audit).where(audit.c.what == "purge")).all()
    assert [(line.who, line.detail) for line in lines] == [
        ("ann", {"by": "key", "alerts": 3, "labels": 3, "pictures": 3}),
        ("bob", {"before": LIMIT.isoformat(), "alerts": 2, "pictures": 2, "recent": 1}),
    ]
    assert "k1" not in str(lines)


def test_what_is_deleted_is_in_no_file(tmp_path):
    """Neither in the database nor in its log."""
    found = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
    schema.upgrade(found)
    fill(found)
    with found.writing() as connection:
        connection.execute(insert(alerts), [alert(k) for k in range(4)])
        connection.execute(insert(recent), {"model": "m", "at": AT, "rows": 1, "block": b"s3cr3t"})
    with found.writing() as connection:  # moved about before
        connection.execute(alerts.update().values(answer_kind=SECRET * 9))
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert raw.count(b"s3cr3t") >= 5
    assert purge(found, "ann", before=AT + timedelta(1), labelled=True).gone
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert raw.count(b"s3cr3t") == 0
    found.close()


def test_while_somebody_reads_the_log_keeps_it_and_that_is_said(tmp_path, monkeypatch):
    found = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
    schema.upgrade(found)
    fill(found)
    with found.reading() as connection:
        connection.execute(select(alerts)).all()
        monkeypatch.setattr("unseen.service.store.connections.WAIT", 0.1)
        again = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
        told = purge(again, "ann", before=AT + timedelta(1), labelled=True)
        assert not told.gone
        assert "purge again" in in_words(told)
    assert purge(found, "ann", before=AT + timedelta(1), labelled=True).gone
    for each in (found, again):
        each.close()


def test_neither_all_nor_nothing_by_mistake(store):
    before = everything(store)
    for how in ({}, {"key": "k1", "before": LIMIT}):
        with pytest.raises(DataError, match="an age or a key, one of the two"):
            purge(store, "ann", **how)
    with pytest.raises(DataError, match="a time with its zone"):
        purge(store, "ann", before=datetime(2026, 10, 1))
    for age in (timedelta(days=-1), timedelta(days=40_000)):
        with pytest.raises(DataError, match="an age from 0 to 36,500 days"):
            time_of(age)
    assert everything(store) == before


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand")
    found = Stand(folder / "home", saved(folder))
    yield found
    found.close()


def test_over_the_api_by_an_administrator_alone(stand):
    rows = [{"load": 3.0, "heat": 500.0, "valve": "open", "id": name} for name in ("a", "b")]
    assert stand.ask(path="/v1/models/pumps/score?key=id", json={"rows": rows}).status_code == 200
    ask = {"path": "/v1/purge", "json": {"key": "a"}}
    assert stand.ask(**ask, role=None).status_code == 401
    for role in ("score", "review"):
        assert stand.ask(**ask, role=role).status_code == 403
    counts = {"alerts": 1, "labels": 0, "pictures": 0, "recent": 0}
    assert stand.ask(**ask, role="admin").json() == {"deleted": counts, "gone": True}
    assert stand.ask(**ask, role="admin").json()["deleted"] == counts | {"alerts": 0}
    said = stand.ask(path="/v1/purge", role="admin", json={"older_than_days": 0})
    assert said.json()["deleted"]["alerts"] == 1


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"key": "a", "older_than_days": 1},
        {"older_than_days": -1},
        {"older_than_days": 1e300},
        {"key": "a", "model": "pumps"},
        {"older_than_days": "all"},
    ],
)
def test_what_is_no_age_and_no_key_deletes_nothing(stand, wanted):
    stand.service.traffic.flush()  # else what other tests scored is counted meanwhile
    before = counted(stand.service.store)
    assert stand.ask(path="/v1/purge", role="admin", json=wanted).status_code in (400, 422)
    assert counted(stand.service.store) == before

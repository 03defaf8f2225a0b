"""Traffic: counts add up over threads, servers and a database that was gone."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from filled import fill
from unseen.service.store import schema
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import traffic
from unseen.service.traffic import Traffic


@pytest.fixture
def kept(url):
    """A database with a model "m", and counts of an hour long ago."""
    found = Store(url)
    schema.upgrade(found)
    fill(found)
    yield found
    found.close()


def counted(kept, version=1):
    """Rows, alarms and failures of the hours since the counts long ago."""
    with kept.reading() as connection:
        found = connection.execute(
            select(traffic).where(traffic.c.version == version, traffic.c.rows < 2**40)
        ).all()
    return [sum(getattr(row, name) for row in found) for name in ("rows", "alarms", "failed")]


def test_counts_of_two_servers_and_many_threads_add_up(kept, url):
    second = Store(url)
    servers = [Traffic(kept), Traffic(second)]

    def ask(server):
        for _ in range(200):
            server.count("m", 1, rows=3, alarms=1)
            server.count("m", 2, failed=1)
        server.flush()

    threads = [threading.Thread(target=ask, args=(servers[k % 2],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()
    second.close()
    assert counted(kept) == [2400, 800, 0]
    assert counted(kept, 2) == [0, 0, 800]


def test_counts_wait_while_the_database_is_gone(kept, monkeypatch):
    server = Traffic(kept)
    server.count("m", 1, rows=5, alarms=1)

    def gone():
        raise StoreError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "writing", gone)
        with pytest.raises(StoreError):
            server.flush()
        server.count("m", 1, rows=2)
    server.close()
    assert counted(kept) == [7, 1, 0]

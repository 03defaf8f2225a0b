"""Faults: what a client was told is kept, whatever happens to server, database and disk.

UNSEEN_KILLS=100 python -m pytest -s tests/service/test_faults.py is the long form.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from crashes import Nursery
from unseen import Bundle, Detector
from unseen.service.store import schema
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, audit, labels, traffic
from unseen.service.tokens import add_token

KILLS = int(os.environ.get("UNSEEN_KILLS", "10"))
CLIENTS, ALARMS, NORMALS = 3, 2, 2
COLUMNS = ("a", "b", "c")
GONE = (httpx.TransportError, httpx.InvalidURL)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a small detector, named "m", of normal rows alone: it is loaded soon."""
    x = np.random.default_rng(0).normal(size=(300, 3))
    y, rows = np.full(300, "normal"), pa.table(dict(zip(COLUMNS, x.T, strict=True)))
    folder = tmp_path_factory.mktemp("model") / "m"
    Bundle(Detector("mahalanobis", random_state=0).fit(rows, y), {"source": "x"}).save(folder)
    return folder


@pytest.fixture(scope="module")
def nursery(model, tmp_path_factory) -> Iterator[Nursery]:
    with (tmp_path_factory.mktemp("log") / "log.txt").open("w") as log:
        found = Nursery(model, log)
        yield found
        found.close()


@dataclass
class Told:
    """What a client was told, and what it does not know."""

    alerts: dict[str, tuple[int, float]] = field(default_factory=dict)  # by key: number and value
    answers: dict[int, str] = field(default_factory=dict)  # by number of an alert
    refused: Counter[int] = field(default_factory=Counter)
    open: list[tuple] = field(default_factory=list)  # sent, without an answer


class Client(threading.Thread):
    """Scores rows of which some alarm, and labels an alert of each request, until it is stopped or
    nobody answers. A request without an answer is sent again at the next start, as it was.
    """

    def __init__(self, number, address, token, told):
        super().__init__()
        self.web = httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        self.number, self.told, self.stopped = number, told, threading.Event()
        self.failed = None

    def run(self):
        try:
            while not self.stopped.is_set():
                ask = self.told.open.pop() if self.told.open else self.new()
                self.told.open.append(ask)
                if self.send(*ask):
                    self.told.open.remove(ask)
                else:
                    time.sleep(0.02)
        except GONE:
            pass
        except Exception as error:
            self.failed = error
        finally:
            self.web.close()

    def new(self):
        """A request to score, or a label of an alert that has none."""
        waiting = [number for number, _ in self.told.alerts.values()]
        if waiting and len(self.told.answers) * 2 * ALARMS < len(waiting):
            number = next(each for each in waiting if each not in self.told.answers)
            return "label", number, random.choice(["normal", "new"])
        name = f"{self.number}-{random.getrandbits(64):x}"
        rows = [
            {"id": f"{name}-{k}"} | dict.fromkeys(COLUMNS, 40.0 + k if k < ALARMS else 0.1 * k)
            for k in range(ALARMS + NORMALS)
        ]
        return "score", name, rows

    def send(self, what, name, given):
        """Whether it was answered as done; what was done is remembered."""
        if what == "score":
            said = self.web.post(
                "/v1/models/m/score?key=id", json={"rows": given}, headers={"Idempotency-Key": name}
            )
            if said.status_code == 200:
                raised = [row for row in said.json()["rows"] if "alert" in row]
                assert len(raised) == ALARMS
                for row, sent in zip(raised, given[:ALARMS], strict=True):
                    assert self.told.alerts.get(row["key"], (row["alert"],))[0] == row["alert"]
                    self.told.alerts[row["key"]] = row["alert"], sent["a"]
                return True
        else:
            kind = {"kind": "odd"} if given == "new" else {}
            said = self.web.patch(
                f"/v1/models/m/alerts/{name}", json={"answer": given, "revision": 0} | kind
            )
            if said.status_code in (200, 409):  # 409: it was done before the crash
                self.told.answers[name] = given
                return True
        self.told.refused[said.status_code] += 1
        assert said.status_code in (429, 503), said.text
        assert int(said.headers["Retry-After"]) >= 1
        return False


class Load:
    """Clients that ask a server, and remember over its deaths what they were told."""

    def __init__(self, url):
        self.url, self.told = url, [Told() for _ in range(CLIENTS)]
        self.store = Store(url)
        schema.check_current(self.store)
        with self.store.writing() as connection:
            self.token = add_token(connection, "crash", "admin")
        self.clients = []

    def start(self, address):
        self.clients = [Client(k, address, self.token, told) for k, told in enumerate(self.told)]
        for client in self.clients:
            client.start()

    def stop(self):
        for client in self.clients:
            client.stopped.set()
        for client in self.clients:
            client.join()
            assert client.failed is None, client.failed

    def acknowledged(self):
        told = self.told
        return sum(len(each.alerts) for each in told), sum(len(each.answers) for each in told)

    def refused(self):
        return sum((each.refused for each in self.told), Counter())

    def check(self):
        """All that was told is there, nothing is half, and nothing is there twice."""
        with self.store.reading() as connection:
            kept = connection.execute(select(alerts)).all()
            said = connection.execute(select(labels)).all()
            lines = connection.execute(select(audit).where(audit.c.what == "label")).all()
        by_key = {row.key: row for row in kept}
        assert len(by_key) == len(kept), "an alert is there twice"
        for told in self.told:
            for key, (number, value) in told.alerts.items():
                assert by_key[key].id == number
                assert by_key[key].values["a"] == value
                assert by_key[key].reasons is not None
        requests = Counter(row.request for row in kept)
        assert set(requests.values()) <= {ALARMS}, "half of a request is there"
        of = {row.alert: row for row in said}
        assert len(of) == len(said) == len(lines), "a label is there twice, or without its line"
        assert of.keys() == {row.id for row in kept if row.answer}, "a label is half there"
        for told in self.told:
            for number, answer in told.answers.items():
                assert of[number].answer == answer
        for row in kept:
            assert row.answer is None or (row.answer, row.revision) == (of[row.id].answer, 1)
        if self.store.is_sqlite:
            with self.store.reading() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
                assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        return len(kept), len(said)


def test_killed_again_and_again_nothing_acknowledged_is_lost(nursery, model, url, tmp_path):
    """At any moment: before, while and after it writes."""
    load, chance, began = Load(url), random.Random(0), time.monotonic()
    for _ in range(KILLS):
        load.start(nursery.serve(model, "--store", url, "--home", tmp_path / "home"))
        enough = sum(load.acknowledged()) + chance.randint(1, 12)
        wait_for(lambda enough=enough: sum(load.acknowledged()) >= enough)
        time.sleep(chance.uniform(0, 0.03))
        nursery.kill()
        load.stop()
        if KILLS > 10:
            load.check()
    load.start(nursery.serve(model, "--store", url, "--home", tmp_path / "home"))
    known = sum(load.acknowledged())  # what was open is sent again
    wait_for(lambda: sum(load.acknowledged()) > known + 10)
    load.stop()
    nursery.kill(signal.SIGTERM)
    found, told = load.check(), load.acknowledged()
    assert told[0] > 2 * KILLS
    assert told[1] > KILLS // 2
    print(
        f"\n{url.split(':')[0]}: {KILLS} kills in {time.monotonic() - began:.0f} s, "
        f"{told[0]:,} alerts and {told[1]:,} labels acknowledged, "
        f"{found[0]:,} and {found[1]:,} kept"
    )
    load.store.close()


def test_a_database_that_is_gone_and_comes_back(nursery, model, postgres, tmp_path):
    """Killed, too: meanwhile 503, and then the same server goes on."""
    load = Load(postgres.space())
    load.start(nursery.serve(model, "--store", load.url, "--home", tmp_path / "home"))
    for number in [signal.SIGKILL, signal.SIGINT] * max(1, KILLS // 20):
        known = sum(load.acknowledged())
        wait_for(lambda known=known: sum(load.acknowledged()) > known + 10)
        refused = load.refused()[503]
        postgres.stop(number)
        wait_for(lambda refused=refused: load.refused()[503] > refused + 5)
        postgres.start()
    known = sum(load.acknowledged())
    wait_for(lambda: sum(load.acknowledged()) > known + 10)
    load.stop()
    nursery.kill(signal.SIGTERM)
    load.check()
    load.store.close()


def test_a_full_disk_is_told_and_room_is_used_again(nursery, model, tmp_path):
    """Files may not grow any more; what can be read is read, and nothing is spoilt."""
    load = Load(f"sqlite:///{tmp_path / 'unseen.db'}")
    address = nursery.serve(model, "--store", load.url, "--home", tmp_path / "home")
    load.start(address)
    wait_for(lambda: load.acknowledged()[0] > 20)
    full = max(path.stat().st_size for path in tmp_path.glob("unseen.db*")) + 50_000
    resource.prlimit(nursery.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    wait_for(lambda: load.refused()[503] > 5)
    known = load.acknowledged()
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {load.token}"}) as web:
        assert web.get("/v1/models/m/alerts").status_code == 200
        rows = [dict.fromkeys(COLUMNS, 0.0)]
        assert web.post("/v1/models/m/score", json={"rows": rows}).status_code == 200
        rows = [dict.fromkeys(COLUMNS, 90.0)]
        said = web.post("/v1/models/m/score", json={"rows": rows})
        assert said.status_code == 503
        assert "its disk has room" in said.json()["detail"]
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(nursery.pid, resource.RLIMIT_FSIZE, infinite)
    wait_for(lambda: load.acknowledged()[0] > known[0] + 10)
    load.stop()
    nursery.kill()
    load.check()
    load.store.close()


def test_a_file_that_cannot_be_read_does_not_start_a_service(nursery, model, tmp_path):
    """Half a file, as a copy that was cut short leaves it."""
    load = Load(f"sqlite:///{tmp_path / 'unseen.db'}")
    load.store.close()
    (tmp_path / "unseen.db").write_bytes((tmp_path / "unseen.db").read_bytes()[:50_000])
    with pytest.raises(AssertionError, match="did not start"):
        nursery.serve(model, "--store", load.url, "--home", tmp_path / "home")


def test_rows_and_alarms_are_counted_to_the_end(nursery, model, tmp_path):
    """A server that is asked to end writes what it counted."""
    load = Load(f"sqlite:///{tmp_path / 'unseen.db'}")
    load.start(nursery.serve(model, "--store", load.url, "--home", tmp_path / "home"))
    wait_for(lambda: load.acknowledged()[0] > 20)
    load.stop()
    nursery.kill(signal.SIGTERM)
    with load.store.reading() as connection:
        sums = [func.sum(traffic.c[name]) for name in ("rows", "alarms", "failed")]
        rows, alarms, failed = connection.execute(select(*sums)).one()
    assert (alarms, failed) == (load.acknowledged()[0], 0)
    assert rows == alarms // ALARMS * (ALARMS + NORMALS)
    load.store.close()


def wait_for(claim, seconds=30):
    """Wait until a claim holds."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)

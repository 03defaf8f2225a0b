"""Jobs in processes of their own: what they make, and what is left when they or their server are
killed.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select, update

from unseen import Bundle, Detector
from unseen.service.job import work
from unseen.service.jobs import PATIENCE, Runner, ask, cancel, job_of
from unseen.service.leftovers import tidy
from unseen.service.lessons import lessons_of
from unseen.service.making import Progress
from unseen.service.registry import Conflict, Registry
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, jobs, labels, metadata, now, rescored, versions

COLUMNS = ("heat", "speed", "load")


def rows(seed, n, shift=0.0):
    drawn = np.random.default_rng(seed).normal(loc=(0.0, 0.0, shift), size=(n, 3))
    return [dict(zip(COLUMNS, map(float, each), strict=True)) for each in drawn]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A detector that knows normal rows and one kind of anomaly."""
    folder = tmp_path_factory.mktemp("saved") / "pumps"
    given = rows(0, 300) + rows(1, 12, 6.0)
    y = ["normal"] * 300 + ["overload"] * 12
    frame = pa.Table.from_pylist(given)
    detector = Detector("mahalanobis", random_state=0).fit(frame, y)
    Bundle(detector, {"source": "pumps.parquet", "label": "state"}).save(folder)
    return folder


@pytest.fixture
def registry(tmp_path, saved):
    """A registry with one model, and a database with alerts of it, of which six have labels."""
    store = Store(f"sqlite:///{tmp_path}/unseen.db")
    metadata.create_all(store.engine)
    found = Registry(store, tmp_path / "home")
    (tmp_path / "home").mkdir()
    found.add("pumps", saved, "operator")
    values = [dict(each, speed=9.0 + k / 10) for k, each in enumerate(rows(2, 8))]
    with store.writing() as connection:
        for k, each in enumerate(values, start=1):
            row = {"model": "pumps", "version": 1, "request": "r", "row": k, "at": now()}
            row |= {"score": 50.0 + k, "pvalue": 0.001 * k, "values": each, "similar": "s"}
            connection.execute(insert(alerts), row)
        for k in range(1, 7):
            said = ("new", "slip") if k < 5 else ("normal", None)
            label(connection, k, *said)
    yield found
    store.close()


def label(connection, alert, answer, kind=None, **more):
    row = {"model": "pumps", "alert": alert, "at": now(), "by": "ann", "origin": "api"}
    row |= {"answer": answer, "kind": kind, "act": f"act{alert}"} | more
    connection.execute(insert(labels), {k: v for k, v in row.items() if k in labels.c})
    own = {"answer": answer, "answer_kind": kind}
    connection.execute(update(alerts).where(alerts.c.id == alert).values(**own))


def state_of(registry, number):
    with registry.store.reading() as connection:
        return job_of(connection, number)


def waited(registry, number, *states, seconds=60):
    """The job once it is in one of the states."""
    end = time.monotonic() + seconds
    while (job := state_of(registry, number)).state not in states:
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


@pytest.fixture
def runner(registry):
    found = Runner()
    found.start(registry)
    yield found
    found.close()


def done(registry, what, **settings):
    """A job that was done in this process."""
    number = ask(registry.store, "pumps", what, settings, "ann")
    with registry.store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == number).values(state="running"))
    work(registry, number, Progress())
    return state_of(registry, number)


def test_retraining_makes_a_version_that_waits_and_says_what_changed(registry, runner):
    number = ask(registry.store, "pumps", "retrain", {"promote": False, "train": None}, "ann")
    with pytest.raises(Conflict, match=f"job {number} is not done"):
        ask(registry.store, "pumps", "recalibrate", {"anomalies": 0.0}, "bob")
    runner.wake()
    job = waited(registry, number, "done", "failed")
    assert (job.state, job.version, job.progress) == ("done", 2, 1.0), job.message
    assert "is not named (unseen serve --train NAME=PATH): it learns from the" in job.message
    with registry.store.reading() as connection:
        mine = versions.c.number == 2
        version = connection.execute(select(versions).where(mine)).one()
        again = connection.execute(select(rescored)).all()
    assert version.facts["labels"] == {"normal": 2, "kinds": {"slip": 4}}
    assert version.facts["new"] == ["slip"]
    assert (version.origin, version.by, version.facts["job"]) == ("retrain", "ann", number)
    assert {each.alert for each in again} == set(range(1, 9))
    learned = registry.read("pumps", 2).detector
    assert learned.classes_ == ("overload", "slip")
    own = {each.alert: each.pvalue for each in again}
    with registry.store.reading() as connection:
        given = connection.execute(select(alerts.c.id, alerts.c["values"])).all()
    assert learned.pvalue(pa.Table.from_pylist([v for _, v in given])).tolist() == [
        own[k] for k, _ in given
    ]
    serving = registry.serving("pumps")
    assert (serving.version, serving.bundle.detector.classes_) == (1, ("overload",))


def test_a_retraining_may_be_promoted_at_once(registry, tmp_path):
    file = tmp_path / "pumps.parquet"
    given = rows(0, 300) + rows(1, 12, 6.0)
    y = pa.array(["normal"] * 300 + ["overload"] * 12)
    pq.write_table(pa.Table.from_pylist(given).append_column("state", y), file)
    job = done(registry, "retrain", promote=True, train=str(file))
    assert (job.state, job.version) == ("done", 2), job.message
    assert "stayed" not in job.message
    registry._known.clear()
    assert registry.serving("pumps").version == 2
    assert registry.rollback("pumps", "ann") == 1


def test_a_failure_says_why_and_the_old_version_serves(registry, tmp_path):
    job = done(registry, "retrain", promote=True, train=str(tmp_path / "gone.parquet"))
    assert (job.state, job.version) == ("failed", None)
    assert job.message.startswith("gone.parquet: no such file")  # and not where that would be
    assert registry.serving("pumps").version == 1


def test_unsure_and_undone_labels_do_not_count_and_the_last_of_an_alert_does(registry):
    with registry.store.writing() as connection:
        label(connection, 1, "unsure")
        label(connection, 2, "known", "overload")
        label(connection, 3, "new", "typo", undone=now(), undone_by="ann")
        label(connection, None, "new", "spark", values={"heat": 9.0, "speed": 9.0, "load": 9.0})
        lessons = lessons_of(connection, "pumps")
    said = [(each.alert, each.answer, each.kind) for each in lessons]
    assert said == [
        (3, "new", "slip"),
        (4, "new", "slip"),
        (5, "normal", None),
        (6, "normal", None),
        (2, "known", "overload"),
        (None, "new", "spark"),
    ]


def test_an_undone_label_is_forgotten_by_the_next_retraining(registry):
    assert done(registry, "retrain", promote=True, train=None).state == "done"
    with registry.store.writing() as connection:
        connection.execute(update(labels).where(labels.c.kind == "slip").values(undone=now()))
    assert done(registry, "retrain", promote=True, train=None).version == 3
    registry._known.clear()
    assert registry.serving("pumps").bundle.detector.classes_ == ("overload",)


def test_a_kind_that_would_mean_normal_is_refused(registry):
    with registry.store.writing() as connection:
        label(connection, 7, "new", "0")
    job = done(registry, "retrain", promote=False, train=None)
    assert job.state == "failed"
    assert "of the kind '0', which to this model is no kind of anomaly" in job.message


def test_a_cancelled_job_makes_no_version(registry):
    number = ask(registry.store, "pumps", "retrain", {"train": None}, "ann")
    cancel(registry.store, number, "bob")
    work(registry, number, Progress())
    job = state_of(registry, number)
    assert (job.state, job.message, job.version) == ("cancelled", "cancelled by bob", None)
    assert folders(registry) == ["1", "2"]
    tidy(registry)
    assert folders(registry) == ["1"]
    with pytest.raises(Conflict, match="it is cancelled"):
        cancel(registry.store, number, "bob")


def hold(registry, monkeypatch, stage):
    """Let jobs wait for long once they are at a stage."""
    place = registry.home.parent / "hook"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HOLD.format(stage=stage))
    path = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


HOLD = """
import sys, time
if "unseen.service.job" in sys.orig_argv:
    import unseen.service.making as making
    usual = making.Progress.stage
    def stage(self, what, *more):
        usual(self, what, *more)
        time.sleep(60 if what == {stage!r} else 0)
    making.Progress.stage = stage
"""


def at(registry, number, stage):
    """Wait until a job is at a stage."""
    end = time.monotonic() + 60
    while state_of(registry, number).message != stage:
        assert time.monotonic() < end, state_of(registry, number)
        time.sleep(0.05)


def folders(registry):
    return sorted(each.name for each in (registry.home / "models" / "pumps").iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_job_is_lost_and_leaves_nothing(registry, monkeypatch, runner):
    hold(registry, monkeypatch, "scoring alerts again")
    number = ask(registry.store, "pumps", "retrain", {"promote": True, "train": None}, "ann")
    runner.wake()
    at(registry, number, "scoring alerts again")
    assert folders(registry)[-1] == "2"  # whole, and no version yet
    os.kill(runner._process.pid, signal.SIGKILL)
    job = waited(registry, number, "lost", seconds=10)
    assert "status -9" in job.message
    end = time.monotonic() + 10
    while folders(registry) != ["1"]:
        assert time.monotonic() < end, folders(registry)
        time.sleep(0.05)
    assert registry.serving("pumps").version == 1
    ask(registry.store, "pumps", "retrain", {"train": None}, "ann")  # the way is free


SERVER = """
import sys, time
from pathlib import Path
from unseen.service.jobs import Runner
from unseen.service.registry import Registry
from unseen.service.store.store import Store
Runner().start(Registry(Store(sys.argv[1]), Path(sys.argv[2])))
time.sleep(120)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_job_ends_with_its_server(registry, monkeypatch):
    hold(registry, monkeypatch, "scoring alerts again")
    number = ask(registry.store, "pumps", "retrain", {"promote": True, "train": None}, "ann")
    url = str(registry.store.engine.url)
    with subprocess.Popen([sys.executable, "-c", SERVER, url, str(registry.home)]) as server:
        try:
            at(registry, number, "scoring alerts again")
        finally:
            server.kill()
    assert "its server ended" in waited(registry, number, "lost", seconds=10).message
    end = time.monotonic() + 10
    while folders(registry) != ["1"]:  # once its process is gone
        tidy(registry)  # as the next server does
        assert time.monotonic() < end, folders(registry)
    assert registry.serving("pumps").version == 1


def test_a_job_of_which_nothing_is_heard_is_lost(registry, monkeypatch):
    number = ask(registry.store, "pumps", "retrain", {"train": None}, "ann")
    with registry.store.writing() as connection:
        connection.execute(update(jobs).values(state="running", beat=now()))
    runner = Runner()
    for look in range(PATIENCE):
        runner._look(registry)
        if look == PATIENCE // 2:  # it is heard of once more
            with registry.store.writing() as connection:
                connection.execute(update(jobs).values(beat=now()))
    assert state_of(registry, number).state == "running"
    for _ in range(PATIENCE // 2 + 2):
        runner._look(registry)
    assert state_of(registry, number).state == "lost"

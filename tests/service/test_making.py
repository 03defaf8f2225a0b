"""From labels to a version that ranks the queue anew, and p-values from rows that passed, on both
databases.
"""

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import insert, select, update

from unseen import Bundle, Detector
from unseen.errors import DataError
from unseen.service.job import work
from unseen.service.jobs import ask, job_of
from unseen.service.leftovers import prune, tidy
from unseen.service.making import Progress
from unseen.service.metrics import Metrics
from unseen.service.ranking import open_alerts
from unseen.service.recent import Recent
from unseen.service.registry import Conflict, Registry
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, jobs, labels, metadata, now, rescored, versions

COLUMNS = ("heat", "speed", "load")


def rows(seed, n, at=(0.0, 0.0, 0.0), scale=1.0):
    drawn = np.random.default_rng(seed).normal(loc=at, scale=scale, size=(n, 3))
    return [dict(zip(COLUMNS, map(float, each), strict=True)) for each in drawn]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "pumps"
    frame = pa.Table.from_pylist(rows(0, 300) + rows(9, 10, (0.0, 0.0, 6.0)))
    detector = Detector("nearest-ratio", random_state=0).fit(
        frame, ["normal"] * 300 + ["overload"] * 10
    )
    Bundle(detector, {"source": "p"}).save(folder)
    return folder


@pytest.fixture
def registry(url, tmp_path, saved):
    store = Store(url)
    metadata.create_all(store.engine)
    found = Registry(store, tmp_path / "home")
    (tmp_path / "home").mkdir()
    found.add("pumps", saved, "operator")
    yield found
    store.close()


def done(registry, what, **settings):
    """A job that was done in this process, without a server."""
    number = ask(registry.store, "pumps", what, settings, "ann")
    with registry.store.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == number).values(state="running"))
    work(registry, number, Progress())
    with registry.store.reading() as connection:
        return job_of(connection, number)


def raised(registry, given, pvalue):
    with registry.store.writing() as connection:
        for k, values in enumerate(given, start=1):
            row = {"model": "pumps", "version": 1, "request": str(pvalue), "row": k, "at": now()}
            row |= {"score": 0.5, "pvalue": pvalue, "values": values, "similar": "s"}
            connection.execute(insert(alerts), row)


def test_labels_change_the_order_of_the_queue_once_promoted(registry):
    raised(registry, rows(1, 8, (4.0, 0.0, 0.0), 0.1), 0.001)  # no trouble, as people say
    raised(registry, rows(2, 8, (0.0, 4.0, 0.0), 0.1), 0.002)  # a leak
    with registry.store.writing() as connection:
        for alert in (1, 2, 3, 4, 9, 10, 11, 12):
            said = {"answer": "normal"} if alert < 9 else {"answer": "new", "kind": "leak"}
            row = {"model": "pumps", "alert": alert, "act": str(alert), "at": now(), "by": "ann"}
            connection.execute(insert(labels), row | {"origin": "api", "kind": None} | said)
            own = {"answer": said["answer"], "answer_kind": said.get("kind")}
            connection.execute(update(alerts).where(alerts.c.id == alert).values(**own))
    with registry.store.reading() as connection:
        assert [each.id for each in open_alerts(connection, "pumps")] == [
            5,
            6,
            7,
            8,
            *range(13, 17),
        ]
    job = done(registry, "retrain", promote=False, train=None)
    assert job.state == "done", job.message
    registry.promote("pumps", job.version, "ann")
    with registry.store.reading() as connection:
        queue = open_alerts(connection, "pumps")
        first_two = open_alerts(connection, "pumps", limit=2)
        rest = open_alerts(connection, "pumps", limit=100, skip=2)
        facts = connection.execute(select(versions.c.facts).where(versions.c.number == 2)).scalar()
    assert all(each.now_pvalue is not None for each in queue)
    pvalues = [each.now_pvalue for each in queue]
    assert pvalues == sorted(pvalues)
    leaks = np.mean([each.now_pvalue for each in queue if each.id > 12])
    assert leaks < np.mean([each.now_pvalue for each in queue if each.id <= 12])
    assert [*first_two, *rest] == [*queue]
    assert facts["labels"] == {"normal": 4, "kinds": {"leak": 4}}
    assert facts["flagged"]["anomalies"]["now"] == 4
    assert {*facts} >= {"base", "before", "blind_spots", "job", "new", "notes", "train"}
    text = Metrics()
    text.watch(registry.store, lambda: 0, {})
    assert b'unseen_version{model="pumps"} 2.0' in text.text()
    assert b'unseen_labels{answer="new",model="pumps"} 4.0' in text.text()


def test_a_row_that_cannot_be_read_is_left_out_and_named_and_the_others_are_learned(registry):
    odd = [{"heat": "abc"}, {"heat": [1]}, {"note": 1}, {"heat": True}, {"note": {"a": [1]}}]
    plain = rows(1, 1)[0]
    given = [*rows(2, 6, (0.0, 4.0, 0.0), 0.1), *(plain | each for each in odd[:2]), odd[2]]
    given += [plain | each for each in odd[3:]]
    raised(registry, given, 0.001)
    with registry.store.writing() as connection:
        for k in range(1, len(given) + 1):
            row = {"model": "pumps", "alert": k, "act": str(k), "at": now(), "by": "ann"}
            row |= {"origin": "api", "answer": "new", "kind": "leak"}
            connection.execute(insert(labels), row)
    job = done(registry, "retrain", promote=False, train=None)
    assert job.state == "done", job.message
    assert "3 of the labels were left out, as the detector cannot read their rows: 7, 8, 9;" in (
        job.message
    )
    with registry.store.reading() as connection:
        facts = connection.execute(select(versions.c.facts).where(versions.c.number == 2)).scalar()
        again = connection.execute(select(rescored.c.alert).order_by(rescored.c.alert)).scalars()
        assert {*again} - {9} == {1, 2, 3, 4, 5, 6, 10, 11}
    assert (facts["unread"], facts["labels"]["kinds"]) == ([7, 8, 9], {"leak": 8})


def test_labels_of_rows_none_of_which_can_be_read_fail_in_a_sentence(registry):
    raised(registry, [{"heat": "abc", "speed": 1.0, "load": 2.0}], 0.001)
    with registry.store.writing() as connection:
        row = {"model": "pumps", "alert": 1, "act": "1", "at": now(), "by": "ann"}
        connection.execute(insert(labels), row | {"origin": "api", "answer": "normal"})
    job = done(registry, "retrain", promote=False, train=None)
    assert (job.state, "can read no row of its 1 labels" in job.message) == ("failed", True)


def test_p_values_from_rows_that_passed(registry):
    none = done(registry, "recalibrate", anomalies=0.0, promote=False)
    assert none.state == "failed"
    assert "no row that passed is kept yet" in none.message
    sample = Recent(keep=1000)
    sample.see("pumps", pa.Table.from_pylist(rows(3, 500, scale=2.0)))  # wider than in training
    known = rows(4, 5, (9.0, 9.0, 9.0))
    sample.see("pumps", pa.Table.from_pylist(known))
    with registry.store.writing() as connection:
        sample.write(connection, sample.taken())
        for k, values in enumerate(known):
            row = {"model": "pumps", "act": str(k), "at": now(), "by": "ann", "origin": "import"}
            row |= {"answer": "known", "kind": "x", "values": values}
            connection.execute(insert(labels), row)
    job = done(registry, "recalibrate", anomalies=0.0, promote=True)
    assert (job.state, job.version) == ("done", 2), job.message
    assert "500 rows that passed" in job.message
    assert "5 that are labelled anomalies were left out" in job.message
    fresh = pa.Table.from_pylist(rows(5, 2000, scale=2.0))
    shares = [
        float((registry.read("pumps", version).detector.pvalue(fresh) <= 0.05).mean())
        for version in (1, 2)
    ]
    assert shares[0] > 0.3
    assert 0.02 < shares[1] < 0.08  # 0.05, by 500 rows
    registry._known.clear()
    assert registry.serving("pumps").version == 2


def test_only_folders_of_jobs_that_ended_are_removed(registry, saved):
    bundle = registry.read("pumps", 1)
    number = ask(registry.store, "pumps", "retrain", {}, "ann")
    made = Bundle(bundle.detector, bundle.facts | {"job": number})
    assert [registry.save("pumps", made), registry.save("pumps", bundle)] == [2, 3]
    place = registry.folder("pumps", 1).parent
    tidy(registry)
    assert sorted(each.name for each in place.iterdir()) == ["1", "2", "3"]  # the job may go on
    with registry.store.writing() as connection:
        connection.execute(update(jobs).values(state="done"))
    tidy(registry)  # somebody serves what that job made under another number
    assert sorted(each.name for each in place.iterdir()) == ["1", "2", "3"]
    with registry.store.writing() as connection:
        connection.execute(update(jobs).values(state="lost"))
    tidy(registry)
    # somebody may be about to enter what no job made
    assert sorted(each.name for each in place.iterdir()) == ["1", "3"]
    with pytest.raises(DataError, match="there is no version 3"):
        prune(registry, "pumps", 3, "ann")
    with pytest.raises(Conflict, match="version 1 serves"):
        prune(registry, "pumps", 1, "ann")

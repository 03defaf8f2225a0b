"""Versions over the API: what serves is what the database says, for all servers, and nobody's
decision is overwritten.
"""

import shutil
import threading
import time

import pytest
from desk import COLUMNS, Desk, rows, saved
from sqlalchemy import insert, select

from unseen import Bundle, Detector
from unseen.detector.policy import Policy
from unseen.errors import BundleError
from unseen.service import registry as registry_
from unseen.service.ranking import open_alerts
from unseen.service.store.tables import audit, rescored


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A saved detector, and another that was fitted on less."""
    place = tmp_path_factory.mktemp("bundles")
    first = saved(place)
    frame = [{name: row[name] for name in COLUMNS} for row in rows(150, 7)]
    Bundle(Detector("mahalanobis", random_state=0).fit(frame), {"source": "other"}).save(
        place / "other"
    )
    return first, place / "other"


@pytest.fixture
def desk(bundles, tmp_path, monkeypatch):
    """A service whose model has two versions, of which the first serves."""
    monkeypatch.setattr(registry_, "FRESH", 0.0)
    found = Desk(tmp_path / "home", bundles[0])
    assert found.registry.add("traffic", bundles[1], "root") == 2
    yield found
    found.close()


def scored_by(desk):
    """The version that judges now."""
    answer = desk.ask("feed", "POST", "/score", json={"rows": rows(1, 3)})
    return answer.json()["version"]


def test_promotion_rollback_and_what_is_told_of_them(desk):
    assert scored_by(desk) == 1
    told = desk.ask("root", "POST", "/versions/2/promote").json()
    assert (told["current"], told["previous"], told["revision"]) == (2, 1, 1)
    assert [each["serves"] for each in told["versions"]] == [True, False]
    assert scored_by(desk) == 2
    assert desk.ask("root", "POST", "/rollback").json()["current"] == 1
    assert scored_by(desk) == 1
    with desk.store.reading() as connection:
        lines = connection.execute(select(audit).where(audit.c.what == "promote")).all()
    assert [(line.who, line.subject, line.detail) for line in lines] == [
        ("root", "2", {"before": 1}),
        ("root", "1", {"before": 2}),
    ]


def test_roles_names_and_numbers_that_are_refused(desk):
    for who in ("ann", "feed"):
        assert desk.ask(who, "POST", "/versions/2/promote").status_code == 403
        assert desk.ask(who, "POST", "/rollback").status_code == 403
        assert desk.ask(who, "PUT", "/policy", json={"alpha": 0.1}).status_code == 403
        assert desk.ask(who, "DELETE", "/versions/2").status_code == 403
    assert desk.ask("root", "POST", "/versions/3/promote").status_code == 404
    assert desk.ask("root", "POST", "/versions/..%2f1/promote").status_code in (404, 422)
    assert desk.ask("root", "POST", "/rollback").json()["detail"].endswith("before this one")
    assert desk.ask("ann", "GET", "/versions").status_code == 200
    assert scored_by(desk) == 1


def test_a_decision_on_what_was_seen_is_refused_when_it_changed(desk):
    assert (
        desk.ask("root", "PUT", "/policy", json={"alpha": 0.2, "revision": 0}).json()["revision"]
        == 1
    )
    late = desk.ask("root", "POST", "/versions/2/promote", json={"revision": 0})
    assert late.status_code == 409
    assert "is at revision 1, and 0 was expected" in late.json()["detail"]
    assert scored_by(desk) == 1
    assert desk.ask("root", "POST", "/versions/2/promote", json={"revision": 1}).status_code == 200


def test_of_promotions_at_once_one_wins(desk):
    answers = []

    def promote(number):
        answer = desk.ask("root", "POST", f"/versions/{number}/promote", json={"revision": 0})
        answers.append((number, answer.status_code))

    threads = [threading.Thread(target=promote, args=(number,)) for number in (2, 2, 2, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for _, status in answers) == [200, 409, 409, 409]


def test_a_broken_folder_is_not_promoted_and_the_old_one_serves_on(desk):
    (desk.registry.folder("traffic", 2) / "tensors.safetensors").write_bytes(b"no tensors")
    broken = desk.ask("root", "POST", "/versions/2/promote")
    assert broken.status_code == 409
    assert str(desk.home) not in broken.text
    assert scored_by(desk) == 1
    shutil.rmtree(desk.registry.folder("traffic", 2))
    assert desk.ask("root", "POST", "/versions/2/promote").status_code == 409
    assert scored_by(desk) == 1


def test_another_server_switches_and_requests_under_way_end_as_they_began(desk):
    other = registry_.Registry(desk.store, desk.home)
    begun = other.serving("traffic")
    desk.registry.promote("traffic", 2, "root")
    until_served(other, 2)
    assert begun.version == 1
    before = begun.bundle.detector.anomaly_score(rows(5, 4))
    after = other.serving("traffic").bundle.detector.anomaly_score(rows(5, 4))
    assert (before != after).any()


def until_served(registry, number):
    end = time.monotonic() + 20
    while registry.serving("traffic").version != number:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_while_a_version_is_loaded_the_one_before_answers(desk, monkeypatch):
    other = registry_.Registry(desk.store, desk.home)
    assert other.serving("traffic").version == 1
    desk.registry.promote("traffic", 2, "root")
    usual, go, tries = other.read, threading.Event(), []

    def slowly(name, number):
        tries.append(number)
        assert go.wait(10)
        return usual(name, number)

    monkeypatch.setattr(other, "read", slowly)
    assert [other.serving("traffic").version for _ in range(5)] == [1] * 5  # at once
    go.set()
    until_served(other, 2)
    assert tries == [2]


def test_a_version_that_another_server_cannot_load_leaves_the_old_one(desk, monkeypatch, caplog):
    monkeypatch.setattr(registry_, "AGAIN", 0.01)
    other = registry_.Registry(desk.store, desk.home)
    assert other.serving("traffic").version == 1
    desk.registry.promote("traffic", 2, "root")
    usual, broken = other.read, [True]

    def fails(name, number):
        if broken:
            raise BundleError("not there yet")
        return usual(name, number)

    monkeypatch.setattr(other, "read", fails)
    end = time.monotonic() + 20
    while "version 2 is to serve and cannot be loaded: not there yet" not in caplog.text:
        assert other.serving("traffic").version == 1
        assert time.monotonic() < end
    broken.clear()
    until_served(other, 2)


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({"alpha": 0.05}, Policy.alpha(0.05)),
        ({"fdr": 0.1}, Policy.fdr(0.1)),
        ({"per_day": 20, "traffic": 1000}, Policy.per_day(20, 1000)),
        ({"cost": {"miss": 10, "alarm": 1}}, Policy.cost(10, 1)),
    ],
)
def test_policies(desk, given, policy):
    told = desk.ask("root", "PUT", "/policy", json=given).json()
    assert desk.registry.serving("traffic").policy == policy
    assert told["policy"] == {"kind": policy.kind, "level": policy.level, "traffic": policy.traffic}
    with desk.store.reading() as connection:
        [line] = connection.execute(select(audit.c.detail).where(audit.c.what == "policy")).all()
    assert line.detail["before"] == {"kind": "alpha", "level": 0.01, "traffic": None}
    assert line.detail["now"] == told["policy"]


def test_what_could_raise_no_alert_is_refused(desk):
    few = desk.ask("root", "PUT", "/policy", json={"alpha": 1e-6})
    assert few.status_code == 400
    assert "nothing can be flagged" in few.json()["detail"]
    small = Detector("mahalanobis", random_state=0)
    frame = [{name: row[name] for name in COLUMNS} for row in rows(40, 7)]
    bundle = Bundle(small.fit(frame), {"source": "few"})
    number = desk.registry.add_version("traffic", bundle, origin="given", who="root")
    refused = desk.ask("root", "POST", f"/versions/{number}/promote")
    assert refused.status_code == 409
    assert "cannot serve by its policy: level 0.01" in refused.json()["detail"]


@pytest.mark.parametrize(
    "given",
    [{}, {"alpha": 0.1, "fdr": 0.1}, {"per_day": 5}, {"alpha": 7}, {"alpha": 0.1, "traffic": 9}],
)
def test_policies_that_are_none(desk, given):
    assert desk.ask("root", "PUT", "/policy", json=given).status_code == 400
    assert desk.ask("root", "GET", "/versions").json()["revision"] == 0


def test_pruning_spares_what_is_needed(desk):
    assert desk.ask("root", "DELETE", "/versions/1").status_code == 409
    desk.registry.promote("traffic", 2, "root")
    assert desk.ask("root", "DELETE", "/versions/1").status_code == 409  # for rollback
    desk.registry.promote("traffic", 1, "root")
    number = desk.registry.add_version(
        "traffic", desk.registry.read("traffic", 2), origin="given", who="root"
    )
    desk.registry.promote("traffic", number, "root")
    told = desk.ask("root", "DELETE", "/versions/2")
    assert told.status_code == 200, told.text
    assert "removed" in told.json()["versions"][1]["facts"]
    kept = sorted(each.name for each in desk.registry.folder("traffic", 2).parent.iterdir())
    assert kept == ["1", "3"]
    assert desk.ask("root", "POST", "/versions/2/promote").status_code == 409


def test_open_alerts_are_ranked_by_the_version_that_serves(desk):
    far = [{"seconds": 60.0 + k} for k in range(3)]
    numbers = [
        row["alert"] for each in far for row in desk.alerts(rows(1, 8, each), f"k{each['seconds']}")
    ]
    with desk.store.writing() as connection:
        for number, pvalue in zip(numbers, (0.9, 0.001), strict=False):  # the third is younger
            row = {"alert": number, "version": 2, "score": 1.0, "pvalue": pvalue}
            connection.execute(insert(rescored).values(row))

    def order():
        with desk.store.reading() as connection:
            return [(each.id, each.now_pvalue) for each in open_alerts(connection, "traffic")]

    assert sorted(order()) == [(number, None) for number in numbers]
    desk.registry.promote("traffic", 2, "root")
    found = dict(order())
    assert found == {numbers[0]: 0.9, numbers[1]: 0.001, numbers[2]: None}
    assert order()[0][0] == numbers[1]
    assert order()[-1][0] == numbers[0]

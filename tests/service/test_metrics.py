"""What Prometheus reads: counts that are right, and no more series than there are routes."""

import pytest
from desk import Desk, rows, saved
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from unseen.service.store.store import StoreError
from unseen.service.store.tables import drifts, jobs, now


@pytest.fixture
def desk(tmp_path):
    found = Desk(tmp_path / "home", saved(tmp_path))
    found.service.metrics.watch(found.store, lambda: 0, found.service.watch.skipped)
    yield found
    found.close()


def samples(desk, who="feed"):
    head = {"Authorization": f"Bearer {desk.tokens[who]}"}
    answer = desk.client.get("/metrics", headers=head)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_counts_of_rows_requests_and_states(desk):
    raised = desk.alerts([*rows(9, 3), *rows(1, 4, {"seconds": 90.0})])
    assert len(raised) == 1
    with desk.store.writing() as connection:
        for state in ("done", "done", "failed"):
            row = {"model": "traffic", "what": "retrain", "state": state, "settings": {}}
            connection.execute(insert(jobs).values(row | {"by": "ann", "created": now()}))
        for drifted in (False, True):
            row = {"model": "traffic", "version": 1, "at": now(), "rows": 9, "report": {}}
            connection.execute(insert(drifts).values(row | {"drifted": drifted}))
    desk.service.watch.skipped["traffic"] += 7
    desk.client.get("/v1/models/<script>/versions", headers={"Authorization": "Bearer no"})
    found = samples(desk)
    about = (("model", "traffic"), ("version", "1"))
    assert found["unseen_rows_total", about] == 10
    assert found["unseen_alarms_total", about] == 1
    assert found["unseen_rows_failed_total", about] == 0
    score = (("method", "POST"), ("route", "/v1/models/{name}/score"), ("status", "200"))
    assert found["unseen_requests_total", score] == 1
    assert found["unseen_request_seconds_count", (("route", "/v1/models/{name}/score"),)] == 1
    model = (("model", "traffic"),)
    assert found["unseen_open_alerts", model] == 1
    assert found["unseen_version", model] == 1
    assert found["unseen_drifted", model] == 1
    assert found["unseen_rows_not_watched_total", model] == 7
    states = {state: found["unseen_jobs", (("state", state),)] for state in ("done", "failed")}
    assert states == {"done": 2, "failed": 1}
    assert found["unseen_jobs", (("state", "running"),)] == 0
    assert found["unseen_store_up", ()] == 1
    assert found["process_resident_memory_bytes", ()] > 1e7
    assert not [key for key in found if "script" in str(key)]


def test_where_the_database_is_away_the_rest_is_told(desk, monkeypatch):
    from unseen.service import metrics as metrics_

    def away(connection):
        raise StoreError("gone")
        yield

    monkeypatch.setattr(metrics_, "_stands", away)
    found = samples(desk)
    assert found["unseen_store_up", ()] == 0
    assert ("unseen_open_alerts", (("model", "traffic"),)) not in found


def test_a_token_is_needed(desk):
    assert desk.client.get("/metrics").status_code == 401

"""Jobs over the API: asked for, listed, cancelled, by who may."""

import pytest
from desk import Desk, rows
from sqlalchemy import select, update

from unseen.service.store.tables import audit, jobs


@pytest.fixture
def desk(bundle, tmp_path):
    found = Desk(tmp_path / "home", bundle)
    yield found
    found.close()


def get(desk, path, who="ann", method="GET"):
    head = {"Authorization": f"Bearer {desk.tokens[who]}"}
    return desk.client.request(method, f"/v1/jobs{path}", headers=head)


def labelled(desk):
    """An alert that is answered."""
    [alert] = desk.alerts(rows(1, 4, {"seconds": 90.0}))
    said = {"answer": "new", "kind": "slow", "revision": 0}
    answer = desk.ask("ann", "PATCH", f"/alerts/{alert['alert']}", json=said)
    assert answer.status_code == 200, answer.text


def test_a_job_is_asked_for_once_at_a_time_and_cancelled(desk):
    asked = desk.ask("root", "POST", "/recalibrate", json={"anomalies": 0.05})
    assert asked.status_code == 202
    job = asked.json()
    assert (job["state"], job["by"], job["progress"], job["version"]) == (
        *("waiting", "root", 0.0, None),
    )
    assert job["settings"] == {"promote": False, "anomalies": 0.05}
    assert asked.headers["location"] == f"/v1/jobs/{job['job']}"
    again = desk.ask("root", "POST", "/recalibrate")
    assert again.status_code == 409
    assert f"job {job['job']} is not done" in again.json()["detail"]
    assert get(desk, f"/{job['job']}").json() == job
    assert get(desk, "").json() == get(desk, "?model=traffic").json() == [job]
    assert get(desk, "?model=other").json() == []
    done = get(desk, f"/{job['job']}/cancel", "root", "POST").json()
    assert (done["state"], done["message"]) == ("cancelled", "cancelled by root")
    assert get(desk, f"/{job['job']}/cancel", "root", "POST").status_code == 409
    assert desk.ask("root", "POST", "/recalibrate").status_code == 202
    with desk.store.reading() as connection:
        what = connection.execute(select(audit.c.what).order_by(audit.c.id)).scalars().all()
    assert what[-3:] == ["recalibrate", "cancel", "recalibrate"]


def test_retraining_needs_labels_and_says_so_at_once(desk):
    none = desk.ask("root", "POST", "/retrain")
    assert none.status_code == 400
    assert "there is no label to learn from" in none.json()["detail"]
    labelled(desk)
    asked = desk.ask("root", "POST", "/retrain", json={"promote": True})
    assert asked.status_code == 202, asked.text
    assert asked.json()["settings"] == {"promote": True}  # and no path of this machine


def test_roles_and_numbers_that_are_refused(desk):
    for who in ("ann", "feed"):
        assert desk.ask(who, "POST", "/retrain").status_code == 403
        assert desk.ask(who, "POST", "/recalibrate").status_code == 403
        assert get(desk, "/1/cancel", who, "POST").status_code == 403
    assert get(desk, "/7").status_code == 404
    for wrong in ({"anomalies": 0.9}, {"promot": True}):
        assert desk.ask("root", "POST", "/recalibrate", json=wrong).status_code == 422
    assert desk.client.get("/v1/jobs").status_code == 401


def test_a_job_that_ended_is_not_cancelled(desk):
    number = desk.ask("root", "POST", "/recalibrate").json()["job"]
    with desk.store.writing() as connection:
        connection.execute(update(jobs).values(state="done"))
    answer = get(desk, f"/{number}/cancel", "root", "POST")
    assert (answer.status_code, answer.json()["detail"]) == (
        *(409, f"job {number} has ended: it is done"),
    )

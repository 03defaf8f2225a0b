"""The client: rows out, judged rows back, patience where the service is busy, its sentences as
errors.
"""

import subprocess
import sys

import httpx
import numpy as np
import pandas as pd
import pytest
from stand import Stand, saved

from unseen.errors import DataError, UnseenError
from unseen.service import wire
from unseen.service.client import Client, Judged
from unseen.service.wire import Refused

ROW = {"load": 3.0, "heat": 60.0, "valve": "open"}
FAR = ROW | {"heat": 400.0}


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    made = Stand(folder / "home", saved(folder))
    with made.live() as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
    made.close()


@pytest.fixture
def client(stand):
    with Client(stand.url, stand.tokens["admin"]) as made:
        yield made


def test_rows_frames_and_files_give_the_same(client, tmp_path):
    rows = [ROW | {"pump": f"p-{k}", "load": 3.0 + k / 10} for k in range(5)] + [FAR]
    listed = client.score("pumps", rows, key="pump")
    assert [(row.row, row.verdict) for row in listed] == [
        *((k, "normal") for k in range(1, 6)),
        (6, "anomaly"),
    ]
    assert [row.key for row in listed] == [*(f"p-{k}" for k in range(5)), None]
    assert listed[5].is_alarm
    assert listed[5].reasons["columns"][0]["column"] == "heat"
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    others = [
        client.score("pumps", frame, key="pump"),
        list(client.score_file("pumps", tmp_path / "rows.csv", key="pump")),
        list(client.score_file("pumps", tmp_path / "rows.parquet", key="pump")),
    ]
    for found in others:
        assert [row.score for row in found] == [row.score for row in listed]
        assert [row.verdict for row in found] == [row.verdict for row in listed]


def test_a_request_that_is_named_raises_no_alert_twice(client):
    first, again, other = (client.score("pumps", [FAR], request=key) for key in ("a", "a", "b"))
    assert first[0].alert == again[0].alert != other[0].alert


def test_models_alerts_and_answers(client):
    assert client.models()[0]["name"] == "pumps"
    assert client.model("pumps")["columns"] == ["load", "heat", "valve"]
    assert client.card("pumps").startswith("# ")
    (row,) = client.score("pumps", [FAR])
    alert = next(each for each in client.alerts("pumps") if each["id"] == row.alert)
    done = client.answer("pumps", row.alert, "normal", revision=alert["revision"])
    assert done["labels"] == 1
    with pytest.raises(Refused) as refused:
        client.answer("pumps", row.alert, "new", "leak", revision=alert["revision"])
    assert refused.value.status == 409
    assert row.alert not in {each["id"] for each in client.alerts("pumps")}
    assert client.versions("pumps")["versions"][0]["version"] == 1
    assert client.ask("GET", "/healthz") == {"status": "alive"}


def test_refusals_are_errors_with_the_sentence_of_the_service(client, stand):
    with pytest.raises(UnseenError, match="there is no model 'pumsp'") as refused:
        client.score("pumsp", [ROW])
    assert refused.value.status == 404
    with pytest.raises(Refused, match="'load'"):
        client.score("pumps", [ROW | {"load": "much"}])
    with Client(stand.url, "unseen_no") as nobody, pytest.raises(Refused, match="token") as refused:
        nobody.models()
    assert refused.value.status == 401
    with pytest.raises(DataError, match="ends in"):
        list(client.score_file("pumps", "rows.xlsx"))
    with pytest.raises(DataError, match="got ndarray"):
        client.score("pumps", np.zeros((2, 2)))


def answering(*answers):
    """A transport that gives these answers, one after the other, and keeps the requests."""
    heard = []

    def handle(request):
        heard.append((request.headers.get("idempotency-key"), request.read()))
        answer = answers[len(heard) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(*answer[:1], headers=answer[1], json=answer[2])

    return httpx.MockTransport(handle), heard


OK = (200, {}, {"rows": [{"row": 1, "verdict": "normal", "score": 1.0, "later": "x"}]})
BUSY = (429, {"Retry-After": "7"}, {"detail": "too many requests"})
GONE = (503, {"Retry-After": "90"}, {"detail": "the database refuses"})


@pytest.fixture
def slept(monkeypatch):
    found = []
    monkeypatch.setattr(wire.time, "sleep", found.append)
    return found


def test_a_busy_service_is_asked_again_with_the_same_key_and_body(slept):
    transport, heard = answering(BUSY, GONE, httpx.ConnectError("refused"), OK)
    client = Client("http://x", "t", transport=transport)
    assert client.score("pumps", [ROW]) == [Judged(1, "normal", 1.0)]
    assert slept == [7.0, 30.0, 2.0]
    assert len(set(heard)) == 1
    assert heard[0][0]


def test_a_file_is_sent_whole_again(slept, tmp_path):
    (tmp_path / "rows.csv").write_text("load,heat\n1,2\n")
    transport, heard = answering(BUSY, (200, {}, {"row": 1, "verdict": "normal"}))
    client = Client("http://x", "t", transport=transport)
    assert [row.row for row in client.score_file("pumps", tmp_path / "rows.csv")] == [1]
    assert [body for _, body in heard] == [b"load,heat\n1,2\n"] * 2


def test_what_may_have_been_done_is_not_asked_again(slept):
    lost = httpx.ReadError("lost")
    transport, heard = answering(lost, lost)
    client = Client("http://x", "t", transport=transport)
    with pytest.raises(Refused, match="no answer"):
        client.retrain("pumps")
    assert len(heard) == 1
    transport, heard = answering(*[BUSY] * 5)
    with pytest.raises(Refused, match="too many requests"):
        Client("http://x", "t", transport=transport).retrain("pumps")
    assert len(heard) == 5
    transport, _ = answering((502, {}, "bad gateway"))
    with pytest.raises(Refused, match="status 502"):
        Client("http://x", "t", transport=transport).models()


def test_rows_of_a_stream_that_breaks_end_in_an_error(tmp_path):
    (tmp_path / "rows.csv").write_text("load,heat\n1,2\n")
    transport, _ = answering((200, {}, {"error": "the service failed after 3 rows"}))
    client = Client("http://x", "t", transport=transport)
    with pytest.raises(Refused, match="after 3 rows"):
        list(client.score_file("pumps", tmp_path / "rows.csv"))


def test_the_client_imports_no_torch_and_nothing_of_the_server():
    code = "import sys, unseen.service.client; print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("'torch'", "'sklearn'", "'fastapi'", "'sqlalchemy'", "'pyarrow'"):
        assert heavy not in found.stdout

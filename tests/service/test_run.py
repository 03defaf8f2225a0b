"""A service on its feet: where it may listen, what it tells at its start, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from stand import Stand, saved

from unseen import Bundle, Detector
from unseen.errors import DataError
from unseen.service import run
from unseen.service.run import bound, first_token, is_loopback, named_models, opened_service
from unseen.service.store.store import Store


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("run"))


def test_models_have_the_names_of_their_folders_or_given_ones(tmp_path, monkeypatch):
    (tmp_path / "flows").mkdir()
    monkeypatch.chdir(tmp_path / "flows")
    assert {name: str(place) for name, place in named_models(["a=x/b", ".", "c/d/"]).items()} == {
        "a": "x/b",
        "flows": ".",
        "d": "c/d",
    }
    with pytest.raises(DataError, match="'d' is named twice"):
        named_models(["x/d", "d=y"])


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host, only_here):
    assert is_loopback(host) is only_here


@pytest.mark.parametrize("host", ["example.com", "", "localhost.evil.example", "127.1", "0x7f.1"])
def test_names_are_no_addresses(host):
    with pytest.raises(DataError, match="expected an IP address"):
        is_loopback(host)


def test_other_addresses_need_a_token_and_loopback_makes_one_once(bundle, tmp_path):
    store = Store(f"sqlite:///{tmp_path}/unseen.db")
    service = opened_service({"pumps": bundle}, store, tmp_path / "home")
    try:
        with pytest.raises(DataError, match=rf"no valid token yet.*--store sqlite:///{tmp_path}"):
            first_token(store, "0.0.0.0")
        secret = first_token(store, "127.0.0.1")
        assert service.door.who(secret).role == "admin"
        assert first_token(store, "127.0.0.1") is None
        assert first_token(store, "0.0.0.0") is None
    finally:
        service.close()


def test_a_detector_that_is_new_waits_and_the_operator_is_told_how_to_promote_it(bundle, tmp_path):
    told = []
    rows = [{"load": float(k % 7), "heat": float(k % 5)} for k in range(200)]
    other = Detector("mahalanobis", random_state=1).fit(rows)
    Bundle(other, {"source": "other.csv"}).save(tmp_path / "other")
    for place, number in ((bundle, None), (bundle, None), (tmp_path / "other", 2)):
        store = Store(f"sqlite:///{tmp_path}/unseen.db")
        service = opened_service({"pumps": place}, store, tmp_path / "home", tell=told.append)
        assert service.registry.serving("pumps").version == 1
        service.close()
        assert (len(told) == 1) == (number is not None)
    assert "POST /v1/models/pumps/versions/2/promote" in told[0]


def test_nothing_to_serve_and_no_detector_are_refused(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/unseen.db")
    with pytest.raises(DataError, match="no model to serve"):
        opened_service({}, store, tmp_path / "home")
    store.close()


def test_a_port_that_is_taken_is_said():
    with bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DataError, match=rf"--port {port}: cannot listen there"):
            bound("127.0.0.1", port)
    with pytest.raises(DataError, match="cannot listen"):
        bound("127.0.0.1", 99_999)


@pytest.fixture
def started(bundle, tmp_path):
    """`unseen serve` in a process of its own: what it printed until it served, and the process."""
    ran = subprocess.Popen(
        [sys.executable, "-m", "unseen", "serve", str(bundle), "--port", "0"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = ""
    while "serving on" not in told:
        line = ran.stdout.readline()
        assert line, ran.stderr.read()
        told += line
    yield told, ran
    if ran.poll() is None:
        ran.kill()
    ran.communicate()


def test_serve_answers_logs_lines_of_json_and_ends_with_a_signal(started, tmp_path):
    told, ran = started
    url = re.search(r"serving on (http://127\.0\.0\.1:\d+)", told)[1]
    token = re.search(r"shown only now: (unseen_\S+)", told)[1]
    assert (tmp_path / "unseen-service" / "unseen.db").exists()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        row = {"load": 3.0, "heat": 400.0, "valve": "open"}
        answer = client.post("/v1/models/pumps/score", json={"rows": [row]})
        assert answer.json()["rows"][0]["alert"] == 1
    ran.send_signal(signal.SIGTERM)
    start = time.monotonic()
    _, err = ran.communicate(timeout=30)
    assert ran.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - start < 20
    *lines, last = err.splitlines()
    assert last == "interrupted; nothing unfinished is left"
    events = [json.loads(line) for line in lines]
    scored = next(each for each in events if each.get("route") == "/v1/models/{name}/score")
    assert (scored["status"], scored["who"]) == (200, "operator")
    assert scored["time"].endswith("+00:00")
    assert token not in err
    assert "400.0" not in err


def test_what_is_ready_is_sent_without_a_wait_for_acknowledgements(bundle, tmp_path, monkeypatch):
    seen = []

    class Watched(run.Patient):
        def connection_made(self, transport):
            super().connection_made(transport)
            line = transport.get_extra_info("socket")
            seen.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(run, "Patient", Watched)
    made = Stand(tmp_path / "home", bundle)
    with made.live() as port:
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    made.close()
    assert len(seen) == 1
    assert seen[0] != 0

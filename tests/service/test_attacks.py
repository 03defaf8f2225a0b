"""Attacks on the API: none gets in, none is echoed, and the service answers the next request."""

import io
import json
import logging
import struct
import time
import zlib

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from sqlalchemy import select, update
from stand import Stand, saved, spoken

from unseen.service.store.tables import alerts, now, tokens
from unseen.service.tokens import add_token

SCORE = "/v1/models/pumps/score"
ROW = {"load": 3.0, "heat": 60.0, "valve": "open"}
FAR = ROW | {"heat": 400.0}
EVIL = "zxq-evil-zxq"  # must not come back


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    made = Stand(folder / "home", saved(folder), body=1 << 20, json=1 << 18, columns=50, rows=200)
    yield made
    made.close()


def still_serves(stand):
    answer = stand.ask(json={"rows": [ROW]})
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"][0]["verdict"] == "normal"


def without_values(answer):
    """An answer that says why, and nothing of what was sent, of this machine or of the code."""
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json()["detail"], str)
    assert EVIL not in answer.text
    assert not any(word in answer.text for word in ("Traceback", "/tmp", ".py", "site-packages"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": f"Bearer {EVIL}"}, 401),
        ({"Authorization": "Bearer unseen_"}, 401),
        ({"Authorization": "Bearer unseen_' OR 1=1 --"}, 401),
        ({"Authorization": "Basic YWRtaW46YWRtaW4="}, 401),
        ({"Cookie": f"token={EVIL}", "X-Api-Key": EVIL}, 401),
    ],
)
def test_nobody_gets_in_without_a_token(stand, headers, status):
    stand.service.door.guesses._left.clear()
    for method, path in [("POST", SCORE), ("GET", "/v1/models"), ("GET", "/v1/models/pumps")]:
        answer = stand.ask(method, path, role=None, headers=headers)
        assert answer.status_code == status
        assert answer.headers["www-authenticate"] == "Bearer"
        without_values(answer)


def test_a_token_that_is_none_of_ours_is_told_apart_from_none(stand):
    stand.service.door.guesses._left.clear()
    known = {"Authorization": "Bearer unseen_mistyped"}
    assert "not valid" in stand.ask("GET", "/v1/models", role=None, headers=known).json()["detail"]
    assert "expected a token" in stand.ask("GET", "/v1/models", role=None).json()["detail"]
    stand.service.door.guesses._left.clear()


def test_a_token_opens_what_its_role_includes_and_no_more(stand):
    assert stand.ask(json={"rows": [ROW]}, role="review").status_code == 403
    assert stand.ask(json={"rows": [ROW]}, role="admin").status_code == 200
    assert stand.ask("GET", "/v1/models", role="review").status_code == 200


def test_every_route_but_health_wants_a_token(stand):
    stand.service.door.guesses._left.clear()
    stand.service.door.guesses.most = 1000.0
    open_ones = set()
    for path, methods in stand.app.openapi()["paths"].items():
        for method in methods:
            where = path.replace("{name}", "pumps").replace("{number}", "1")
            answer = stand.ask(method.upper(), where, role=None, json={})
            if answer.status_code not in (401, 403):
                open_ones.add(path)
    stand.service.door.guesses.most = 10.0
    assert open_ones <= {"/healthz", "/readyz"}


def test_revoked_and_expired_tokens_open_nothing_within_a_second(stand):
    with stand.service.store.writing() as connection:
        secret = add_token(connection, "leaver", "score")
    headers = {"Authorization": f"Bearer {secret}"}
    for change in ({"revoked": now()}, {"revoked": None, "expires": now()}):
        with stand.service.store.writing() as connection:
            wanted = update(tokens).where(tokens.c.name == "leaver")
            connection.execute(wanted.values(revoked=None, expires=None))
        stand.service.door._known.clear()
        assert stand.ask(role=None, headers=headers, json={"rows": [ROW]}).status_code == 200
        with stand.service.store.writing() as connection:
            connection.execute(update(tokens).where(tokens.c.name == "leaver").values(**change))
        time.sleep(1.01)
        assert stand.ask(role=None, headers=headers, json={"rows": [ROW]}).status_code == 401


def test_wrong_tokens_are_limited_by_address_and_right_ones_go_on(stand):
    stand.service.door.guesses._left.clear()
    wrong = {"Authorization": "Bearer unseen_no"}
    found = [stand.ask(role=None, headers=wrong).status_code for _ in range(12)]
    assert found == [401] * 10 + [429] * 2
    assert int(stand.ask(role=None, headers=wrong).headers["retry-after"]) >= 1
    assert still_serves(stand)
    stand.service.door.guesses._left.clear()


@pytest.mark.parametrize(
    "where",
    [
        SCORE + "?token={token}",
        SCORE + "?access_token=abc",
        SCORE + "?reasons=1&api_key=abc",
        SCORE + "?key={token}",
        SCORE + "?%74oken={token}",
        "/v1/models/{token}/score",
        "/{token}",
    ],
)
def test_tokens_in_an_address_are_refused_and_not_logged(stand, where, caplog):
    token = stand.tokens["score"]
    with caplog.at_level(logging.INFO, logger="unseen.service"):
        answer = stand.ask(path=where.format(token=token), json={"rows": [ROW]})
    assert answer.status_code == 400
    assert token not in answer.text
    assert "address" in answer.json()["detail"]
    assert all(token not in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2fpumps",
        "pumps%00",
        "pumps%0d%0aX-Evil:1",
        "PUMPS",
        "p%C3%BCmps",
        "%ff%fe",
        "pumps%20",
        "pumps.",
        "' OR 1=1",
        "a" * 5000,
        "%F0%9F%92%A9",
        "{{7*7}}",
        "-pumps",
    ],
)
def test_names_of_models_are_no_paths(stand, name):
    for path in (f"/v1/models/{name}/score", f"/v1/models/{name}"):
        method = "POST" if path.endswith("score") else "GET"
        answer = stand.ask(method, path, json={"rows": [ROW]})
        assert answer.status_code in (404, 405), answer.text
        assert "49" not in answer.text
        assert "x-evil" not in answer.headers
        assert "root:" not in answer.text
        without_values(answer)


def bomb_png(side):
    """A PNG of so many pixels a side in a few kilobytes."""
    rows = zlib.compress(bytes(side + 1) * 100, 9)

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def long_parquet(rows):
    """A text of a megabyte, stored once, in every row."""
    target = io.BytesIO()
    text = pa.array(["x" * (1 << 20)] * rows).dictionary_encode()
    columns = {"load": pa.array([1.0] * rows), "heat": pa.array([1.0] * rows), "valve": text}
    parquet.write_table(pa.table(columns), target)
    return target.getvalue()


def wide_parquet():
    target = io.BytesIO()
    parquet.write_table(pa.table({f"c{k}": [1.0] for k in range(2000)}), target)
    return target.getvalue()


JSON, CSV, LINES = "application/json", "text/csv", "application/jsonl"
PARQUET = "application/vnd.apache.parquet"
BODIES = {
    "no type": ("", b"{}", 415),
    "another type": ("application/x-www-form-urlencoded", b"rows=1", 415),
    "no JSON": (JSON, b"{", 400),
    "not UTF-8": (JSON, b'{"rows": [{"load": "\xff"}]}', 400),
    "half a character": (JSON, b'{"rows": [{"load": "\\ud800"}]}', 400),
    "another JSON": (JSON, b'{"rows": {"load": 1}}', 400),
    "rows of lists": (JSON, b'{"rows": [[1, 2]]}', 400),
    "deep lists": (JSON, b'{"rows": ' + b"[" * 100_000, 400),
    "deep objects": (JSON, b'{"a":' * 40_000, 400),
    "deep values": (JSON, b'{"rows": [{"load": ' + b"[" * 150 + b"]" * 150 + b"}]}", 400),
    "not a number": (JSON, b'{"rows": [{"load": NaN}]}', 400),
    "no end of digits": (JSON, b'{"rows": [{"load": ' + b"9" * 100_000 + b"}]}", 400),
    "many keys": (
        JSON,
        json.dumps({"rows": [{f"k{k}": 1 for k in range(10_000)}]}).encode(),
        413,
    ),
    "keys that differ": (
        JSON,
        json.dumps({"rows": [{f"k{k}": 1} for k in range(100)]}).encode(),
        413,
    ),
    "many rows": (JSON, json.dumps({"rows": [{}] * 300}).encode(), 413),
    "empty lists": (JSON, b'{"rows": [' + b"[]," * 80_000 + b"[]]}", 400),
    "a large text": (JSON, b'{"rows": "' + b"x" * (1 << 18) + b'"}', 413),
    "more than any": (CSV, b"x" * ((1 << 20) + 1), 413),
    "many lines": (CSV, b"load,heat,valve\n" + b"1,2,open\n" * 300, 413),
    "many columns": (CSV, b",".join(b"c%d" % k for k in range(9000)) + b"\n1\n", 400),
    "gzip": (CSV, b"\x1f\x8b\x08" + bytes(100), 400),
    "no such quote": (CSV, b'load,heat,valve\n"' + b"x" * 1000, 400),
    "zero bytes": (CSV, bytes(1000), 400),
    "deep lines": (LINES, b'{"load": ' + b"[" * 100_000, 400),
    "keys of a line": (
        LINES,
        json.dumps({f"k{k}": 1 for k in range(10_000)}).encode(),
        400,
    ),
    "a key twice": (LINES, b'{"load": 1, "load": 2}', 400),
    "no Parquet": (PARQUET, b"PAR1" + bytes(100) + b"PAR1", 400),
    "half a Parquet": (PARQUET, long_parquet(2)[:-20], 400),
    "long Parquet": (PARQUET, long_parquet(150), 413),
    "wide Parquet": (PARQUET, wide_parquet(), 400),
    "images for rows": (
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data; "
        b'name="a"; filename="../../../etc/cron.d/x"\r\n\r\nhi\r\n--x--\r\n',
        400,
    ),
    "no form": ("multipart/form-data; boundary=x", b"no form at all", 400),
    "no boundary": ("multipart/form-data", b"no form at all", 400),
}


@pytest.mark.parametrize("attack", BODIES)
def test_bodies_that_are_too_much_or_nothing(stand, attack):
    media, body, status = BODIES[attack]
    start = time.monotonic()
    answer = stand.ask(headers={"Content-Type": media}, content=body)
    assert (answer.status_code, answer.json()["detail"][:0]) == (status, ""), answer.text[:300]
    without_values(answer)
    assert time.monotonic() - start < 3
    assert len(answer.text) < 2000
    assert still_serves(stand)


def test_infinite_numbers_and_doubled_keys_are_judged_or_refused_but_never_break_json(stand):
    for body in (b'{"rows": [{"load": 1e999}]}', b'{"rows": [{"load": 1, "load": 2}]}'):
        answer = stand.ask(headers={"Content-Type": JSON}, content=body)
        assert answer.status_code in (200, 400)
        assert "NaN" not in answer.text
        assert "Infinity" not in answer.text


def test_compressed_bodies_are_refused(stand):
    for coding in ("gzip", "br", "gzip, identity", "x"):
        headers = {"Content-Encoding": coding, "Content-Type": JSON}
        assert stand.ask(headers=headers, content=b"{}").status_code == 415


@pytest.mark.parametrize("value", ["a b", "x\x7f", "k" * 201, "ü".encode(), "a\tb"])
def test_keys_of_requests_are_short_and_plain(stand, value):
    answer = stand.ask(json={"rows": [ROW]}, headers={"Idempotency-Key": value})
    assert answer.status_code == 422
    without_values(answer)


@pytest.mark.parametrize("value", [EVIL + " x", "a" * 65, "<script>", "ä".encode(), '"', "{}"])
def test_a_request_id_comes_back_only_where_it_is_plain(stand, value):
    answer = stand.ask("GET", "/healthz", role=None, headers={"X-Request-ID": value})
    assert len(answer.headers["x-request-id"]) == 16
    assert EVIL not in answer.headers["x-request-id"]
    kept = stand.ask("GET", "/healthz", role=None, headers={"X-Request-ID": "job-7.a_B"})
    assert kept.headers["x-request-id"] == "job-7.a_B"


def test_hosts_origins_and_methods_of_others_change_nothing(stand):
    headers = {
        "Host": f"{EVIL}.example",
        "X-Forwarded-Host": EVIL,
        "X-Forwarded-For": EVIL,
        "Origin": f"https://{EVIL}.example",
        "X-HTTP-Method-Override": "DELETE",
        "X-Original-URL": "/v1/models",
    }
    answer = stand.ask("GET", "/v1/models/pumps/", headers=headers)
    assert answer.status_code == 404  # no redirect to where Host says
    assert EVIL not in str(answer.headers)
    answer = stand.ask(
        "OPTIONS", SCORE, headers=headers | {"Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert stand.ask("GET", "/v1/models", headers=headers).status_code == 200
    for method in ("TRACE", "CONNECT", "PATCH", "DELETE", "EVIL"):
        assert stand.ask(method, SCORE).status_code == 405


def test_parameters_are_refused_without_being_said_again(stand):
    for query in (f"reasons={EVIL}", "reasons=-1", "reasons=1e9", f"key={EVIL * 50}", "by_group=2"):
        answer = stand.ask(path=f"{SCORE}?{query}", json={"rows": [ROW]})
        assert answer.status_code == 422
        without_values(answer)
    assert stand.ask("GET", f"/{EVIL}").status_code == 404
    without_values(stand.ask("GET", f"/{EVIL}"))


def test_a_request_that_comes_again_raises_no_second_alert_and_no_other_is_lost(stand):
    def numbers(rows, role="score", key="k-1"):
        answer = stand.ask(json={"rows": rows}, role=role, headers={"Idempotency-Key": key})
        return [row["alert"] for row in answer.json()["rows"]]

    first = numbers([FAR, FAR])
    assert numbers([FAR, FAR]) == first
    assert not set(numbers([FAR, FAR | {"load": 4.0}])) & set(first)  # another body
    assert not set(numbers([FAR, FAR], role="admin")) & set(first)  # another client
    with stand.service.store.reading() as connection:
        found = connection.execute(select(alerts.c.id)).scalars().all()
    assert len(found) == len(set(found)) == 6


def test_a_crash_inside_tells_a_number_and_nothing_else(stand, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError(f"value {EVIL} in row 3")

    monkeypatch.setattr("unseen.service.answering.judged", broken)
    with caplog.at_level(logging.INFO, logger="unseen.service"):
        answer = stand.ask(json={"rows": [ROW]})
    assert answer.status_code == 500
    without_values(answer)
    (record,) = [each for each in caplog.records if each.name == "unseen.service"]
    assert record.facts["request"] == answer.headers["x-request-id"]
    assert record.facts["error"] == "RuntimeError"
    assert EVIL not in str(vars(record))
    monkeypatch.undo()
    assert still_serves(stand)


def test_the_log_holds_no_values_queries_or_tokens(stand, caplog):
    row = ROW | {"valve": EVIL}
    with caplog.at_level(logging.DEBUG):
        stand.ask(path=f"{SCORE}?key=valve", json={"rows": [row]})
        stand.ask("GET", f"/{EVIL}?{EVIL}=1")
        stand.ask(EVIL, "/v1/models")
    written = [record for record in caplog.records if record.name.startswith("unseen")]
    assert [record.facts["status"] for record in written if hasattr(record, "facts")]
    text = "".join(str(vars(record)) for record in written)
    assert EVIL not in text
    assert stand.tokens["score"] not in text


def test_answers_forbid_what_browsers_would_do_with_them(stand):
    answers = [
        stand.ask(json={"rows": [ROW]}),
        stand.ask("GET", "/healthz", role=None),
        stand.ask("GET", "/nowhere"),
        stand.ask(path=SCORE + "?token=x"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A real server that waits half a second for a body."""
    folder = tmp_path_factory.mktemp("live")
    made = Stand(folder / "home", saved(folder), body=1 << 20, seconds=0.5, waiting=2)
    with made.live() as port:
        made.port = port
        yield made
    made.close()


def head(stand, *more, path=SCORE, method="POST"):
    """The head of a request on a connection that closes after it."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {stand.tokens['score']}",
    ]
    return "\r\n".join([*lines, "Connection: close", *more, "", ""]).encode()


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        # a body that never comes, one drop by drop, one that is never whole
        (([b"Content-Type: text/csv", b"Content-Length: 100"], b""), 408),
        (([b"Content-Type: text/csv", b"Content-Length: 100"], b"a", b"b", b"c"), 408),
        (([b"Content-Type: application/json", b"Transfer-Encoding: chunked"], b"5\r\n{"), 408),
        # lengths that lie
        (([b"Content-Type: text/csv", b"Content-Length: 999999999999"],), 413),
        (([b"Content-Type: text/csv", b"Content-Length: 9999999999999999999999"],), 400),
        (([b"Content-Type: text/csv", b"Content-Length: -1"],), 400),
        (([b"Content-Type: text/csv", b"Content-Length: 5", b"Content-Length: 6"],), 400),
        (([b"Content-Type: text/csv", b"Content-Length: abc"],), 400),
        # chunks without end, and of no size
        (([b"Content-Type: text/csv", b"Transfer-Encoding: chunked"], b"zz\r\n"), 400),
        (
            (
                [b"Content-Type: text/csv", b"Transfer-Encoding: chunked"],
                b"80000\r\n" + b"x" * 0x80000 + b"\r\n",
                b"80000\r\n" + b"x" * 0x80000 + b"\r\n",
                b"80000\r\n" + b"x" * 0x80000 + b"\r\n",
            ),
            413,
        ),
        # heads that are none
        ((["X: " + "y" * 20_000],), 431),
        ((["X: " + "y" * 200_000],), (400, 431)),
        (([b"Transfer-Encoding: gzip"],), (400, 501)),
        (([b"X-Request-ID: a\r\n b"],), (400, 415)),
        (([b"Bad Header: 1"],), 400),
    ],
)
def test_slow_lying_and_endless_requests(live, parts, status):
    lines, *body = parts
    lines = [line.decode() if isinstance(line, bytes) else line for line in lines]
    start = time.monotonic()
    heard = spoken(live.port, head(live, *lines), *body, pause=0.01)
    found = int(heard.split()[1])
    assert found in (status if isinstance(status, tuple) else (status,)), heard[:300]
    assert time.monotonic() - start < 4
    assert b"200" in spoken(live.port, head(live, path="/healthz", method="GET"))


def test_a_client_that_still_writes_reads_why_it_was_refused(live):
    """Its connection would be reset, if what it writes were left unread."""
    body, busy = b"x" * 900_000, live.service.door
    for more, status in ((["Content-Type: text/csv"], b"429"), (["Content-Type: x/y"], b"415")):
        lines = [*more, f"Content-Length: {len(body)}"]
        busy.inside += 2
        try:
            heard = spoken(live.port, head(live, *lines), *[body[:300_000]] * 3, pause=0.05)
        finally:
            busy.inside -= 2
        assert heard.split()[1] == status


def test_a_head_that_never_comes_is_waited_for_only_so_long(live, monkeypatch):
    monkeypatch.setattr("unseen.service.run.HEAD", 0.3)
    start = time.monotonic()
    assert spoken(live.port, b"GET /healthz HT") == b""
    assert spoken(live.port) == b""
    assert time.monotonic() - start < 3


def test_a_second_request_in_the_first_ones_body_is_no_request(live):
    inner = head(live, path="/v1/models", method="GET")
    both = ["Content-Type: text/csv", "Content-Length: 6", "Transfer-Encoding: chunked"]
    outer = head(live, *both).replace(b"Connection: close\r\n", b"")
    heard = spoken(live.port, outer, b"0\r\n\r\n" + inner)
    assert heard.count(b"HTTP/1.1") == 1
    assert heard.split()[1] == b"400"


def test_images_that_unpack_to_far_more_are_refused_and_names_are_no_paths(tmp_path):
    from stand import saved_images

    made = Stand(tmp_path / "home", saved_images(tmp_path))
    try:
        good = (tmp_path / "pumps-images" / "normal" / "0.png").read_bytes()
        files = [
            ("images", ("../../../../tmp/escaped.png", good)),
            ("images", ("<script>alert(1)</script>", b"no image")),
            ("images", ("a.svg", b"<svg onload=alert(1)>")),
        ]
        answer = made.ask(files=files)
        rows = answer.json()["rows"]
        assert [row["key"] for row in rows] == [name for _, (name, _) in files]
        assert [row["verdict"] == "failed" for row in rows] == [False, True, True]
        assert all("/tmp" not in (row.get("problem") or "") for row in rows)
        assert not (tmp_path.parent / "escaped.png").exists()
        (row,) = made.ask(files=[("images", ("bomb.png", bomb_png(30_000)))]).json()["rows"]
        assert row["verdict"] == "failed"
        assert "pixels" in row["problem"]
        answer = made.ask(files=[("images", (f"{k}.png", bomb_png(9000))) for k in range(6)])
        assert answer.status_code == 413
        assert "pixels" in answer.json()["detail"]
        many = [("images", (f"{k}.png", b"x")) for k in range(1001)]
        assert made.ask(files=many).status_code == 400
        assert made.ask(json={"rows": [ROW]}).status_code == 400
    finally:
        made.close()


def test_a_number_that_no_database_holds_is_refused_on_every_route(stand):
    tried = 0
    for path, methods in stand.app.openapi()["paths"].items():
        for method, route in methods.items():
            for each in route.get("parameters", []):
                kinds = [each["schema"], *each["schema"].get("anyOf", [])]
                if all(kind.get("type") != "integer" for kind in kinds):
                    continue
                huge, given = str(10**30), {"name": "pumps", "number": "1"}
                query = {each["name"]: huge} if each["in"] == "query" else {}
                given |= {each["name"]: huge}
                answer = stand.ask(method, path.format(**given), role="admin", params=query)
                assert answer.status_code == 422, (path, each["name"], answer.text)
                tried += 1
    assert tried > 8

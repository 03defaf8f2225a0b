"""The review page against those who attack it, and those who write HTML into every field."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from desk import Desk, rows
from poison import poisoned
from sqlalchemy import insert, select, update

from unseen.service.store.tables import (
    labels,
    now,
    pictures,
    sessions,
    tokens,
)
from unseen.service.tokens import revoke_token

PAGES = ("", "/changes", "/trend", "/labels", "/jobs", "/work")
HERE = {"origin": "http://testserver"}


@pytest.fixture(scope="module")
def calm(bundle, tmp_path_factory):
    """A desk for tests that change nothing of it."""
    found = Desk(tmp_path_factory.mktemp("calm") / "home", bundle)
    found.alerts(rows(3, 5, {"bytes_out": 340000.0}))
    yield found
    assert answers(found) == []
    found.close()


@pytest.fixture
def desk(bundle, tmp_path):
    found = Desk(tmp_path / "home", bundle)
    found.alerts(rows(3, 5, {"bytes_out": 340000.0}))
    yield found
    found.close()


def secret_of(client):
    """The secret of the pages of a session."""
    return re.search(r'name="csrf" value="([^"]+)"', client.get("/review/models/traffic").text)[1]


def posted(client, path, headers=HERE, **fields):
    return client.post(f"/review{path}", data=fields, headers=headers)


def answers(desk):
    with desk.store.reading() as connection:
        return [row.answer for row in connection.execute(select(labels))]


def test_without_a_session_there_is_nothing_to_see(calm):
    client = calm.browser()
    for path in (
        "",
        *(f"/models/traffic{page}" for page in PAGES),
        "/models/traffic/jobs/part",
        "/models/traffic/labels/export",
        "/models/traffic/alerts/1/pictures/image",
    ):
        answer = client.get(f"/review{path}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/review/sign-in"), path
    part = client.get("/review/models/traffic/work", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/review/sign-in")
    for path in (
        "answer",
        "undo",
        "retrain",
        "recalibrate",
        "promote",
        "rollback",
        "jobs/1/cancel",
        "labels/import",
    ):
        assert posted(client, f"/models/traffic/{path}").status_code == 303
    bearer = {"authorization": f"Bearer {calm.tokens['root']}"}
    assert client.get("/review", headers=bearer).status_code == 303
    assert answers(calm) == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/sign-in",
        "/static/review.js",
        "/static/none",
        "/models/x",
        *(f"/models/traffic{page}" for page in PAGES),
    ],
)
def test_every_answer_tells_browsers_what_to_refuse(calm, path):
    answer = calm.browser("ann").get(f"/review{path}")
    policy = dict(
        each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; ")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("frame-ancestors") == policy.pop("base-uri") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?! src=)", answer.text)


@pytest.mark.parametrize(
    ("base", "name"), [("http://testserver", "unseen"), ("https://testserver", "__Host-unseen")]
)
def test_the_cookie_is_for_this_page_alone(desk, base, name):
    client = desk.browser(base_url=base)
    answer = client.post(
        "/review/sign-in", data={"token": desk.tokens["ann"]}, headers={"origin": base}
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{name}=")
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= flags
    assert ("secure" in flags) == base.startswith("https")
    assert not [flag for flag in flags if flag.startswith("domain")]
    with desk.store.reading() as connection:
        kept = connection.execute(select(sessions.c.digest)).scalar()
    assert kept not in cookie  # the database cannot be replayed


def test_a_session_that_somebody_planted_is_not_taken_on(desk):
    mallory = desk.browser("bob")
    planted = mallory.cookies["unseen"]
    victim = desk.browser()
    victim.cookies.set("unseen", planted)
    posted(victim, "/sign-in", token=desk.tokens["ann"])
    found = [each.value for each in victim.cookies.jar if each.name == "unseen"]
    assert [value for value in found if value != planted]
    assert mallory.get("/review").status_code == 303  # what was planted has ended
    fresh = desk.browser()
    fresh.cookies.set("unseen", "of-my-own")
    assert fresh.get("/review").status_code == 303


@pytest.mark.parametrize("end", ["out", "revoked", "expired token", "expired session"])
def test_sessions_end(desk, end):
    client = desk.browser("ann")
    kept = client.cookies["unseen"]
    assert client.get("/review").status_code == 200
    past = now() - timedelta(seconds=1)
    if end == "out":
        posted(client, "/sign-out", csrf=secret_of(client))
        client.cookies.set("unseen", kept)
    else:
        with desk.store.writing() as connection:
            if end == "revoked":
                revoke_token(connection, "ann")
            elif end == "expired token":
                connection.execute(update(tokens).values(expires=past))
            else:
                connection.execute(update(sessions).values(expires=past))
    assert client.get("/review").status_code == 303


@pytest.mark.parametrize("who", ["feed", None])
def test_tokens_that_may_not_label_get_no_session(calm, who):
    answer = posted(calm.browser(), "/sign-in", token=calm.tokens.get(who, "unseen_" + "x" * 43))
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_changes_come_from_pages_of_the_session_alone(desk):
    ann, bob = desk.browser("ann"), desk.browser("bob")
    form = {"alert": "1", "revision": "0", "answer": "normal", "upto": "0"}
    good, other = secret_of(ann), secret_of(bob)
    for secret in ("", "x", other, good[:-1]):
        answer = posted(ann, "/models/traffic/answer", csrf=secret, **form)
        assert answer.status_code == 403, secret
    for origin in (
        "http://evil.example",
        "http://testserver.evil.example",
        "null",
        "",
        "http://testserver:81",
        "file://testserver",
    ):
        headers = {"origin": origin}
        answer = posted(ann, "/models/traffic/answer", headers, csrf=good, **form)
        assert answer.status_code == 403, origin
        assert (
            posted(desk.browser(), "/sign-in", headers, token=desk.tokens["ann"]).status_code == 403
        )
    assert posted(ann, "/models/traffic/answer", {}, csrf=good, **form).status_code == 403
    file = {"file": ("l.csv", b'answer,values\nnormal,"{""a"": 1}"\n')}
    imported = ann.post("/review/models/traffic/labels/import", files=file, headers=HERE)
    assert imported.status_code == 403
    assert answers(desk) == []
    for page in PAGES:  # looking changes nothing, whatever the address says
        ann.get(f"/review/models/traffic{page}?csrf={good}&alert=1&answer=normal&revision=0")
    assert ann.get("/review/models/traffic/answer").status_code == 405
    assert answers(desk) == []
    assert posted(ann, "/models/traffic/answer", csrf=good, **form).status_code == 303
    assert answers(desk) == ["normal"]


def test_the_cookie_is_no_token_of_the_api(calm):
    client = calm.browser("root")
    for method, path in (("GET", "/alerts"), ("POST", "/retrain"), ("PATCH", "/alerts/1")):
        assert client.request(method, f"/v1/models/traffic{path}").status_code == 401


def test_an_undo_that_is_replayed_takes_nothing_more_back(desk):
    client = desk.browser("ann")
    secret = secret_of(client)
    for number in (1, 2):
        form = {"alert": number, "revision": 0, "answer": "unsure", "upto": 0}
        assert posted(client, "/models/traffic/answer", csrf=secret, **form).status_code == 303
    act = re.search(r'name="act" value="([0-9a-f]+)"', client.get("/review/models/traffic").text)[1]
    assert posted(client, "/models/traffic/undo", csrf=secret, act=act).status_code == 303
    again = posted(client, "/models/traffic/undo", csrf=secret, act=act)
    assert again.status_code == 409
    with desk.store.reading() as connection:
        gone = connection.execute(select(labels.c.undone).order_by(labels.c.id)).scalars().all()
    assert [each is None for each in gone] == [True, False]
    bob = desk.browser("bob")
    first = select(labels.c.act).order_by(labels.c.id)
    with desk.store.reading() as connection:
        theirs = connection.execute(first).scalar()
    assert posted(bob, "/models/traffic/undo", csrf=secret_of(bob), act=theirs).status_code == 403


@pytest.mark.parametrize("path", ["retrain", "recalibrate", "promote", "rollback", "jobs/1/cancel"])
def test_who_reviews_manages_nothing(calm, path):
    client = calm.browser("ann")
    form = {"csrf": secret_of(client), "number": 1, "revision": 0}
    assert posted(client, f"/models/traffic/{path}", **form).status_code == 403


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/sign-in?next=//evil.example", {}),
        (
            "/models/traffic/answer?next=//evil.example",
            {
                "alert": "1",
                "revision": "0",
                "answer": "normal",
                "upto": "0",
                "next": "//evil.example",
                "day": "//evil.example\r\nX: 1",
            },
        ),
    ],
)
def test_no_answer_leads_elsewhere(desk, path, fields):
    client = desk.browser("ann")
    form = {"csrf": secret_of(client), "token": desk.tokens["ann"]} | fields
    answer = posted(client, path, HERE | {"x-forwarded-host": "evil.example"}, **form)
    assert answer.status_code == 303
    assert re.fullmatch(r"/review(/models/traffic\?alert=&day=)?", answer.headers["location"])


@pytest.mark.parametrize(
    "name",
    [
        "../review.js",
        "..%2f..%2fapp.py",
        "%2e%2e/app.py",
        "look.css%00",
        "htmx.LICENSE",
        "/etc/passwd",
    ],
)
def test_static_files_are_those_of_a_list(calm, name):
    assert calm.browser().get(f"/review/static/{name}").status_code == 404


def test_pictures_are_seen_by_those_who_review_and_run_nothing(desk):
    with desk.store.writing() as connection:
        for number, media in ((1, "image/webp"), (2, "image/svg+xml"), (3, "text/html")):
            row = {"alert": number, "what": "image", "media": media, "bytes": b"<svg/>"}
            connection.execute(insert(pictures), row)
    client = desk.browser("ann")
    place = "/review/models/{}/alerts/{}/pictures/image"
    answer = client.get(place.format("traffic", 1))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    for model, number in (("traffic", 2), ("traffic", 3), ("other", 1), ("traffic", 4)):
        assert client.get(place.format(model, number)).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"alert": "x"},
        {"revision": "1e3"},
        {"alert": "9" * 40},
        {"answer": "x"},
        {"known": "x"},
        {"upto": "-"},
    ],
)
def test_forms_that_no_page_sends_are_refused_in_a_sentence(calm, fields):
    client = calm.browser("ann")
    form = {"csrf": secret_of(client), "alert": "1", "revision": "0", "answer": "normal"}
    form |= {"upto": "0", "duplicates": "yes"} | fields
    answer = posted(client, "/models/traffic/answer", **form)
    assert answer.status_code in (400, 404)
    assert "Not done" in answer.text
    assert answers(calm) == []


def test_a_form_that_is_too_large_is_not_read(calm):
    client = calm.browser("ann")
    answer = posted(client, "/models/traffic/answer", csrf=secret_of(client), kind="x" * 100_000)
    assert answer.status_code == 413


class Tags(HTMLParser):
    """Which elements and attributes a page has, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.names, self.places = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.places |= {
            value for name, value in attrs if name in ("href", "src", "action", "hx-get")
        }


def test_html_in_every_field_is_shown_and_not_run(tmp_path):
    desk = poisoned(tmp_path / "evil")
    client = desk.browser("bob")
    for page in (*PAGES, *(f"?alert={k}" for k in (1, 2, 3, 4)), "/jobs/part"):
        answer = client.get(f"/review/models/traffic{page}")
        assert answer.status_code == 200, (page, answer.text)
        found = Tags(answer.text)
        assert "onerror" in answer.text, page  # it is there, as text
        assert not {name for name in found.names if name.startswith("on")}, page
        assert all(re.match(r"/review\b|#main$", place) for place in found.places), page
        assert not found.tags & {"iframe", "object", "embed", "base"}, page
        scripts = re.findall(r"<script[^>]*>", answer.text)
        assert all(' src="/review/static/' in each for each in scripts), page
        assert "<svg/" not in answer.text, page
        assert "<img src=x" not in answer.text, page
        assert "49" not in re.findall(r"onload=window.pwned=1&gt;(..)", answer.text), page
    desk.close()

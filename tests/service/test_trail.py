"""The audit trail over the API: for administrators, filtered, a page at a time."""

import pytest
from desk import Desk, saved

from unseen.service.store.trail import tell


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    place = tmp_path_factory.mktemp("trail")
    found = Desk(place / "home", saved(place))
    with found.store.writing() as connection:
        for k in range(5):
            tell(connection, "ann" if k % 2 else "bob", "label", "traffic", k, {"answer": "new"})
        tell(connection, "root", "token.add", None, "cy", {})
    yield found
    found.close()


def asked(desk, query="", who="root"):
    head = {"Authorization": f"Bearer {desk.tokens[who]}"}
    return desk.client.get(f"/v1/audit{query}", headers=head)


def test_entries_the_newest_first_and_page_by_page(desk):
    whole = asked(desk).json()["entries"]
    assert [each["id"] for each in whole] == sorted((e["id"] for e in whole), reverse=True)
    assert (whole[0]["what"], whole[0]["model"], whole[0]["subject"]) == ("token.add", None, "cy")
    assert whole[0]["at"].endswith("Z")
    pages, query = [], "?limit=3"
    while query:
        page = asked(desk, query).json()
        pages += page["entries"]
        query = page["before"] and f"?limit=3&before={page['before']}"
    assert pages == whole


def test_filters(desk):
    found = asked(desk, "?who=ann&what=label&model=traffic").json()["entries"]
    assert [each["subject"] for each in found] == ["3", "1"]
    assert asked(desk, "?who=nobody").json() == {"entries": [], "before": None}


def test_only_administrators_read_it(desk):
    assert [asked(desk, who=who).status_code for who in ("ann", "feed")] == [403, 403]
    assert desk.client.get("/v1/audit").status_code == 401

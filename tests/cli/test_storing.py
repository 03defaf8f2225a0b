"""unseen store and unseen token: what is typed, read, and found in the database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from filled import everything, fill
from unseen.cli import main as cli
from unseen.service.store import schema
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, audit, now, tokens
from unseen.service.tokens import who_has


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNSEEN_STORE", raising=False)
    return tmp_path


@pytest.fixture
def store(here):
    """The database of the folder where a service is by default, with rows."""
    (here / "unseen-service").mkdir()
    found = Store(f"sqlite:///{here}/unseen-service/unseen.db")
    schema.upgrade(found)
    fill(found)
    yield found
    found.close()


def run(line, capsys):
    """Exit status, standard output and standard error of a command line."""
    status = cli.main(line.split())
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_a_token_from_the_first_to_the_last_day(here, capsys):
    """It is shown once, opens what its role may, and nothing once it is revoked."""
    status, secret, _ = run("token add ann --role review --days 90", capsys)
    assert status == 0
    store = Store(f"sqlite:///{here}/unseen-service/unseen.db")
    with store.reading() as connection:
        who = who_has(connection, secret.strip())
        ends = connection.execute(select(tokens.c.expires)).scalar_one()
    assert who.name == "ann"
    assert [what for what in ("read", "score", "label", "manage") if who.may(what)] == [
        *("read", "label")
    ]
    assert timedelta(days=89.9) < ends - now() < timedelta(days=90)
    status, listed, _ = run("token list", capsys)
    assert listed.split()[:2] == ["ann", "review"]
    assert "valid until" in listed
    assert secret.strip() not in listed
    assert run("token revoke ann", capsys)[0] == 0
    assert "revoked on" in run("token list", capsys)[1]
    with store.reading() as connection:
        assert who_has(connection, secret.strip()) is None
        lines = connection.execute(select(audit.c.who, audit.c.what, audit.c.subject)).all()
    assert lines == [("operator", "token.add", "ann"), ("operator", "token.revoke", "ann")]
    status, _, said = run("token revoke ann", capsys)
    assert status == 2
    assert "see `unseen token list`" in said
    status, _, said = run("token add ann --role admin", capsys)
    assert status == 2
    assert "there is, or was, one of that name" in said
    store.close()


def test_status_tells_revision_and_rows(store, capsys):
    status, told, _ = run("store status", capsys)
    assert status == 0
    assert "revision 0001" in told
    assert "this release needs 0001\n" in told
    assert any(line.split() == ["alerts", "2"] for line in told.splitlines())


def test_what_is_not_there_is_not_made(here, capsys):
    for line in ("store status", "store purge --key k", "store downgrade 0001", "token list"):
        status, _, said = run(line, capsys)
        assert status == 2
        assert "there is no database; check --home and --store" in said
    assert list(here.iterdir()) == []


def test_upgrade_makes_the_first_tables(here, capsys):
    line = "store upgrade --store sqlite:///new.db"
    assert "no tables before, 0001 now" in run(line, capsys)[1]
    assert "0001 before, 0001 now" in run(line, capsys)[1]
    status, _, said = run("store downgrade 0007 --store sqlite:///new.db", capsys)
    assert status == 2
    assert "'0007' of the schema is not known" in said


def test_the_address_may_come_from_the_environment(here, monkeypatch, capsys):
    """Where a password is seen by fewer than on a command line."""
    monkeypatch.setenv("UNSEEN_STORE", "sqlite:///elsewhere.db")
    assert run("token add feed --role score", capsys)[0] == 0
    assert sorted(path.name for path in here.iterdir()) == ["elsewhere.db"]


def test_copy_counts_on_both_sides(store, here, capsys):
    status, told, _ = run(f"store copy {store.name} sqlite:///copy.db", capsys)
    assert status == 0
    assert any(line.split() == ["labels", "2"] for line in told.splitlines())
    assert "copied to sqlite:///copy.db, equal on both sides" in told
    copy = Store("sqlite:///copy.db")
    assert everything(copy) == everything(store)
    copy.close()
    status, _, said = run(f"store copy {store.name} sqlite:///copy.db", capsys)
    assert status == 2
    assert "name an empty database" in said


def test_purge_by_age_and_by_key(store, capsys):
    with store.writing() as connection:
        connection.execute(update(alerts).where(alerts.c.row == 1).values(answer="new", key="k 1"))
    status, told, _ = run("store purge --older-than 0d", capsys)
    assert (status, told) == (0, "deleted: alerts 1, labels 0, pictures 0, recent 1\n")
    assert cli.main(["store", "purge", "--key", "k 1"]) == 0
    assert capsys.readouterr().out == "deleted: alerts 1, labels 1, pictures 1, recent 0\n"
    for line in ("store purge", "store purge --key k --older-than 1d"):
        status, _, said = run(line, capsys)
        assert status == 2
        assert "an age or a key, one of the two" in said

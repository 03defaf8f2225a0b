"""Store: transactions that are whole, on both databases; what is refused, and what that tells."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import traceback
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from filled import AT, HARD, everything, fill
from unseen.errors import DataError
from unseen.service.store import schema
from unseen.service.store.store import LOG, Store, StoreError
from unseen.service.store.tables import alerts, audit, labels, metadata, models, tokens
from unseen.service.tokens import add_token, all_tokens

LINE = {"at": AT, "who": "a", "what": "b", "detail": {}}


@pytest.fixture
def store(url):
    """A database with a row or two in every table."""
    found = Store(url)
    schema.upgrade(found)
    fill(found)
    yield found
    found.close()


def shown(raised):
    """An error as a log would show it, with all that led to it."""
    return "".join(traceback.format_exception(raised.value))


def count(store, table=audit):
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize(
    "url",
    [
        "unseen.db",
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://ann:pass-word@host/name",
        "postgresql://ann:pass-word@host:port/name",
        "nonsense://ann:pass-word@host",
    ],
)
def test_what_is_no_database_is_refused_without_its_password(url):
    with pytest.raises(DataError, match="expected the URL of a database") as refused:
        Store(url)
    assert "pass-word" not in shown(refused)


def test_a_password_is_in_no_name_and_no_error(tmp_path):
    store = Store(f"postgresql://ann:pass-word@/name?host={tmp_path}")
    with pytest.raises(StoreError, match="the database refuses") as refused, store.reading():
        pass
    assert "pass-word" not in shown(refused) + store.name
    assert store.name.startswith("postgresql://ann:***@/name")


def test_a_transaction_is_whole_or_not_at_all(store):
    before = everything(store)
    for last, error in (({"model": "m"}, ZeroDivisionError), ({"model": "none"}, IntegrityError)):
        with pytest.raises(error):
            _half(store, last)
        assert everything(store) == before


def _half(store, last):
    """A transaction that fails at its end."""
    with store.writing() as connection:
        connection.execute(insert(audit), [LINE] * 3)
        connection.execute(delete(labels))
        row = {"act": "3", "at": AT, "by": "a", "origin": "api", "answer": "new"}
        connection.execute(insert(labels), row | last)
        raise ZeroDivisionError


def test_a_reader_sees_one_moment_and_writes_nothing(store):
    with store.reading() as reading:
        first = reading.execute(select(func.count()).select_from(audit)).scalar_one()
        with store.writing() as connection:
            connection.execute(insert(audit), LINE)
        assert reading.execute(select(func.count()).select_from(audit)).scalar_one() == first
    assert count(store) == first + 1
    try:
        with store.reading() as connection:
            connection.execute(delete(audit))
    except StoreError:
        pass  # PostgreSQL says so at once
    assert count(store) == first + 1


def test_writers_wait_for_each_other_also_from_other_servers(store, url):
    """Each adds one to what it read."""
    second = Store(url)

    def add(store):
        for _ in range(25):
            with store.writing() as connection:
                if not store.is_sqlite:
                    connection.execute(select(models).with_for_update())
                found = connection.execute(select(models.c.revision)).scalar_one()
                connection.execute(update(models).values(revision=found + 1))

    threads = [threading.Thread(target=add, args=(each,)) for each in (store, second) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    with store.reading() as connection:
        assert connection.execute(select(models.c.revision)).scalar_one() == 150


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"at": datetime(2026, 1, 1)}, "expected a time with its zone"),
        ({"subject": "a\x00b"}, "a zero byte or half a character"),
        ({"subject": "\ud83d"}, "a zero byte or half a character"),
        ({"who": "w" * 65}, "expected at most 64 characters, found 65"),
    ],
    ids=["naive time", "zero byte", "half a character", "too long"],
)
def test_what_one_database_would_not_keep_is_refused_by_both(store, change, match):
    with pytest.raises(DataError, match=match), store.writing() as connection:
        connection.execute(insert(audit), LINE | change)


def test_no_error_shows_values(store):
    """Nor do those that somebody logs with all that led to them."""
    row = {"model": "m", "version": 1, "request": "r", "row": 1, "at": AT, "score": 1.0}
    row |= {"pvalue": 0.1, "values": {"secret": "se" + "cret"}, "similar": "x"}
    with store.writing() as connection:
        connection.execute(insert(alerts), row)
    with pytest.raises(IntegrityError) as twice, store.writing() as connection:
        connection.execute(insert(alerts), row)
    with pytest.raises(DataError) as unfit, store.writing() as connection:
        connection.execute(insert(alerts), row | {"request": "r" * 65})
    for each in (twice, unfit):
        assert "se" + "cret" not in shown(each)


def test_a_new_file_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        store = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
        schema.upgrade(store)
        fill(store)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["unseen.db", "unseen.db-shm", "unseen.db-wal"], 0o600)
    store.close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot be made.*create its folder"):
        schema.upgrade(Store(f"sqlite:///{tmp_path / 'none' / 'unseen.db'}"))


def test_each_commit_is_on_the_disk(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
    with store.reading() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }
    store.close()


def test_the_log_stays_bounded_while_somebody_always_reads(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'unseen.db'}")
    schema.upgrade(store)
    done, most = threading.Event(), 0

    def read():
        while not done.is_set():
            with store.reading() as connection:
                connection.execute(text("SELECT count(*) FROM audit")).scalar()
                time.sleep(0.01)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    row = LINE | {"detail": "x" * 1_000_000}
    for _ in range(45):
        with store.writing() as connection:
            connection.execute(insert(audit), row)
        most = max(most, (tmp_path / "unseen.db-wal").stat().st_size)
        time.sleep(0.01)
    done.set()
    for reader in readers:
        reader.join()
    assert most < 2 * LOG < 45_000_000 < (tmp_path / "unseen.db").stat().st_size + most
    store.close()


def test_a_connection_that_was_cut_is_replaced(postgres):
    store = Store(postgres.fresh())
    schema.upgrade(store)
    fill(store)
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = Store(store.engine.url.render_as_string(hide_password=False).replace("+psycopg", ""))
    with other.writing() as connection:
        connection.execute(cut)
    before = count(store)

    def write():
        with store.writing() as connection:
            connection.execute(insert(audit), LINE)
            with other.writing() as cutting:
                cutting.execute(cut)

    with pytest.raises(StoreError, match="ask again"):
        write()
    assert count(store) == before
    for each in (store, other):
        each.close()


def test_nobody_waits_for_a_lock_without_an_end(store, url, monkeypatch):
    monkeypatch.setattr("unseen.service.store.connections.WAIT", 1)
    other = Store(
        store.engine.url.render_as_string().replace("+pysqlite", "").replace("+psycopg", "")
    )
    with store.writing() as connection:
        connection.execute(update(models).values(revision=5))
        began = time.monotonic()
        with pytest.raises(StoreError, match="the database refuses"), other.writing() as late:
            late.execute(update(models).values(revision=6))
        assert 0.5 < time.monotonic() - began < 8
    with store.reading() as connection:
        assert connection.execute(select(models.c.revision)).scalar_one() == 5
    other.close()


def test_a_file_that_may_not_be_written_is_told():
    """By whom the file does not belong to, as root may write everything."""
    folder = Path(tempfile.mkdtemp(prefix="unseen-"))
    store = Store(f"sqlite:///{folder / 'unseen.db'}")
    schema.upgrade(store)
    fill(store)
    store.close()
    folder.chmod(0o555)
    store.file.chmod(0o444)
    owner = os.geteuid()
    try:
        if owner == 0:
            os.seteuid(65534)
        with pytest.raises(StoreError, match=r"refuses \((attempt to write a readonly|unable to)"):
            schema.check_current(store)
    finally:
        os.seteuid(owner)
        store.close()
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_token_is_made_with_its_line(store):
    with store.writing() as connection:
        secret = add_token(connection, "bob", "score")
        found = connection.execute(select(audit).where(audit.c.what == "token.add")).one()
    assert (found.who, found.subject, found.detail) == ("operator", "bob", {"role": "score"})
    with store.reading() as connection:
        assert secret not in str(connection.execute(select(tokens)).all())
        assert [each["name"] for each in all_tokens(connection)] == ["ann", "bob"]


def test_json_is_what_it_was(store):
    with store.reading() as connection:
        found = connection.execute(select(alerts.c["values"], alerts.c.reasons)).all()
        nothing = select(func.count()).where(alerts.c.reasons.is_(None))
        assert connection.execute(nothing).scalar_one() == 1
    assert found[0] == (HARD, None)
    assert set(metadata.tables) == {table.name for table in metadata.sorted_tables}

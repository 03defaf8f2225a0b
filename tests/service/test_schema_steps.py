"""Schema: what the steps make is what `tables` says; up and down with rows in it; whole or not at
all; one server at a time.
"""

import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from filled import everything, fill
from unseen.errors import DataError
from unseen.service.store import schema
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import metadata

SECOND = '''
"""Revision 0002: alerts have a place, and no similar; tokens a unique note."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    with op.batch_alter_table("alerts") as alerts:
        alerts.add_column(sa.Column("place", sa.Text, nullable=False, server_default="here"))
        alerts.alter_column("kind", new_column_name="class")
    {then}


def downgrade():
    with op.batch_alter_table("alerts") as alerts:
        alerts.drop_column("place")
        alerts.alter_column("class", new_column_name="kind")
'''


@pytest.fixture
def store(url):
    found = Store(url)
    yield found
    found.close()


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """`steps(then)`: a release with a second revision."""

    def release(then="pass"):
        folder = tmp_path / "steps" / "versions"
        folder.mkdir(parents=True, exist_ok=True)
        first = schema.STEPS / "versions" / "r0001.py"
        (folder / "r0001.py").write_text(first.read_text())
        (folder / "r0002.py").write_text(SECOND.format(then=then))
        monkeypatch.setattr(schema, "STEPS", folder.parent)

    return release


def shape(store):
    """Columns, keys and indexes of each table, as the database tells them."""
    with store.reading() as connection:
        look = inspect(connection)
        return {
            table: (
                sorted(
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in look.get_columns(table)
                ),
                look.get_pk_constraint(table),
                sorted(map(str, look.get_foreign_keys(table))),
                sorted(map(str, look.get_unique_constraints(table))),
                sorted(map(plain, look.get_indexes(table))),
            )
            for table in look.get_table_names()
            if table != "alembic_version"
        }


def plain(index):
    """An index as text, with the rows that it is of."""
    return str(
        index | {"dialect_options": {k: str(v) for k, v in index["dialect_options"].items()}}
    )


def test_the_steps_make_the_tables(store, url, tmp_path, request):
    other = Store(
        f"sqlite:///{tmp_path / 'other.db'}"
        if store.is_sqlite
        else request.getfixturevalue("postgres").space()
    )
    metadata.create_all(other.engine)
    schema.upgrade(store)
    assert shape(store).keys() == metadata.tables.keys()
    made, said = shape(store), shape(other)
    for table in said:
        assert made[table] == said[table]
    other.close()
    if store.is_sqlite:  # what it was told, word for word: no number is given twice
        asked = text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
        found = []
        for each in (store, other):
            with each.reading() as connection:
                found.append(sorted(connection.execute(asked).scalars()))
        assert found[0] == found[1] == ["alerts", "audit", "jobs", "labels", "tokens"]


def test_up_and_down_and_up_again_from_every_revision(store, steps):
    """Rows stay, also those that refer to a table that SQLite makes anew."""
    steps()
    schema.upgrade(store, "0001")
    fill(store)
    before = everything(store)
    for revision in schema.state(store).known:
        schema.upgrade(store, revision)
        schema.upgrade(store)
        with store.reading() as connection:
            assert set(connection.execute(text("SELECT place FROM alerts")).scalars()) == {"here"}
            assert connection.execute(text('SELECT count("class") FROM alerts')).scalar() == 2
        schema.downgrade(store, "0001")
        assert everything(store) == before
    assert schema.downgrade(store, "base").found is None
    assert shape(store) == {}
    assert schema.upgrade(store).found == "0002"


@pytest.mark.parametrize(
    "then",
    [
        "raise KeyboardInterrupt",
        "op.execute('DELETE FROM models')",
        "op.execute('ALTER TABLE nothing ADD COLUMN x TEXT')",
    ],
    ids=["stopped", "rows that refer to nothing", "refused"],
)
def test_a_step_that_fails_leaves_all_as_it_was(store, steps, then):
    steps(then)
    schema.upgrade(store, "0001")
    fill(store)
    rows, tables = everything(store), shape(store)
    with pytest.raises((StoreError, IntegrityError, KeyboardInterrupt)):
        schema.upgrade(store)
    assert schema.state(store).found == "0001"
    assert shape(store) == tables
    assert everything(store) == rows


KILLED = """
import sys
from pathlib import Path
from unseen.service.store import schema
from unseen.service.store.store import Store
schema.STEPS = Path(sys.argv[2])
schema.upgrade(Store(sys.argv[1]))
"""


def test_a_step_that_is_killed_leaves_all_as_it_was(store, url, steps):
    steps("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    schema.upgrade(store, "0001")
    fill(store)
    rows, tables = everything(store), shape(store)
    line = [sys.executable, "-c", KILLED, url, schema.STEPS]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    assert (schema.state(store).found, shape(store), everything(store)) == ("0001", tables, rows)
    steps()
    assert schema.upgrade(store).found == "0002"


def test_several_servers_start_at_once(url, steps):
    """One makes the tables; the others find them made."""
    steps()
    stores = [Store(url) for _ in range(4)]
    failed = []

    def start(store):
        try:
            schema.check_current(store)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert schema.state(stores[0]).is_current
    for store in stores:
        store.close()


def test_an_older_schema_is_not_served(store, steps):
    schema.check_current(store)
    steps()
    with pytest.raises(DataError, match=r"is at 0001.*needs 0002.*unseen store upgrade --store"):
        schema.check_current(store)
    schema.upgrade(store)
    schema.check_current(store)


def test_a_newer_schema_is_refused(store, steps, monkeypatch):
    released = schema.STEPS
    steps()
    schema.upgrade(store)
    monkeypatch.setattr(schema, "STEPS", released)
    for act in (schema.check_current, schema.upgrade, lambda s: schema.downgrade(s, "0001")):
        with pytest.raises(DataError, match="'0002' of the schema is not known to this release"):
            act(store)


def test_a_database_of_something_else_is_left_alone(store):
    with store.writing() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    for act in (schema.check_current, schema.upgrade, schema.state):
        with pytest.raises(DataError, match="tables of something else, such as 'orders'"):
            act(store)
    with store.reading() as connection:
        assert inspect(connection).get_table_names() == ["orders"]


def test_the_way_is_said(store):
    schema.upgrade(store)
    with pytest.raises(DataError, match="revision '0099'"):
        schema.upgrade(store, "0099")
    with pytest.raises(DataError, match=r"later than base: see `downgrade`"):
        schema.upgrade(store, "base")
    schema.downgrade(store, "base")
    with pytest.raises(DataError, match=r"earlier than 0001: see `upgrade`"):
        schema.downgrade(store, "0001")


def test_what_is_kept_comes_back_as_it_was(store):
    """A value of each type comes back as it was given."""
    schema.upgrade(store)
    given = fill(store)
    with store.reading() as connection:
        for name, rows in given.items():
            table = metadata.tables[name]
            found = [dict(row._mapping) for row in connection.execute(select(table))]
            assert [
                {key: each[key] for key in row} for row, each in zip(rows, found, strict=True)
            ] == rows

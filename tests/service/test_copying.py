"""Copying: every row of every table arrives as it was, or none does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from filled import AT, everything, fill
from unseen.errors import DataError
from unseen.service.store import schema
from unseen.service.store.copying import copy_store, counted
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import alerts, audit, metadata


@pytest.fixture
def both(tmp_path, postgres):
    """A SQLite with rows, and an empty PostgreSQL."""
    stores = Store(f"sqlite:///{tmp_path / 'a.db'}"), Store(postgres.space())
    schema.upgrade(stores[0])
    fill(stores[0])
    yield stores
    for store in stores:
        store.close()


def values(store):
    """All rows, as Python has them: times with zones, JSON as objects."""
    with store.reading() as connection:
        return {
            name: connection.execute(select(table).order_by(*table.primary_key)).all()
            for name, table in metadata.tables.items()
        }


def many(store, rows):
    """More alerts, a microsecond apart."""
    with store.writing() as connection:
        first = connection.execute(select(alerts).where(alerts.c.row == 1)).mappings().one()
        plain = {name: value for name, value in first.items() if name != "id"}
        connection.execute(
            insert(alerts),
            [
                plain | {"request": f"r{k}", "at": AT + timedelta(microseconds=k)}
                for k in range(rows)
            ],
        )


def test_there_and_back(both, tmp_path):
    """To PostgreSQL and to SQLite again: word for word, and to the microsecond."""
    there, here = both
    many(there, 450)
    counts = copy_store(there, here)
    assert counts["alerts"] == 452
    assert counts == counted(there) == counted(here)
    assert values(here) == values(there)
    with here.reading() as connection:
        spread = func.max(alerts.c.at) - func.min(alerts.c.at)
        assert connection.execute(select(spread)).scalar() == timedelta(microseconds=449)
    back = Store(f"sqlite:///{tmp_path / 'b.db'}")
    copy_store(here, back)
    assert everything(back) == everything(there)
    back.close()


@pytest.mark.parametrize("turn", [1, -1], ids=["to PostgreSQL", "to SQLite"])
def test_numbers_go_on_where_they_were(both, tmp_path, turn):
    there, here = both[::turn]
    if turn < 0:
        copy_store(here, there)
        here = Store(f"sqlite:///{tmp_path / 'c.db'}")
    copy_store(there, here)
    many(here, 1)
    with here.writing() as connection:
        row = {"at": AT, "who": "a", "what": "b", "detail": {}}
        assert connection.execute(insert(audit), row).inserted_primary_key == (2,)
        assert connection.execute(select(func.max(alerts.c.id))).scalar() == 3
    here.close()


def test_a_target_with_rows_is_left_as_it_is(both):
    there, here = both
    copy_store(there, here)
    before = everything(here)
    with pytest.raises(DataError, match="holds rows; name an empty database"):
        copy_store(there, here)
    assert everything(here) == before


def test_counts_that_differ_copy_nothing(both):
    there, here = both
    schema.upgrade(here)
    with here.writing() as connection:  # a database that drops rows of its own
        connection.exec_driver_sql(
            "CREATE FUNCTION drop_one() RETURNS trigger AS $$ BEGIN IF NEW.row > 1 THEN "
            "RETURN NULL; END IF; RETURN NEW; END $$ LANGUAGE plpgsql"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER drops BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION drop_one()"
        )
    with pytest.raises(StoreError, match="'alerts': 2 rows were there and 1 arrived"):
        copy_store(there, here)
    assert set(counted(here).values()) == {0}


def test_nothing_to_copy(tmp_path):
    empty = Store(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(DataError, match="no tables to copy"):
        copy_store(empty, Store(f"sqlite:///{tmp_path / 'y.db'}"))
    empty.close()

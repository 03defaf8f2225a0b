"""A whole database into another, of the same kind or not: in one transaction, counted on both
sides.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from unseen.errors import DataError
from unseen.service.store import schema
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import metadata

BLOCK = 200  # rows in memory, pictures among them


def copy_store(source: Store, target: Store) -> dict[str, int]:
    """Copy all rows of one database into an empty one, which gets its tables; rows by table.

    The source is read as it was at one moment, and may be written meanwhile. The target has all
    rows at the end, or none.

    Raises
    ------
    DataError
        For a target that holds rows, or a database of another release.
    StoreError
        Where a database refuses, or counts differ at the end.
    """
    if not schema.state(source).found:
        raise DataError(f"{source.name}: there are no tables to copy; check the address")
    schema.check_current(source)
    schema.check_current(target)
    try:
        with source.reading() as there, target.writing() as here:
            for table in metadata.sorted_tables:
                if here.execute(select(1).select_from(table).limit(1)).first():
                    raise DataError(
                        f"{target.name}: table {table.name!r} holds rows; name an empty database"
                    )
            return {table.name: _copied(table, there, here) for table in metadata.sorted_tables}
    except IntegrityError as error:
        raise StoreError(
            f"{target.name}: somebody else wrote there meanwhile, and nothing was copied; stop it, "
            "and copy again"
        ) from error


def counted(store: Store) -> dict[str, int]:
    """How many rows each table has."""
    with store.reading() as connection:
        return {
            table.name: connection.execute(_count(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def _count(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table)


def _copied(table: Table, there: Connection, here: Connection) -> int:
    """Copy a table, and give its rows as both sides count them."""
    found = there.execution_options(yield_per=BLOCK).execute(select(table))
    for rows in found.mappings().partitions():
        here.execute(insert(table), [dict(row) for row in rows])
    read, written = (side.execute(_count(table)).scalar_one() for side in (there, here))
    if read != written:
        raise StoreError(
            f"table {table.name!r}: {read:,} rows were there and {written:,} arrived, so nothing "
            "is copied; report it"
        )
    if here.dialect.name == "postgresql" and "id" in table.c:  # SQLite counts on by itself
        counter = func.pg_get_serial_sequence(table.name, "id")
        last = select(func.max(table.c.id)).scalar_subquery()
        here.execute(select(func.setval(counter, func.coalesce(last, 1), last.is_not(None))))
    return int(read)

"""Connections to the database: how they are opened and kept, what each is told first, and SQLite's
transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

WAIT = 10  # seconds that a writer waits for another, and anybody for a connection
SILENT = 30  # seconds after which a PostgreSQL that answers nothing is taken for gone


def settings_of(is_sqlite: bool) -> dict[str, Any]:
    """How connections are opened and kept; no error shows values of rows."""
    how: dict[str, Any] = {"pool_timeout": WAIT, "hide_parameters": True}
    if is_sqlite:
        # the driver begins and ends nothing by itself
        return how | {"connect_args": {"timeout": WAIT}, "isolation_level": "AUTOCOMMIT"}
    silent = {"tcp_user_timeout": SILENT * 1000, "keepalives_idle": SILENT}
    return how | {
        "pool_pre_ping": True,  # a database that went and came back
        "connect_args": {"connect_timeout": WAIT, "application_name": "unseen"} | silent,
    }


def set_up(connection: Any, _: Any) -> None:
    """SQLite: readers beside a writer, each commit on the disk, references that hold, and nothing
    left of what is deleted.
    """
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {setting}").close()


def patient(connection: Any, _: Any) -> None:
    """PostgreSQL: nobody waits for a lock without an end."""
    connection.execute(f"SET lock_timeout = '{WAIT}s'")
    connection.commit()


@contextmanager
def between(connection: Connection, begin: str, end: str) -> Iterator[None]:
    """SQLite: a transaction that ends as said, or is undone."""
    connection.exec_driver_sql(begin)
    try:
        yield
        connection.exec_driver_sql(end)
    except BaseException:
        if connection.connection.in_transaction:  # a full disk may have ended it
            connection.exec_driver_sql("ROLLBACK")
        raise

"""Store: the open database, and its two kinds of transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoneFree

from unseen.errors import DataError, UnseenError

WAIT = 10  # seconds that a writer waits for another, and anybody for a connection


class StoreError(UnseenError):
    """The database cannot be reached or written now; what was asked is not done, and may be asked
    again.
    """


class Store:
    """The database of a service.

    Parameters
    ----------
    url : str
        "sqlite:///FILE", or "postgresql://USER@HOST/NAME".

    Raises
    ------
    DataError
        For a URL that names no such database.
    """

    def __init__(self, url: str) -> None:
        try:
            where = make_url(url)
            if where.get_backend_name() == "postgresql":
                where = where.set(drivername="postgresql+psycopg")
            elif where.get_backend_name() != "sqlite" or not where.database:
                raise ArgumentError("no such database")
            self.engine = create_engine(where, **_settings(where.get_backend_name()))
        except (ArgumentError, NoSuchModuleError) as error:
            raise DataError(
                "--store: expected the URL of a database, such as sqlite:///unseen.db or "
                "postgresql://user@host/name, found another"
            ) from error
        self.is_sqlite = where.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.file = Path(str(where.database))
            event.listen(self.engine, "connect", _prepared)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, and writes nothing."""
        with reachable(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is on the disk when the block ends, or none of it."""
        with reachable(), self.engine.connect() as connection:
            if self.is_sqlite:  # waits for other writers here, and not where it would fail
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.exec_driver_sql("COMMIT")
                except BaseException:
                    if connection.connection.in_transaction:
                        connection.exec_driver_sql("ROLLBACK")
                    raise
            else:
                with connection.begin():
                    yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def reachable() -> Iterator[None]:
    """What the database refuses meanwhile, as a StoreError; broken rules of its tables stay."""

    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, NoneFree) as error:
        why = getattr(error, "orig", None) or error
        raise StoreError(
            f"the database refuses ({str(why).splitlines()[0][:200]}): check that it runs, that "
            "its disk has room, and that `unseen store upgrade` was run; then ask again"
        ) from error


def _settings(backend: str) -> dict[str, Any]:
    """How connections are opened and kept."""
    if backend == "sqlite":
        return {"connect_args": {"timeout": WAIT}, "pool_timeout": WAIT}
    return {
        "pool_pre_ping": True,  # a database that went and came back
        "pool_timeout": WAIT,
        "connect_args": {"connect_timeout": WAIT},
    }


def _prepared(connection: Any, _: Any) -> None:
    """SQLite: readers beside a writer, each commit on the disk, references that hold."""
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")

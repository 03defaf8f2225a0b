"""Store: the open database, and its kinds of transactions."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    StatementError,
)
from sqlalchemy.exc import DataError as Unfit
from sqlalchemy.exc import TimeoutError as NoneFree

from unseen.errors import DataError, UnseenError
from unseen.io.paths import synced
from unseen.service.logs import log
from unseen.service.store.connections import WAIT, between, patient, set_up, settings_of

FILE = "unseen.db"  # the database in the folder of a service, where no other is named
LOG = 16 << 20  # bytes of SQLite's log from which on it is emptied though readers come and go
PAUSE = 1.0  # seconds between two tries of that
DRAIN = 0.2  # seconds for which writers wait for readers then
_EMPTY = "PRAGMA wal_checkpoint(TRUNCATE)"
UPGRADES = 0x756E7365656E  # PostgreSQL's number of the lock of upgrades: "unseen"


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
        where = _address(url)
        self.is_sqlite = where.get_backend_name() == "sqlite"
        self.file = Path(str(where.database)) if self.is_sqlite else None
        self.name = where.set(drivername=where.get_backend_name()).render_as_string()
        self.engine = create_engine(where, **settings_of(self.is_sqlite))
        self._turn = Lock()  # SQLite has one writer at a time; here they queue without polling
        self._tried = 0.0  # when its log was last to be emptied
        if self.file is not None:
            event.listen(self.engine, "do_connect", self._made)
            event.listen(self.engine, "connect", set_up)
        else:
            event.listen(self.engine, "connect", patient)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, and writes nothing."""
        with reachable(), self.engine.connect() as connection:
            if self.is_sqlite:
                with between(connection, "BEGIN", "ROLLBACK"):
                    yield connection
                return
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is on the disk when the block ends, or none of it."""
        with reachable(), self._queued(), self.engine.connect() as connection:
            if self.is_sqlite:  # waits for other processes here, and not where it would fail
                with between(connection, "BEGIN IMMEDIATE", "COMMIT"):
                    yield connection
                self._bounded(connection)
            else:
                with connection.begin():
                    yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction that changes tables: one at a time over all processes, whole or not at all.

        SQLite changes most of a table by making it anew, and rows that refer to it must outlive
        that: references are checked at the end.
        """
        if not self.is_sqlite:
            with self.writing() as connection:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADES})")
                yield connection
            return
        with reachable(), self._queued(), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            try:
                with between(connection, "BEGIN IMMEDIATE", "COMMIT"):
                    yield connection
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                    if broken:
                        raise StoreError(
                            f"the change of tables leaves {len(broken):,} rows that refer to "
                            "nothing, and is not done; report it"
                        )
            finally:
                connection.invalidate()  # no other use finds references unchecked

    def emptied(self) -> bool:
        """SQLite: move the log into the file, so that what was deleted is in neither; False while
        somebody reads an older state. PostgreSQL does so by itself.
        """
        if not self.is_sqlite:
            return True
        with reachable(), self._queued(), self.engine.connect() as connection:
            return not connection.exec_driver_sql(_EMPTY).scalar()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _bounded(self, connection: Connection) -> None:
        """SQLite empties its log when nobody reads, which may be never: where it has grown, those
        who would read or write next wait a moment. What was written stays written if that fails.
        """
        if time.monotonic() - self._tried < PAUSE or not self._log_is_long():
            return
        self._tried = time.monotonic()
        try:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {DRAIN * 1000:.0f}")
            connection.exec_driver_sql(_EMPTY).close()
        except DBAPIError as error:
            log.warning("SQLite's log grows, as it cannot be emptied now: %s", _told_by(error))
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {WAIT * 1000}")

    def _log_is_long(self) -> bool:
        try:
            return os.stat(f"{self.file}-wal").st_size > LOG
        except OSError:  # not there
            return False

    @contextmanager
    def _queued(self) -> Iterator[None]:
        """The turn of one writer of this process."""
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=WAIT):
            raise StoreError(f"the database was busy for {WAIT} seconds; ask again")
        try:
            yield
        finally:
            self._turn.release()

    def _made(self, *_: Any) -> None:
        """A new file is its owner's alone, as it will hold rows, and its name outlives a power
        failure.
        """
        assert self.file is not None
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            synced(self.file.parent)
        except FileExistsError:
            return
        except OSError as error:
            raise StoreError(
                f"{self.file}: the database cannot be made ({error.strerror}); create its folder, "
                "or name another with --store"
            ) from error


def database_of(store: str | None, home: Path) -> str:
    """The URL of the database: the one that is named, or SQLite in the folder of the service."""
    return store or f"sqlite:///{home.absolute() / FILE}"


@contextmanager
def reachable() -> Iterator[None]:
    """What the database refuses meanwhile, as a StoreError; as a DataError what cannot be kept in
    it. Broken rules of its tables stay.
    """
    try:
        yield
    except IntegrityError:
        raise
    except Unfit as error:
        raise DataError(f"the database cannot keep this ({_told_by(error)})") from error
    except (DBAPIError, NoneFree) as error:
        raise StoreError(
            f"the database refuses ({_told_by(error)}): check that it runs, that its disk has "
            "room, and that `unseen store upgrade` was run; then ask again"
        ) from error
    except StatementError as error:
        if isinstance(error.orig, ValueError):  # of the types of `tables`
            raise DataError(str(error.orig)) from error
        raise


def _told_by(error: Exception) -> str:
    """The first line of what the database says; further ones may hold values of rows."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _address(url: str) -> URL:
    """The address; what is wrong with one is not repeated, as it may hold a password."""
    try:
        found = make_url(url)
        if found.get_backend_name() == "postgresql":
            return found.set(drivername="postgresql+psycopg")
        file = found.database or ""
        if found.get_backend_name() == "sqlite" and file and not file.startswith((":", "file:")):
            return found.set(drivername="sqlite+pysqlite")
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass
    raise DataError(
        "--store: expected the URL of a database, such as sqlite:///unseen.db or "
        "postgresql://user@host/name, found another"
    )

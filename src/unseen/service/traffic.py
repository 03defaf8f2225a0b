"""Traffic: how many rows were judged, alarmed and failed, by model, version and hour."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from threading import Event, Lock, Thread

from sqlalchemy.dialects import postgresql, sqlite

from unseen.service.logs import log
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import now, traffic

EVERY = 1.0  # seconds between two writes
COUNTED = ("rows", "alarms", "failed")

_Hour = tuple[str, int, datetime]


class Traffic:
    """Counts in memory, and adds to the database once a second and at the end.

    Several servers may count into one database. Counts wait while it is gone; a server that is
    killed loses those of its last second.

    Parameters
    ----------
    store : Store
        The database, with its tables.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock, self._ending = Lock(), Event()
        self._waiting: dict[_Hour, Counter[str]] = {}
        self._thread = Thread(target=self._loop, name="traffic", daemon=True)
        self._thread.start()

    def count(
        self, model: str, version: int, rows: int = 0, alarms: int = 0, failed: int = 0
    ) -> None:
        """Add what came of a request; `failed` are requests that were not answered."""
        hour = now().replace(minute=0, second=0, microsecond=0)
        with self._lock:
            held = self._waiting.setdefault((model, version, hour), Counter())
            held.update(rows=rows, alarms=alarms, failed=failed)

    def flush(self) -> None:
        """Write what was counted; StoreError where that cannot be now, and then it still waits."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        try:
            if taken:
                self._write(taken)
        except BaseException:
            with self._lock:
                for key, counts in taken.items():
                    self._waiting.setdefault(key, Counter()).update(counts)
            raise

    def close(self) -> None:
        """Write what is left, and end."""
        self._ending.set()
        self._thread.join()
        try:
            self.flush()
        except StoreError as error:
            log.warning("the last counts of rows and alarms are lost: %s", error)

    def _write(self, taken: dict[_Hour, Counter[str]]) -> None:
        """Add to the rows of these hours, which other servers may add to as well."""
        insert = (sqlite if self.store.is_sqlite else postgresql).insert(traffic)
        added = {name: traffic.c[name] + insert.excluded[name] for name in COUNTED}
        upsert = insert.on_conflict_do_update(index_elements=traffic.primary_key, set_=added)
        names = ("model", "version", "hour")
        rows = [
            dict(zip(names, key, strict=True)) | {name: counts[name] for name in COUNTED}
            for key, counts in sorted(taken.items())  # in one order, so that no two wait crosswise
        ]
        with self.store.writing() as connection:
            connection.execute(upsert, rows)

    def _loop(self) -> None:
        reached = True
        while not self._ending.wait(EVERY):
            try:
                self.flush()
                reached = True
            except StoreError as error:
                if reached:  # said once
                    log.warning("counts of rows and alarms wait: %s", error)
                reached = False
            except Exception:  # counting goes on as long as the server
                log.exception("counts of rows and alarms wait, for a fault of unseen itself")

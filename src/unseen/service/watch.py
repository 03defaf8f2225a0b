"""What passes, watched beside the requests: drift of each model, and a sample of recent rows."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

import pyarrow as pa
from sqlalchemy import insert

from unseen.detector.drift import Drift, Monitor
from unseen.errors import UnseenError
from unseen.quiet import quiet
from unseen.service.recent import KEPT, Recent, inputs_of, joined_alike
from unseen.service.registry import Serving
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import drifts, now
from unseen.types import Batch, Encoder, Source

log = logging.getLogger("unseen.service")
LEVEL = 0.001  # chance of a look to call drift what is none, at most
DAY = 86_400.0  # seconds after which a monitor starts anew: what is past must not stay drift
# seconds between two looks whether it left its band, while rows pass: one of a wide table takes
# long, and rows that come meanwhile wait
OFTEN = 120.0
REPORT = 600.0  # seconds after which it is written down though nothing changed, if rows passed
PAUSE = 2.0  # seconds for which rows are gathered
ROWS = 1000  # that are looked at in one go, about
SHARE = 0.1  # of the time that may be spent on watching
REST = 1 / SHARE - 1  # seconds after each second of it
WAITING = 64 << 20  # bytes of rows that wait; more are skipped
COLUMN = 256  # bytes that a column takes beside its values, about


@dataclass
class _Watched:
    """The monitor of a version, and what was said of it last."""

    monitor: Monitor | None
    begun: float
    looked: float
    told: float
    rows: int = 0  # since the last look
    drifted: bool = False


@dataclass(frozen=True)
class Tapped:
    """A source of which each block, once it was judged, is shown to somebody; else as it is."""

    source: Any
    show: Any

    def batches(self, encoder: Encoder) -> Iterator[Batch]:
        """The blocks of the source."""
        for batch in self.source.batches(encoder):
            yield batch
            if len(batch.used):
                self.show(batch.rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


@dataclass
class Watch:
    """Watches rows of requests, in a thread of its own.

    Rows wait in a bounded queue; those that come while it is full, and what a tenth of the time
    does not suffice for, are not looked at, and counted in `skipped`.
    """

    skipped: Counter[str] = field(default_factory=Counter)
    recent: Recent = field(default_factory=Recent)
    _queue: deque[tuple[Serving, Any]] = field(default_factory=deque)
    _bytes: int = 0
    _lock: Any = field(default_factory=Lock)
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None
    _watched: dict[tuple[str, int], _Watched] = field(default_factory=dict)
    _rested: float = 0.0  # seconds of the present look

    def start(self, store: Store, keep: int = KEPT) -> None:
        """Watch from now on, and keep so many recent rows of each model."""
        self.recent = Recent(keep)
        self._thread = Thread(target=self._loop, args=(store,), name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look once more, and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def see(self, serving: Serving, rows: Any) -> None:
        """Take in rows that were judged; nobody waits for it."""
        if self._thread is None:
            return
        if serving.bundle.detector.schema_.noun == "rows":
            rows = inputs_of(rows, serving.bundle.detector)
            self.recent.see(serving.model, rows)
        size = _size_of(rows)
        with self._lock:
            if self._bytes + size > WAITING:
                self.skipped[serving.model] += len(rows)
                return
            self._bytes += size
            self._queue.append((serving, rows))

    def tapped(self, serving: Serving, source: Source) -> Source:
        """The source, whose rows are seen once they were judged."""
        return Tapped(source, lambda rows: self.see(serving, rows))

    def _loop(self, store: Store) -> None:
        with quiet():  # notes may show values of rows
            away = False
            while True:
                ending, start, self._rested = self._stop.is_set(), time.monotonic(), 0.0
                try:
                    self._look(store)
                    away = False
                except StoreError as error:
                    if not away:  # told once
                        log.warning("drift and recent rows are not written: %s", error)
                    away = True
                except Exception:  # this thread must not end before the server
                    log.exception("watching what passes failed, for a fault of unseen itself")
                if ending:
                    return
                spent = time.monotonic() - start - self._rested
                self._stop.wait(max(0.0 if self._queue else PAUSE, spent * REST))

    def _look(self, store: Store) -> None:
        """Take in some of what waits, tell what is due, write what was drawn."""
        for (model, version), blocks in self._waiting().items():
            for rows in joined_alike(blocks[1]):
                self._take(blocks[0], rows)
            self._tell(store, model, version, self._watched[model, version])
        if drawn := self.recent.taken():
            with store.writing() as connection:
                self.recent.write(connection, drawn)

    def _resting(self) -> Callable[[], None]:
        """What lets requests have Python's lock, for as long as the share of the time demands: who
        waits for it meanwhile gets it by and by only.
        """
        begun = time.monotonic()

        def rest() -> None:
            nonlocal begun
            start = time.monotonic()
            self._stop.wait((start - begun) * REST)
            begun = time.monotonic()
            self._rested += begun - start

        return rest

    def _waiting(self) -> dict[tuple[str, int], tuple[Serving, list[Any]]]:
        """About `ROWS` rows of those that wait, longest first, by model and version."""
        found, count = dict[tuple[str, int], tuple[Serving, list[Any]]](), 0
        with self._lock:
            while self._queue and count < ROWS:
                serving, rows = self._queue.popleft()
                self._bytes -= _size_of(rows)
                if len(rows) > ROWS and hasattr(rows, "slice"):
                    rest, rows = rows.slice(ROWS), rows.slice(0, ROWS)
                    self._queue.appendleft((serving, rest))
                    self._bytes += _size_of(rest)
                key = serving.model, serving.version
                found.setdefault(key, (serving, []))[1].append(rows)
                count += len(rows)
        return found

    def _take(self, serving: Serving, rows: Any) -> None:
        key, at = (serving.model, serving.version), time.monotonic()
        watched = self._watched.get(key)
        if watched is None or at - watched.begun > DAY:
            self._watched.pop(key, None)
            watched = self._watched[key] = _Watched(_monitor(serving), at, at, at)
            mine = [each for each in self._watched if each[0] == serving.model]
            for old in mine[:-2]:  # requests that are under way end with the version before
                del self._watched[old]
        if watched.monitor is None:
            return
        try:
            watched.monitor.see(rows)
        except UnseenError:  # were judged all the same, such as rows of a kind of their own
            self.skipped[serving.model] += len(rows)
            return
        watched.rows += len(rows)

    def _tell(self, store: Store, model: str, version: int, watched: _Watched) -> None:
        """Write down how drift stands where it is time, or where it changed."""
        at = time.monotonic()
        if watched.monitor is None or not watched.rows or at - watched.looked < OFTEN:
            return
        watched.looked, found = at, watched.monitor.report(self._resting())
        if found.drifted == watched.drifted and at - watched.told < REPORT:
            return
        row = {"model": model, "version": version, "at": now(), "rows": found.rows}
        with store.writing() as connection:
            report = {"drifted": found.drifted, "report": found.to_json()}
            connection.execute(insert(drifts).values(row | report))
        if found.drifted and not watched.drifted:
            log.warning("model %r version %d left its band: %s", model, version, _in_short(found))
        watched.told, watched.rows, watched.drifted = at, 0, found.drifted


def _monitor(serving: Serving) -> Monitor | None:
    """What watches a version; None, which is logged, for a detector that cannot tell drift."""
    try:
        return serving.bundle.detector.monitor(level=LEVEL)
    except UnseenError as error:
        log.warning("model %r: drift is not watched: %s", serving.model, error)
        return None


def _in_short(found: Drift) -> str:
    """What drifted, without values of rows."""
    moved = ", ".join(repr(shift.column) for shift in found.moved[:10])
    columns = f"; columns that moved: {moved}" if moved else ""
    return f"drift in {found.rows:,} {found.noun}{columns}"


def _size_of(rows: Any) -> int:
    """Bytes of a table, of which a short one is mostly its columns; or of maps of images."""
    if not isinstance(rows, pa.Table):
        return int(rows.x.nbytes)
    return int(rows.nbytes) + COLUMN * int(rows.num_columns)

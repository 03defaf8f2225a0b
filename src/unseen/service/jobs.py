"""Jobs: what takes minutes is asked for, runs in a process of its own, and ends in the database.

A job waits in the table until a server starts it, so one that was asked for is not lost with the
server that was asked. Its process ends with its server, and tells every second that it lives.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from unseen.errors import DataError
from unseen.service.leftovers import tidy
from unseen.service.registry import Conflict, Registry, of_model
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import ACTIVE, jobs, now
from unseen.service.store.trail import tell

log = logging.getLogger("unseen.service")
PAUSE = 1.0  # seconds between two looks of a server, and between two beats of a job
PATIENCE = 60  # looks of a server at which a job was not heard of, then it is lost
LONGEST = 20_000  # characters of what is told of a job
GRACE = 10  # looks after which the process of a job that is not wanted any more is killed


class NoJob(DataError):
    """There is no job of that number."""


def ask(store: Store, model: str, what: str, settings: dict[str, Any], who: str) -> int:
    """Have a job done as soon as a server is free for it, and give its number.

    Parameters
    ----------
    store : Store
        The database.
    model : str
        The model it is about.
    what : {"retrain", "recalibrate"}
        What to do.
    settings : dict
        How, as `unseen.service.job` reads it.
    who : str
        Who asks.

    Raises
    ------
    NoModel
        For a model that is none.
    Conflict
        While another job of this model waits or runs; it names that job.
    """
    row = {"model": model, "what": what, "state": "waiting", "settings": settings, "by": who}
    try:
        with store.writing() as connection:
            of_model(connection, model)
            made = insert(jobs).values(row | {"created": now()}).returning(jobs.c.id)
            number = connection.execute(made).scalar_one()
            tell(connection, who, what, model, number, settings)
            return number
    except IntegrityError as error:
        with store.reading() as connection:
            mine = jobs.c.model == model, jobs.c.state.in_(ACTIVE)
            other = connection.execute(select(jobs.c.id).where(*mine)).scalar()
        raise Conflict(
            f"model {model!r}: one job at a time, and job {other} is not done: wait for it, or "
            f"cancel it with POST /v1/jobs/{other}/cancel"
        ) from error


def cancel(store: Store, number: int, who: str) -> None:
    """Let a job end without a result; its process stops within seconds. Conflict for one that has
    ended.
    """
    with store.writing() as connection:
        job = job_of(connection, number)
        if not ended(connection, number, "cancelled", f"cancelled by {who}", of=ACTIVE):
            raise Conflict(f"job {number} has ended: it is {job.state}")
        tell(connection, who, "cancel", job.model, number, {})


def job_of(connection: Connection, number: int) -> Row[Any]:
    """A job; NoJob."""
    row = connection.execute(select(jobs).where(jobs.c.id == number)).first()
    if row is None:
        raise NoJob(f"there is no job {number}; see GET /v1/jobs")
    return row


def ended(
    connection: Connection,
    number: int,
    state: str,
    message: str,
    *,
    of: tuple[str, ...] = ("running",),
    **more: Any,
) -> bool:
    """Write down how a job ended; False where it is in no state of these any more."""
    own = {"state": state, "message": kept_text(message)[:LONGEST], "ended": now()} | more
    mine = jobs.c.id == number, jobs.c.state.in_(of)
    return bool(connection.execute(update(jobs).where(*mine).values(**own)).rowcount)


def kept_text(text: str) -> str:
    """Text without what PostgreSQL does not keep: halves of characters, and zero bytes."""
    return text.encode(errors="replace").decode().replace("\0", "?")


class Runner:
    """Starts jobs, one at a time, and notices those that are gone; a thread of a server."""

    def __init__(self) -> None:
        self._wake, self._stop = Event(), Event()
        self._thread: Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._job = 0  # the number of the one that runs here
        self._unwanted = 0  # looks since it is not wanted
        self._silent: dict[int, tuple[Any, int]] = {}  # last beats of others, and looks since

    def start(self, registry: Registry) -> None:
        """Look for jobs from now on."""
        self._thread = Thread(target=self._loop, args=(registry,), name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at once: a job was asked for, or cancelled."""
        self._wake.set()

    def close(self) -> None:
        """Start none any more; what runs here is lost."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._process is not None:
            _let_go(self._process)

    def _loop(self, registry: Registry) -> None:
        tidied = away = False
        while not self._stop.is_set():
            try:
                if not tidied:
                    tidy(registry)
                    tidied = True
                self._look(registry)
                away = False
            except StoreError as error:
                if not away:  # told once
                    log.warning("jobs wait: %s", error)
                away = True
            except Exception:  # this thread must not end before the server
                log.exception("jobs wait, for a fault of unseen itself")
            self._wake.wait(PAUSE)
            self._wake.clear()

    def _look(self, registry: Registry) -> None:
        """What a server does every second."""
        store = registry.store
        with store.reading() as connection:
            own = select(jobs.c.id, jobs.c.state, jobs.c.beat, jobs.c.model)
            rows = connection.execute(own.where(jobs.c.state.in_(ACTIVE)).order_by(jobs.c.id)).all()
        running = {row.id: row.beat for row in rows if row.state == "running"}
        wanted = set(running)
        if self._process is not None and self._process.poll() is not None:
            code = _let_go(self._process)
            self._process = None
            self._lost(registry, self._job, f"its process ended with status {code}")
            tidy(registry)
        elif self._process is not None:
            running.pop(self._job, None)  # it lives, as everybody can see
            self._unwanted = self._unwanted + 1 if self._job not in wanted else 0
            if self._unwanted > GRACE:
                self._process.kill()
        for number in self._unheard(running):
            self._lost(registry, number, f"nothing was heard of it for {PATIENCE} seconds")
            tidy(registry)
        waiting = [row.id for row in rows if row.state == "waiting"]
        if self._process is None and waiting:
            self._begin(registry, waiting[0])

    def _unheard(self, running: dict[int, Any]) -> list[int]:
        """Jobs whose beat stands still. Looks are counted, and no clocks are compared: those of
        several machines differ, and a database that was away lets no beat through.
        """
        before, self._silent = self._silent, {}
        for number, beat in running.items():
            last, looks = before.get(number, (beat, 0))
            self._silent[number] = beat, looks + 1 if beat == last else 0
        return [number for number, (_, looks) in self._silent.items() if looks >= PATIENCE]

    def _lost(self, registry: Registry, number: int, why: str) -> None:
        message = f"lost: {why}. The version that served before serves on; ask again"
        with registry.store.writing() as connection:
            job = job_of(connection, number)
            if ended(connection, number, "lost", message):
                tell(connection, job.by, "lost", job.model, number, {"why": why})

    def _begin(self, registry: Registry, number: int) -> None:
        """Start a job, unless another server does."""
        with registry.store.writing() as connection:
            mine = jobs.c.id == number, jobs.c.state == "waiting"
            own = {"state": "running", "started": now(), "beat": now()}
            if not connection.execute(update(jobs).where(*mine).values(**own)).rowcount:
                return
        url = registry.store.engine.url.render_as_string(hide_password=False)
        given = {"store": url, "home": str(registry.home), "trust": list(registry.trust)}
        try:
            self._process, self._job, self._unwanted = _process_of(number, given), number, 0
        except OSError as error:
            with registry.store.writing() as connection:
                ended(connection, number, "failed", f"its process cannot be started ({error})")


def _process_of(number: int, given: dict[str, Any]) -> subprocess.Popen[str]:
    """The process of a job. What it is given goes through a pipe, where no other user reads it; it
    ends when the pipe does, which is when this server ends, however it ends.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", "unseen.service.job", str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is for the server
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    return process


def _let_go(process: subprocess.Popen[str]) -> int:
    """Close the pipe that a job lives by, wait for its end, and give its status."""
    if process.stdin is not None:
        with suppress(OSError):  # it ended before it was read
            process.stdin.close()
    try:
        return process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

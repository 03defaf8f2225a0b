"""The process of a job: python -m unseen.service.job NUMBER, with what it needs on standard input.

It ends when its standard input does, which a server holds open for as long as it lives.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import insert, update

from unseen.detector.conformal import out_of_reach
from unseen.detector.policy import Policy
from unseen.errors import UnseenError
from unseen.service.jobs import PAUSE, ended, job_of, kept_text
from unseen.service.making import MAKERS, Made, Progress, in_terms_of_serving
from unseen.service.registry import Registry, of_model, promote_within
from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import jobs, now, rescored

log = logging.getLogger("unseen")
NICE = 10  # beside what answers requests
AWAY = 300.0  # seconds for which a database may be away when the work is done


def run_job(argv: Sequence[str]) -> int:
    """Do one job, and write down what came of it."""
    with suppress(AttributeError, OSError):  # where there is no such thing
        os.nice(NICE)
    number, given = int(argv[0]), json.loads(sys.stdin.readline())
    store = Store(given["store"])
    registry = Registry(store, Path(given["home"]), given["trust"])
    progress = Progress()
    Thread(target=_end_with_server, args=(store, number), daemon=True).start()
    Thread(target=_beat, args=(store, number, progress), daemon=True).start()
    work(registry, number, progress)
    return 0


def work(registry: Registry, number: int, progress: Progress) -> None:
    """Do a job that runs, and write down what came of it."""
    log.addHandler(progress)
    try:
        _done(registry, number, progress)
    except UnseenError as error:
        _failed(registry, number, in_terms_of_serving(str(error)))
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
        sys.stderr.write(f"job {number}: {type(error).__name__}, at\n{where}")
        why = f"a fault of unseen itself: {type(error).__name__}; the log of the service says where"
        _failed(registry, number, why)
    finally:
        log.removeHandler(progress)


def _done(registry: Registry, number: int, progress: Progress) -> None:
    with registry.store.reading() as connection:
        job = job_of(connection, number)
    made = MAKERS[job.what](registry, job, progress)
    progress.stage("writing down what came of it", 0.97)
    _insisted(lambda: _entered(registry, job, made, progress))


def _entered(registry: Registry, job: Any, made: Made, progress: Progress) -> None:
    """The version, what it says of alerts, and the end of the job: all of them, or none."""
    notes = "\n".join([made.message, *(f"Note: {note}" for note in progress.notes)])
    promote, served = job.settings.get("promote"), registry.read(job.model, made.number)
    with registry.store.writing() as connection:
        row = of_model(connection, job.model)
        policy = Policy(row.policy, row.level, row.traffic)
        if promote and (said := out_of_reach(policy, served.detector.conformal_)) is not None:
            promote, notes = False, f"{notes}\nIt waits, and was not promoted: {said}"
        notes = _without_places(notes, registry, job)
        if not ended(connection, job.id, "done", notes, version=made.number, progress=1.0):
            return  # cancelled meanwhile
        facts = made.facts | {"job": job.id}
        registry.enter(connection, job.model, made.number, origin=job.what, who=job.by, facts=facts)
        if made.again:
            connection.execute(insert(rescored), made.again)
        if promote:
            promote_within(connection, job.model, made.number, job.by)


def _failed(registry: Registry, number: int, why: str) -> None:
    def write() -> None:
        with registry.store.writing() as connection:
            told = _without_places(why, registry, job_of(connection, number))
            text = f"{told}\nThe version that served before serves on."
            ended(connection, number, "failed", text)

    _insisted(write)


def _without_places(text: str, registry: Registry, job: Any) -> str:
    """A message for whoever may read jobs, without folders of this machine."""
    train = job.settings.get("train")
    for place in (registry.home, *([] if train is None else [Path(train).parent])):
        text = text.replace(f"{place}{os.sep}", "")
    return text


def _insisted(write: Any) -> None:
    """Write what took minutes to make, though the database be away for a while."""
    start = time.monotonic()
    while True:
        try:
            return write()
        except StoreError:
            if time.monotonic() - start > AWAY:
                raise
            time.sleep(PAUSE)


def _beat(store: Store, number: int, progress: Progress) -> None:
    """Tell every second that the job lives and how far it is; end it once it is not wanted."""
    while True:
        with suppress(StoreError):  # a database that is away comes back
            own = {"beat": now(), "progress": progress.share()}
            own["message"] = kept_text(progress.what)
            mine = jobs.c.id == number, jobs.c.state == "running"
            with store.writing() as connection:
                if not connection.execute(update(jobs).where(*mine).values(**own)).rowcount:
                    os._exit(3)
        time.sleep(PAUSE)


def _end_with_server(store: Store, number: int) -> None:
    """Wait for the end of the server that started this process, and end."""
    sys.stdin.read()
    with suppress(Exception), store.writing() as connection:
        message = "lost: its server ended. The version that served before serves on; ask again"
        ended(connection, number, "lost", message)
    os._exit(4)


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:]))

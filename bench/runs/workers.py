"""Processes that do one run at a time and can be killed: a run that hangs costs no other run."""

import contextlib
import io
import logging
import math
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, SimpleQueue
from typing import Any

from bench.runs.store import Record

Work = Callable[[Any], Record]
START_SECONDS = 120  # imports, on a busy machine


def run_all(
    work: Work,
    jobs: list[Any],
    *,
    workers: int,
    limit: float,
    done: Callable[[Any, Record], None],
    stop: float = math.inf,
) -> None:
    """`work(job)` in order, in `workers` processes; `done(job, record)` here, as each ends.

    The record of a run that failed, crashed or took more than `limit` seconds holds nothing but the
    `error`. No run starts once `time.monotonic()` is at `stop`.
    """
    queue: SimpleQueue[Any] = SimpleQueue()
    for job in jobs:
        queue.put(job)

    def lane() -> None:
        with contextlib.closing(Worker(work)) as worker, contextlib.suppress(Empty):
            while time.monotonic() < stop:
                job = queue.get_nowait()
                done(job, worker.run(job, limit))

    with ThreadPoolExecutor(workers) as pool:
        for lane_done in [pool.submit(lane) for _ in range(workers)]:
            lane_done.result()


class Worker:
    """One process, started anew after it was killed."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.pool: ProcessPoolExecutor | None = None

    def run(self, job: Any, limit: float) -> Record:
        """The record of one run."""
        if self.pool is None:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the new process reads it
            self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            self.pid = self.pool.submit(ready, self.work).result(START_SECONDS)
        try:
            return self.pool.submit(attempt, self.work, job).result(limit)
        except TimeoutError:
            error = f"TimeoutError: not done after {limit:g} s"
        except BrokenProcessPool:
            error = "ProcessError: the process ended"
        self.close()
        return {"error": error}

    def close(self) -> None:
        if self.pool is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.pool.shutdown()
            self.pool = None


def ready(work: Work) -> int:
    """The number of a process that has imported what the work needs."""
    warnings.simplefilter("ignore")
    logging.getLogger("unseen").setLevel(logging.ERROR)
    return os.getpid()


def attempt(work: Work, job: Any) -> Record:
    """The record of a job, or its error; what peers print is dropped."""
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            return {"error": None, **work(job)}
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return {"error": f"{type(error).__name__}: {error} ({where})"[:500]}

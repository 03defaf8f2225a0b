"""Processes that do one run at a time and can be killed: a run that hangs costs no other run."""

import contextlib
import io
import math
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        worker = Worker(work)
        with contextlib.closing(worker), contextlib.suppress(Empty):
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
        self.process: Any = None

    def run(self, job: Any, limit: float) -> Record:
        """The record of one run."""
        if self.process is None:
            self.start()
        self.pipe.send(job)
        try:
            if self.pipe.poll(limit):
                return self.pipe.recv()
            error = f"TimeoutError: not done after {limit:g} s"
        except EOFError:
            self.process.join()
            error = f"ProcessError: ended with exit code {self.process.exitcode}"
        self.close()
        return {"error": error}

    def start(self) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the new process reads it
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.work, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(START_SECONDS):
            raise RuntimeError(f"a worker did not start within {START_SECONDS} s")
        self.pipe.recv()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def serve(work: Work, pipe: Any) -> None:
    """Answer each job with its record; what peers print and warn of is dropped."""
    warnings.simplefilter("ignore")
    pipe.send("ready")
    quiet = io.StringIO()
    with contextlib.suppress(EOFError):
        while True:
            job = pipe.recv()
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                record = attempt(work, job)
            pipe.send(record)


def attempt(work: Work, job: Any) -> Record:
    try:
        return {"error": None, **work(job)}
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return {"error": f"{type(error).__name__}: {error} ({where})"[:500]}

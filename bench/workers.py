"""Processes that do one run at a time and can be killed: a peer that hangs or crashes costs its own run, no other."""

from __future__ import annotations

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
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any

Record = dict[str, Any]
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
    """`work(job)` for each job in order, in `workers` processes; `done(job, record)` as each ends, in this process.

    The record of a run that failed, crashed or took more than `limit` seconds holds nothing but the `error`. No run
    starts once `time.monotonic()` is at `stop`.
    """
    queue: SimpleQueue[Any] = SimpleQueue()
    for job in jobs:
        queue.put(job)

    def lane() -> None:
        with Worker(work) as worker, contextlib.suppress(Empty):
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
        self.process: multiprocessing.process.BaseProcess | None = None
        self.ours: Connection | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, job: Any, limit: float) -> Record:
        """The record of one run."""
        if self.process is None:
            self.start()
        self.ours.send(job)
        try:
            if self.ours.poll(limit):
                return self.ours.recv()
            error = f"TimeoutError: not done after {limit:g} s"
        except EOFError:
            self.process.join()
            error = f"ProcessError: ended with exit code {self.process.exitcode}"
        self.stop()
        return {"error": error}

    def start(self) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the libraries of the new process read it
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.work, theirs), daemon=True)
        self.process.start()
        theirs.close()
        if not self.ours.poll(START_SECONDS):
            raise RuntimeError(f"a worker did not start within {START_SECONDS} s")
        self.ours.recv()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.ours.close()
            self.process = None


def serve(work: Work, pipe: Connection) -> None:
    """Answer each job with its record; peers print and warn, which is not what a benchmark's reader looks for."""
    warnings.simplefilter("ignore")
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            record = attempt(work, job)
        pipe.send(record)


def attempt(work: Work, job: Any) -> Record:
    try:
        return {"error": None, **work(job)}
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"[:500]}

"""The command line of a study: what is done already is not done again."""

import argparse
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.data.sets import SETS
from bench.runs.machine import machine, now, versions
from bench.runs.store import Record, Store
from bench.runs.workers import Work, run_all

FOLDER = Path("docs/benchmarks")


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser with a module's docstring as its help; from here on nothing warns or logs."""
    warnings.simplefilter("ignore")
    logging.getLogger("unseen").setLevel(logging.ERROR)
    shape = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        f"python -m {sys.argv[0]}", description=doc, formatter_class=shape
    )


def resumable(doc: str | None, results: str, limit: float = 300) -> Any:
    """A parser with the options of every study that can be resumed."""
    parser = options(doc)
    page = Path(results).with_suffix(".md")
    parser.epilog = f"What is done already is not done again. {FOLDER / page} tells the rest."
    add = parser.add_argument
    add("--limit", type=float, default=limit, help="seconds after which a run is killed")
    add("--minutes", type=float, default=math.inf, help="after which no further run is started")
    add("--jobs", type=int, default=1, choices=(1, 2), help="runs at a time")
    add("--retry", action="store_true", help="runs that failed, too")
    add("--out", type=Path, default=FOLDER / results, help="Parquet file that results go to")
    return parser


def finish(store: Store, jobs: Iterable[Record], work: Work, chosen: argparse.Namespace) -> None:
    """Do the jobs whose key the store lacks; each is appended as it ends."""
    there, every = store.keys(failed=not chosen.retry), list(jobs)
    due = [job for job in every if store.key_of(job) not in there]
    for name in {job["set"] for job in due if job.get("set") in SETS}:
        SETS[name].tables()  # a missing file is named now, not once a run
    print(f"{len(every)} runs, {len(every) - len(due)} of them done before", flush=True)
    left = len(due)

    def done(job: Record, record: Record) -> None:
        nonlocal left
        left -= 1
        stamps = {"versions": versions(), "machine": machine(), "date": now()}
        entry = stamps | job | record
        store.append({name: entry.get(name) for name in store.schema.names})
        print(f"{left:5} left  {' '.join(map(str, job.values()))}: {summary(record)}", flush=True)

    stop = time.monotonic() + 60 * chosen.minutes
    run_all(work, due, workers=chosen.jobs, limit=chosen.limit, done=done, stop=stop)


def summary(record: Record) -> str:
    """The error, or the first numbers of a record."""
    numbers = [f"{k} {v:.4g}" for k, v in record.items() if isinstance(v, float)]
    return record["error"] or ", ".join(numbers[:6])

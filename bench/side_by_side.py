"""All methods on the same rows, seeds and labels of the open-set protocol; what is done already is not done again.

python -m bench.side_by_side --cells all                   # everything, method by method, fast peers first
python -m bench.side_by_side --methods ours --seeds 5      # our methods in the headline cell: 3 classes x 10 rows
python -m bench.side_by_side --sets digits --methods catboost evidence-stack --cells 1x1x0 3x10x0.05
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.entrants import ENTRANTS, OURS, PEERS, Entrant, Scores
from bench.machine import machine, now, versions
from bench.sets import SETS, identical
from bench.store import Record, Store
from bench.workers import run_all
from unseen.data.split import take
from unseen.evaluation.choices import Protocol
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.metrics import FIGURES, figures, over_classes
from unseen.vision.layout import labelled

RESULTS = Path("docs/benchmarks/side_by_side.parquet")
HEADLINE = (3, 10, 0.0)
CELLS = [(seen, shots, dirt) for dirt in (0.0, 0.05) for seen in (3, 1, 5) for shots in (10, 1, 5)]
GROUPS = {
    "all": list(ENTRANTS),
    "ours": list(OURS),
    "peers": list(PEERS),
    "label-free": [name for name, entrant in ENTRANTS.items() if not entrant.uses_labels],
}
KEY = ("set", "seed", "seen", "shots", "contamination", "method", "version")
ROLES = ("unseen", "seen")
Inputs = tuple[pa.Table, NDArray[np.object_], pa.Table]  # training rows, what each is, test rows
ONE_CLASS = [("class", pa.string()), ("role", pa.string()), ("rows", pa.int32())]
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("set", "method", "version", "error")],
        *[(name, pa.int32()) for name in ("seed", "seen", "shots", "train_rows", "labelled_rows", "test_rows")],
        ("contamination", pa.float64()),
        *[(f"{role}_{figure}", pa.float64()) for role in ROLES for figure in FIGURES],
        *[(name, pa.float64()) for name in ("fit_seconds", "fit_cpu_seconds", "rows_per_second")],
        ("classes", pa.list_(pa.struct([*ONE_CLASS, *[(name, pa.float32()) for name in FIGURES[:-1]]]))),
        *[(name, pa.string()) for name in ("versions", "machine", "date")],
    ]
)


@dataclass(frozen=True)
class Job:
    """One run: a method on one draw of one data set."""

    set: str
    seed: int
    seen: int
    shots: int
    contamination: float
    method: str


def main() -> None:
    """Run every method that is installed on every draw asked for, and append the figures to a Parquet file."""
    options = argparse.ArgumentParser(prog="python -m bench.side_by_side", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument("--methods", nargs="+", choices=[*GROUPS, *ENTRANTS], default=["all"])
    options.add_argument("--seeds", type=int, default=Protocol.seeds)
    options.add_argument(
        "--cells", nargs="+", type=cells, default=[[HEADLINE]], help="SEENxSHOTSxCONTAMINATION, as in 3x10x0, or all"
    )
    options.add_argument("--retry", action="store_true", help="runs that failed, too")
    limits(options, RESULTS)
    chosen = options.parse_args()
    for name in chosen.sets:
        SETS[name].tables()  # says now, not once a run, which file is missing
    store = Store(chosen.out, SCHEMA, KEY)
    names = list(dict.fromkeys(name for word in chosen.methods for name in GROUPS.get(word, [word])))
    jobs = [
        Job(data, seed, *cell, name)
        for cell in dict.fromkeys(cell for group in chosen.cells for cell in group)
        for name in installed(names)
        for data in chosen.sets
        for seed in range(chosen.seeds)
    ]
    finish(store, jobs, one_run, chosen)


def cells(text: str) -> list[tuple[int, int, float]]:
    """The cells of the grid that a word of the command line stands for."""
    if text == "all":
        return CELLS
    try:
        seen, shots, contamination = text.split("x")
        return [(int(seen), int(shots), float(contamination))]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected SEENxSHOTSxCONTAMINATION, as in 3x10x0, got {text!r}") from error


def limits(options: argparse.ArgumentParser, results: Path) -> None:
    """Options of every resumable benchmark."""
    options.add_argument("--limit", type=float, default=300.0, help="seconds after which a run is killed")
    options.add_argument("--minutes", type=float, default=math.inf, help="after which no further run is started")
    options.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="runs at a time")
    options.add_argument("--out", type=Path, default=results, help="Parquet file that results are appended to")


def installed(names: list[str]) -> list[str]:
    """Those whose package there is; the others are named."""
    absent = [name for name in names if ENTRANTS[name].version() is None]
    if absent:
        print(f"not installed, so left out: {', '.join(absent)}", flush=True)
    return [name for name in names if name not in absent]


def finish(store: Store, jobs: list[Any], work: Any, chosen: argparse.Namespace) -> None:
    """Do the jobs whose key the store lacks, each appended as it ends."""
    there = store.keys(failed=not chosen.retry)
    due = [job for job in jobs if store.key_of(vars(job) | {"version": ENTRANTS[job.method].version()}) not in there]
    print(f"{len(jobs)} runs, {len(jobs) - len(due)} of them done before", flush=True)
    left = len(due)

    def done(job: Any, record: Record) -> None:
        nonlocal left
        left -= 1
        entry = vars(job) | {"version": ENTRANTS[job.method].version()} | record
        store.append(entry | {"versions": versions(), "machine": machine(), "date": now()})
        words = record["error"] or f"fit {record['fit_seconds']:.1f} s, {record['rows_per_second']:,.0f} rows/s"
        print(f"{left:5} left  {' '.join(str(value) for value in vars(job).values())}: {words}", flush=True)

    stop = time.monotonic() + 60 * chosen.minutes
    run_all(work, due, workers=chosen.jobs, limit=chosen.limit, done=done, stop=stop)


def one_run(job: Job) -> Record:
    """Fit and score once: figures by class and their averages, seconds, rows."""
    logging.getLogger("unseen").setLevel(logging.ERROR)
    data = read(job.set)
    protocol = Protocol(seen=job.seen, shots=job.shots, contamination=job.contamination)
    draw, inputs = drawn(data, protocol, job.seed)
    scores, spent = timed(ENTRANTS[job.method], *inputs, job.seed)
    classes = by_class(scores, data.answers[draw.test], draw, data.names)
    means = {role: over_classes(classes, role) or {} for role in ROLES}
    return {
        "version": ENTRANTS[job.method].version(),  # of this process, which may have started before a change
        **{f"{role}_{figure}": means[role].get(figure) for role in ROLES for figure in FIGURES},
        "train_rows": len(draw.train),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(draw.test),
        **spent,
        "classes": classes,
    }


@dataclass(frozen=True)
class Data:
    """A data set as `draw_rows` wants it: tables without the label, codes of both, names of the classes."""

    train: pa.Table
    codes: NDArray[np.int64]
    tested: pa.Table
    answers: NDArray[np.int64]
    names: tuple[str, ...]
    alike: NDArray[np.int64] | None


@cache
def read(name: str) -> Data:
    """The data set, prepared as `unseen.evaluate` does it, but for `identical`; once in each process."""
    source = SETS[name]
    table, test = source.tables()
    train, codes, names, _ = labelled(table, source.label, "normal")
    if test is None:
        return Data(train, codes, train, codes, names, identical(train))
    tested, answers, names, _ = labelled(test, source.label, "normal", names)
    return Data(train, codes, tested, answers, names, None)


def drawn(data: Data, protocol: Protocol, seed: int) -> tuple[Draw, Inputs]:
    """A seed's draw, and its rows as every entrant gets them."""
    draw = draw_rows(data.codes, data.answers, protocol, np.random.default_rng(seed), data.alike)
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    return draw, (take(data.train, draw.train), kinds, take(data.tested, draw.test))


def timed(
    entrant: Entrant, table: pa.Table, kinds: NDArray[np.object_], tested: pa.Table, seed: int
) -> tuple[Scores, Record]:
    """Scores of the test rows, and what fitting and scoring took, preparation of the rows included."""
    wall, cpu = time.perf_counter(), time.process_time()
    score = entrant.fit(table, kinds, seed)
    fitted, spent = time.perf_counter(), time.process_time()
    scores = score(tested)
    seconds = time.perf_counter() - fitted
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
    took = {"fit_seconds": fitted - wall, "fit_cpu_seconds": spent - cpu, "rows_per_second": len(tested) / seconds}
    return scores, took


def by_class(scores: Scores, answers: NDArray[np.int64], draw: Draw, names: tuple[str, ...]) -> list[Record]:
    """Figures of each anomaly class among the test rows against the test normals."""
    return [
        {
            "class": names[code - 1],
            "role": "seen" if code in draw.seen else "unseen",
            **figures(scores[answers == 0], scores[answers == code]),
        }
        for code in np.unique(answers[answers > 0]).tolist()
    ]


if __name__ == "__main__":
    main()

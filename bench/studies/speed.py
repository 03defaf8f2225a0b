"""Seconds to fit and rows scored per second: 5,000 rows x 120 columns, 30 of them labelled.

python -m bench speed --method evidence-stack mahalanobis
python -m bench speed --method evidence-stack pyod-knn xgboost --training-rows 10000

Other programs that keep the cores busy lower the rows scored per second; they leave the processor
time of a row as it is. Peers get matrices, prepared beforehand; ours get the table, and encode it.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.pages.text import show
from bench.runs.command import options
from bench.runs.entrants import ENTRANTS, OURS, PEERS, installed
from bench.runs.machine import machine, now, versions

ROWS, COLUMNS, LABELLED, CLASSES = 5000, 120, 30, 3
BLOCK = 50_000  # rows drawn at once


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--method", nargs="+", choices=ENTRANTS, default=list(OURS))
    add("--training-rows", type=int, default=ROWS)
    add("--rows", type=int, default=65_536, help="rows scored at once")
    add("--repeat", type=int, default=3)
    add("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    (x, y), (fresh, _) = sample(chosen.training_rows, LABELLED), sample(chosen.rows, 0)
    kinds = np.array(["normal", *"abc"], dtype=object)[y]
    table, other = (pa.table({f"x{j}": c for j, c in enumerate(rows.T)}) for rows in (x, fresh))
    ENTRANTS["evidence-stack"].fit(table[-500:], kinds[-500:], 0)  # imports and thread pools
    print(f"{machine()}; {versions()}; {now()}")
    names = installed(chosen.method)
    rows = [method_row(name, table, kinds, other, chosen.repeat) for name in names]
    size = f"{chosen.training_rows:,} x {COLUMNS} with {LABELLED} labels, {chosen.threads} threads"
    title = f"{size}: median of {chosen.repeat} (range)"
    show(title, ["method", "fit s", "rows/s", "CPU µs a row"], rows)


def sample(rows: int, labelled: int, columns: int = COLUMNS) -> tuple[Any, Any]:
    """Correlated normals with heavy tails, the last rows of three shifted classes: (n, d), (n,)."""
    mix = np.random.default_rng(0).normal(size=(columns // 4, columns))
    rng = np.random.default_rng(rows)
    x = np.empty((rows, columns), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        heavy = rng.standard_t(4, size=(n, columns // 4)) @ mix
        x[start : start + n] = heavy + 0.3 * rng.normal(size=(n, columns))
    y = np.zeros(rows, dtype=np.int64)
    if labelled:
        y[-labelled:] = 1 + np.arange(labelled) % CLASSES
        x[-labelled:] += 8.0 * (np.arange(columns) % (CLASSES + 1) == y[-labelled:, None])
    return x, y


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each repetition."""
    marks = [time.perf_counter(), *((work(), time.perf_counter())[1] for _ in range(repeat))]
    return np.diff(marks).tolist()


def method_row(name: str, table: Any, kinds: Any, fresh: Any, repeat: int) -> list[str]:
    made: list[Any] = []
    if name in PEERS:
        ready, learn = PEERS[name].prepare(table), PEERS[name].learn
        y = (kinds != "normal").astype(np.int64)
        used = np.arange(len(y)) if PEERS[name].uses_labels else np.flatnonzero(y == 0)
        x, y, fresh = ready(table.take(used)), y[used], ready(fresh)
        seconds = timed(lambda: made.append(learn(x, y, 0)), repeat)
    else:
        seconds = timed(lambda: made.append(ENTRANTS[name].fit(table, kinds, 0)), repeat)
    score = made[-1]
    score(fresh[:2048])
    before = time.process_time()
    rates = [len(fresh) / s for s in timed(lambda: score(fresh), repeat)]
    spent = 1e6 * (time.process_time() - before) / repeat / len(fresh)
    return [name, spanned(seconds, ".2f"), spanned(rates, ",.0f"), f"{spent:.1f}"]


def spanned(values: list[float], form: str) -> str:
    """Median and range."""
    return f"{np.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"

"""Seconds to fit and rows scored per second: 5,000 rows x 120 columns, 30 of them labelled.

python -m bench speed --method evidence-stack mahalanobis

Where PyOD is installed, its XGBOD is fitted beside ours. Other programs that keep the cores busy
lower the rows scored per second; they leave the processor time of a row as it is.
"""

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bench.pages.text import show, verdict
from bench.peers import PEERS
from bench.runs.command import options
from bench.runs.machine import machine, now, versions
from unseen import METHODS, Detector
from unseen.methods import DEFAULT

ROWS, COLUMNS, LABELLED, CLASSES = 5000, 120, 30, 3
FIT_SECONDS, DEFAULT_RATE, LIGHT_RATE = 10.0, 50_000, 500_000
LIGHT = {"mahalanobis", "devnet", "isolation-forest"}
RIVAL = "pyod-xgbod"
BLOCK = 50_000  # rows drawn at once
Array = NDArray[np.float32]


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--method", nargs="+", choices=METHODS, default=list(METHODS))
    add("--rows", type=int, default=65_536, help="rows scored at once")
    add("--repeat", type=int, default=3)
    add("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    (x, y), (fresh, _) = sample(ROWS, LABELLED), sample(chosen.rows, 0)
    Detector(random_state=0).fit(x[-500:], y[-500:])  # imports and thread pools
    print(f"{machine()}; {versions()}; {now()}")
    rows = [timed_method(name, x, y, fresh, chosen.repeat) for name in chosen.method]
    if PEERS[RIVAL].version():
        table = pa.table({f"x{j}": column for j, column in enumerate(x.T)})
        kinds = np.where(y > 0, "anomaly", "normal").astype(object)
        seconds = timed(lambda: PEERS[RIVAL].fit(table, kinds, 0), chosen.repeat)
        rows += [[RIVAL, spanned(seconds, ".2f"), *["-"] * 4]]
    size = f"{ROWS:,} x {COLUMNS} with {LABELLED} labels, {chosen.threads} threads"
    columns = ["method", "fit s", "target", "rows/s", "target", "CPU µs a row"]
    show(f"{size}: median of {chosen.repeat} (range)", columns, rows)


def sample(rows: int, labelled: int, columns: int = COLUMNS) -> tuple[Array, NDArray[np.int64]]:
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
    marks = [time.perf_counter()]
    for _ in range(repeat):
        work()
        marks.append(time.perf_counter())
    return np.diff(marks).tolist()


def timed_method(name: str, x: Array, y: NDArray[np.int64], fresh: Array, repeat: int) -> list[str]:
    """A method's row of the table."""
    detector = Detector(METHODS[name], random_state=0)
    seconds = timed(lambda: detector.fit(x, y), repeat)
    detector.anomaly_score(fresh[:2048])
    before = time.process_time()
    rates = [len(fresh) / s for s in timed(lambda: detector.anomaly_score(fresh), repeat)]
    spent = 1e6 * (time.process_time() - before) / repeat / len(fresh)
    least = LIGHT_RATE if name in LIGHT else DEFAULT_RATE
    quick = verdict(float(np.median(seconds)) <= FIT_SECONDS)
    limit = f"{FIT_SECONDS:.0f} {quick}" if METHODS[name] is DEFAULT else "-"
    goal = f"{least:,} {verdict(float(np.median(rates)) >= least)}"
    return [name, spanned(seconds, ".2f"), limit, spanned(rates, ",.0f"), goal, f"{spent:.1f}"]


def spanned(values: list[float], form: str) -> str:
    """Median and range."""
    return f"{np.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"

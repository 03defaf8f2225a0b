"""How time and memory of the default grow with rows and with columns.

python -m bench.scaling        # writes docs/benchmarks/scaling.md and scaling.png

Each size is fitted and scored in a process of its own, through `Detector` with a matrix; the largest also as a Parquet
file through `unseen fit`, labels as text. Memory is the most that the process held, its data and libraries with it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as parquet
import torch

from bench import verdict
from bench.machine import machine, now, versions
from bench.memory import CLI, sampled
from bench.speed import LABELLED, sample
from unseen.detector.detector import Detector

ROWS, WIDE = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000), 50
COLUMNS, TALL = (10, 20, 50, 100, 200, 500), 5000
FRESH = 32_768  # rows scored to find the rate
FIT_SECONDS, MEMORY = 600.0, 16_000.0  # of the largest
NOISE = 1.25  # how much more than n log n the time of one step may seem to grow
FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True)
class Figures:
    """What one size took: the best of the repetitions, as other programs only ever make it longer."""

    rows: int
    columns: int
    fit: float  # seconds
    rate: float  # rows scored a second
    peak: float  # MB


def main() -> None:
    """Measure growth, print and write the page and its plot."""
    options = argparse.ArgumentParser(prog="python -m bench.scaling", description=main.__doc__)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--out", type=Path, default=FOLDER)
    options.add_argument("--one", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="this size alone, as JSON")
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(asdict(measure(*chosen.one, threads=chosen.threads))))
        return
    by_rows = [best(n, WIDE, chosen) for n in ROWS]
    by_columns = [best(TALL, d, chosen) for d in COLUMNS]
    seconds, memory = from_file(max(ROWS), WIDE)
    told = f"`unseen fit` of a Parquet file of {max(ROWS):,} x {WIDE}: {seconds:.0f} s in all, peak {memory:,.0f} MB."
    text = page(by_rows, by_columns, told, chosen)
    print(text)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "scaling.md").write_text(text)
    draw(by_rows, by_columns, chosen.out / "scaling.png")


def measure(rows: int, columns: int, *, threads: int) -> Figures:
    """Fit and score once, in this process."""
    torch.set_num_threads(threads)
    Detector(random_state=0).fit(*sample(200, LABELLED, columns))  # imports and thread pools
    x, y = sample(rows, LABELLED, columns)
    start = time.perf_counter()
    detector = Detector(random_state=0).fit(x, y)
    fit = time.perf_counter() - start
    peak = peak_memory()
    fresh, _ = sample(FRESH, 0, columns)
    start = time.perf_counter()
    detector.anomaly_score(fresh)
    return Figures(rows, columns, fit, FRESH / (time.perf_counter() - start), peak)


def peak_memory() -> float:
    """Most megabytes that this process has held so far; what it holds now where the system does not say."""
    status = Path("/proc/self/status")
    found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")] if status.exists() else []
    return int(found[0].split()[1]) * 1.024e-3 if found else psutil.Process().memory_info().rss / 1e6


def best(rows: int, columns: int, chosen: argparse.Namespace) -> Figures:
    """The best of several processes."""
    command = [
        sys.executable,
        "-m",
        "bench.scaling",
        "--threads",
        str(chosen.threads),
        "--one",
        str(rows),
        str(columns),
    ]
    done = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(chosen.repeat)]
    each = [Figures(**json.loads(run.stdout)) for run in done]
    fit, rate, peak = min(f.fit for f in each), max(f.rate for f in each), max(f.peak for f in each)
    print(f"{rows:,} x {columns}: {fit:.2f} s, {rate:,.0f} rows/s, {peak:,.0f} MB", flush=True)
    return Figures(rows, columns, fit, rate, peak)


def from_file(rows: int, columns: int) -> tuple[float, float]:
    """Seconds and peak megabytes of `unseen fit` on a file, whole processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = sample(rows, LABELLED, columns)
        table = {f"x{j}": column for j, column in enumerate(x.T)} | {"kind": np.array(["normal", "a", "b", "c"])[y]}
        parquet.write_table(pa.table(table), folder / "rows.parquet")
        del x, table
        start = time.perf_counter()
        command = [*CLI, "fit", str(folder / "rows.parquet"), "--label", "kind", "--out", str(folder / "model")]
        memory, _ = sampled(command, folder)
        return time.perf_counter() - start, max(memory)


def page(by_rows: list[Figures], by_columns: list[Figures], told: str, chosen: argparse.Namespace) -> str:
    """The Markdown page."""
    largest, steps = by_rows[-1], growth(by_rows)
    worst = max(steps, key=lambda step: step[1] / step[2])
    parts = [
        "# Growth with rows and columns",
        f"Time to fit the default with {LABELLED} labels of three classes, rows it then scores a second, and the most "
        "memory that the process held, its data and libraries with it. Every size is measured in a process of its "
        f"own, with {chosen.threads} threads; best of {chosen.repeat}, as other programs on the machine only ever make "
        "it longer.",
        f"```sh\npython -m bench.scaling --repeat {chosen.repeat} --threads {chosen.threads}\n```",
        f"Machine: {machine()}. {now()[:10]}. Versions: {versions()}.",
        "![Growth](scaling.png)",
        f"## Rows, x {WIDE} columns",
        markdown(by_rows),
        f"From {by_rows[-3].rows:,} to {largest.rows:,} rows, time to fit grows with rows to the power of "
        f"{slope([f.rows for f in by_rows[-3:]], [f.fit for f in by_rows[-3:]]):.2f} (all sizes: "
        f"{slope([f.rows for f in by_rows], [f.fit for f in by_rows]):.2f}). Scoring a row costs the same whatever "
        "was trained on: neighbours are searched among at most 2,048 reference rows. With fewer than 1,000 normals "
        "`Detector` trains five folds instead of one split: five detectors are fitted, and all score.",
        f"* No step grows faster than n log n: {verdict(worst[1] <= NOISE * worst[2])}. The steepest, to "
        f"{worst[0]:,} rows, took {worst[1]:.2f} times as long; n log n would take {worst[2]:.2f} times.\n"
        f"* {largest.rows:,} x {largest.columns} within {FIT_SECONDS / 60:.0f} minutes and {MEMORY / 1000:.0f} GB: "
        f"{verdict(largest.fit <= FIT_SECONDS and largest.peak <= MEMORY)}, {largest.fit:.0f} s and "
        f"{largest.peak:,.0f} MB.\n* {told}",
        f"## Columns, x {TALL:,} rows",
        markdown(by_columns),
        f"Time to fit grows with columns to the power of "
        f"{slope([f.columns for f in by_columns], [f.fit for f in by_columns]):.2f}, time to score to the power of "
        f"{slope([f.columns for f in by_columns], [1 / f.rate for f in by_columns]):.2f}.",
    ]
    return "\n\n".join(parts) + "\n"


def markdown(figures: list[Figures]) -> str:
    lines = ["| rows | columns | fit s | rows/s | peak MB |", "|---:|---:|---:|---:|---:|"]
    lines += [f"| {f.rows:,} | {f.columns} | {f.fit:.2f} | {f.rate:,.0f} | {f.peak:,.0f} |" for f in figures]
    return "\n".join(lines)


def growth(figures: list[Figures]) -> list[tuple[int, float, float]]:
    """For each step to more rows: the number reached, how many times as long it took, and what n log n would take."""
    return [
        (b.rows, b.fit / a.fit, b.rows * math.log(b.rows) / (a.rows * math.log(a.rows))) for a, b in pairwise(figures)
    ]


def slope(sizes: list[int], values: list[float]) -> float:
    """Exponent of a power law through these points."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def draw(by_rows: list[Figures], by_columns: list[Figures], path: Path) -> None:
    """Seconds, rate and memory over rows (above) and over columns (below), both axes logarithmic."""
    from bench.plots import OURS_COLOUR, plt, save  # matplotlib is not needed to measure

    figure, axes = plt.subplots(2, 3, figsize=(12, 6.5), constrained_layout=True)
    shown = (("fit", "seconds to fit"), ("rate", "rows scored a second"), ("peak", "peak memory, MB"))
    for line, (figures, size) in zip(axes, ((by_rows, "rows"), (by_columns, "columns")), strict=True):
        for axis, (name, words) in zip(line, shown, strict=True):
            x, y = [getattr(f, size) for f in figures], [getattr(f, name) for f in figures]
            axis.loglog(x, y, marker="o", color=OURS_COLOUR)
            axis.set(
                xlabel=f"{size} (x {WIDE} columns)" if size == "rows" else f"{size} (x {TALL:,} rows)", title=words
            )
            axis.set_ylim(min(y) / 3, max(y) * 3)
            axis.grid(alpha=0.3, which="both")
    n = np.array([f.rows for f in by_rows])
    law = n * np.log(n)
    axes[0, 0].plot(n, by_rows[-1].fit * law / law[-1], linestyle=":", color="grey", label="n log n")
    axes[0, 0].legend()
    save(figure, path)


if __name__ == "__main__":
    main()

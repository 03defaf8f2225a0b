"""How time and memory of the default grow with rows and with columns.

python -m bench scaling        # writes docs/benchmarks/scaling.md and scaling.png

Each size is fitted and scored in a process of its own. Memory is the most that the process held,
its data and libraries with it. `python -m bench memory` does the same with files.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bench.pages.text import fill, markdown
from bench.runs.command import FOLDER, options
from bench.runs.machine import MB, machine, measured, now, versions
from bench.studies.speed import LABELLED, sample
from unseen import Detector

ROWS, WIDE = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000), 50
COLUMNS, TALL = (10, 20, 50, 100, 200, 500), 5000
FRESH = 32_768  # rows scored to find the rate
FIT, RATE, PEAK = HEADS = ("fit, s", "rows/s", "peak MB")


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--repeat", type=int, default=3)
    add("--threads", type=int, default=2)
    add("--out", type=Path, default=FOLDER)
    add("--one", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="this size alone, as JSON")
    chosen = parser.parse_args()
    if chosen.one:
        torch.set_num_threads(chosen.threads)
        print(json.dumps(one(*chosen.one)))
        return
    by_rows = pd.DataFrame([best(n, WIDE, chosen) for n in ROWS], ROWS, HEADS)
    by_columns = pd.DataFrame([best(TALL, d, chosen) for d in COLUMNS], COLUMNS, HEADS)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "scaling.md").write_text(page(by_rows, by_columns, chosen))
    sizes = {f"rows (x {WIDE} columns)": by_rows, f"columns (x {TALL:,} rows)": by_columns}
    growth(chosen.out / "scaling.png", sizes)


def one(rows: int, columns: int) -> tuple[float, float, float]:
    """Fit and score once, in this process: seconds, rows a second, megabytes."""
    Detector(random_state=0).fit(*sample(200, LABELLED, columns))  # imports and thread pools
    x, y = sample(rows, LABELLED, columns)
    fresh, _ = sample(FRESH, 0, columns)
    marks = [time.perf_counter()]
    detector = Detector(random_state=0).fit(x, y)
    marks.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MB
    detector.anomaly_score(fresh)
    marks.append(time.perf_counter())
    fit, score = np.diff(marks).tolist()
    return fit, FRESH / score, peak


def best(rows: int, columns: int, chosen: argparse.Namespace) -> tuple[float, float, float]:
    """The best of several processes: other programs only ever make it longer."""
    command = [sys.executable, "-m", "bench", "scaling", "--threads", str(chosen.threads)]
    command += ["--one", str(rows), str(columns)]
    runs = [json.loads(measured(command)[0].splitlines()[-1]) for _ in range(chosen.repeat)]
    fit, rate, peak = zip(*runs, strict=True)
    return min(fit), max(rate), max(peak)


def page(by_rows: pd.DataFrame, by_columns: pd.DataFrame, chosen: argparse.Namespace) -> str:
    forms = {FIT: "{:.2f}", RATE: "{:,.0f}", PEAK: "{:,.0f}"}
    tables = []
    for found in (by_rows, by_columns):
        text = found.apply(lambda column: column.map(forms[column.name].format))
        tables.append(text.set_index(found.index.map("{:,}".format)))
    return fill(
        "scaling",
        labelled=LABELLED,
        threads=chosen.threads,
        repeat=chosen.repeat,
        machine=f"{machine()}. {now()[:10]}. Versions: {versions()}",
        wide=WIDE,
        tall=f"{TALL:,}",
        by_rows=markdown(tables[0], "rows"),
        by_columns=markdown(tables[1], "columns"),
        last=f"{slope(by_rows[FIT][-3:]):.2f}",
        every=f"{slope(by_rows[FIT]):.2f}",
        fit_columns=f"{slope(by_columns[FIT]):.2f}",
        score_columns=f"{slope(1 / by_columns[RATE]):.2f}",
    )


def slope(values: pd.Series) -> float:
    """Exponent of a power law through these points, by their index."""
    return float(np.polyfit(np.log(values.index), np.log(values), 1)[0])


def growth(path: Path, lines: dict[str, pd.DataFrame]) -> None:
    """Figures over a size, both axes logarithmic: a row of panels for each table, by its index."""
    import matplotlib.pyplot as plt  # not needed to measure

    figure, grid = plt.subplots(len(lines), len(HEADS), figsize=(12, 6.5), constrained_layout=True)
    style = {"marker": "o", "color": "#c1272d", "grid": True, "legend": False, "loglog": True}
    for row, (words, found) in zip(grid, lines.items(), strict=True):
        found.plot(subplots=True, ax=row, xlabel=words, title=list(HEADS), **style)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})

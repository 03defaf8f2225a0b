"""Peak memory of scoring files larger than memory should hold, through the command line.

Each file is written in chunks to a temporary folder and scored by `unseen score` in a process of its own, whose
resident memory is sampled. Flat means: from the time that output is open, the second half peaks no higher than the
first, but for a tenth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from bench import show, verdict

COLUMNS, CHUNK, TRAINING = 40, 100_000, 5000
LIMIT, SLACK, EVERY = 1000.0, 1.1, 0.02  # MB, share, seconds
CLI = [sys.executable, "-m", "unseen"]


@dataclass(frozen=True)
class Case:
    """One file to score, and the method that does."""

    method: str
    suffix: str
    rows: int


def main() -> None:
    """Print peak memory, and whether it stays flat."""
    options = argparse.ArgumentParser(prog="python -m bench.memory", description=main.__doc__)
    options.add_argument(
        "--rows", type=int, default=3_000_000, help="rows of the large Parquet file; others have a tenth"
    )
    options.add_argument("--keep", type=Path, help="folder for the files, in place of a temporary one")
    chosen = options.parse_args()
    less = chosen.rows // 10
    cases = [
        Case("mahalanobis", ".parquet", chosen.rows),
        Case("mahalanobis", ".csv", less),
        Case("evidence-stack", ".parquet", less),
    ]
    with tempfile.TemporaryDirectory(dir=chosen.keep) as folder:
        rows = [measure(case, Path(folder)) for case in cases]
    columns = ["method", "file", "rows", "file MB", "seconds", "rows/s", "peak MB"]
    target = f"under {LIMIT:,.0f}"
    show("Memory of `unseen score`", [*columns, target, "first half MB", "second half MB", "flat"], rows)


def measure(case: Case, folder: Path) -> list[str]:
    """Fit a detector, write the file, score it: a row of the table."""
    model = folder / f"model-{case.method}"
    if not model.exists():
        training = folder / f"training-{case.method}.parquet"
        parquet.write_table(chunk(TRAINING, seed=0, labelled=30), training)
        run([*CLI, "fit", str(training), "--label", "kind", "--method", case.method, "--out", str(model)])
    data, scores = folder / f"data{case.suffix}", folder / f"scores{case.suffix}"
    write(data, case.rows)
    size = data.stat().st_size / 1e6
    start = time.perf_counter()
    memory, steady = sampled([*CLI, "score", str(model), str(data), "--out", str(scores), "--keep", "key"], folder)
    seconds = time.perf_counter() - start
    check(scores, case.rows)
    data.unlink()
    scores.unlink()
    half = len(steady) // 2
    first, second = max(steady[:half], default=np.nan), max(steady[half:], default=np.nan)
    figures = [f"{case.rows:,}", f"{size:,.0f}", f"{seconds:.1f}", f"{case.rows / seconds:,.0f}", f"{max(memory):,.0f}"]
    halves = [f"{first:,.0f}", f"{second:,.0f}", verdict(second <= SLACK * first)]
    return [case.method, case.suffix[1:], *figures, verdict(max(memory) < LIMIT), *halves]


def chunk(rows: int, *, seed: int, labelled: int = 0) -> pa.Table:
    """Random rows: numbers, a count, a category and a key; with labels, the last rows are of three shifted classes."""
    rng = np.random.default_rng(seed)
    y = np.zeros(rows, dtype=np.int64)
    if labelled:
        y[-labelled:] = 1 + np.arange(labelled) % 3
    x = rng.normal(size=(rows, COLUMNS - 2)) + 5.0 * (y[:, None] == 1 + np.arange(COLUMNS - 2) % 3)
    columns = {f"x{j}": x[:, j] for j in range(x.shape[1])}
    columns["bytes"] = rng.poisson(np.exp(rng.normal(5, 2, size=rows)))
    columns["service"] = np.array(["http", "smtp", "dns", "ftp"])[rng.integers(4, size=rows)]
    columns["kind" if labelled else "key"] = np.array(["normal", "a", "b", "c"])[y] if labelled else np.arange(rows)
    return pa.table(columns)


def write(path: Path, rows: int) -> None:
    """The file to score, a chunk at a time."""
    first = chunk(min(CHUNK, rows), seed=1)
    kind = arrow_csv.CSVWriter if path.suffix == ".csv" else parquet.ParquetWriter
    with kind(path, first.schema) as sink:
        for number, start in enumerate(range(0, rows, CHUNK), start=1):
            sink.write(chunk(min(CHUNK, rows - start), seed=number))


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def sampled(command: list[str], folder: Path) -> tuple[list[float], list[float]]:
    """Resident megabytes of the process and its children, sampled until it ends; and those while output is open."""
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        root, memory, steady = psutil.Process(process.pid), [], []
        while process.poll() is None:
            memory.append(sum(map(resident, [root, *children(root)])) / 1e6)
            if any(folder.glob(".scores.*partial*")):
                steady.append(memory[-1])
            time.sleep(EVERY)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{said.read()}")
    return memory, steady


def children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def check(scores: Path, rows: int) -> None:
    """All rows were scored."""
    read = arrow_csv.read_csv if scores.suffix == ".csv" else parquet.read_table
    found = len(read(scores))
    if found != rows:
        raise SystemExit(f"{scores.name} holds {found} rows, not {rows}: the figures mean nothing")


if __name__ == "__main__":
    main()

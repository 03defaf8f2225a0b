"""Time and peak memory of `unseen fit` and `unseen score` on files, whole processes.

python -m bench memory          # prints a table

Memory of scoring is flat: ten times the rows take no more of it.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from bench.pages.text import show
from bench.runs.command import options
from bench.runs.machine import CLI, measured
from bench.studies.speed import BLOCK, LABELLED, sample

COLUMNS, TRAINING = 40, 5000
HEADS = ["command", "method", "file", "rows", "file MB", "seconds", "rows/s", "peak MB"]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="of the largest file scored")
    most = parser.parse_args().rows
    few, rows = most // 10, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for method in ("mahalanobis", "evidence-stack"):
            rows.append(fitted(method, TRAINING, folder))
            rows.append(scored(method, few, folder / "data.parquet"))
            if method == "mahalanobis":
                rows.append(scored(method, most, folder / "data.parquet"))
                rows.append(scored(method, few, folder / "data.csv"))
        rows.append(fitted("evidence-stack", most // 3, folder))
    show("Time and memory of `unseen fit` and `unseen score`", HEADS, rows)


def fitted(method: str, rows: int, folder: Path) -> list[str]:
    """A row of the table, and a model named after the method."""
    data, model = folder / "training.parquet", folder / f"{method}-{rows}"
    written(rows, data, labelled=LABELLED)
    words = ["--label", "kind", "--method", method, "--out", str(model)]
    return line("fit", method, rows, data, words)


def scored(method: str, rows: int, data: Path) -> list[str]:
    """A row of the table; all rows are scored, or the figures mean nothing."""
    written(rows, data)
    out = data.with_stem("scores")
    found = line("score", method, rows, data, ["--out", str(out), "--keep", "key"])
    read = parquet.read_table if out.suffix == ".parquet" else arrow_csv.read_csv
    if (count := len(read(out))) != rows:
        raise SystemExit(f"{out.name} holds {count} rows, expected {rows}")
    out.unlink()
    return found


def line(command: str, method: str, rows: int, data: Path, words: list[str]) -> list[str]:
    size = data.stat().st_size / 1e6
    model = [str(data.with_name(f"{method}-{TRAINING}"))] if command == "score" else []
    _, seconds, peak = measured([*CLI, command, *model, str(data), *words])
    figures = [f"{size:,.0f}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{peak:,.0f}"]
    return [command, method, data.suffix[1:], f"{rows:,}", *figures]


def written(rows: int, path: Path, *, labelled: int = 0) -> None:
    """A file of numbers, a category and a key or a kind, in chunks; labels stand in the last."""
    sink = None
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        x, y = sample(n, labelled if start + n == rows else 0, COLUMNS)
        columns = {f"x{j}": column for j, column in enumerate(x.T)}
        columns["service"] = np.array(["http", "smtp", "dns"])[np.abs(x[:, 0]).astype(int) % 3]
        kind = {"kind": np.array(["normal", "a", "b", "c"])[y]}
        chunk = pa.table(columns | (kind if labelled else {"key": np.arange(start, start + n)}))
        writer = parquet.ParquetWriter if path.suffix == ".parquet" else arrow_csv.CSVWriter
        sink = sink or writer(path, chunk.schema)
        sink.write(chunk)
    sink.close()

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
        for method in ("mahalanobis", "evidence-stack"):
            model, training = Path(name) / method, Path(name) / "training.parquet"
            words = ["--label", "kind", "--method", method, "--out"]
            rows += [line(["fit"], training, TRAINING, [*words, str(model)], LABELLED)]
            for count, suffix in ((few, ".parquet"), (most, ".parquet"), (few, ".csv")):
                out = Path(name) / f"scores{suffix}"
                out.unlink(missing_ok=True)
                words = ["--out", str(out), "--keep", "key"]
                rows += [line(["score", str(model)], out.with_stem("data"), count, words)]
    show("Time and memory of `unseen fit` and `unseen score`", HEADS, rows)


def line(
    command: list[str], data: Path, rows: int, words: list[str], labelled: int = 0
) -> list[str]:
    """A row of the table: a command, on a file that is written for it."""
    written(rows, data, labelled)
    size = data.stat().st_size / 1e6
    _, seconds, peak = measured([*CLI, *command, str(data), *words])
    figures = [f"{size:,.0f}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{peak:,.0f}"]
    method = Path(command[1]).name if len(command) > 1 else words[3]
    return [command[0], method, data.suffix[1:], f"{rows:,}", *figures]


def written(rows: int, path: Path, labelled: int) -> None:
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

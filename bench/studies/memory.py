"""Peak memory of scoring files larger than memory should hold, through the command line.

python -m bench memory

Each file is written in chunks to a temporary folder and scored by `unseen score` in a process of
its own. Memory is flat if ten times the rows take no more of it.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from bench.pages.text import show, verdict
from bench.runs.command import options
from bench.runs.machine import CLI, measured

COLUMNS, CHUNK, TRAINING = 40, 100_000, 5000
LIMIT = 1000.0  # MB


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="of the largest file")
    parser.add_argument("--keep", type=Path, help="folder for the temporary files")
    chosen = parser.parse_args()
    few = chosen.rows // 10
    files = [("mahalanobis", few, ".parquet"), ("mahalanobis", chosen.rows, ".parquet")]
    files += [("mahalanobis", few, ".csv"), ("evidence-stack", few, ".parquet")]
    with tempfile.TemporaryDirectory(dir=chosen.keep) as folder:
        rows = [scored(*each, Path(folder)) for each in files]
    heads = ["method", "file", "rows", "file MB", "seconds", "rows/s", "peak MB"]
    show("Memory of `unseen score`", [*heads, f"under {LIMIT:,.0f}"], rows)


def scored(method: str, rows: int, suffix: str, folder: Path) -> list[str]:
    """A row of the table."""
    model, training = folder / method, folder / f"training-{method}.parquet"
    if not model.exists():
        parquet.write_table(chunk(TRAINING, seed=0, labelled=30), training)
        fit = ["fit", str(training), "--label", "kind", "--method", method, "--out", str(model)]
        measured([*CLI, *fit])
    data, scores = folder / f"data{suffix}", folder / f"scores{suffix}"
    kind, read = arrow_csv.CSVWriter, arrow_csv.read_csv
    if suffix == ".parquet":
        kind, read = parquet.ParquetWriter, parquet.read_table
    with kind(data, chunk(1, seed=0).schema) as sink:
        for seed, start in enumerate(range(0, rows, CHUNK), start=1):
            sink.write(chunk(min(CHUNK, rows - start), seed=seed))
    command = ["score", str(model), str(data), "--out", str(scores), "--keep", "key"]
    _, seconds, peak = measured([*CLI, *command])
    if (found := len(read(scores))) != rows:
        raise SystemExit(f"{scores.name} holds {found} rows, not {rows}: the figures mean nothing")
    size = data.stat().st_size / 1e6
    data.unlink()
    scores.unlink()
    figures = [f"{size:,.0f}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{peak:,.0f}"]
    return [method, suffix[1:], f"{rows:,}", *figures, verdict(peak < LIMIT)]


def chunk(rows: int, *, seed: int, labelled: int = 0) -> pa.Table:
    """Random rows with a key; or with labels, the last rows of three shifted classes."""
    rng = np.random.default_rng(seed)
    y = np.zeros(rows, dtype=np.int64)
    if labelled:
        y[-labelled:] = 1 + np.arange(labelled) % 3
    shift = y[:, None] == 1 + np.arange(COLUMNS - 2) % 3
    x = rng.normal(size=(rows, COLUMNS - 2)) + 5.0 * shift
    table = {f"x{j}": column for j, column in enumerate(x.T)}
    table["bytes"] = rng.poisson(np.exp(rng.normal(5, 2, size=rows)))
    table["service"] = np.array(["http", "smtp", "dns", "ftp"])[rng.integers(4, size=rows)]
    kind = {"kind": np.array(["normal", "a", "b", "c"])[y]}
    return pa.table(table | (kind if labelled else {"key": np.arange(rows)}))

"""The benchmark's pages, from a few made-up runs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from bench.studies.side_by_side import SCHEMA

from unseen.evaluation.metrics import FIGURES

LEVEL = {"evidence-stack": 0.9, "catboost": 0.8, "mahalanobis": 0.7}


def run(name, number, method, seed, cell):
    value = LEVEL[method] + 0.01 * number + 0.02 * seed
    seen, shots, contamination = cell
    return {
        "set": name,
        "seed": seed,
        "method": method,
        "version": "1",
        "error": None,
        "seen": seen,
        "shots": shots,
        "contamination": contamination,
        **{f"{role}_{figure}": value for role in ("unseen", "seen") for figure in FIGURES},
        "fit_seconds": 1.0,
        "fit_cpu_seconds": 2.0,
        "rows_per_second": 1e5,
        "versions": "python 3",
        "machine": "a CPU, 2 cores",
        "date": "2026-01-01T00:00:00",
    }


def test_pages_hold_means_distances_and_failures(tmp_path):
    pytest.importorskip("matplotlib")
    from bench.pages import open_set

    records = [
        run(name, number, method, seed, cell)
        for number, name in enumerate(["tep", "shuttle", "digits"])
        for method in LEVEL
        for seed in range(2)
        for cell in [(3, 10, 0.0), (1, 1, 0.0), (3, 5, 0.0)]
    ]
    records.append(
        run("tep", 0, "catboost", 9, (1, 1, 0.0))
        | {"error": "ValueError: a | b", "unseen_auroc": np.nan}
    )
    parquet.write_table(pa.Table.from_pylist(records, SCHEMA), tmp_path / "runs.parquet")
    page = open_set.open_set(tmp_path / "runs.parquet", tmp_path)
    assert "| `catboost` | 0.810 ± 0.014 | 0.820 ± 0.014 | 0.830 ± 0.014 | 0.820 |" in page
    assert "| +0.100 ± 0.000, 3 of 3 | +0.100 ± 0.000, 3 of 3 |" in page  # unseen and seen
    assert "| `catboost` | 1 | ValueError: a \\| b | tep 1 1 0.0 9 |" in page
    labels = open_set.labels(tmp_path / "runs.parquet", tmp_path)
    assert "| tep | `mahalanobis` | 0.710 | 0.910 | +0.200 | 2 |" in labels
    assert "| method | 1 x 1 | 3 x 5 | 3 x 10 |" in labels
    assert [path.name for path in tmp_path.glob("*.png")] == ["picture.png"]

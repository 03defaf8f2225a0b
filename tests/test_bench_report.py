"""The benchmark's pages, from a few made-up runs."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from bench.side_by_side import SCHEMA

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


def test_pages_hold_means_distances_and_failures(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from bench import report

    records = [
        run(name, number, method, seed, cell)
        for number, name in enumerate(["tep", "shuttle", "digits"])
        for method in LEVEL
        for seed in range(2)
        for cell in [(3, 10, 0.0), (1, 1, 0.0), (3, 5, 0.0)]
    ]
    records.append(run("tep", 0, "catboost", 9, (1, 1, 0.0)) | {"error": "ValueError: a | b", "unseen_auroc": np.nan})
    parquet.write_table(pa.Table.from_pylist(records, SCHEMA), tmp_path / "runs.parquet")
    given = ["--results", tmp_path / "runs.parquet", "--adbench", tmp_path / "none", "--out", tmp_path / "pages"]
    monkeypatch.setattr(sys, "argv", ["report", *map(str, given)])
    report.main()
    page = (tmp_path / "pages" / "open-set.md").read_text()
    assert "| `catboost` | 0.810 ± 0.014 | 0.820 ± 0.014 | 0.830 ± 0.014 | 0.820 |" in page
    assert (
        page.count("| tep | `catboost` | 0.810 | 0.910 | 0.100 |") == 8
    )  # four figures, of all single ones and of peers
    assert "| `catboost` | 1 | ValueError: a / b | tep 1 1 0.0 9 |" in page
    labels = (tmp_path / "pages" / "labels.md").read_text()
    assert "| tep | `mahalanobis` | 0.710 | 0.910 | +0.200 | 2 |" in labels
    drawn = {path.name for path in (tmp_path / "pages").glob("*.png")}
    assert drawn == {"scatter.png", "time.png", "heat-map.png", "ranks-unseen.png", "ranks-seen.png", "labels.png"}

"""The study of large fits: data of both sets, and a page from results."""

import json

import numpy as np
import pyarrow.parquet as parquet
from bench.studies import large_fit


def test_data_and_page(tmp_path, monkeypatch):
    for name in large_fit.SETS:
        large_fit.make(name, tmp_path / name, rows=4000, files=2)
        part = parquet.read_table(tmp_path / name / "rows" / "part-001.parquet")
        assert len(part) == 2000
        assert set(part["kind"].to_pylist()) <= {"normal", *large_fit.KINDS}
        assert ("site" in part.column_names) is (name == "sites")
        test = parquet.read_table(tmp_path / name / "test.parquet")["kind"].to_pylist()
        assert {"normal", "unseen", "a"} <= set(test)
    monkeypatch.setattr(large_fit, "LABELS", 2)
    large_fit.with_labels(tmp_path / "one", 0)
    same = np.array(parquet.read_table(tmp_path / "one" / "same-0.parquet")["kind"].to_pylist())
    kinds = np.array(
        [
            kind
            for file in (tmp_path / "one" / "rows").iterdir()
            for kind in parquet.read_table(file)["kind"].to_pylist()
        ]
    )
    for kind in large_fit.KINDS:
        assert (same == kind).sum() == min(2, (kinds == kind).sum())
    assert (same == "normal").sum() == (kinds == "normal").sum()
    run = {"rows": 50, "gigabytes": 1.0, "normals": 9, "anomalies": 3, "seconds": 30.0}
    run |= {"fit_seconds": 20.0, "peak": 99.0, "seen": 0.9, "unseen": 0.8, "every kind": 0.85}
    lines = [
        run | {"set": "one", "data": data, "seed": seed, "unseen": 0.8 + gain * seed}
        for data, gain in (("all", 0.02), ("a uniform million", 0.01))
        for seed in (0, 1)
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = large_fit.page(tmp_path)
    assert "| one, unseen, a uniform million | +0.0050 | +0.0000 | +0.0100 |" in text
    assert "| one, all | 50 | 1.00 | 9 | 3 | 30 ± 0 | 20 ± 0 | 5 | 99 ± 0 |" in text


def test_sites_are_of_very_unequal_size():
    share = large_fit.World("sites", np.random.default_rng(0)).share
    assert share[0] > 0.2
    assert share[-1] < 1e-5

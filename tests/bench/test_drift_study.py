"""The study of drift: null streams, and rows that are left out of a new calibration."""

import argparse

import numpy as np
from bench.studies.drift import LENGTH, corrections, false_alarms, mixed_rows, null_stream

from unseen.data.schema import Schema


def test_ranks_in_few_calibration_rows_alone_go_wrong():
    """20 null streams with 100 calibration rows: the monitor is quiet, fixed ranks are not."""
    found = np.array([null_stream(100, seed) for seed in range(20)])
    online, fixed = (found <= 0.01).sum(axis=0)
    assert online <= 1
    assert fixed >= 8


def test_rows_have_numbers_gaps_levels_and_yes_or_no():
    rows = mixed_rows(2000, np.random.default_rng(0))
    kinds = {column.name: column.kind for column in Schema.infer(rows).columns}
    assert [kinds[name] for name in ("x0", "gap", "kind", "on")] == [
        "number",
        "number",
        "category",
        "boolean",
    ]
    assert 0.07 < np.isnan(rows["gap"].to_numpy()).mean() < 0.13


def test_its_short_form_prints_tables(capsys):
    chosen = argparse.Namespace(streams=2)
    false_alarms(chosen)
    corrections(chosen)
    printed = capsys.readouterr().out
    assert f"Of 2 streams of {LENGTH:,} rows without a change, alarms" in printed
    assert "| mahalanobis, 1,000 calibration rows, all tests | 0.01 |" in printed
    assert printed.count("% anomalies |") == 12

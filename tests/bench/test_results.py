"""Which runs count in the benchmark's tables, and the tables' figures, by hand; and that runs
follow the protocol.
"""

import argparse

import numpy as np
import pandas as pd
import pytest
from bench.data.sets import SETS
from bench.pages.results import (
    CELL,
    blocks,
    failures,
    load,
    of_cell,
    ordered,
    over_seeds,
    over_sets,
    safety,
)
from bench.pages.text import gain, markdown, spread
from bench.studies.side_by_side import CELLS, KEY, cells, one_run

from unseen import Protocol, evaluate

HEAD = (3, 10, 0.0)


def runs(*rows, cell=HEAD):
    """(set, seed, method, AUROC) each."""
    table = pd.DataFrame(rows, columns=["set", "seed", "method", "auroc"])
    table[CELL] = cell
    return table.assign(version="1", date="2026-01-01", error=None)


def test_the_newest_version_counts_once_it_has_as_many_runs(tmp_path):
    old, other = (
        runs(("a", 0, "x", 0.1), ("b", 0, "x", 0.2)),
        runs(("a", 0, "x", 0.3), cell=(1, 1, 0.0)),
    )
    new = runs(("a", 0, "x", 0.8), ("b", 0, "x", 0.9)).assign(version="2", date="2026-02-01")
    for given, expected in [(new[:1], [0.1, 0.2, 0.3]), (new, [0.3, 0.8, 0.9])]:
        pd.concat([given, old, other]).to_parquet(tmp_path / "runs.parquet")
        assert sorted(load(tmp_path / "runs.parquet", CELL)["auroc"]) == expected


def test_means_are_of_draws_that_the_default_has_too():
    given = runs(
        ("a", 0, "evidence-stack", 0.8), ("a", 0, "x", 0.5), ("a", 1, "x", 0.9), ("b", 7, "x", 0.6)
    )
    assert over_seeds(of_cell(given, HEAD), "auroc").loc["x"].to_dict() == {"a": 0.5, "b": 0.6}


def test_failed_runs_are_in_no_mean_and_are_listed(tmp_path):
    given = runs(("a", 0, "x", 0.5), ("a", 1, "x", np.nan), ("b", 1, "x", np.nan))
    given.loc[1:, "error"] = "ValueError: one class"
    assert over_seeds(of_cell(given, HEAD), "auroc").loc["x", "a"] == 0.5
    given.to_parquet(tmp_path / "runs.parquet")
    text = failures(tmp_path / "runs.parquet", ["set", "seed"])
    assert "| `x` | 2 | ValueError: one class | a 1, b 1 |" in text
    given[given["error"].isna()].to_parquet(tmp_path / "runs.parquet")
    assert failures(tmp_path / "runs.parquet", ["set", "seed"]) == ""


def test_a_mean_over_sets_needs_all_of_them():
    means = over_seeds(runs(("a", 0, "x", 0.5), ("b", 0, "x", 0.7), ("a", 0, "y", 0.9)), "auroc")
    assert over_sets(means)["x"] == pytest.approx(0.6)
    assert np.isnan(over_sets(means)["y"])
    assert ordered(means).to_dict() == pytest.approx({"x": 0.6, "y": 0.9})
    assert ordered(means).index.tolist() == ["x", "y"]  # y is above on one set alone


def test_safety_compares_on_the_draws_of_both():
    default = [("a", seed, "evidence-stack", value) for seed, value in enumerate([0.8, 0.9, 0.1])]
    free = [
        ("a", 0, "x", 0.7),
        ("a", 1, "x", 0.95),
        ("a", 0, "y", 0.6),
        ("a", 1, "y", 0.6),
        ("a", 2, "y", 0.0),
    ]
    found = safety(runs(*default, *free, ("a", 0, "labelled", 1.0)), "auroc", ["x", "y", "absent"])
    assert found.loc["a", ["method", "seeds"]].tolist() == ["x", 2]
    assert found.loc["a", "gap"] == pytest.approx((0.1 - 0.05) / 2)
    assert found.loc["a", ["free", "default"]].tolist() == pytest.approx([0.825, 0.85])
    assert safety(runs(*default), "auroc", ["x"]).empty


def test_blocks_hold_methods_that_have_them_all():
    table = blocks(
        runs(("a", 0, "x", 0.5), ("a", 1, "x", 0.7), ("b", 0, "x", 0.9), ("a", 0, "y", 0.9)),
        "auroc",
        ["set"],
    )
    assert table.to_dict() == {"x": {"a": 0.6, "b": 0.9}}


def test_markdown_quotes_methods_and_a_bar_in_a_cell_is_no_border():
    table = pd.DataFrame({"a": ["0.5"], "b": ["|x|"]}, index=["catboost"])
    lines = markdown(table, "method").splitlines()
    assert lines == ["| method | a | b |", "|---|---|---|", "| `catboost` | 0.5 | \\|x\\| |"]


def test_means_and_gains_leave_gaps_out():
    # 0.1, 0.2, 0.6: mean 0.3, standard deviation sqrt(0.07) = 0.265, standard error 0.153
    assert spread([0.1, np.nan, 0.2, 0.6]) == "0.300 ± 0.265"
    assert gain([0.1, 0.2, 0.6]) == "+0.300 ± 0.153, 3 of 3"
    assert (spread([0.25]), spread([np.nan]), gain([-0.5])) == ("0.250", "-", "-0.500, 0 of 1")


def test_cells_are_read_from_the_command_line():
    assert cells("1x5x0.05") == [(1, 5, 0.05)]
    assert cells("all") == CELLS
    assert len(set(CELLS)) == 18
    with pytest.raises(argparse.ArgumentTypeError, match="3x10x0"):
        cells("3x10")


def test_a_run_has_the_figures_of_the_protocol():
    run = one_run(dict(zip(KEY, ("digits", 0, *HEAD, "mahalanobis", ""), strict=True)))
    table, _ = SETS["digits"].tables()
    [report] = evaluate(
        table, label="digit", protocol=Protocol(seeds=1), methods={"mahalanobis": "mahalanobis"}
    )
    for role in ("unseen", "seen"):
        assert {key: run[f"{role}_{key}"] for key in report[role]} == {
            k: v["mean"] for k, v in report[role].items()
        }
    assert (run["labelled_rows"], {c["role"] for c in run["classes"]}) == (30, {"seen", "unseen"})

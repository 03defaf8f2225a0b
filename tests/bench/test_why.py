"""Why a method lies below its baseline: by hand, and no gap unexplained; pages are as their command
writes them.
"""

import doctest
import importlib
import re

import numpy as np
import pandas as pd
import pytest
from bench.__main__ import PLACES
from bench.pages import why as page
from bench.pages.results import CELL, load, of_cell
from bench.runs.command import FOLDER
from bench.runs.entrants import ROOT
from bench.runs.open_set import HEADLINE
from bench.studies.why import by_thirds, changed, counted, jobs, measured, outscored, where

from unseen.evaluation.draws import Draw
from unseen.methods import METHODS

EVEN = np.full(4, 0.25)


@pytest.mark.parametrize("name", [name for name in PLACES if name not in ("resaved", "pages")])
def test_every_study_is_there(name):
    assert callable(importlib.import_module(f"bench.studies.{name}").main)


def test_every_change_of_a_method_can_be_made():
    for name, (label, words) in page.causes().items():
        assert (list(changed(name)), bool(words)) == ([label] if label else [], True)


@pytest.mark.parametrize("name", ["pages.text", "studies.images", "studies.stream", "studies.why"])
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"bench.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)


def test_thirds_share_the_rows_on_their_borders():
    # 4 rows of a quarter each, in the order 3, 1, 0, 2: a third holds one row and a third of the
    # next
    found, value = np.array([0.5, 0.0, 1.0, 0.25]), np.array([7.0, 5.0, 9.0, 1.0])
    each = by_thirds(found, value, EVEN)
    assert each == pytest.approx(
        [(0.25 + 0 / 3) * 3 / 4, (0 * 2 + 0.5 * 2) / 3 * 3 / 4, (0.5 / 3 + 1.0) * 3 / 4]
    )
    assert np.mean(each) == pytest.approx(found.mean())


def test_a_class_of_few_rows_fills_a_third_as_well():
    weight = np.array([1 / 3, 1 / 6, 1 / 6, 1 / 3])  # the first row is a class of its own
    assert by_thirds(np.array([1.0, 0.0, 0.5, 0.25]), np.arange(4.0), weight) == pytest.approx(
        [1.0, 0.25, 0.25]
    )


def test_blind_is_what_scores_below_the_median_normal():
    normal, anomaly = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 2.0, 2.5, 9.0])
    assert outscored(normal, anomaly).tolist() == [0.0, 0.375, 0.5, 1.0]
    found = measured(normal, anomaly, np.array([0.4, 0.2, 0.2, 0.2]), {"distance": anomaly})
    assert (found["auroc"], found["blind"]) == pytest.approx((0.2 * 1.875, 0.6))


def test_anomalies_lie_where_they_lie():
    # deviations 1 and 2, not correlated
    normals = np.array([[-1.0, -2.0], [1.0, -2.0], [-1.0, 2.0], [1.0, 2.0]])
    train = np.concatenate([normals, [[0.0, 8.0]]])
    x = np.array([[0.0, 6.0], [4.0, 0.0], [3.0, -6.0]])
    found = where(train, x, np.array([0, 0, 0, 0, 3]))
    assert found["column"] == pytest.approx([3.0, 4.0, 3.0], rel=1e-3)
    assert found["direction"] == pytest.approx([1.0, 0.0, -(0.5**0.5)], abs=1e-3)
    unit = (3 / 4) ** 0.5  # variances are of n - 1 rows
    apart = [(1 + 2**2) ** 0.5, (3**2 + 1) ** 0.5, (2**2 + 2**2) ** 0.5]
    assert found["distance"] == pytest.approx([unit * each for each in apart], rel=1e-2)


def test_only_unseen_classes_with_enough_rows_count():
    answers = np.repeat([0, 1, 2, 3], [50, 30, 20, 19])
    rows = np.arange(len(answers))
    assert np.unique(answers[counted(answers, Draw(rows, answers, (1,), rows))]).tolist() == [2]


def runs(*rows):
    """(set, seed, method, AUROC of class a, of class b, fit seconds) each, in the headline cell."""
    table = pd.DataFrame(
        [(data, seed, method, (a + b) / 2, took) for data, seed, method, a, b, took in rows],
        columns=["set", "seed", "method", "unseen_auroc", "fit_seconds"],
    )
    table["classes"] = [
        [
            {"class": "a", "role": "unseen", "rows": 20, "auroc": a},
            {"class": "b", "role": "unseen", "rows": 20, "auroc": b},
            {"class": "few", "role": "unseen", "rows": 19, "auroc": 0.0},
            {"class": "shown", "role": "seen", "rows": 99, "auroc": 0.0},
        ]
        for _, _, _, a, b, _ in rows
    ]
    table[CELL] = HEADLINE
    same = dict.fromkeys(("seen_auroc", "unseen_tpr_at_5_fpr"), table["unseen_auroc"])
    return table.assign(**same, version="unseen 1", date="2026-01-01", error=None)


GIVEN = [
    *[(data, 0, "nearest-ratio", 0.9, 0.9, 0.1) for data in "pqrs"],
    *[
        ("p", 0, "devnet", 0.8, 0.8, 5.0),
        ("q", 0, "devnet", 0.5, 0.8, 9.0),
        ("r", 0, "devnet", 0.9, 1.0, 1.0),
    ],
    *[("s", 0, "devnet", 0.85, 0.85, 1.0), ("p", 0, "prn", 1.0, 1.0, 1.0)],
]


def test_the_two_widest_gaps_of_what_is_below_run_quickest_first(tmp_path):
    runs(*GIVEN).to_parquet(tmp_path / "runs.parquet")
    found = jobs(tmp_path / "runs.parquet", ["devnet", "prn", "nearest-ratio"])
    # gaps -0.1, -0.25, +0.05, -0.05; prn is above
    assert [(job["set"], job["method"], job["baseline"]) for job in found] == [
        ("p", "devnet", "nearest-ratio"),
        ("q", "devnet", "nearest-ratio"),
    ]


def test_a_page_says_why(tmp_path):
    runs(*GIVEN).to_parquet(tmp_path / "side_by_side.parquet")
    scorer = {"auroc": 0.65, "blind": 0.25}
    scorer |= {f"{name}_thirds": [0.1, 0.2, 0.3] for name in ("direction", "distance")}
    scorers = [scorer | {"scorer": name} for name in ("devnet", "cut=0.5", "nearest-ratio")]
    run = {
        "set": ["q"],
        "seed": [0],
        "method": ["devnet"],
        "baseline": ["nearest-ratio"],
        "error": [None],
    }
    evidence = pd.DataFrame(run | {"version": "1", "date": "2026-01-01"}).assign(scorers=[scorers])
    evidence.to_parquet(tmp_path / "why.parquet")
    text = page.why(tmp_path / "side_by_side.parquet", tmp_path)
    assert page.causes()["devnet"][1] in text
    assert "| q: `cut=0.5` | 0.650 | 0.10 | 0.20 | 0.30 | 0.10 | 0.20 | 0.30 | 25% |" in text
    # gaps -0.1, -0.25, 0.05, -0.05: mean -0.0875, standard deviation 0.125, standard error 0.0625
    assert re.search(r"-0\.08[78] ± 0\.06[23], 1 of 4", text)
    assert "## devnet" in text
    assert "## prn" not in text  # it is above


def test_a_method_that_wraps_another_has_to_beat_it():
    assert page.baseline("comet") == "autoencoder"
    assert page.baseline("devnet") == "nearest-ratio"
    assert (page.baseline("flow"), page.baseline("resad")) == ("mahalanobis", "mahalanobis")


def test_every_method_below_its_baseline_has_a_cause():
    results = ROOT / FOLDER / "side_by_side.parquet"
    below = page.below(of_cell(load(results, CELL), HEADLINE))
    assert [name for name in below if name not in page.causes()] == [], (
        "say why in bench/pages/why_causes.md"
    )
    measured_ones = set(load(results.with_name("why.parquet"), [])["method"])
    assert [name for name in below if name not in measured_ones] == [], "run python -m bench why"
    assert page.causes().keys() <= METHODS.keys()


@pytest.mark.parametrize("name", ["why", "contamination", "domains", "images", "validity"])
def test_the_committed_page_is_what_the_command_writes(name, tmp_path):
    from bench.pages.every import PAGES

    source, made = PAGES[name]
    text = made(ROOT / FOLDER / f"{source}.parquet", tmp_path)
    assert text == (ROOT / FOLDER / f"{name}.md").read_text(), (
        f"run python -m bench pages --only {name}"
    )


@pytest.mark.parametrize("part", ["open", "one", "move", "hidden", "speed"])
def test_the_page_of_images_can_be_written_when_one_part_is_done(part, tmp_path):
    from bench.pages.images import images

    runs = pd.read_parquet(ROOT / FOLDER / "images.parquet")
    file = tmp_path / "images.parquet"
    runs[runs["part"] == part].to_parquet(file)
    methods = runs.loc[runs["part"] == part, "method"].unique()
    assert all(f"`{method}`" in images(file, tmp_path) for method in methods)

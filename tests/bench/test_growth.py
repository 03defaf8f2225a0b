"""Label curves: labels of fewer rows are among those of more, all else stays; figures by hand."""

import numpy as np
from bench.pages.growth import growth
from bench.runs.open_set import Data
from bench.runs.store import Store
from bench.studies.growth import KEY, SCHEMA, drawn, most_labels, runnable

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4], [5000, 700, 250, 210, 65]))
DATA = Data(None, CODES, None, CODES, ("a", "b", "c", "d"), np.arange(len(CODES)))


def test_a_curve_ends_where_three_classes_have_no_more_in_their_half():
    assert most_labels(DATA) == 100  # halves of 350, 125, 105, 32
    assert most_labels(Data(None, CODES, None, CODES, DATA.names, None)) == 100  # 210 is below 300


def test_all_points_of_a_curve_share_all_rows_but_labels():
    before = drawn(DATA, 1, 1)
    for labels in (10, 100):
        draw = drawn(DATA, 1, labels)
        assert np.bincount(draw.y).tolist() == [2000, labels, labels, labels]
        assert draw.seen == (1, 2, 3)  # those that can give 100
        assert (CODES[draw.train] == draw.y).all()
        assert not np.isin(draw.train, draw.test).any()
        assert (draw.test == before.test).all()
        assert (draw.train[draw.y == 0] == before.train[before.y == 0]).all()
        assert np.isin(before.train, draw.train).all()
        before = draw


def test_peers_with_weights_are_left_out_by_name(capsys):
    assert [name for name, _, _ in runnable(["tabpfn", "logistic-regression"], "")] == [
        "logistic-regression"
    ]
    assert "left out: tabpfn" in capsys.readouterr().out


def test_the_page_pairs_draws_by_hand(tmp_path):
    path = tmp_path / "growth.parquet"
    store = Store(path, SCHEMA, KEY)
    stamps = {"version": "1", "error": None, "versions": "v", "machine": "m", "date": "2026-01-01"}
    for seed, ours, theirs in ((0, 0.9, 0.6), (1, 0.7, 0.6)):
        for method, figure in (("evidence-stack", ours), ("catboost", theirs)):
            run = {"set": "tep", "seed": seed, "labels": 30, "method": method, **stamps}
            figures = {"unseen_auroc": figure, "seen_auroc": 0.5, "fit_cpu_seconds": 60.0}
            store.append({name: (run | figures).get(name) for name in SCHEMA.names})
    page = growth(path, tmp_path)
    assert "| `evidence-stack` | 0.800±0.141 |" in page  # sd of 0.9 and 0.7
    assert "| unseen | +0.200±0.100, 2 of 2 |" in page  # of 0.3 and 0.1
    assert "| seen | +0.000±0.000, 0 of 2 |" in page
    assert "4 minutes" in page
    assert "* 30 rows a class: tep" in page

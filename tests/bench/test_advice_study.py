"""Labels needed, by hand; pools hold few anomalies, of all classes, and no test row."""

import numpy as np
import pandas as pd
import pytest
from bench.runs.open_set import Data
from bench.studies import advice
from bench.studies.advice import FIGURES, KEY, ROUNDS, chosen_by, needed, paired, split, tell


def test_labels_needed_by_straight_lines():
    curve = np.array([0.2, 0.4, 0.4, 0.8])
    assert needed(curve, 0.4) == 10
    assert needed(curve, 0.5) == 22.5
    assert needed(curve, 0.1) == 0
    assert needed(curve, 0.9) == np.inf


def test_a_pool_has_few_anomalies_of_every_class(monkeypatch):
    codes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [7000, 400, 20]))
    data = Data(None, codes, None, codes, ("a", "b"), np.arange(len(codes)))
    monkeypatch.setattr(advice, "data_of", lambda family, name: data)
    _, begin, pool, test = split("digits", 0)
    assert (codes[begin] == 0).all()
    assert len(begin) == 1000
    assert np.bincount(codes[pool])[0] == 2000
    assert (codes[pool] > 0).sum() == 100
    assert (codes[pool] == 2).sum() >= 3
    assert not np.isin(pool, begin).any()
    assert not np.isin(np.r_[pool, begin], test).any()


def test_chance_and_top_scores():
    class Scores:
        def anomaly_score(self, rows):
            return rows

    rows, y = np.arange(30.0), np.full(30, None)
    y[29] = "normal"
    top = chosen_by("top scores", Scores(), rows, y, np.random.default_rng(0))
    assert top.tolist() == list(range(28, 18, -1))
    chance = chosen_by("random", Scores(), rows, y, np.random.default_rng(0)).tolist()
    assert len(set(chance) - {29}) == 10


def test_the_table_compares_at_what_the_worst_reaches(capsys, tmp_path):
    ends = {"advice": 0.9, "top scores": 0.6, "random": 0.3}
    runs = [
        dict(zip(KEY, ("digits", seed, name), strict=True))
        | {f"recall {10 * k}": end * k / ROUNDS for k in range(ROUNDS + 1)}
        | {f"met {10 * k}": end * k for k in range(ROUNDS + 1)}
        | {f"false alarms {10 * k}": 0.05 - seed / 100 for k in range(ROUNDS + 1)}
        for name, end in ends.items()
        for seed in (0, 1)
    ]
    tell(pd.DataFrame(runs), tmp_path / "curves.png")
    said = capsys.readouterr().out
    assert "| digits, recall | 0.3 | 20 | 30 | 60 | 0.9 | 0.6 | 0.3 |" in said
    # means over six rounds: 7 / 12 of .9, .6 and .3, for both seeds
    assert "| digits, recall | 2 | 0.525 | +0.175 ± 0.000 | +0.350 ± 0.000 |" in said
    assert "| digits, false alarms | 2 | 0.045 | +0.000 ± 0.000 | +0.000 ± 0.000 |" in said
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("name", advice.FIVE)
def test_sets_are_of_the_six(name):
    assert name in advice.names_of("six")


def test_one_strategy_alone_is_told(capsys):
    """Rounds 1 to 6 have .1 to .6: .35 on the mean; there is nothing to compare it with."""
    rounds = {f"{what} {10 * k}": [k / 10] for what in FIGURES for k in range(7)}
    paired(pd.DataFrame({"set": ["a"], "seed": [0], "strategy": ["advice"], **rounds}))
    assert "| a, recall | 1 | 0.35 | +nan ± nan | +nan ± nan |" in capsys.readouterr().out

"""What the default loses to the best of others: by hand; picked and read on different rows."""

import numpy as np
import pyarrow as pa
import pytest
from bench.data.pool import Trial
from bench.studies.regret import halved, measured, paired_error, regrets


def trial(answers, seen=()):
    table = pa.table({"x": np.arange(len(answers))})
    return Trial(table, np.array([]), table, np.asarray(answers), seen)


def test_halves_have_half_of_each_class():
    answers = np.repeat([0, 1, 2], [40, 10, 6])
    first, second = halved(answers, 0)
    assert (first ^ second).all()
    assert np.bincount(answers[first]).tolist() == [20, 5, 3]


def test_figures_of_half_of_the_rows_by_hand():
    answers, every = np.repeat([0, 1, 2], [10, 5, 5]), np.ones(20, dtype=bool)
    scores = np.r_[np.arange(10.0), np.full(5, 20.0), np.full(5, 4.5)]
    found = measured(scores, trial(answers, seen=(1,)), every)
    assert found["seen_auroc"] == 1.0
    assert found["unseen_auroc"] == found["judged_auroc"] == 0.5
    assert found["unseen_tpr_at_5_fpr"] == 0.0


def test_the_best_of_others_is_picked_on_one_half_and_read_on_the_other():
    answers = np.repeat([0, 1], [40, 20])
    first, _ = halved(answers, 0)
    good = np.where(answers == 1, 1.0, 0.0)  # AUROC 1 on the rows it is right on, else 0
    one, other = (np.where(half, good, -good) for half in (first, ~first))
    level = np.zeros(60)  # AUROC .5
    others = {"mahalanobis": one, "nearest": other}
    found = regrets(trial(answers), 0, level, others)
    assert found["unseen_auroc"] == -0.5  # each is picked where it is right, and read where not
    assert found["below"] == 0.0
    assert regrets(trial(answers), 0, level, {"mahalanobis": good})["unseen_auroc"] == 0.5
    assert regrets(trial(answers), 0, level, {"mahalanobis": good})["below"] == 1.0


def test_the_error_of_a_difference_counts_both_sides():
    rng, answers = np.random.default_rng(0), np.repeat([0, 1], [400, 300])
    every = np.ones(700, dtype=bool)
    one, other = rng.normal(size=(2, 700)) + answers
    assert paired_error(one, one, trial(answers), every) == 0.0
    draws = [rng.normal(size=(2, 700)) + answers for _ in range(200)]
    gaps = [
        np.diff([measured(s, trial(answers), every)["unseen_auroc"] for s in pair])[0]
        for pair in draws
    ]
    assert paired_error(one, other, trial(answers), every) == pytest.approx(np.std(gaps), rel=0.2)

"""ADBench's setting: how many labels, what share is tested, and that no test row is trained on."""

import numpy as np
import pytest
from bench.studies import adbench
from bench.studies.adbench import draw_rows

Y = np.repeat([0, 1], [900, 100])


@pytest.mark.parametrize("labels", [5, 10, 20])
def test_as_many_labels_as_asked_and_the_other_anomalies_stay(labels):
    draw = draw_rows(Y, labels, seed=0)
    assert draw.labelled.sum() == labels
    assert (Y[draw.train[draw.labelled]] == 1).all()
    assert (Y[draw.train[~draw.labelled]] == 1).sum() == 70 - labels


def test_the_split_is_stratified_and_no_row_is_on_both_sides():
    draw = draw_rows(Y, 5, seed=1)
    assert np.bincount(Y[draw.train]).tolist() == [630, 70]
    assert np.bincount(Y[draw.test]).tolist() == [270, 30]
    assert sorted([*draw.train, *draw.test]) == list(range(1000))


def test_more_labels_include_those_of_fewer_on_the_same_split():
    few, many = draw_rows(Y, 5, seed=2), draw_rows(Y, 20, seed=2)
    assert (few.test == many.test).all()
    assert (few.labelled <= many.labelled).all()
    assert (draw_rows(Y, 5, seed=3).test != few.test).any()


def test_large_sets_are_sampled_down(monkeypatch):
    monkeypatch.setattr(adbench, "MOST", 200)
    draw = draw_rows(Y, 5, seed=0)
    assert len(draw.train) == 140
    assert len(draw.test) == 60
    assert len({*draw.train, *draw.test}) == 200
    assert draw.train.max() > 200


def test_a_set_with_too_few_anomalies_is_left_out():
    assert draw_rows(np.repeat([0, 1], [100, 14]), 10, seed=0) is None  # 9.8 of 14 are trained on
    assert draw_rows(np.repeat([0, 1], [100, 15]), 10, seed=0) is not None

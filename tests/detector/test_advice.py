"""Advice: high scores that differ, far from what is labelled; the same rows, the same advice."""

import numpy as np
import pytest

from unseen import Detector
from unseen.detector.advice import LIKELY, NEW, worth_labelling
from unseen.errors import DataError


def pool(seed=0):
    """200 normals, then 40 rows at each of three places, the first two the farther."""
    rng = np.random.default_rng(seed)
    places = np.array([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 7.0]])
    x = np.r_[
        rng.normal(size=(200, 3)), np.repeat(places, 40, axis=0) + rng.normal(size=(120, 3)) / 9
    ]
    return x, np.linalg.norm(x, axis=1), np.repeat([0, 1, 2, 3], [200, 40, 40, 40])


def chosen(x, scores, labelled, n):
    """Numbers of rows to label, and why."""
    order = np.argsort(-scores, kind="stable")
    places, why = worth_labelling(x[order], len(x), labelled, n)
    return order[places], why


def test_few_labels_meet_every_place():
    x, scores, kind = pool()
    rows, why = chosen(x, scores, x[:0], 6)
    assert set(kind[rows]) >= {1, 2, 3}
    assert set(kind[np.argsort(-scores)[:6]]) <= {1, 2}  # which the highest scores do not
    assert why == [LIKELY, NEW] * 3
    assert len(set(rows.tolist())) == 6


def test_rows_unlike_what_is_labelled_are_elsewhere():
    x, scores, kind = pool()
    rows, why = chosen(x, scores, x[[200, 240]], 4)
    new = [row for row, reason in zip(rows, why, strict=True) if reason == NEW]
    assert kind[new[0]] == 3


def test_equal_rows_take_no_second_label_while_others_are_left():
    x = np.r_[np.repeat([[9.0, 0.0]], 20, axis=0), [[0.0, 8.0]], np.zeros((50, 2))]
    scores = np.r_[np.full(20, 9.0), 8.0, np.zeros(50)]
    rows, _ = chosen(x, scores, x[:0], 2)
    assert rows.tolist() == [0, 20]


def test_all_rows_where_there_are_fewer():
    x, scores, _ = pool()
    rows, _ = chosen(x[:3], scores[:3], x[:0], 10)
    assert sorted(rows.tolist()) == [0, 1, 2]


def test_a_detector_advises_the_same_each_time():
    x, _, kind = pool()
    names = np.array(["normal", "a", "b", "c"])[kind]
    shown = np.r_[0:150, 200:206]
    detector = Detector("nearest", random_state=0).fit(x[shown], names[shown])
    found = detector.advise(x[150:], 6)
    assert found.equals(detector.advise(x[150:], 6))
    assert set(kind[150:][found["row"].to_numpy()]) >= {2, 3}
    assert (found["pvalue"].to_numpy() == detector.pvalue(x[150:])[found["row"].to_numpy()]).all()


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "ten"])
def test_a_number_that_is_none_is_refused(n):
    detector = Detector("mahalanobis").fit(np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(DataError, match="whole number from 1"):
        detector.advise(np.zeros((3, 2)), n)

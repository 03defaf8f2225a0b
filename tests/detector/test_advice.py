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
    assert kind[rows[0]] == 3
    assert why[0] == LIKELY
    assert not {1, 2} & set(kind[rows])


def test_the_others_stand_for_many_and_not_for_the_farthest():
    """40 rows lie together below five scattered ones that score higher: the second is of the 40,
    and the next one is of another place as soon as one of the 40 is labelled."""
    rng = np.random.default_rng(0)
    x = np.r_[
        rng.normal(size=(200, 3)),
        [5.0, 0, 0] + rng.normal(size=(40, 3)) / 9,
        40.0 * rng.normal(size=(5, 3)),
    ]
    scores = np.linalg.norm(x, axis=1)
    rows, why = chosen(x, scores, x[:0], 2)
    assert rows[0] >= 240
    assert 200 <= rows[1] < 240
    assert why == [LIKELY, NEW]
    rows, _ = chosen(x, scores, x[[rows[1]]], 2)
    assert not 200 <= rows[1] < 240


def test_what_the_others_stand_for_is_counted_anew_each_time():
    """The same by loops over all rows, from the equation: sum of worth of what is nearer now."""
    x, scores, _ = pool()
    labelled = x[[205, 3]]
    rows, _ = chosen(x, scores, labelled, 8)
    z = [np.log1p(np.linalg.norm(row)) * row / np.linalg.norm(row) for row in [*x, *labelled]]
    away = np.array([[np.linalg.norm(a - b) for b in z] for a in z])
    unit = np.median(np.sort(away[:-2, :-2], axis=1)[:, 40])
    near = np.exp(-((away / unit) ** 2) / 2)
    rank = (-scores).argsort().argsort() + 1
    worth = (np.log(rank / 321) / np.log(321)) ** 2
    known = [320, 321]
    for turn, row in enumerate(rows.tolist()):
        if turn % 2:
            gains = [
                sum(worth * np.maximum(near[a, :320] - near[known, :320].max(axis=0), 0))
                for a in range(320)
            ]
            gains = np.where(np.isin(np.arange(320), known), -1.0, gains)
            assert row == np.argmax(gains)
        known.append(row)


def test_equal_rows_take_no_second_label_while_others_are_left():
    x = np.r_[np.repeat([[9.0, 0.0]], 20, axis=0), [[0.0, 8.0]], np.zeros((50, 2))]
    scores = np.r_[np.full(20, 9.0), 8.0, np.zeros(50)]
    rows, _ = chosen(x, scores, x[:0], 2)
    assert rows[0] == 0
    assert rows[1] >= 20


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


def test_labelled_rows_are_not_asked_about_again_nor_what_is_like_them():
    x, _, kind = pool()
    detector = Detector("nearest", random_state=0).fit(x[:150])
    rows, y = x[150:], np.full(170, None)
    first = detector.advise(rows, 6)["row"].to_numpy()
    y[first] = np.where(kind[150:][first] > 0, "a", "normal")
    again = detector.advise(rows, 6, y)["row"].to_numpy()
    assert not set(first) & set(again)
    new = detector.advise(rows, 2, np.where(kind[150:] == 1, "normal", None))["row"].to_numpy()
    assert set(kind[150:][new]) == {2, 3}
    with pytest.raises(DataError, match="expected rows without a label, found 170"):
        detector.advise(rows, 6, ["normal"] * 170)


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "ten"])
def test_a_number_that_is_none_is_refused(n):
    detector = Detector("mahalanobis").fit(np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(DataError, match="whole number from 1"):
        detector.advise(np.zeros((3, 2)), n)

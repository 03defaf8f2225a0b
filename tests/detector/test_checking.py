"""Contaminated calibration: few answers win the power back."""

import numpy as np
import pytest

from unseen.detector.checking import kept_after, places_to_check
from unseen.detector.detector import Detector
from unseen.errors import DataError


def test_places_are_spread_over_parts_of_doubling_size():
    # the highest fifth of 1,000 ends at 13, 25, 50, 100, 200: two of each part
    assert places_to_check(1000, 10).tolist() == [5, 12, 18, 24, 36, 48, 72, 97, 145, 195]
    assert places_to_check(1000, 1).tolist() == [11]
    assert places_to_check(8, 20).tolist() == list(range(8))
    with pytest.raises(DataError, match="a whole number from 1, got 0"):
        places_to_check(10, 0)


def test_nothing_is_left_out_where_all_are_normal():
    places = places_to_check(1000, 20)
    assert kept_after(1000, places, np.ones(20, dtype=bool)).all()


def test_rows_like_the_anomalies_are_left_out():
    places = places_to_check(1000, 20)
    kept = kept_after(1000, places, places >= 50)
    # of the highest 50, 12 were checked and none is normal: 1/13 of the other 38, 2, stay
    assert kept[:50].sum() == 2
    assert kept[:25].sum() == 0
    assert kept[50:].all()


@pytest.fixture(scope="module")
def dirty():
    """A detector whose normal rows hold 5% of anomalies, and which these are."""
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=(3800, 2)), rng.normal(4.0, 1.0, size=(200, 2))]
    return Detector("mahalanobis", calibration=0.5, random_state=0).fit(x), 3800


def test_answers_sharpen_pvalues_and_keep_the_old(dirty):
    detector, first = dirty
    rng = np.random.default_rng(1)
    normal, anomalous = rng.normal(size=(4000, 2)), rng.normal(4.0, 1.0, size=(400, 2))
    before = detector.pvalue(anomalous)
    rows = detector.to_check(20)["row"].to_numpy()
    sharper = detector.checked(rows, rows < first)
    assert detector.pvalue(anomalous).tolist() == before.tolist()
    assert (detector.pvalue(normal) <= 0.05).mean() < 0.02
    assert 0.03 < (sharper.pvalue(normal) <= 0.05).mean() < 0.06
    assert (before <= 0.01).mean() < 0.3
    assert (sharper.pvalue(anomalous) <= 0.01).mean() > 0.7


def test_folds_are_checked_together():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=(190, 2)), rng.normal(8.0, 1.0, size=(10, 2))]
    detector = Detector("mahalanobis", calibration=4, random_state=0).fit(x)
    rows = detector.to_check(10)["row"].to_numpy()
    assert len(np.unique(rows)) == 10
    sharper = detector.checked(rows, rows < 190)
    assert len(sharper.conformal_.scores) < 200
    assert sharper.pvalue([[8.0, 8.0]])[0] < detector.pvalue([[8.0, 8.0]])[0]


@pytest.mark.parametrize(
    ("rows", "normal", "said"),
    [
        ([0, 0], [True, True], "answered twice"),
        ([0], [True, True], r"got shapes \(1,\) and \(2,\)"),
        ([10**6], [True], "row 1,000,001 was not to be checked"),
    ],
)
def test_answers_that_mean_nothing(dirty, rows, normal, said):
    with pytest.raises(DataError, match=said):
        dirty[0].checked(rows, normal)

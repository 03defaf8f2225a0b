"""Contaminated calibration: few answers win the power back."""

import numpy as np
import pytest

from unseen.detector.checking import kept_after, places_to_check
from unseen.detector.detector import Detector
from unseen.errors import DataError


def test_places_are_spread_over_parts_of_doubling_size():
    # parts of the highest fifth of 1,000 end at 13, 25, 50, 100, 200, and give 3, 3, 2, 1, 1
    assert places_to_check(1000, 10).tolist() == [3, 8, 12, 16, 20, 24, 36, 48, 95, 190]
    assert places_to_check(1000, 1).tolist() == [11]
    ends = np.searchsorted(places_to_check(1000, 20), [13, 25, 50, 100, 200])
    assert ends.tolist() == [6, 11, 15, 18, 20]
    assert places_to_check(8, 20).tolist() == list(range(8))
    with pytest.raises(DataError, match="a whole number from 1, got 0"):
        places_to_check(10, 0)


def test_nothing_is_left_out_where_all_are_normal():
    places = places_to_check(1000, 20)
    assert kept_after(1000, places, np.ones(20, dtype=bool)).all()


def test_rows_like_the_anomalies_are_left_out():
    places = places_to_check(1000, 20)
    kept = kept_after(1000, places, places >= 50)
    # of the highest 50, 15 were checked and none is normal: 1/16 of the other 35, 2, stay, namely
    # the 27th, 35 / 16 * (27 / 35)^3 = 1.004, and the 34th, 35 / 16 * (34 / 35)^3 = 2.005
    assert kept[:50].sum() == 2
    left = np.setdiff1d(np.arange(50), places)
    assert np.flatnonzero(kept[left]).tolist() == [26, 33]
    assert kept[50:].all()


def test_where_a_checked_row_is_normal_more_stay_above_it():
    # rows 0 to 7 are one run, as the share of normal rows may not rise towards the top; 2 of 4 are
    # normal, so that 4 (0.2 t + 0.4 t^2) of the other 4 stay: 0.3, 0.8, 1.5 and 2.4, whole ones
    places, normal = np.array([1, 3, 5, 7]), np.array([True, False, True, False])
    assert np.flatnonzero(kept_after(40, places, normal)[:8]).tolist() == [1, 4, 5, 6]


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

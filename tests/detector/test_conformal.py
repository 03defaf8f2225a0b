"""Conformal p-values, thresholds and false-discovery control, on numbers worked out by hand."""

import numpy as np
import pytest

from unseen.detector.conformal import Conformal, outranked
from unseen.detector.folds import held_out
from unseen.detector.policy import benjamini_hochberg, check_level
from unseen.errors import DataError


def test_pvalues_by_hand():
    conformal = Conformal.fit(np.array([3.0, 1.0, 2.0, 2.0]))
    # (1 + #{calibration >= s}) / 5; a tie counts as at least as high.
    np.testing.assert_allclose(
        conformal.pvalue(np.array([0.0, 1.0, 2.0, 2.5, 3.5])), [1.0, 1.0, 0.8, 0.4, 0.2]
    )


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.2, 0.21, 0.4, 0.79, 0.8, 0.99])
def test_threshold_flags_exactly_what_the_pvalue_does(alpha):
    conformal = Conformal.fit(np.array([3.0, 1.0, 2.0, 2.0]))
    s = np.linspace(0, 4, 41)
    np.testing.assert_array_equal(
        s > conformal.threshold(alpha), conformal.pvalue(s) <= alpha + 1e-12
    )


def test_a_level_below_the_finest_pvalue_flags_nothing():
    assert Conformal.fit(np.arange(9.0)).threshold(0.05) == np.inf
    assert Conformal.fit(np.arange(19.0)).threshold(0.05) == pytest.approx(18.0, abs=1e-4)


@pytest.mark.parametrize("m", [19, 99])
def test_pvalues_of_exchangeable_rows_are_uniform(m):
    # Each group of m calibration scores and one fresh score is one independent p-value, uniform on
    # 1/(m+1) .. 1.
    scores = np.random.default_rng(0).exponential(size=(4000, m + 1))
    p = np.array([Conformal.fit(row[1:]).pvalue(row[:1])[0] for row in scores])
    for alpha in (0.05, 0.1, 0.2):
        sd = (alpha * (1 - alpha) / len(p)) ** 0.5
        assert abs((p <= alpha + 1e-12).mean() - alpha) < 2.58 * sd


def test_outranked_orders_first_by_rank():
    calibration = [np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])]
    score = outranked(
        calibration, [np.array([0.0, 2.5, 9.0, 99.0]), np.array([99.0, 25.0, 31.0, 99.0])]
    )
    assert np.floor(score).tolist() == [3, 4, 6, 6]
    assert score[3] > score[2], "rows that outrank equally many are ordered by how far out they lie"


def test_benjamini_hochberg_by_hand():
    # m = 10, fdr .25: limits .025 .05 .075 .1 ...; the third value passes .075, and carries the
    # second with it.
    p = np.array([0.01, 0.06, 0.07, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert benjamini_hochberg(p, 0.25) == 0.07
    assert benjamini_hochberg(p, 0.05) == 0.0
    assert benjamini_hochberg(np.zeros(0), 0.1) == 0.0


def test_calibration_refuses_what_is_not_a_score():
    with pytest.raises(DataError, match="finite scores"):
        Conformal.fit(np.array([1.0, np.nan]))
    with pytest.raises(DataError, match=r"shape \(m,\)"):
        Conformal.fit(np.zeros((3, 1)))


@pytest.mark.parametrize("share", ["3", [0.2], 1, True, 1.0, float("nan"), "0.2"])
def test_what_is_neither_a_share_nor_a_number_of_folds(share):
    codes = np.zeros(60, dtype=np.int64)
    with pytest.raises(DataError, match="calibration must"):
        held_out(codes, codes, np.random.default_rng(0), calibration=share)


def test_shares_and_folds_may_be_numbers_of_numpy():
    codes, shares = np.zeros(60, dtype=np.int64), (np.float32(0.5), np.int64(3))
    parts = [
        held_out(codes, codes, np.random.default_rng(0), calibration=share) for share in shares
    ]
    assert [len(each) for each in parts] == [1, 3]
    assert len(parts[0][0]) == 30


def test_a_level_that_is_no_number():
    with pytest.raises(DataError, match=r"alpha must lie between 0 and 1, exclusive, got '0\.1'"):
        check_level("alpha", "0.1")

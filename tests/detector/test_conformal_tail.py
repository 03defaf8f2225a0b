"""Beyond the calibration scores: fits recover known parameters, p-values are exact where the model
is.
"""

import numpy as np
import pytest

from unseen.detector.conformal import LEAST, Conformal, Tail, deviation_at_rank, fraction
from unseen.detector.detector import Detector
from unseen.errors import DataError, FewNormals
from unseen.methods.distances import Mahalanobis
from unseen.parts.extremes import pareto, weibull
from unseen.storage.bundle import Bundle


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_pareto_recovers_its_parameters(shape):
    u = np.random.default_rng(0).random(100_000)
    x = -3 * np.log(u) if shape == 0 else 3 / shape * (u**-shape - 1)
    got = pareto(x)
    assert got[0] == pytest.approx(shape, abs=0.02)
    assert got[1] == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("shape", [0.7, 1.0, 4.0])
def test_weibull_recovers_its_parameters(shape):
    x = 3 * np.random.default_rng(0).weibull(shape, size=100_000)
    assert weibull(x) == pytest.approx((shape, 3.0), rel=0.02)


def test_weibull_of_values_that_agree_or_are_zero_is_finite():
    for x in (np.full(5, 2.0), np.zeros(5), np.array([3.0])):
        assert np.isfinite(weibull(x)).all()
    assert weibull(np.full(5, 2.0))[1] == pytest.approx(2.0)


def test_tail_by_hand():
    # m = 50, top 10: excesses over the 11th are 1 .. 10. Mean 5.5; evenly spaced: a bounded tail,
    # so its shape counts as 0, and 1/10 is added: 11/51 * (1 + x / 55)^-10.
    scores = np.r_[np.linspace(-5, -1, 39), np.arange(11.0)]
    tail = Tail.fit(scores)
    assert (tail.start, tail.beyond, tail.shape, tail.scale) == (0.0, 11 / 51, 0.1, 5.5)
    p = 11 / 51 * 2.0**-10
    # three digits, rounded up
    assert tail.pvalue(np.array([55.0]))[0] == pytest.approx(np.ceil(p * 1e6) / 1e6)
    assert tail.threshold(p) == pytest.approx(55.0)


def test_pvalues_of_an_exponential_tail_are_exact_with_few_rows():
    # Pooled over calibration sets, P(p <= a) = a where the fitted shape is cut to 0; the shapes
    # above only add caution.
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(2000):
        threshold = Conformal.fit(rng.exponential(size=100), tail=True).threshold(1e-3)
        flagged.append(np.exp(-threshold))  # the true chance beyond it
    assert 0.5e-3 < np.mean(flagged) < 1.1e-3


def test_the_price_of_few_rows_makes_the_exponential_tail_exact():
    # With the shape 1/k alone: x / sum of k excesses exceeds r with chance (1 + r)^-k, for any
    # scale.
    rng = np.random.default_rng(0)
    k, x = 10, rng.exponential(size=(400_000, 11))
    p = (1 + x[:, 0] / x[:, 1:].sum(axis=1)) ** -k
    for alpha in (0.1, 0.01, 0.001):
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=3 * (alpha / 400_000) ** 0.5)


def test_nothing_changes_from_the_smallest_conformal_pvalue_on():
    rng = np.random.default_rng(0)
    scores, new = rng.normal(size=200), rng.normal(size=2000) * 1.5
    plain, tailed = Conformal.fit(scores), Conformal.fit(scores, tail=True)
    inside = new <= scores.max()
    assert np.array_equal(plain.pvalue(new)[inside], tailed.pvalue(new)[inside])
    assert (tailed.pvalue(new)[~inside] <= 1 / 201).all()
    for alpha in (1 / 201, 0.01, 0.05):
        assert plain.threshold(alpha) == tailed.threshold(alpha)


@pytest.mark.parametrize("alpha", [0.001, 0.0001, 0.00123])
@pytest.mark.parametrize("ranked", [False, True])
def test_threshold_flags_what_the_pvalue_does(alpha, ranked):
    scores = np.random.default_rng(1).exponential(size=300)
    conformal = (
        Conformal.across([np.sort(scores)], tail=True)
        if ranked
        else Conformal.fit(scores, tail=True)
    )
    s = 300 + fraction(np.linspace(0, 40, 1001)) if ranked else np.linspace(0, 40, 1001)
    np.testing.assert_array_equal(
        s > conformal.threshold(alpha), conformal.pvalue(s) <= alpha + 1e-15
    )


def test_no_pvalue_is_smaller_than_anybody_can_check():
    conformal = Conformal.fit(np.random.default_rng(1).normal(size=500), tail=True)
    assert conformal.pvalue(np.array([1e30]))[0] == LEAST
    assert conformal.finest == LEAST
    assert conformal.threshold(LEAST / 2) == np.inf


def test_a_tail_without_spread_says_nothing():
    conformal = Conformal.fit(np.r_[np.zeros(60), np.ones(40)], tail=True)
    assert conformal.pvalue(np.array([1.0, 2.0])).tolist() == [41 / 101, 1 / 101]


def test_few_rows_are_refused():
    with pytest.raises(DataError, match="at least 50 calibration normals, got 49"):
        Conformal.fit(np.arange(49.0), tail=True)


def test_deviations_come_back_from_their_fraction():
    d = np.array([-3.0, 0.0, 0.5, 1e4])
    np.testing.assert_allclose(deviation_at_rank(200 + fraction(d), 200), d, rtol=1e-6, atol=1e-12)


def rows(n=600, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("calibration", [0.2, 5], ids=["split", "folds"])
def test_a_detector_flags_below_the_smallest_conformal_pvalue(calibration, tmp_path):
    detector = Detector(Mahalanobis(), calibration=calibration, random_state=0, tail=True).fit(
        rows()
    )
    far, fresh = np.full((1, 3), 8.0), rows(20_000, seed=1)
    assert detector.pvalue(far)[0] < 1e-4
    assert detector.detect(far, alpha=1e-3).all()
    assert 0 < (detector.pvalue(fresh) <= 1e-3).mean() < 3e-3
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    assert loaded.tail is True
    assert np.array_equal(loaded.pvalue(fresh[:50]), detector.pvalue(fresh[:50]))


def test_a_detector_without_enough_normals_warns_and_goes_on():
    with pytest.warns(FewNormals, match="fewer than 50"):
        detector = Detector(Mahalanobis(), random_state=0, tail=True).fit(rows(40))
    assert detector.pvalue(np.full((1, 3), 8.0))[0] == pytest.approx(1 / 41)

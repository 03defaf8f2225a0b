"""Policies beside a level and a false-discovery rate, and p-values by domain."""

import numpy as np
import pytest

from unseen.detector.conformal import Conformal, out_of_reach
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError, Unsupported
from unseen.storage.bundle import Bundle


def test_alarms_a_day_are_a_level():
    policy = Policy.per_day(20, traffic=100_000)
    assert (policy.kind, policy.level, policy.needs_all) == ("alpha", 0.0002, False)
    assert policy.threshold(np.zeros(0)) == 0.0002


@pytest.mark.parametrize(("alarms", "traffic"), [(0, 10), (-1, 10), (10, 10), (1, np.inf)])
def test_alarms_a_day_that_mean_nothing(alarms, traffic):
    with pytest.raises(DataError, match=r"per_day|traffic"):
        Policy.per_day(alarms, traffic)


def test_too_few_calibration_rows_for_alarms_a_day():
    said = out_of_reach(Policy.per_day(20, 100_000), Conformal.fit(np.arange(600.0)))
    # 1/0.0002 - 1 rows give p = 0.0002; 100,000/601 = 166.4
    assert "Train on more normals, 4,999 of which calibrate, or allow 167 alarms" in said
    assert out_of_reach(Policy.per_day(167, 100_000), Conformal.fit(np.arange(600.0))) is None


@pytest.mark.parametrize(
    ("miss", "alarm", "expected"),
    [
        # of 10 rows 3 have p <= 0.02: 0.9 * 0.3 - 0.02 - (0.02 * 0.98 / 10)^1/2 = 0.206
        (10, 1, 0.02),
        (1.02, 1, 0.0),  # 0.0196 * F never exceeds a
    ],
)
def test_an_alarm_that_is_worth_its_cost(miss, alarm, expected):
    pvalues = np.array([0.9, 0.01, 0.3, 0.01, 0.5, 0.02, 0.6, 0.7, 0.8, 1.0])
    policy = Policy.cost(miss, alarm)
    assert policy.threshold(pvalues) == expected
    values, counts = np.unique(pvalues, return_counts=True)
    assert policy.threshold(values, counts) == expected
    assert policy.threshold(np.zeros(0)) == 0.0


def test_costs_in_any_unit():
    assert Policy.cost(50, 1) == Policy.cost(5000, 100)
    with pytest.raises(DataError, match="a miss must cost more than an alarm"):
        Policy.cost(1, 1)


@pytest.fixture(scope="module")
def lines():
    """Two domains, b ten times as wide as a."""
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(size=2000), rng.normal(0, 10, 2000)][:, None]
    return x, np.repeat(["a", "b"], 2000)


@pytest.mark.parametrize("calibration", [0.5, 5])
def test_pvalues_by_domain_hold_in_each(lines, calibration):
    detector = Detector("mahalanobis", calibration=calibration, random_state=0)
    detector.fit(lines[0], groups=lines[1])
    rng = np.random.default_rng(1)
    fresh = np.r_[rng.normal(size=4000), rng.normal(0, 10, 4000)][:, None]
    names = np.repeat(["a", "b"], 4000)
    together, apart = detector.pvalue(fresh), detector.pvalue(fresh, groups=names)
    assert (together[4000:] <= 0.05).mean() > 0.07  # of the wide one far more are flagged
    for line in ("a", "b"):
        assert (apart[names == line] <= 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_a_domain_that_training_did_not_show(lines, caplog):
    detector = Detector("mahalanobis", random_state=0).fit(lines[0], groups=lines[1])
    x = [[2.0], [3.0]]
    assert detector.pvalue(x, groups=["c", "c"]).tolist() == detector.pvalue(x).tolist()
    assert "fewer than 19 calibration rows are of domain 'c'" in caplog.text


def test_domains_are_saved(lines, tmp_path):
    detector = Detector("mahalanobis", random_state=0).fit(lines[0], groups=lines[1])
    Bundle(detector, {}).save(tmp_path / "m")
    again = Bundle.load(tmp_path / "m").detector
    x, names = lines[0][1950:2050], lines[1][1950:2050]
    assert again.pvalue(x, groups=names).tolist() == detector.pvalue(x, groups=names).tolist()


def test_domains_need_groups_in_training(lines):
    detector = Detector("mahalanobis", random_state=0).fit(lines[0])
    with pytest.raises(Unsupported, match="fit again with groups"):
        detector.pvalue(lines[0], groups=lines[1])


def test_detect_takes_any_policy(lines):
    detector = Detector("mahalanobis", random_state=0).fit(lines[0])
    found = detector.detect([[0.0], [99.0]], policy=Policy.per_day(100, 10_000))
    assert found.tolist() == [False, True]
    with pytest.raises(DataError, match="detect needs one policy"):
        detector.detect([[0.0]], alpha=0.1, policy=Policy.alpha(0.1))
    with pytest.raises(DataError, match=r"write policy=Policy\("):
        detector.detect([[0.0]], alpha=Policy.alpha(0.1))

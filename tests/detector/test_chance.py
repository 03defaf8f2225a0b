"""The chance of a kind without labels, beside numbers worked out by hand and draws."""

import numpy as np
import pytest

from unseen import Detector
from unseen.detector.chance import good_turing
from unseen.errors import DataError

Z2 = 1.6448536269514722**2  # of 90%


def test_ends_by_hand():
    """Twenty draws of two kinds, each more than twice: f1 = f2 = 0, so x^2 = z^2 x (1 - x / n)."""
    found = good_turing(np.array([10, 10]))
    assert (found.estimate, found.low, found.labels, found.kinds, found.once) == (0, 0, 20, 2, 0)
    assert found.high == pytest.approx(Z2 / (1 + Z2 / 20) / 20)
    low = 20 - np.sqrt(Z2 * (20 * 0.8 + 2 * 5))
    found = good_turing(np.array([70, 2, 2, 2, 2, 2, *[1] * 20]))
    assert found.estimate == 0.2
    assert found.low == pytest.approx(low / 100)


def test_all_different_leaves_all_open():
    found = good_turing(np.ones(4, np.int64))
    assert (found.estimate, found.high) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("n", [15, 60])
def test_intervals_cover(n):
    rng, chances = np.random.default_rng(0), 1 / np.arange(1, 31) ** 1.5
    chances /= chances.sum()
    hits = 0
    for _ in range(400):
        kinds, counts = np.unique(rng.choice(30, n, p=chances), return_counts=True)
        found = good_turing(counts)
        hits += found.low <= 1 - chances[kinds].sum() <= found.high
    assert 0.87 <= hits / 400 <= 0.99


def test_a_detector_counts_its_labels():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = ["normal"] * 50 + ["a"] * 5 + ["b"] * 2 + ["c", "d", "e"]
    found = Detector("mahalanobis").fit(x, y).unseen_chance()
    assert (found.labels, found.kinds, found.once, found.estimate) == (10, 5, 3, 0.3)


def test_no_labels_and_no_level():
    detector = Detector("mahalanobis").fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(DataError, match="no anomaly is labelled"):
        detector.unseen_chance()
    with pytest.raises(DataError, match="between 0 and 1"):
        good_turing(np.array([1]), level=1)

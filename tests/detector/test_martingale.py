"""Ranks in calibration and past, and capital that only luck can raise without a change."""

import numpy as np
import pytest

from unseen.detector import martingale
from unseen.detector.martingale import Martingale, OnlineRanks, bets


def test_ranks_are_among_calibration_and_all_earlier_rows():
    """By hand: 5 is above all of 1, 2; 4 below 5 alone; 0 below all four."""
    p = OnlineRanks(np.array([1.0, 2.0]), np.random.default_rng(0))(np.array([5.0, 4.0, 0.0]))
    assert np.floor(p * [3, 4, 5]).tolist() == [0, 1, 4]


def test_ranks_do_not_hang_on_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    calibration, scores = rng.normal(size=50), rng.normal(size=1000)
    whole = OnlineRanks(calibration, np.random.default_rng(1))(scores)
    ranks = OnlineRanks(calibration, np.random.default_rng(1))
    monkeypatch.setattr(martingale, "BLOCK", 7)
    parts = [ranks(part) for part in np.split(scores, [1, 300, 777])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_ranks_stay_uniform_when_memory_is_full(monkeypatch):
    """2,000 rows with room for 256: in each tenth there are about a tenth of them."""
    monkeypatch.setattr(martingale, "MOST", 256)
    rng = np.random.default_rng(0)
    ranks = OnlineRanks(rng.normal(size=1000), rng)
    p = ranks(rng.normal(size=2000))
    assert len(ranks._past) <= 256
    counts = np.histogram(p, 10, (0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 21.7  # chi-square of 9 degrees, 1%


def test_every_bet_is_fair():
    p = (np.arange(100_000) + 0.5) / 100_000
    outcomes = bets(p)
    assert outcomes.min() >= 0
    assert np.allclose(outcomes.mean(axis=0), 1.0, atol=1e-4)


def test_the_first_outcomes_by_hand():
    """The capital after one row is the mean of all bets, whatever moves between them later."""
    assert np.exp(Martingale().play(np.array([0.03]))) == pytest.approx(
        bets(np.array([0.03])).mean()
    )


def test_the_capital_grows_without_end_and_stays_finite():
    found = Martingale().play(np.full(20_000, 0.01))
    assert np.isfinite(found).all()
    assert np.diff(found).min() > 0
    assert found[-1] > 10_000


def test_ville_on_long_streams_and_what_ranks_in_the_calibration_alone_do():
    """Of 60 streams without a change at most 5% + 2 errors reach 20; ranked in 100 fixed rows most
    do.
    """
    online, fixed = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        calibration, scores = rng.normal(size=100), rng.normal(size=3000)
        capital = Martingale().play(OnlineRanks(calibration, rng)(scores))
        online += capital.max() >= np.log(20)
        above = (calibration > scores[:, None]).sum(axis=1)
        fixed += Martingale().play((above + rng.random(3000)) / 101).max() >= np.log(20)
    assert online <= 6
    assert fixed >= 20

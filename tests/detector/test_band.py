"""The band that flagged rows lie in by luck."""

import logging

import numpy as np
import pytest
from scipy.stats import betabinom

from unseen.detector.band import Band, chance_of_more, counted_ranks
from unseen.detector.conformal import Conformal


@pytest.mark.parametrize(("flagged", "rows", "rank", "m"), [(3, 50, 2, 38), (90, 1000, 40, 989)])
def test_the_tail_is_the_beta_binomial_one(flagged, rows, rank, m):
    due = betabinom.sf(flagged - 1, rows, rank, m - rank + 1)
    assert chance_of_more(flagged, rows, rank, m) == pytest.approx(due, rel=1e-6)


def test_a_million_rows_are_no_trouble():
    assert chance_of_more(60_000, 1_000_000, 40, 989) == pytest.approx(
        1 - 0.9986, abs=2e-3
    )  # Beta(40, 950) above 0.06


def test_few_calibration_rows_flag_none():
    assert counted_ranks(38) == (1, 0)
    assert chance_of_more(5, 10, 0, 38) == 1.0


def test_a_warning_at_the_end_and_none_for_rows_far_out(caplog):
    rng = np.random.default_rng(0)
    known = Conformal.fit(rng.normal(size=999))
    for shift, said in ((0.0, 0), (0.4, 1)):
        band = Band(999)
        for _ in range(4):
            scores = np.r_[rng.normal(shift, size=500), np.full(100, 50.0), np.nan]
            band.add(known.pvalue(scores))
        with caplog.at_level(logging.WARNING, "unseen"):
            band.tell("rows")
        assert len(caplog.messages) == said
    assert "of 1,9" in caplog.messages[0]  # 2,000 but for those far out
    assert "4% are expected" in caplog.messages[0]


def test_no_more_false_warnings_than_one_in_a_thousand():
    """Chances of 4,000 files without drift: below 0.05 at most 5%, and three errors."""
    rng, low = np.random.default_rng(0), 0
    for _ in range(4000):
        known = Conformal.fit(rng.random(200))
        band = Band(200)
        band.add(known.pvalue(rng.random(300)))
        low += band.chance <= 0.05
    assert low / 4000 <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5

"""Calibration on recent rows, of which some are anomalies."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from unseen.detector.detector import Detector
from unseen.detector.recalibrate import left_out
from unseen.errors import DataError
from unseen.storage.bundle import Bundle
from unseen.types import Labelled


def normals(n, seed, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n, 3))


@pytest.fixture(scope="module")
def old():
    x = np.r_[normals(1500, 0), normals(10, 1) + 8.0]
    return Detector("mahalanobis", random_state=0).fit(x, ["normal"] * 1500 + ["leak"] * 10)


def flagged(detector, x):
    return (detector.pvalue(x) <= 0.05).mean()


def test_flagged_normals_come_back_and_the_old_detector_stays(old):
    fresh = normals(4000, 2, scale=1.5)
    before = flagged(old, fresh)
    new = old.recalibrate(normals(1000, 3, scale=1.5))
    assert before > 0.2
    assert 0.03 <= flagged(new, fresh) <= 0.07
    assert flagged(old, fresh) == before
    assert (
        np.argsort(new.anomaly_score(fresh)).tolist()
        == np.argsort(old.anomaly_score(fresh)).tolist()
    )


def test_anomalies_among_the_recent_rows_cost_no_power(old):
    fresh, recent = normals(4000, 2, scale=1.5), normals(1000, 3, scale=1.5)
    recent[:40] += 30.0
    shares = [flagged(old.recalibrate(recent, anomalies=share), fresh) for share in (0.0, 0.04)]
    assert shares[0] < 0.02
    assert 0.03 <= shares[1] <= 0.07


def test_a_share_that_is_not_there_costs_no_validity(old):
    fresh, recent = normals(4000, 2, scale=1.5), normals(1000, 3, scale=1.5)
    assert flagged(old.recalibrate(recent, anomalies=0.05), fresh) <= 0.075


@pytest.mark.parametrize("m", [0, 1, 2, 21, 100])
def test_left_out_is_never_more_than_the_share(m):
    scores = np.random.default_rng(m).normal(size=m)
    assert 0 <= left_out(scores, 0.2) <= 0.2 * m
    assert left_out(scores, 0.0) == 0


def test_equal_scores_with_some_far_above():
    assert left_out(np.r_[np.zeros(98), 5.0, 9.0], 0.02) == 2
    assert left_out(np.zeros(100), 0.02) == 2  # which changes nothing: they are equal


def test_folds_share_the_rows():
    old = Detector("mahalanobis", calibration=4, random_state=0).fit(normals(400, 0))
    new = old.recalibrate(normals(200, 1, scale=2.0))
    held_out = np.concatenate([member.held_out for member in new.members_])
    assert sorted(held_out.tolist()) == list(range(200))
    assert flagged(new, normals(3000, 2, scale=2.0)) <= 0.1


def test_what_training_never_showed_is_nothing_new_afterwards():
    """A constant that moved put every row above all others; now it no longer does."""
    rng = np.random.default_rng(0)
    table = {"a": rng.normal(size=600), "version": np.full(600, 1.0)}
    old = Detector("mahalanobis", calibration=0.5, random_state=0).fit(pa.table(table))
    later = pa.table({"a": rng.normal(size=400), "version": np.full(400, 2.0)})
    assert flagged(old, later) == 1.0
    new = old.recalibrate(later.slice(0, 200))
    assert flagged(new, later.slice(200)) <= 0.1


def test_labels_leave_rows_out(old):
    recent = normals(300, 3)
    new = old.recalibrate(recent, ["leak"] * 50 + ["normal"] * 250)
    assert min(new.members_[0].held_out) == 50


def test_it_saves_and_loads_with_recent_normals_and_old_anomalies(old, tmp_path):
    recent = normals(300, 3, scale=2.0)
    new = old.recalibrate(recent)
    data = Labelled(recent, None, None, None, {"source": "week.csv"})
    Bundle(old, {"source": "x"}).recalibrated(new, data).save(tmp_path / "m")
    bundle = Bundle.load(tmp_path / "m")
    assert bundle.facts["recalibrated"] == {"source": "week.csv", "rows": 300}
    assert np.array_equal(bundle.detector.pvalue(recent), new.pvalue(recent))
    shown = bundle.detector.references_
    assert (len(shown.normals), len(shown.of_class(1))) == (300, 10)
    assert not bundle.detector.drift(normals(400, 4, scale=2.0)).drifted


def test_rows_of_a_file_as_text_beside_typed_anomalies():
    table = pa.table({"a": normals(310, 0)[:, 0], "ok": [True, False] * 155})
    y = ["normal"] * 300 + ["leak"] * 10
    old = Detector("mahalanobis", random_state=0).fit(table, y)
    words = pa.table({"a": [*map(str, normals(100, 1)[:, 0])], "ok": ["t", "f"] * 50})
    shown = old.recalibrate(words).references_
    assert len(shown.of_class(1)) == 10
    old.schema_.encode(shown.rows)


def test_what_is_refused(old):
    with pytest.raises(DataError, match="between 0 and 0.2.*got 0.5"):
        old.recalibrate(normals(100, 0), anomalies=0.5)
    with pytest.raises(DataError, match="at least 20 recent rows that look normal, and found 19"):
        old.recalibrate(normals(19, 0))


def test_rows_beyond_all_before_are_warned_of(old, caplog):
    with caplog.at_level(logging.WARNING, "unseen"):
        old.recalibrate(normals(100, 0) + 100.0)
    assert "most of these rows score higher" in caplog.text

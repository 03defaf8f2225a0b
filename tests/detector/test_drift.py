"""Drift of a detector's rows: found and told, and not seen where there is none."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from toys import maps_of
from unseen.detector.detector import Detector
from unseen.detector.drift import Drift, ScoreRanks
from unseen.detector.shift import Shift
from unseen.errors import DataError, NotFitted, Unsupported
from unseen.methods.distances import Nearest
from unseen.methods.patches import Patches
from unseen.testing import toy_maps

PATCHES = Patches(Nearest(k=1))


def rows(n, seed, shift=0.0, http=0.6):
    rng = np.random.default_rng(seed)
    service = rng.choice(["http", "ftp"], n, p=[http, 1 - http])
    return pd.DataFrame(
        {
            "bytes": 120 + 20 * rng.normal(size=n) + shift,
            "load": rng.normal(size=n),
            "service": service,
        }
    )


@pytest.fixture(scope="module")
def detector():
    return Detector("mahalanobis", random_state=0).fit(rows(2500, 0))


def test_rows_as_in_training(detector):
    found = detector.drift(rows(3000, 1))
    assert not found.drifted
    assert found.in_words()[0] == "No drift in 3,000 rows."
    assert str(found).startswith("No drift in 3,000 rows.\n")
    assert (found.since, found.alarm) == (None, None)
    assert 0.02 < found.flagged < 0.06


def test_a_column_that_moves_from_some_row_on(detector):
    stream = pd.concat([rows(2000, 1), rows(1500, 2, shift=30.0)])
    found = detector.drift(stream)
    assert found.drifted
    assert abs(found.since - 2001) <= 50
    assert 2001 < found.alarm < 2300
    (moved,) = found.moved
    assert (moved.column, moved.where) == ("bytes", "median")
    assert moved.before == pytest.approx(120, abs=2)
    assert moved.after == pytest.approx(147, abs=5)  # the farthest rows lie far out
    words = " ".join(found.in_words())
    assert "'bytes' moved: median 1" in words
    assert "that look normal are flagged at p <= 0.05, 4% expected; from row 2,0" in words


def test_anomalies_are_no_drift(detector):
    """Every tenth row far out, from the middle on: 5% of all."""
    stream = rows(3000, 1)
    stream.loc[1500::10, "bytes"] = 900.0
    found = detector.drift(stream)
    assert not found.drifted
    assert found.far >= 150
    assert "may be anomalies" in found.in_words()[-1]


def test_more_rows_far_out_than_anomalies_are_drift(detector):
    stream = rows(3000, 1)
    stream.loc[::10, "bytes"] = 900.0
    found = detector.drift(stream)
    assert (found.drifted, found.scores_moved) == (True, False)
    assert found.in_words()[1].startswith(f"{found.far} rows (11%) lie far out, 1% expected and up")
    assert not detector.drift(stream, anomalies=0.1).drifted


def test_levels_that_move_while_scores_do_not(detector):
    found = detector.drift(rows(2000, 1, http=0.3))
    assert found.drifted
    assert [shift.column for shift in found.moved] == ["service"]


def test_scores_that_sink_are_drift_too(detector):
    stream = rows(3000, 1)
    stream[["bytes"]] = 120 + (stream[["bytes"]] - 120) * 0.3
    found = detector.drift(stream)
    assert found.scores_moved
    assert found.flagged < found.flagged_expected
    assert found.in_words()[1].startswith("Scores of at least")


def test_batches_of_any_size_are_one_stream(detector):
    stream = pd.concat([rows(700, 1), rows(500, 2, shift=15.0)])
    monitor = detector.monitor()
    for part in np.split(np.arange(1200), [1, 300, 900]):
        monitor.see(stream.iloc[part])
    found, whole = monitor.report(), detector.drift(stream)
    assert found.chance == pytest.approx(whole.chance, rel=1e-9)
    assert found.columns == whole.columns
    assert (found.since, found.alarm, found.far) == (whole.since, whole.alarm, whole.far)


def test_memory_does_not_grow(detector, monkeypatch):
    monkeypatch.setattr("unseen.detector.change.BINS", 64)
    monkeypatch.setattr("unseen.detector.drift.ROWS", 200)
    monitor = detector.monitor()
    for seed in range(20):
        monitor.see(rows(500, seed))
    assert monitor._sample.count == 200
    assert {len(values) for values in monitor._sample._values.values()} == {200}
    assert len(monitor._ranks._history.counts) <= 64
    assert sorted(monitor._sample._numbers)[-1] > 9000


def test_the_sample_is_even():
    """Of 4,000 rows each tenth has about a tenth of the 2,000 drawn."""
    detector = Detector("mahalanobis", random_state=0).fit(rows(1000, 0))
    monitor = detector.monitor()
    for seed in range(8):
        monitor.see(rows(500, seed))
    counts = np.histogram(monitor._sample._numbers, 10, (0, 4000))[0]
    assert counts.min() > 150
    assert counts.max() < 250


def test_tied_scores_are_no_drift():
    """Rows of six states: nearly every score is tied with many others."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, size=(5000, 1)).astype(float)
    detector = Detector("mahalanobis", calibration=0.3, random_state=0, repeats="keep").fit(x)
    found = detector.drift(rng.integers(0, 6, size=(4000, 1)).astype(float))
    assert not found.drifted
    assert found.chance > 0.01


def test_false_alarms_at_the_level():
    """Of 200 null streams with 100 calibration rows at level 0.1 no more than 10% and two errors
    reach it, and that share of the monitor.
    """
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ranks = ScoreRanks(rng.normal(size=100), 0.1, rng)
        ranks.see(rng.normal(size=400), np.arange(400))
        found = ranks.found(0.0)
        alarms += found["alarm"] is not None
        assert (found["alarm"] is not None) == (found["chance"] <= 0.1)
    assert alarms <= 200 * (0.1 + 2 * (0.1 * 0.9 / 200) ** 0.5)


def test_images():
    """Scores alone are compared; recalibrated, the peaks of heat maps are renewed, too."""
    detector = Detector(PATCHES, calibration=0.5, random_state=0).fit(maps_of(toy_maps(120, 0)))
    assert not detector.drift(maps_of(toy_maps(150, 0, seed=1))).drifted
    later = maps_of(toy_maps(150, 0, seed=2, offset=0.5))
    found = detector.drift(later)
    assert found.drifted
    assert found.columns == ()
    assert found.in_words()[0] == "Drift in 150 images."
    new = detector.recalibrate(later)
    assert not new.drift(maps_of(toy_maps(150, 0, seed=3, offset=0.5))).drifted
    assert new.heat_threshold(0.05) > detector.heat_threshold(0.05)


def test_folds_watch_by_the_first_detector():
    detector = Detector("mahalanobis", calibration=4, random_state=0).fit(rows(600, 0))
    assert not detector.drift(rows(1500, 1)).drifted
    assert detector.drift(rows(1500, 1, shift=40.0)).drifted


def test_what_is_refused(detector):
    with pytest.raises(NotFitted):
        Detector().drift(rows(10, 0))
    with pytest.raises(DataError, match="level must lie between 0 and 1"):
        detector.drift(rows(10, 0), level=0.0)
    with pytest.raises(DataError, match="anomalies must lie between 0 and 1.*got 1.5"):
        detector.drift(rows(10, 0), anomalies=1.5)
    with pytest.raises(DataError, match="at least 20 calibration rows.*has 10"):
        Detector("mahalanobis", calibration=10, random_state=0).fit(rows(100, 0)).drift(rows(9, 1))
    with pytest.raises(DataError, match="found none that can be scored"):
        detector.monitor().report()
    with pytest.raises(DataError, match="minimum of 1"):
        detector.drift(rows(10, 0).iloc[:0])


def test_a_detector_of_an_earlier_release_says_so():
    detector = Detector("mahalanobis", random_state=0).fit(rows(300, 0))
    del detector.references_
    with pytest.raises(Unsupported, match="fit and save it again"):
        detector.drift(rows(100, 1))


def test_a_few_rows(detector):
    for n in (1, 2, 7):
        assert not detector.drift(rows(n, 3)).drifted


def drift_of(**changes):
    """No drift, but for what is changed."""
    usual = {
        "rows": 10_000,
        "far": 90,
        "far_expected": 0.01,
        "far_chance": 1.0,
        "anomalies": 0.05,
        "level": 0.01,
        "noun": "rows",
        "chance": 0.5,
        "alarm": None,
        "since": None,
        "flagged": 0.041,
        "flagged_expected": 0.04,
        "flagged_chance": 0.4,
        "effect": 0.01,
        "columns": (),
    }
    return Drift(**usual | changes)


def test_words():
    assert drift_of().in_words() == [
        "No drift in 10,000 rows.",
        "90 rows (0.9%) lie far out, 1% expected; they were left out of all else.",
    ]
    moved = Shift("bytes_out", "number", 0.5, 1e-9, 120.0, 340.0, "median")
    little = Shift("load", "number", 0.05, 1e-3, 1.0, 1.1, "median")
    found = drift_of(
        chance=1e-9, since=8201, flagged=0.113, effect=0.3, columns=(moved, little), far=300
    )
    assert found.in_words() == [
        "Drift in 10,000 rows.",
        "11% of rows that look normal are flagged at p <= 0.05, 4% expected; from row 8,201 on.",
        "'bytes_out' moved: median 120 -> 340.",
        "Moved a little, in less than a tenth of the rows: 'load'.",
        "300 rows (3%) lie far out, 1% expected; they may be anomalies, and were left out of all "
        "else.",
    ]


def test_a_significant_change_of_little_effect_is_no_drift():
    found = drift_of(chance=1e-30, since=501, flagged=0.045, effect=0.02)
    assert not found.drifted
    assert found.in_words()[:2] == [
        "No drift that matters in 10,000 rows.",
        "A small change: scores of at least 2% of rows that look normal moved; 4.5% of rows that "
        "look normal are flagged at p <= 0.05, 4% expected; from row 501 on.",
    ]


def test_plain_values(detector):
    plain = json.loads(json.dumps(detector.drift(rows(500, 1, shift=40.0)).to_json()))
    assert plain["drifted"] is True
    assert plain["columns"][0]["column"] == "bytes"


def test_a_table_of_text_reads_as_in_training(detector):
    plain = rows(400, 1)
    text = pa.table({name: pa.array(map(str, plain[name])) for name in plain})
    assert detector.drift(text).columns == detector.drift(plain).columns

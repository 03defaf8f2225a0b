"""Reasons in a table of scores: of alarms alone, by every policy, and as JSON."""

import json

import numpy as np
import pandas as pd
import pyarrow.csv as arrow_csv
import pytest

from unseen import Bundle, DataError, Detector, Policy, Unsupported
from unseen.scoring.rows import FrameRows
from unseen.scoring.stream import score, score_file
from unseen.scoring.tables import TableSource
from unseen.scoring.told import TOLD


def flows(n, seed):
    rng = np.random.default_rng(seed)
    service = rng.choice(["http", "dns"], n)
    return pd.DataFrame({"bytes": rng.lognormal(5, 1, n), "service": service, "id": range(n)})


@pytest.fixture(scope="module")
def detector():
    return Detector("mahalanobis", random_state=0).fit(flows(400, 0)[["bytes", "service"]])


def new():
    rows = flows(30, 1)
    rows.loc[4, "bytes"] = 9e7
    rows.loc[9, "service"] = "ftp"
    return rows


@pytest.mark.parametrize("policy", [Policy.alpha(0.02), Policy.fdr(0.2), Policy.cost(10, 1)])
def test_alarms_have_reasons_and_no_other_row(detector, policy):
    source = TableSource(FrameRows(new()), keep=("id",))
    [scored] = score(source, detector, policy, reasons=2)
    found = scored.table()
    assert found.column_names == ["id", "score", "pvalue", "verdict", *TOLD]
    alarms = np.flatnonzero(np.array(found["verdict"]) == "anomaly")
    assert {4, 9} <= set(alarms.tolist())
    assert len(alarms) < 10
    for name in ("reasons", "most_alike", "reasons_json"):
        assert np.flatnonzero(found[name].is_valid()).tolist() == alarms.tolist()
    row = found.take([9]).to_pylist()[0]
    why = detector.explain(new()[["bytes", "service"]].iloc[[9]], 2, alpha=scored.threshold)[0]
    assert row["reasons"] == str(why)
    assert row["reasons"].startswith("service 'ftp' (nearest normal: '")
    assert row["change"] == (None if why.change is None else str(why.change))
    assert row["most_alike"] == f"normal: training row {why.nearest_normal.row + 1}"
    assert json.loads(row["reasons_json"]) == {"format": 1, **why.to_json()}


def test_reasons_cost_no_time_for_what_is_no_alarm(detector, monkeypatch):
    """A cost has a level near 1, as no p-value is too large to be worth an alarm somewhere."""
    explained = []
    explain = detector.explain
    monkeypatch.setattr(
        detector,
        "explain",
        lambda rows, *more, **how: explained.append(len(rows)) or explain(rows, *more, **how),
        raising=False,
    )
    for policy in (Policy.cost(20, 1), Policy.fdr(0.3)):
        explained.clear()
        [scored] = score(TableSource(FrameRows(new())), detector, policy, reasons=1)
        assert explained == [scored.flagged.sum()]
        assert 2 <= scored.flagged.sum() < 10


def test_progress_is_told_while_rows_are_scored(detector):
    for policy in (Policy.alpha(0.02), Policy.fdr(0.2)):
        told = []
        [scored] = score(TableSource(FrameRows(new())), detector, policy, progress=told.append)
        assert told == [len(scored)] == [30]


def test_none_are_told_unless_asked_for(detector):
    source = TableSource(FrameRows(new()), keep=("id",))
    [found] = [each.table() for each in score(source, detector, Policy.alpha(0.02))]
    assert found.column_names == ["id", "score", "pvalue", "verdict"]


def test_a_column_of_that_name_cannot_be_kept(detector):
    source = TableSource(FrameRows(new().assign(reasons="x")), keep=("reasons",))
    with pytest.raises(DataError, match="'reasons' cannot be kept"):
        list(score(source, detector, Policy.alpha(0.02), reasons=2))


def test_a_detector_without_rows_of_training_is_refused_before_anything_is_scored(
    detector, tmp_path
):
    Bundle(detector, {}).save(tmp_path / "m")
    loaded = Bundle.load(tmp_path / "m")
    del loaded.detector.references_
    source = TableSource(FrameRows(new()))
    with pytest.raises(Unsupported, match="fit and save it again"):
        next(score(source, loaded.detector, Policy.alpha(0.02), reasons=1))


def test_files_are_told_of_block_by_block(detector, tmp_path, monkeypatch):
    new().to_csv(tmp_path / "new.csv", index=False)
    bundle = Bundle(detector, {})
    found = []
    for name, rows in (("whole.csv", 50), ("blocks.csv", 7)):
        monkeypatch.setattr("unseen.io.read.ROWS", rows)
        score_file(bundle, tmp_path / "new.csv", tmp_path / name, fdr=0.2, reasons=1)
        found.append(arrow_csv.read_csv(tmp_path / name))
    assert found[0].equals(found[1])
    assert "bytes 90,000,000 (nearest normal: " in found[0]["reasons"][4].as_py()

"""Moves of normal rows: distances by hand, ranges that end, levels, gaps, and pairs."""

import numpy as np
import pyarrow as pa
import pytest

from unseen import Detector
from unseen.data.schema import Schema
from unseen.detector.moves import _moves, _typical
from unseen.errors import Unsupported
from unseen.methods import EvidenceStack


def table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    load = rng.normal(50.0, 1.0, n)
    return pa.table(
        {
            "load": load,
            "heat": load * 2 + rng.normal(0, 0.01, n),
            "count": rng.integers(0, 9, n),
            "color": rng.choice(["red", "blue"], n),
        }
    )


def judged_by(rule):
    """p-values that are 0.01 where a rule holds, else 0.5."""
    return lambda rows: np.where(rule(rows), 0.01, 0.5)


def moves(rule, rows=None):
    rows = table() if rows is None else rows
    found = _moves(Schema.infer(rows).columns, rows, judged_by(rule), 0.05)
    return {row["what"]: row for row in found.to_pylist()}


def test_a_distance_by_hand():
    found = moves(lambda rows: rows["load"].to_numpy() > 80.0)
    up = found["load up"]
    # from about 50; steps of usual ranges, placed to an eighth of the last one
    assert up["distance"] == pytest.approx(30.0, rel=0.15)
    assert up["ranges"] == pytest.approx(up["distance"] / up["usual_range"])
    assert up["usual_range"] == pytest.approx(2 * 1.645, rel=0.15)
    assert up["caught"] == 1.0
    assert found["load down"]["ranges"] == np.inf
    assert found["load down"]["caught"] == 0.0


def test_counts_do_not_fall_below_zero_and_stay_whole():
    seen = []

    def rule(rows):
        seen.append(rows["count"].to_numpy())
        return np.zeros(len(rows), dtype=bool)

    found = moves(rule)
    every = np.concatenate(seen).astype(float)
    every = every[~np.isnan(every)]  # gaps were tried, too
    assert every.min() == 0.0
    assert every.max() > 1000
    assert (every == np.round(every)).all()
    assert found["count down"]["ranges"] == np.inf


def test_a_column_that_is_zero_already_has_no_way_down():
    rows = pa.table({"errors": np.r_[np.zeros(90), np.ones(10)], "x": np.arange(100.0) % 37})
    assert {"errors up", "x up", "x down"} <= set(moves(lambda r: np.ones(len(r)), rows))
    assert "errors down" not in moves(lambda r: np.zeros(len(r), dtype=bool), rows)


def test_related_columns_move_together_and_apart():
    judged = moves(lambda r: abs(r["heat"].to_numpy() - 2 * r["load"].to_numpy()) > 9)
    assert judged["load up, heat down"]["ranges"] < judged["load up"]["ranges"]
    assert judged["load up, heat up"]["ranges"] > judged["load up"]["ranges"]
    assert not any("count" in what for what in judged if "," in what)  # unrelated


def test_levels_and_gaps():
    found = moves(lambda r: np.array([c is None or c == "red" for c in r["color"].to_pylist()]))
    assert found["color = red"]["caught"] == 1.0
    assert found["color = blue"]["caught"] == 0.0
    assert found["color missing"]["caught"] == 1.0
    assert found["color = red"]["distance"] is None


def test_a_detector_says_how_far_in_its_own_units():
    """x0 of unit variance: p <= .05 beyond about 1.96, by a score of x0 and noise."""
    x = np.random.default_rng(0).normal(size=(2000, 1)) * 7.0 + 100.0
    detector = Detector("mahalanobis", random_state=0).fit(x)
    up = detector.smallest_moves(0.05).to_pylist()[0]
    assert up["what"] == "x0 up"
    # typical rows stand near the middle half: they have 1.96 - .67 spreads to go, or 1.96 + .67
    assert 7.0 * 1.2 < up["distance"] < 7.0 * 2.8
    again = detector.smallest_moves(0.05)
    assert again.equals(detector.smallest_moves(0.05))
    assert up["distance"] <= detector.smallest_moves(0.01).to_pylist()[0]["distance"]


def test_a_gap_in_a_column_that_stays_is_left():
    """Rows have either load or heat: nothing is flagged unless a filled gap makes both."""
    load = np.r_[np.arange(100.0) % 31, np.full(100, np.nan)]
    rows = pa.table(
        {
            "load": pa.array(load, from_pandas=True),
            "heat": pa.array(load[::-1] * 2, from_pandas=True),
            "x": np.arange(200.0) % 37,
        }
    )
    both = moves(lambda r: r["load"].is_valid().to_numpy() & r["heat"].is_valid().to_numpy(), rows)
    assert both["x up"]["caught"] == both["x down"]["caught"] == 0.0
    assert both["load up"]["caught"] == both["heat up"]["caught"] == 0.5  # of rows without it


def mixed(n=300, seed=0):
    """Numbers, of which a pair moves together and one has gaps; a count; a category; two kinds."""
    rng = np.random.default_rng(seed)
    load = rng.normal(50.0, 3.0, n + 20)
    load[n : n + 10] += 40.0
    heat = 2 * load + rng.normal(0, 2.0, n + 20)
    heat[n + 10 :] -= 60.0
    noise = rng.normal(0, 0.1, n + 20)
    rows = {
        "load": load,
        "heat": heat,
        "noise": pa.array(np.where(rng.random(n + 20) < 0.2, np.nan, noise), from_pandas=True),
        "count": rng.poisson(5.0, n + 20),
        "color": np.where(rng.random(n + 20) < 0.5, "red", "blue"),
    }
    return pa.table(rows), np.repeat(["normal", "hot", "cold"], [n, 10, 10])


@pytest.mark.parametrize(
    "method",
    [
        "mahalanobis",
        "nearest",
        "isolation-forest",
        EvidenceStack(base_scores=("mahalanobis", "nearest", "ratio")),
    ],
)
def test_most_rows_are_flagged_after_the_stated_move_and_not_after_half_of_it(method):
    """Done over by hand: rows of the middle are moved here, by what the table says."""
    detector = Detector(method, random_state=0).fit(*mixed())
    alpha, normals = 0.05, detector.references_.normals
    found = {row["what"]: row for row in detector.smallest_moves(alpha).to_pylist()}
    typical = normals.take(_typical(detector.pvalue(normals)))
    usual = {row["column"]: row["usual_range"] for row in found.values() if row["usual_range"]}

    def flagged(changes):
        rows = typical
        for name, values in changes.items():
            rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
        return float((detector.pvalue(rows) <= alpha).mean())

    def moved(what, ranges):
        changes = {}
        for name, sign in (part.rsplit(" ", 1) for part in what.split(", ")):
            every = normals[name].to_numpy(zero_copy_only=False).astype(float)
            start = typical[name].to_numpy(zero_copy_only=False).astype(float)
            start = np.where(np.isnan(start), np.nanmedian(every), start)
            by = ranges * usual[name] * (1 if sign == "up" else -1)
            ends = np.maximum(start + by, 0.0 if name != "noise" else -np.inf)
            changes[name] = np.round(ends) if name == "count" else ends
        return flagged(changes)

    ways = {what: row for what, row in found.items() if row["ranges"] is not None}
    assert {"load up", "noise down", "count up", "load up, heat down"} <= set(ways)
    reached = {what: row["ranges"] for what, row in ways.items() if row["ranges"] < np.inf}
    assert len(reached) >= 4
    for what, ranges in reached.items():
        assert moved(what, ranges) > 0.5, what
        assert moved(what, ranges / 2) <= 0.5, what
        if "," not in what and (
            what.endswith("up") or what == "noise down"
        ):  # no floor is in the way
            rounded = 0.51 if what == "count up" else 1e-9
            expected = ranges * usual[ways[what]["column"]]
            assert ways[what]["distance"] == pytest.approx(expected, abs=rounded)
    for what in set(ways) - set(reached):
        assert moved(what, 1024.0) <= 0.5, what
    for level in ("red", "blue"):
        share = flagged({"color": [level] * len(typical)})
        assert found[f"color = {level}"]["caught"] == share
    for name in ("noise", "color"):
        gaps = pa.nulls(len(typical), normals[name].type)
        assert found[f"{name} missing"]["caught"] == flagged({name: gaps})


def test_what_cannot_be_moved_is_said():
    detector = Detector("mahalanobis", random_state=0).fit(
        np.random.default_rng(0).normal(size=(99, 2))
    )
    del detector.references_
    with pytest.raises(Unsupported, match="fit again"):
        detector.smallest_moves()

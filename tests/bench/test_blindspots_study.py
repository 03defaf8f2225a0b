"""Rotations of labelled classes share all other rows; intervals are scored by hand."""

import numpy as np
import pyarrow as pa
import pytest
from bench.runs.open_set import Data
from bench.studies import blindspots
from bench.studies.blindspots import (
    FEW,
    eligible,
    interval_score,
    outcomes,
    rotated,
    rotated_images,
)

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4], [900, 70, 60, 50, 12]))
DATA = Data(None, CODES, None, CODES, ("a", "b", "c", "d"), np.arange(len(CODES)))


def test_every_class_with_enough_rows_takes_its_turn():
    assert eligible(DATA, 10) == [1, 2, 3]  # half of the fourth is 6
    draws = [rotated(DATA, 0, turn, 2, 10) for turn in range(3)]
    assert sorted(c for draw in draws for c in draw.seen) == [1, 1, 2, 2, 3, 3]
    for draw in draws:
        assert (CODES[draw.train] == draw.y).all()
        assert np.bincount(draw.y, minlength=4)[list(draw.seen)].tolist() == [10, 10]
        assert not np.isin(draw.train, draw.test).any()
        assert (draw.test == draws[0].test).all()
        assert (draw.train[draw.y == 0] == draws[0].train[draws[0].y == 0]).all()


def test_images_that_do_not_train_test():
    alike = np.arange(len(CODES))
    first = np.flatnonzero(CODES == 0)[:2]
    alike[first] = 5000  # two copies
    draw = rotated_images(Data(None, CODES, None, CODES, DATA.names, alike), 0, 1, 2, 10)
    assert (CODES[draw.train] == draw.y).all()
    assert np.bincount(draw.y)[[0, *draw.seen]].tolist() == [FEW, 10, 10]
    assert not np.isin(alike[draw.train], alike[draw.test]).any()
    counts = np.bincount(CODES[draw.test], minlength=5)
    left = np.array([200, 60, 60, 50, 12])
    for c in draw.seen:
        left[c] = min(60, np.bincount(CODES)[c] - 10)
    assert (counts == left).all()


def test_an_interval_score_by_hand():
    low, high, came = np.array([0.2] * 3), np.array([0.6] * 3), np.array([0.5, 0.1, 0.7])
    assert interval_score(low, high, came).tolist() == pytest.approx([0.4, 2.4, 2.4])


def test_what_came_is_the_mean_over_unseen_classes():
    hidden = [[0, 1, 0.04, 0.02], [0, 1, 0.5, 0.02], [1, 3, 0.03, 0.02], [1, 3, 0.03, 0.02]]
    record = {"family": "f", "set": "s", "seen": 2, "hidden": hidden}
    found = outcomes(record | {"found": [[0.1, 0.2, 0.3], [0.3, 0.6, 0.7]]})
    assert [each["level"] for each in found] == [0.05, 0.1]  # 0.01 is below the finest, 0.02
    assert found[0]["came"] == pytest.approx(0.4)
    assert found[0]["expected"] == round((0.15 + 1.5) / 2.3, 2)


def test_families_are_told_apart_and_together(capsys):
    hidden = [[0, 1, 0.04, 0.02], [0, 1, 0.5, 0.02], [1, 3, 0.03, 0.02], [1, 3, 0.03, 0.02]]
    record = {"set": "s", "seen": 2, "hidden": hidden, "error": None}
    came = {"a": 0.7, "b": 0.0}  # beside an interval from .2 to 1
    blindspots.tell([record | {"family": f, "found": [[share] * 3]} for f, share in came.items()])
    said = capsys.readouterr().out
    rows = {
        name: rest.split(" | ")[:2]
        for name, _, rest in (
            line.strip("| ").partition(" | ")
            for line in said.splitlines()
            if "labelled, 5%" in line
        )
    }
    assert rows == {
        "a, 2 labelled, 5%": ["1", "1.000"],
        "all of these, 2 labelled, 5%": ["2", "0.500"],
        "b, 2 labelled, 5%": ["1", "0.000"],
    }


def test_one_run_of_a_small_table(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(CODES), 2)) + 5.0 * CODES[:, None] * [1, 0]
    rows = pa.table({"x": x[:, 0], "y": x[:, 1]})
    data = Data(rows, CODES, rows, CODES, DATA.names, np.arange(len(CODES)))
    monkeypatch.setattr(blindspots, "data_of", lambda *of: data)
    job = {"family": "f", "set": "s", "seed": 0, "rotation": 0, "seen": 2, "shots": 10}
    record = blindspots.one_run(job)
    assert {row[1] for row in record["hidden"]} <= {1.0, 2.0, 3.0}
    assert len(record["hidden"]) == 20
    assert len(record["found"]) == 1  # the fourth class has too few test rows
    assert record["flagged"][1] < 0.15

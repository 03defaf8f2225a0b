"""Columns that moved: numbers, levels and gaps, and what is told of them."""

import numpy as np
import pytest

from unseen.detector.shift import Shift, column_shifts


def levels(**counts):
    return np.repeat(np.array(list(counts), dtype=object), list(counts.values()))


def test_a_shift_by_hand_in_words():
    """Of 1..100 and 51..150 half the rows lie elsewhere: D = 0.5."""
    (found,) = column_shifts({"bytes": np.arange(1.0, 101)}, {"bytes": np.arange(51.0, 151)}, 0.01)
    assert found.effect == pytest.approx(0.5)
    assert found.in_words() == "'bytes' moved: median 50.5 -> 100.5"
    assert found.matters


def test_levels_by_hand():
    """60 and 40 of 100 become 20 and 80: 40% moved."""
    before, after = levels(http=60, ftp=40), levels(http=20, ftp=80)
    (found,) = column_shifts({"service": before}, {"service": after}, 0.01)
    assert found.effect == pytest.approx(0.4)
    assert found.in_words() in (
        "'service' is 'http': 60% -> 20% of rows",
        "'service' is 'ftp': 40% -> 80% of rows",
    )


def test_a_level_that_training_never_showed():
    before, after = levels(http=500), levels(http=300, smtp=200)
    (found,) = column_shifts({"service": before}, {"service": after}, 0.01)
    assert found.effect == pytest.approx(0.4)


def test_rare_levels_are_pooled():
    """A hundred levels of one row each are one, in both samples: nothing moved."""
    names = [np.array([f"{side}{k}" for k in range(100)], dtype=object) for side in "ab"]
    before, after = (np.concatenate([levels(x=400), rare]) for rare in names)
    assert column_shifts({"id": before}, {"id": after}, 0.01) == ()


def test_gaps_and_values_apart():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 500))
    after[:150] = np.nan
    (found,) = column_shifts({"load": before}, {"load": after}, 0.01)
    assert (found.what, found.effect) == ("gaps", pytest.approx(0.3))
    assert found.in_words() == "'load' is missing: 0% -> 30% of rows"


def test_values_that_move_while_the_median_stays():
    """Nine in ten are 0: then the bound is named beyond which more lie now."""
    before, after = np.repeat([0.0, 1.0], [900, 100]), np.repeat([0.0, 1.0], [600, 400])
    (found,) = column_shifts({"errors": before}, {"errors": after}, 0.01)
    assert found.in_words() == "'errors' above 0: 10% -> 40% of rows"


def test_a_tiny_shift_of_a_huge_batch_is_told_as_small():
    x = np.random.default_rng(0).normal(size=(2, 200_000))
    (found,) = column_shifts({"a": x[0]}, {"a": x[1] + 0.1}, 0.01)
    assert found.pvalue < 1e-6
    assert not found.matters
    assert column_shifts({"a": x[0]}, {"a": x[1] + 0.02}, 0.01) == ()  # less than is told at all


def test_many_columns_without_a_shift():
    """Chance names one of 400 columns at level 0.01 in hardly any of 20 draws."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(20):
        x = rng.integers(4, size=(2, 40, 300)).astype(float)
        words = np.array(["a", "b", "c", "d"], dtype=object)[rng.integers(4, size=(2, 40, 300))]
        both = [
            {f"n{j}": x[k, j] for j in range(40)} | {f"w{j}": words[k, j] for j in range(40)}
            for k in range(2)
        ]
        alarms += bool(column_shifts(*both, 0.01))
    assert alarms <= 2


def test_a_column_without_any_value_now():
    before, after = np.arange(100.0), np.full(100, np.nan)
    (found,) = column_shifts({"a": before}, {"a": after}, 0.01)
    assert isinstance(found, Shift)
    assert (found.what, found.effect) == ("gaps", 1.0)

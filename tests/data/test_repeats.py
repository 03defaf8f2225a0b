"""Copies of a training row count once, rows that by their nature come again count each time; near
copies are told.
"""

import logging

import numpy as np
import pandas as pd
import pytest

from unseen import Detector
from unseen.data.repeats import Table, nearly, representatives
from unseen.errors import DataError
from unseen.methods.distances import Mahalanobis, Nearest


def table(x, kind=None):
    x = np.ascontiguousarray(x, dtype=np.float32)
    return Table(
        x, np.arange(x.shape[1]), np.zeros(len(x), np.int64) if kind is None else np.asarray(kind)
    )


def copies(x, asked=None):
    stands = representatives(table(x), asked)
    return int((stands != np.arange(len(stands))).sum())


RNG = np.random.default_rng(5)


@pytest.mark.parametrize("times", [2, 3, 10, 40])
@pytest.mark.parametrize("columns", [1, 2, 6])
def test_copies_of_continuous_rows_count_once(times, columns):
    x = np.repeat(RNG.lognormal(size=(60, columns)), times, 0)
    assert copies(x) == 60 * (times - 1)
    assert copies(x, "keep") == 0
    assert copies(RNG.permutation(x), "once") == 60 * (times - 1)


def test_copies_count_once_where_only_some_rows_have_one_and_beside_columns_of_few_values():
    x = np.c_[
        RNG.integers(0, 3, 500),
        RNG.normal(20, 3, 500).round(1),
        RNG.normal(90, 8, (500, 3)).round(1),
    ]
    drawn = RNG.integers(0, 500, 700)  # with replacement, as a bootstrap
    assert copies(x) == 0
    assert copies(x[drawn]) == 700 - len(np.unique(drawn))
    assert copies(np.r_[x, x[:100]]) == 100


@pytest.mark.parametrize(
    "x",
    [
        RNG.integers(0, 3, (400, 3)),
        RNG.poisson(4, (400, 1)),
        np.c_[RNG.integers(0, 2, (2000, 12))],
        np.round(RNG.normal(size=(600, 1)), 1),
    ],
    ids=["few levels", "counts", "binary", "rounded"],
)
def test_repeats_of_rows_with_few_values_are_real(x):
    # a rare value that occurs in one row only may be taken for a copy
    assert copies(x) < 0.02 * len(x)
    assert copies(x, "once") == len(x) - len(np.unique(x, axis=0))


def test_states_that_come_again_are_real():
    patterns = RNG.lognormal(0, 2, (6, 4))
    assert copies(patterns[RNG.choice(6, 900, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])]) == 0
    idle = np.r_[np.zeros((300, 4)), RNG.normal(size=(300, 4))]
    assert copies(idle) == 0
    assert copies(np.r_[idle, idle[300:350]]) == 50


def test_a_copy_has_the_same_class_and_the_first_one_counts():
    x, kind = np.repeat(RNG.normal(size=(20, 3)), 3, 0), np.tile([0, 0, 1], 20)
    stands = representatives(table(x, kind), None)
    assert stands.reshape(20, 3).tolist() == [[3 * i, 3 * i, 3 * i + 2] for i in range(20)]
    assert representatives(table(np.array([[0.0], [-0.0]])), "once").tolist() == [0, 0]
    with pytest.raises(DataError, match=r"'keep', 'once' or None.*'twice'"):
        representatives(table(x), "twice")


def test_near_copies_are_found_by_column_or_last_digit():
    x = RNG.normal(size=(200, 4))
    twice = np.repeat(x, 2, 0)
    assert nearly(table(x)) is None
    assert nearly(table(np.c_[twice[:, :2], RNG.permutation(400), twice[:, 2:]])) == 2
    assert nearly(table(twice + RNG.normal(scale=1e-5, size=twice.shape))) == "digits"
    assert nearly(table(RNG.integers(0, 3, (400, 4)))) is None
    assert nearly(table(RNG.normal(size=(5000, 2)))) is None
    assert nearly(table(RNG.normal(size=(40, 1)))) is None


def flagged(times, repeats, method):
    shares = []
    for seed in range(4):
        rng = np.random.default_rng([3, seed])
        x = np.repeat(rng.normal(size=(100, 3)), times, 0)
        detector = Detector(method, calibration=0.3, random_state=seed, repeats=repeats).fit(x)
        shares.append((detector.pvalue(rng.normal(size=(400, 3))) <= 0.1).mean())
    return np.mean(shares)


def test_copies_do_not_calibrate_against_themselves(caplog):
    nearest = Nearest(k=1)
    # every fresh row is farther than a copy: what copies do
    assert flagged(10, "keep", nearest) > 0.9
    assert "counted once" not in caplog.text
    assert flagged(10, None, nearest) == flagged(1, None, nearest) < 0.15
    assert "3,600" not in caplog.text
    assert "900 of 1,000 rows repeat another one and are counted once" in caplog.text
    assert "repeats='keep'" in caplog.text


def test_an_audit_lists_copies_beside_the_row_that_counted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    x[7] += 6.0
    x = np.repeat(x, 2, 0)
    found = Detector(Mahalanobis(), random_state=0).fit(x).audit_
    assert sorted(found["row"].to_pylist()[:2]) == [14, 15]
    assert sorted(found["row"].to_pylist()) == list(range(200))
    weight = dict(zip(found["row"].to_pylist(), found["weight"].to_pylist(), strict=True))
    assert all(weight[2 * i] == weight[2 * i + 1] for i in range(100))


def test_near_copies_are_warned_of_by_name(caplog):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(np.repeat(rng.normal(size=(150, 3)), 2, 0), columns=list("abc")).assign(
        file=[1.0, 2.5] * 150
    )
    with caplog.at_level(logging.WARNING, "unseen"):
        Detector(Mahalanobis(), random_state=0).fit(rows)
    assert "differ from another one in column 'file' alone" in caplog.text


def test_a_score_that_is_no_number_names_method_and_row():
    x = np.random.default_rng(0).normal(size=(60, 2))
    detector = Detector(Mahalanobis(), random_state=0).fit(x)
    for member in detector.members_:
        member.scorer.whiten.mean[0] = float("nan")
    with pytest.raises(
        DataError,
        match=r"Mahalanobis gave row 1 the score nan, where a finite number is expected, and 2 ",
    ):
        detector.pvalue(x[:3])


@pytest.mark.parametrize("times", [2, 4, 10])
def test_a_table_put_together_from_itself_is_one_table_however_few_values_it_has(times):
    rng = np.random.default_rng(11)
    x = rng.integers(0, 2, (60, 7))  # rows that occur once, twice or more by their nature
    own = copies(x)
    assert own < 3
    whole = rng.permutation(np.tile(x, (times, 1)))
    assert copies(whole) == 60 * (times - 1) + own
    stands = representatives(table(whole), None)
    assert (stands[stands] == stands).all()
    assert (whole[stands] == whole).all()
    kind = np.r_[np.zeros(60 * times), np.ones(60)]  # only normal rows are copied
    stands = representatives(table(np.r_[whole, x], kind), None)
    assert (stands != np.arange(len(stands))).sum() >= 60 * (times - 1)
    assert (stands[60 * times :] >= 60 * times).all()


def test_copies_unevenly_many_are_no_states():
    rng = np.random.default_rng(12)
    x, times = rng.normal(size=(150, 4)), rng.zipf(1.6, 150).clip(1, 60)
    assert times.max() == 60
    assert np.sum((times > 1) & (times < 20)) > 10
    assert copies(rng.permutation(np.repeat(x, times, 0))) == times.sum() - 150
    rest = np.zeros((400, 4))
    assert copies(np.r_[np.repeat(x, times, 0), rest]) == times.sum() - 150


def test_rows_that_count_each_time_are_told_and_can_be_counted_once(caplog):
    x = RNG.integers(0, 3, size=(300, 2))  # nine distinct rows
    Detector("mahalanobis").fit(x)
    assert "291 of 300 rows repeat another one and count each time" in caplog.text
    assert "repeats='once'" in caplog.text
    caplog.clear()
    Detector("mahalanobis", repeats="keep").fit(x)
    assert not caplog.text


def dummies(n, rng):
    """Two categories in columns of their levels: no two rows differ in a single column."""
    table = pd.DataFrame(
        {
            "proto": rng.choice(list("tuig"), n, p=[0.7, 0.2, 0.07, 0.03]),
            "flag": rng.choice(list("ABCDEF"), n),
        }
    )
    return pd.get_dummies(table, dtype=int)


def sums(n, rng):
    a, b = rng.poisson(2, n), rng.poisson(1, n)
    return pd.DataFrame({"a": a, "b": b, "all": a + b, "ten": 10 * a})


@pytest.mark.parametrize("made", [dummies, sums])
@pytest.mark.parametrize("n", [500, 1500])
def test_rows_of_columns_that_change_together_are_no_copies(made, n):
    rng = np.random.default_rng(n)
    given, fresh = made(n, rng), made(4000, rng)
    flagged = (Detector("nearest", random_state=0).fit(given).pvalue(fresh) <= 0.05).mean()
    assert flagged < 0.075  # 0.2 to 0.45 where their repeats count once


@pytest.mark.parametrize("columns", [3, 6])
def test_copies_of_some_rounded_measurements_count_once(columns):
    rng = np.random.default_rng(columns)
    x = rng.normal(size=(1500, columns)).round(1)
    x = np.unique(x, axis=0)
    given = np.r_[x, np.repeat(x[:400], rng.integers(1, 5, 400), axis=0)]
    assert copies(given) > 0.9 * (len(given) - len(x))

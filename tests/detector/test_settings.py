"""A value far from the few that a column of training shows is flagged, by methods that are blind to
it, too.
"""

import numpy as np
import pandas as pd
import pytest

from unseen import Bundle, Detector
from unseen.data.limits import beyond, commonplace, limits
from unseen.data.schema import Schema
from unseen.errors import BundleError
from unseen.methods import METHODS
from unseen.methods.forest import Forest
from unseen.methods.isolation import IsolationForest


def plant(n, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "mode": rng.choice(["idle", "run", "stop"], n),
            "gear": rng.choice([1, 2, 3, 5], n),
            "stage": rng.choice([0.5, 2.0], n),
            "flow": rng.normal(size=n),
        }
    )


@pytest.mark.parametrize(
    "method", [IsolationForest(trees=20), Forest(trees=20), METHODS["logistic"]]
)
def test_a_new_value_of_a_setting_is_flagged_whatever_the_method(method, tmp_path):
    train = plant(300)
    labels = np.array(["normal"] * 300, dtype=object)
    labels[:10] = "fault"
    train.loc[:9, "flow"] += 6.0
    detector = Detector(method, random_state=0, calibration=0.4).fit(train, labels)
    rows = plant(40, seed=1)
    assert (detector.pvalue(rows) <= 0.05).mean() < 0.2
    Bundle(detector, {}).save(tmp_path / "m")
    for judge in (detector, Bundle.load(tmp_path / "m").detector):
        for change in ({"mode": "reset"}, {"gear": 60}, {"stage": -900.0}):
            assert (judge.pvalue(rows.assign(**change)) <= 0.05).all(), change
        assert judge.pvalue(rows.assign(gear=4)).mean() > 0.2  # within what training shows


def test_limits_by_hand():
    x = np.array([[0.0, 1.0, 4.0], [0.0, 2.0, 4.0], [1.0, 5.0, 4.0]], np.float32).repeat(5, axis=0)
    assert limits(x) == ((-1.0, 2.0), (-2.0, 8.0), (4.0, 4.0))
    assert limits(x[:-1])[0] is None  # a value in 4 rows only: there may be others
    assert limits(np.arange(60, dtype=np.float32).repeat(9)[:, None]) == (None,)
    rows = np.array([[2.0, 8.0, 4.0], [2.5, 9.0, 4.0], [0.5, 0.0, 4.5]], np.float32)
    assert beyond(rows, limits(x)).tolist() == [0.0, 2.0, 1.0]
    assert beyond(rows, ()).tolist() == [0.0] * 3


def test_fresh_counts_are_not_flagged_for_being_new():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(50):
        train, fresh = rng.poisson(0.3, (2, 400, 10))
        schema = Schema.infer(train)
        known = schema.limited(schema.encode(train), np.ones(400, dtype=bool))
        shares.append((known.beyond(schema.encode(fresh)) > 0).mean())
    assert np.mean(shares) < 0.002


def test_what_normals_often_are_alone_in_is_no_sign():
    # 100 rows by 300 yes-or-no columns of 2%: columns that training shows constant are many, and
    # half of all later rows move one of them
    rng = np.random.default_rng(0)
    train, fresh = (rng.random((n, 300)) < 0.02 for n in (100, 400))
    x = train.astype(np.float32)
    assert (beyond(fresh.astype(np.float32), limits(x)) > 0).mean() > 0.3
    assert commonplace(x)
    detector = Detector(method="mahalanobis", random_state=0).fit(pd.DataFrame(x).add_prefix("x"))
    later = pd.DataFrame(fresh.astype(np.float32)).add_prefix("x")
    assert (detector.pvalue(later) <= 0.02).mean() < 0.06


def test_who_is_alone_by_hand():
    # two levels, each often; then a row far beyond: one is a fault of its own, two are commonplace
    x = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32).repeat(9, axis=0)
    one, other, near = [9.0, 0.0], [0.0, -9.0], [2.0, 1.0]
    assert not commonplace(x)
    assert not commonplace(np.vstack([x, [one]]))
    assert commonplace(np.vstack([x, [one, other]]))
    assert not commonplace(np.vstack([x, [one, near]]))  # no farther than the levels are apart
    assert not commonplace(np.vstack([x, [one, one]]))  # a level of two rows
    many = x.repeat(200, axis=0)  # 3,600 rows: up to 3 of them
    assert not commonplace(np.vstack([many, [one, other]]))


def test_limits_of_a_file_fit_its_columns():
    plain = Schema.infer(plant(60)).to_json()
    with pytest.raises(BundleError, match="limits"):
        Schema.from_json(plain | {"limits": [[0.0, 1.0]]})

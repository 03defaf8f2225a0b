"""What training never showed is told, and counts: constants that move, gaps, rows without any
value.
"""

import json
import logging
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unseen.data.news import NotedOnce
from unseen.data.schema import Schema
from unseen.detector.detector import Detector
from unseen.detector.members import raised
from unseen.errors import BundleError
from unseen.methods import IsolationForest, Mahalanobis, Nearest
from unseen.scoring.stream import score_file
from unseen.storage.bundle import Bundle


def plant(n=60, seed=0, **columns):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "flow": generator.normal(size=n),
            "load": generator.lognormal(size=n),
            "valve": 5.0,
            "mode": "auto",
            "armed": True,
            **columns,
        }
    )


def changed(table, **cells):
    """The first two rows, of which the second has other values."""
    rows = table.head(2).astype(object)
    for name, value in cells.items():
        rows.loc[1, name] = value
    return rows.astype({name: "float64" for name in ("flow", "load", "valve") if name not in cells})


def test_amount_is_the_number_of_columns_and_how_far_the_farthest_constant_moved():
    schema = Schema.infer(plant())
    assert schema.unprecedented(plant(seed=1)).tolist() == [0.0] * 60
    step = math.log(51) - math.log(6)  # from 5 to 50
    for cells, expected in (
        ({"valve": 50.0}, 1 + step / (1 + step)),
        ({"valve": np.inf}, 2),
        ({"mode": "manual"}, 2),
        ({"mode": "manual", "armed": False}, 3),
        ({"flow": np.nan}, 1),
        ({"flow": np.nan, "mode": None}, 2),
        ({"valve": 5.0 + 1e-9}, 0),  # rounding
        ({"flow": 1e9}, 0),  # a value like any other
    ):
        amount = schema.unprecedented(changed(plant(), **cells))
        assert amount[0] == 0
        assert amount[1] == pytest.approx(expected), cells


@pytest.mark.parametrize("form", ["5", "5.00", 5, 5.0, np.float32(5), True])
def test_constant_is_the_same_however_it_arrives(form):
    schema = Schema.infer(plant())
    table = plant(3).assign(valve=[form] * 3, mode=[" auto "] * 3, armed=["true", "yes", "1"])
    assert (schema.unprecedented(table) > 0).tolist() == [form is True] * 3


def test_number_that_is_none_in_a_constant_column_has_moved():
    amount = Schema.infer(plant()).unprecedented(plant(2).assign(valve=["5", "off"]))
    assert amount.tolist() == [0, 2]


def test_array_and_frame_agree():
    x = np.column_stack(
        [np.random.default_rng(0).normal(size=(50, 2)), np.full(50, 7.0), np.zeros(50)]
    )
    names = [f"x{j}" for j in range(4)]
    array, frame = Schema.infer(x), Schema.infer(pd.DataFrame(x, columns=names))
    assert array.precedent == frame.precedent
    later = np.array([[0, 0, 7, 0], [0, 0, 7, 1], [np.nan, 0, 8, -1], [np.nan] * 4])
    expected = [0, 1 + math.log(2) / (1 + math.log(2)), 3 + math.log(2) / (1 + math.log(2)), 4 + 1]
    assert array.unprecedented(later) == pytest.approx(expected)
    assert np.array_equal(
        frame.unprecedented(pd.DataFrame(later, columns=names)), array.unprecedented(later)
    )
    assert np.array_equal(frame.unprecedented(later), array.unprecedented(later))


def test_column_with_gaps_and_one_value_is_constant_too():
    schema = Schema.infer(plant(speed=[3.0, np.nan] * 30))
    amount = schema.unprecedented(plant(3, speed=[3.0, np.nan, 4.0]))
    assert amount[:2].tolist() == [0, 0]
    assert amount[2] > 1
    assert Schema.infer(plant(speed=[3.0] * 20 + [np.nan] * 40)).unprecedented(
        plant(1, speed=[4.0])
    ).tolist() == [0]


def test_dates_and_identifiers_may_change():
    table = plant(day=["2024-05-01"] * 60, key=[f"id{i}" for i in range(60)])
    later = plant(2, day=["2024-05-02", None], key=["id99", "x"])
    assert Schema.infer(table).unprecedented(later).tolist() == [0, 1]  # the second lacks the day


def test_row_of_nothing_but_gaps_is_new_unless_training_showed_one(caplog):
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[::2, 0] = x[1::2, 1] = np.nan
    schema = Schema.infer(x)
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema.unprecedented([[1.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]], NotedOnce())
    assert [record.message for record in caplog.records] == [
        "rows in which every value is missing: 2 of 3, the first is row 2"
    ]
    frame = pd.DataFrame({"x0": [None, "1"], "x1": ["?", None]})
    assert schema.unprecedented(frame).tolist() == [1, 0]
    beside = Schema.infer(np.column_stack([x, np.ones(40)]))
    assert beside.unprecedented([[np.nan, np.nan, 1], [np.nan, np.nan, np.nan]]).tolist() == [0, 2]
    x[3] = np.nan
    assert Schema.infer(x).unprecedented([[np.nan, np.nan]]).tolist() == [0]


def test_what_is_new_is_told_by_column_with_rows(caplog):
    schema = Schema.infer(plant(note=[None] * 60))
    later = plant(4, valve=[5.0, 6.0, 6.0, 5.0], note=["", "", "", "leak"])
    later.loc[2:, "flow"] = np.nan
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema.unprecedented(later, NotedOnce())
    assert [record.message for record in caplog.records] == [
        "columns that were constant in training have other values: 'valve' in 2 of 4 rows, first "
        "6 in place of 5 in row 2",
        "values are missing in columns in which training never lacked one: 'flow' in 2 of 4 rows, "
        "first in row 3",
        "columns that had no value in training have some, and are not used: 'note'",
    ]
    caplog.clear()
    schema.unprecedented(plant(5, seed=3, note=[None] * 5), NotedOnce())
    assert not caplog.records


def test_batches_tell_of_a_column_once(caplog):
    schema = Schema.infer(plant())
    caplog.clear()
    once = NotedOnce()
    with caplog.at_level(logging.WARNING, logger="unseen"):
        for _ in range(3):
            schema.unprecedented(plant(2, valve=[5.0, 6.0]), once)
            once.done += 2
        once.through = 8
        schema.unprecedented(plant(2, mode=["auto", "off"]), once)
    first, second = (record.message for record in caplog.records)
    assert first.startswith(
        "columns that were constant in training have other values: 'valve' in 1 of 2 rows"
    )
    assert second.startswith(
        "in rows 7 to 8, counted from 1 again: columns that were constant in training have"
    )
    assert "'mode'" in second


# commonplace novelty ------------------------------------------------------------------------------


def test_where_every_row_has_something_of_its_own_that_is_nothing_new():
    # a word of its own in each row
    words = np.hstack([np.ones((40, 1)), np.eye(40), np.zeros((40, 20))])
    schema = Schema.infer(np.hstack([np.random.default_rng(0).normal(size=(40, 2)), words]))
    assert (schema.precedent.moves, schema.precedent.gaps) == (1, 0)
    later = np.zeros((3, 63))
    later[:, 2] = 1
    later[1, 50] = later[2, 50] = later[2, 51] = 1  # one new word, and two
    amount = schema.unprecedented(later)
    assert amount[:2].tolist() == [0, 0]
    assert amount[2] == pytest.approx(1 + math.log(2) / (1 + math.log(2)))


def test_copies_hide_nothing_that_is_commonplace():
    generator = np.random.default_rng(0)
    x = np.hstack([generator.normal(size=(80, 2)), np.eye(80), np.zeros((80, 20))])
    detector = Detector(Mahalanobis(), random_state=0).fit(np.vstack([x, x]))
    assert detector.schema_.precedent.moves == 1
    assert all(member.encoder.precedent.moves == 1 for member in detector.members_)


def test_gap_of_its_own_in_many_rows_is_nothing_new_and_in_one_of_many_rows_it_is():
    x = np.random.default_rng(0).normal(size=(600, 5))
    x[0, 0] = np.nan
    schema = Schema.infer(x)
    assert schema.precedent.gaps == 0  # one row in 600
    assert schema.unprecedented([[np.nan, 0, 0, 0, 0], [0, np.nan, 0, 0, 0]]).tolist() == [0, 1]
    x[1, 1] = np.nan
    schema = Schema.infer(x)
    assert schema.precedent.gaps == 1
    assert schema.unprecedented([[0, 0, np.nan, 0, 0], [0, 0, np.nan, np.nan, 0]]).tolist() == [
        0,
        1,
    ]


# schemas ------------------------------------------------------------------------------------------


def test_what_is_known_of_all_rows_holds_in_folds():
    table = plant(speed=[np.nan] + [3.0] * 29 + [4.0] * 30)
    whole = Schema.infer(table)
    fold = whole.relearn(table[1:30])
    assert fold.precedent == whole.precedent
    assert fold.unprecedented(table).tolist() == [0] * 60


def test_widened_schema_knows_the_rows_and_else_what_it_knew():
    later = plant(2, valve=[5.0, 6.0], flow=[np.nan, 0.1])
    schema = Schema.infer(plant()).widened(later)
    assert schema.unprecedented(later).tolist() == [0, 0]
    assert schema.unprecedented(plant(1, mode="off", load=np.nan)).tolist() == [3]


def test_json_and_back_and_schemas_of_the_first_release():
    schema = Schema.infer(plant(speed=["1,5", "2,5"] * 30))
    plain = json.loads(json.dumps(schema.to_json(), allow_nan=False))
    assert Schema.from_json(plain) == schema
    del plain["precedent"]
    for column in plain["columns"]:
        del column["spelling"]
    old, later = Schema.from_json(plain), plant(3, valve=9.0, flow=np.nan, speed=1.5)
    assert old.unprecedented(later).tolist() == [0] * 3
    assert np.array_equal(old.encode(later), schema.encode(later))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p["complete"].append("no column"), "known of columns that are none"),
        (lambda p: p["constants"][0].update(value="x"), "cannot be the constant of a number"),
        (lambda p: p.update(moves=-1), "a number of columns"),
        (lambda p: p.update(depth=1), "unknown field"),
        (lambda p: p["constants"][0]["spelling"].update(decimal=";"), "decimal"),
    ],
)
def test_damaged_facts_are_a_bundle_error(damage, message):
    plain = Schema.infer(plant()).to_json()
    damage(plain["precedent"])
    with pytest.raises(BundleError, match=message):
        Schema.from_json(plain)


# scores -------------------------------------------------------------------------------------------


def test_raised_scores_lie_above_the_calibration_in_order_of_amount_then_score():
    calibration = np.sort(np.random.default_rng(0).normal(size=100))
    scores, amount = np.array([-50.0, 0.0, 80.0, -50.0, 0.3]), np.array([1.0, 1.0, 1.0, 2.0, 0.0])
    found = raised(scores, calibration, amount)
    assert found[4] == 0.3
    assert calibration[-1] < found[0] < found[1] < found[3] < found[2]
    # a calibration without spread
    assert raised(np.array([7.0]), np.full(5, 7.0), np.array([1.0]))[0] > 7
    huge = np.array([1e30, 2e30, 2e30 * (1 + 1e-15)])
    assert raised(np.array([0.0]), huge, np.array([1.0]))[0] > huge[-1]


@pytest.mark.parametrize(
    "method", [Mahalanobis(), Nearest(), IsolationForest(trees=10)], ids=lambda m: type(m).__name__
)
def test_every_method_flags_what_is_new_and_scores_the_rest_as_ever(method):
    train, later = plant(80), plant(6, seed=2)
    with_constants = Detector(method, random_state=0).fit(train)
    without = Detector(method, random_state=0).fit(train[["flow", "load"]])
    assert np.array_equal(
        with_constants.anomaly_score(later), without.anomaly_score(later[["flow", "load"]])
    )
    later.loc[0, "valve"], later.loc[1, "flow"], later.loc[2, "mode"] = -1.0, np.nan, "manual"
    assert with_constants.pvalue(later)[:3].tolist() == [1 / 81] * 3
    assert np.array_equal(
        with_constants.pvalue(later)[3:], without.pvalue(later[["flow", "load"]])[3:]
    )


def test_warning_comes_once_from_a_detector_of_folds_and_never_in_training(caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        detector = Detector(Mahalanobis(), random_state=0).fit(plant(speed=[np.nan] + [3.0] * 59))
        assert len(caplog.records) == 1  # columns that are not used
        detector.pvalue(plant(2, valve=6.0, speed=3.0))
    assert len(caplog.records) == 2
    assert "'valve' in 2 of 2 rows" in caplog.records[1].message


def test_rows_to_move_to_are_nothing_new_afterwards():
    generator = np.random.default_rng(0)
    x = np.column_stack([generator.normal(size=(60, 2)), np.full(60, 4.0)])
    detector = Detector(Nearest(), random_state=0).fit(x)
    later = np.column_stack([generator.normal(size=(60, 2)), np.full(60, 9.0)])
    assert detector.pvalue(later).max() < 0.05
    moved = detector.adapt(later[:30])
    assert np.median(moved.pvalue(later[30:])) > 0.2
    assert detector.pvalue(later).max() < 0.05


def test_saved_detector_judges_what_is_new_alike_and_a_file_tells_it_once(tmp_path, caplog):
    detector = Detector(Mahalanobis(), random_state=0).fit(plant(80))
    Bundle(detector, {}).save(tmp_path / "saved")
    again, later = (
        Bundle.load(tmp_path / "saved"),
        plant(5, seed=1, valve=[5.0, 5.0, 7.0, 8.0, 5.0]),
    )
    assert np.array_equal(again.detector.anomaly_score(later), detector.anomaly_score(later))
    later.to_csv(tmp_path / "later.csv", index=False)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="unseen"):
        tally = score_file(again, tmp_path / "later.csv", tmp_path / "out.csv", alpha=0.05)
    assert tally.flagged >= 2
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "columns that were constant in training have other values"
    ]
    assert (
        pa.table(pd.read_csv(tmp_path / "out.csv"))["verdict"].to_pylist()[2:4] == ["anomaly"] * 2
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_one_or_two_rows_tell_of_no_constant(rows):
    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [True, False]})
    again = Schema.infer(table).relearn(table[:rows])
    assert again.precedent.constants == ()
    assert again.encode(table).shape == (2, again.width)


def test_an_infinite_constant_is_no_precedent_in_a_matrix_nor_in_a_frame():
    x = np.column_stack([np.random.default_rng(0).normal(size=40), np.full(40, np.inf)])
    for rows in (x, pd.DataFrame(x, columns=["x0", "x1"])):
        schema = Schema.infer(rows)
        assert schema.dropped == {"x1": "constant"}
        assert schema.precedent.constants == ()
        assert (schema.unprecedented(rows) == 0).all()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("constants", lambda known: known * 2),
        ("complete", lambda known: [*known, known[0]]),
        ("constants", lambda known: [{**known[0], "kind": "boolean", "value": 3.0}]),
        ("moves", lambda _: 10**9),  # would silence all that is new
    ],
)
def test_a_precedent_that_contradicts_itself_is_refused(part, value):
    plain = Schema.infer(plant()).to_json()
    assert Schema.from_json(plain) == Schema.infer(plant())
    plain["precedent"][part] = value(plain["precedent"][part])
    with pytest.raises(
        BundleError, match="named twice|cannot be the constant|more columns than there are"
    ):
        Schema.from_json(plain)


def test_limits_and_fills_that_no_training_gives_are_refused():
    schema = Schema.infer(np.column_stack([np.arange(40) % 4, np.arange(40) ** 2 % 11]))
    whole = schema.limited(
        schema.encode(np.column_stack([np.arange(40) % 4, np.arange(40) % 4])),
        np.ones(40, dtype=bool),
    ).to_json()
    assert Schema.from_json(whole).limits[0] is not None
    whole["limits"][0] = [3.0, -3.0]
    with pytest.raises(BundleError, match="the lower and the upper"):
        Schema.from_json(whole)
    filled = schema.to_json()
    filled["columns"][0]["scales"][0]["fill"] = 11.0
    with pytest.raises(BundleError, match="must lie within -10 and 10"):
        Schema.from_json(filled)

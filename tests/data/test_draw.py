"""A draw keeps the rows with the smallest keys of each class, and of each stratum some, however the
rows come.
"""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from unseen.data import draw as module
from unseen.data.draw import Draw, Plan, row_keys
from unseen.errors import DataError


def drawn(table, plan, sizes=(10**9,), admit=lambda size: None):
    """The draw from a table that comes in pieces of these sizes, over and over."""
    draw, start, turn = Draw(plan, admit), 0, 0
    while start < len(table) or not turn:
        piece = table.slice(start, sizes[turn % len(sizes)])
        draw.add(piece, start)
        start, turn = start + len(piece), turn + 1
    return draw


@pytest.fixture
def keyed(monkeypatch):
    """Keys that the test says, in place of random ones."""

    def put(keys):
        keys = np.array(keys, dtype=np.uint64)
        monkeypatch.setattr(module, "row_keys", lambda seed, start, n: keys[start : start + n])

    return put


def test_the_smallest_keys_of_each_class_stay_by_hand(keyed):
    keyed([50, 10, 40, 20, 30, 7, 5, 6, 9, 8])
    labels = ["normal", "0", None, "leak", "normal", "normal", "leak", "-1", "leak", "crack"]
    draw = drawn(pa.table({"y": labels}), Plan(most=2, label="y"), (3,))
    # normal: keys 50, 10, 30, 7; without a label: None; "-1" apart; leak: 20, 5, 9; crack: 8
    assert draw.numbers().tolist() == [1, 2, 5, 6, 7, 8, 9]
    assert draw.table()["y"].to_pylist() == [labels[k] for k in draw.numbers()]
    assert draw.seen == {"normal": 4, None: 1, "leak": 3, "-1": 1, "crack": 1}
    assert not draw.whole


def test_each_stratum_keeps_its_floor_beside_the_uniform_draw_by_hand(keyed):
    # 20 of a with the keys 0 to 19, then 20 of b with the largest keys, then 3 of c in between
    keyed([*range(20), *range(100, 120), 52, 50, 51])
    site = ["a"] * 20 + ["b"] * 20 + ["c"] * 3
    plan = Plan(most=20, strata=("site",))
    # one row in 20 may be added, and there are 3 strata: 20 // (20 * 3) = 0
    assert drawn(pa.table({"site": site}), plan).numbers().tolist() == list(range(20))
    # with 120 that would be two of each
    keyed([*range(120), *range(1000, 1020), 520, 500, 510])
    site = ["a"] * 120 + ["b"] * 20 + ["c"] * 3
    draw = drawn(pa.table({"site": site}), Plan(most=120, strata=("site",)), (7, 50))
    assert draw.strata == (3, 2)
    assert draw.numbers().tolist() == [*range(120), 120, 121, 141, 142]


def test_kinds_of_anomaly_keep_fewer_once_others_do_not_all_stay(keyed):
    keyed([*range(40), 5, 1, 4, 2, 3])
    plan = Plan(most=40, label="y", most_anomalies=3)
    labels = ["normal"] * 40 + ["leak"] * 4 + ["crack"]
    assert drawn(pa.table({"y": labels}), plan, (9,)).whole
    draw = drawn(pa.table({"y": labels}), Plan(most=39, label="y", most_anomalies=3), (9,))
    assert draw.numbers().tolist() == [*range(39), 41, 42, 43, 44]
    none = drawn(pa.table({"y": [None] * 40 + labels[40:]}), Plan(39, 0, 3, "y"), (9,))
    assert none.numbers().tolist() == [*range(39), 41, 42, 43, 44]


def test_a_class_has_strata_of_its_own(keyed):
    keyed(range(400))
    table = pa.table(
        {
            "y": ["normal"] * 200 + ["leak"] * 200,
            "site": ["a"] * 199 + ["b"] + ["a"] * 150 + ["b"] * 50,
            "day": [1, 2] * 200,
        }
    )
    draw = drawn(table, Plan(most=100, label="y", strata=("site", "day")), (33,))
    # normals: (a, 1), (a, 2), (b, 2) keep 100 // (20 * 3) = 1; leaks: of four strata 1 each
    assert draw.numbers().tolist() == [*range(100), 199, *range(200, 300), 350, 351]
    assert draw.strata == (3, 1)


@pytest.mark.parametrize("sizes", [(1000,), (1,), (17, 400, 3), (4096,)])
@pytest.mark.parametrize("strata", [(), ("site",)])
def test_pieces_do_not_matter(sizes, strata):
    rng = np.random.default_rng(0)
    site = rng.choice(["a", "b", "c"], 900, p=[0.9, 0.09, 0.01])
    y = rng.choice(["normal", "leak", "crack"], 900, p=[0.9, 0.09, 0.01])
    table = pa.table({"x": np.arange(900), "site": site, "y": y})
    plan = Plan(most=200, seed=5, label="y", strata=strata)
    whole, found = drawn(table, plan), drawn(table, plan, sizes)
    assert found.table().equals(whole.table())
    assert found.seen == whole.seen
    assert (y[whole.numbers()] == "crack").sum() == (y == "crack").sum()
    if strata:
        assert (site[whole.numbers()] == "c").sum() >= 3


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_merge_to_the_same(order, monkeypatch):
    monkeypatch.setattr(module, "SLACK", 16)  # so that parts are thinned out as they come
    rng = np.random.default_rng(1)
    site = rng.choice(["a", "b", "c", "d"], 3000, p=[0.9, 0.09, 0.009, 0.001])
    y = rng.choice(["normal", "leak", ""], 3000, p=[0.6, 0.1, 0.3])
    table = pa.table({"x": np.arange(3000), "site": site, "y": y})
    plan = Plan(most=100, label="y", strata=("site",))
    parts = []
    for start, end in ((0, 800), (800, 900), (900, 3000)):
        part = Draw(plan)
        for at in range(start, end, 70):
            part.add(table.slice(at, min(70, end - at)), at)
        part.thin()
        parts.append(part)
    merged = Draw(plan)
    for k in order:
        merged.merge(parts[k])
    assert merged.table().equals(drawn(table, plan).table())
    assert merged.seen == drawn(table, plan).seen


def test_strata_that_are_too_many_keep_nothing_however_they_come():
    names = [f"run {k}" for k in range(500)] * 2
    table, plan = pa.table({"run": names}), Plan(most=200, strata=("run",))
    whole, parts = drawn(table, plan), Draw(plan)
    parts.merge(drawn(table.slice(0, 5), plan))
    rest = Draw(plan)
    rest.add(table.slice(5), 5)
    parts.merge(rest)
    assert whole.strata[1] == 0
    assert len(whole.table()) == 200
    assert parts.table().equals(whole.table())


def test_keys_are_uniform_and_hang_on_the_seed():
    keys = row_keys(0, 0, 100_000)
    share = keys / 2.0**64
    assert abs(share.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(share[:-1], share[1:])[0, 1]) < 0.01
    assert len(np.unique(keys)) == len(keys)
    assert not (row_keys(1, 0, 100_000) == keys).any()
    assert (row_keys(0, 99_991, 9) == keys[-9:]).all()


def test_every_row_is_as_likely():
    hits = np.zeros(60)
    for seed in range(400):
        hits[drawn(pa.table({"x": np.arange(60)}), Plan(20, seed), (31,)).numbers()] += 1
    # 400 draws of a third: 133 +- 9.4 of each row; 4.5 standard deviations
    assert hits.sum() == 400 * 20
    assert np.abs(hits - 400 / 3).max() < 43


@pytest.mark.parametrize(("normal", "taken"), [("1", 40), ("normal", 20)])
def test_scikit_learns_labels(normal, taken):
    """Where -1 is an anomaly it is drawn as a class, and else as one without a label."""
    table = pa.table({"y": [1, -1] * 100})
    draw = drawn(table, Plan(20, label="y", normal=normal), (7,))
    assert draw.seen == {"1": 100, "-1": 100}
    assert draw.normal == normal
    assert len(draw.numbers()) == 40


def test_all_stay_where_there_are_no_more():
    table = pa.table({"x": np.arange(50), "y": ["normal"] * 40 + ["leak"] * 10})
    draw = drawn(table, Plan(40, label="y", strata=("x",)), (9,))
    assert draw.whole
    assert draw.table().equals(table)
    empty = drawn(table.slice(0, 0), Plan(5, label="y"))
    assert empty.table().equals(table.slice(0, 0))


def test_columns_that_come_late_have_gaps_before():
    draw = Draw(Plan(10, label="y"))
    draw.add(pa.table({"a": ["1"]}), 0)
    draw.add(pa.table({"a": ["2"], "y": ["normal"]}), 1)
    assert draw.table().to_pylist() == [{"a": "1", "y": None}, {"a": "2", "y": "normal"}]
    assert draw.seen == {None: 1, "normal": 1}


def test_what_is_refused():
    with pytest.raises(DataError, match="random_state must be a whole number from 0"):
        Draw(Plan(5, seed=-1))
    draw = Draw(Plan(5))
    draw.add(pa.table({"a": [1]}), 0)
    draw.add(pa.table({"a": ["x"]}), 1)
    with pytest.raises(DataError, match="differ in the type of a column"):
        draw.table()
    ids = pa.table({"id": np.arange(20_000)})
    with pytest.raises(DataError, match="'id' holds more than 10,000 different labels"):
        drawn(ids, Plan(100, label="id"), (5000,))
    with pytest.raises(DataError, match="numbers or texts, found one of list"):
        drawn(pa.table({"y": [[1]]}), Plan(1, label="y"))


def test_memory_is_that_of_what_stays():
    """16 million numbers pass, 128 MB; 10,000 rows stay."""
    plan, rng = Plan(10_000, label="y", strata=("site",)), np.random.default_rng(0)
    x = rng.normal(size=(50_000, 7))
    columns = {f"x{j}": x[:, j] for j in range(7)}
    piece = pa.table(columns | {"y": ["normal"] * 50_000, "site": ["a", "b"] * 25_000})
    told = []
    draw, before = Draw(plan, told.append), pa.total_allocated_bytes()
    tracemalloc.start()
    for k in range(40):
        draw.add(piece.take(np.arange(50_000)), 50_000 * k)
    held = pa.total_allocated_bytes() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(draw.seen.values()) == 2_000_000
    assert max(told) < 10e6
    assert held < 10e6
    assert peak < 20e6

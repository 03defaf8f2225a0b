"""Columns that name or count rows are dropped, or doubted aloud; measurements stay."""

import logging
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from unseen.data.identifiers import counter_kind
from unseen.data.schema import Schema

G = np.random.default_rng


def fate_of(values, name="odd", **options):
    table = pd.DataFrame({"useful": G(9).normal(size=len(values)), name: values})
    return Schema.infer(table, **options).dropped.get(name, "used").partition(":")[0]


NAMES = {
    "row numbers": np.arange(100, 130),
    "shuffled row numbers": G(0).permutation(60),
    "a part of the row numbers": G(0).choice(5000, 1000, replace=False) + 100_000,
    "shuffled, and one without": np.append(G(0).permutation(500), -1),
    "numbers in text": [f"{i:06d}" for i in G(0).permutation(60)],
    "hashes": [f"{value:032x}" for value in range(10**20, 10**20 + 40)],
    "hashes, some twice": [f"{value:032x}" for value in [*range(10**20, 10**20 + 99), 10**20]],
    "identities": [UUID(int=i) for i in range(40)],
}


@pytest.mark.parametrize("what", NAMES)
def test_what_names_rows_is_dropped(what):
    assert fate_of(NAMES[what]) == "an identifier"


STAMPS = {
    "rising seconds": 1.7e9 + np.arange(60) ** 2.0,
    "rising, some at once": 1.7e9
    + np.arange(60) // 2 * 7
    + np.arange(60) % 2 * (np.arange(60) % 3 > 0),
    "milliseconds": 1.7e12 + np.cumsum(G(0).integers(1, 10**6, 60)),
}


@pytest.mark.parametrize("what", STAMPS)
def test_what_only_says_when_is_dropped(what):
    assert fate_of(STAMPS[what]) == "a date"
    assert fate_of(G(0).permutation(STAMPS[what]), name="event_ts") == "a date"


MEASURED = {
    "distinct floats": G(0).normal(size=500),
    "distinct counts over a wide range": G(0).choice(10**6, 300, replace=False),
    "counts with repeats": G(0).permutation(np.append(np.arange(300), 5)),
    "few numbers": G(0).permutation(15),
    "sizes": np.rint(G(0).lognormal(10, 2, 300)),
    "ages": G(0).integers(18, 90, 200),
    "hash-like numbers": G(0).integers(0, 2**62, 500),
    "memory": G(0).normal(1.2e9, 4e8, 300),
}


@pytest.mark.parametrize("what", MEASURED)
def test_measurements_stay_without_a_word(what, caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        assert fate_of(MEASURED[what]) == "used"
    assert not caplog.records


DOUBTS = {
    "few, shuffled": (G(0).permutation(30), "as row numbers in another order"),
    "sorted measurements": (np.sort(G(0).normal(size=100)), "it only rises"),
    "falling": (-np.sort(np.rint(G(0).lognormal(10, 2, 60))), "(or falls)"),
    "shuffled moments": (G(0).permutation(STAMPS["rising seconds"]), "it may be a time stamp"),
}


@pytest.mark.parametrize("what", DOUBTS)
def test_what_may_only_count_is_kept_with_a_warning(what, caplog):
    values, words = DOUBTS[what]
    with caplog.at_level(logging.WARNING, logger="unseen"):
        assert fate_of(values) == "used"
    [record] = caplog.records
    assert "should perhaps be left out: 'odd': " in record.message
    assert words in record.message
    assert "ask for kind 'number'" in record.message


@pytest.mark.parametrize(
    "values", [NAMES["shuffled row numbers"], STAMPS["milliseconds"], DOUBTS["few, shuffled"][0]]
)
def test_kind_that_is_asked_for_keeps_the_column_without_a_word(values, caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        assert fate_of(values, kinds={"odd": "number"}) == "used"
    assert not caplog.records


def test_array_column_that_counts_is_kept_with_a_warning(caplog):
    x = np.column_stack(
        [G(0).permutation(np.arange(200.0)), G(0).normal(size=200), G(0).poisson(3, 200)]
    )
    with caplog.at_level(logging.WARNING, logger="unseen"):
        assert len(Schema.infer(x).columns) == 3
    [record] = caplog.records
    assert "'x0': it looks like an identifier" in record.message
    assert "x1" not in record.message


def test_chance_decides_about_whole_numbers_without_repeats():
    # 60 draws from a range of 6 * 60 places would all differ by chance in about 1 of 100: e^(-60^2
    # / (2 * 360))
    spread = G(0).choice(360, 60, replace=False).astype(float)
    assert counter_kind("a", spread) == ("", "")
    assert counter_kind("a", G(0).permutation(np.arange(60.0)))[0] == "identifier"


@pytest.mark.parametrize(
    ("name", "doubted"),
    [("order_id", True), ("ID", True), ("PassengerId", True), ("paid", False), ("load", False)],
)
def test_whole_numbers_far_apart_are_doubted_by_name(name, doubted):
    spread = G(0).choice(10**9, 100, replace=False).astype(float)  # no repeat tells nothing here
    assert bool(counter_kind(name, spread)[1]) == doubted
    spread[1] = spread[0]
    assert counter_kind(name, spread) == ("", "")


def test_copies_do_not_hide_what_names_rows(caplog):
    n = 120
    once = pd.DataFrame(
        {"a": G(0).normal(size=n), "b": G(1).choice(["x", "y"], n), "c": G(2).poisson(3, n)}
    )
    once = once.assign(
        number=G(3).permutation(n), name=[f"row {i}" for i in G(4).permutation(n)], seen=[[1]] * n
    )
    copied = {
        "twice": pd.concat([once, once]),
        "shuffled": pd.concat([once, once, once]).sample(frac=1.0, random_state=0),
        "exports that overlap": pd.concat([once[:80], once[60:]]),
        "each row twice": once.loc[once.index.repeat(2)],
    }
    for what, table in copied.items():
        dropped = Schema.infer(table.assign(name=table["name"].str.replace(" ", ""))).dropped
        assert set(dropped) == {"number", "name", "seen"}, what
    numbers = pd.concat([once, once.assign(a=once["a"] + 1.0)])
    assert "number" not in Schema.infer(numbers).dropped, "other rows have the same numbers"
    assert "number" not in Schema.infer(copied["twice"], kinds={"number": "number"}).dropped


LOCAL = {
    "Excel in Europe": "%-d.%-m.%Y %-H:%M",
    "Excel in America": "%-m/%-d/%Y %-I:%M %p",
    "a web server": "%d/%b/%Y:%H:%M:%S +0100",
    "a system log": "%b %-d %H:%M:%S",
    "slashes": "%Y/%m/%d",
    "short years": "%d.%m.%y %H:%M:%S",
    "words": "%d %B %Y",
}


@pytest.mark.parametrize("what", LOCAL)
def test_dates_as_people_write_them_are_dates(what):
    moments = pd.date_range("2024-03-28", periods=60, freq="347min")
    assert fate_of(moments.strftime(LOCAL[what])) == "a date"


def test_the_day_of_an_export_is_no_constant_to_remember():
    table = pd.DataFrame({"x": G(0).normal(size=60), "day": ["1.3.2024"] * 60, "site": ["a"] * 60})
    schema = Schema.infer(table)
    assert schema.unprecedented(table.assign(day="2.3.2024")).tolist() == [0.0] * 60
    assert (schema.unprecedented(table.assign(site="b")) > 1.0).all()


@pytest.mark.parametrize("text", ["10.0.{}", "10.0.1.{}", "1.2.20{}.4", "{} May"])
def test_versions_and_addresses_are_no_dates(text):
    assert fate_of([text.format(10 + i % 7) for i in range(60)]) == "used"


def test_days_as_numbers_and_further_spellings_of_dates_are_dates():
    days = pd.date_range("2023-11-20", periods=400, freq="6h")
    table = pd.DataFrame(
        {
            "number": days.strftime("%Y%m%d").astype(int),
            "short": days.strftime("%d.%m.%y"),
            "week": days.strftime("%G-W%V"),
            "slips": np.where(np.arange(400) % 40 == 7, "unknown", days.strftime("%Y-%m-%d")),
            "version": np.resize(["1.2.3", "10.2.4", "2.0.10"], 400),
            # few of them are days
            "amount": np.random.default_rng(0).integers(20_000_000, 20_990_000, 400),
        }
    )
    schema = Schema.infer(table)
    assert [column.name for column in schema.columns] == ["version", "amount"]
    assert all(reason.startswith("a date") for reason in schema.dropped.values())


def test_numbers_that_rise_in_steps_are_doubted(caplog):
    batch = np.repeat(np.arange(1000, 1060), 10)
    Schema.infer(pd.DataFrame({"batch": batch, "load": np.resize([3, 1, 2], 600)}))
    assert "'batch': it only rises" in caplog.text


@pytest.mark.parametrize(
    "form", ["{:.1f}%", "{:.1f} C", "€ {:.2f}", "({:.1f})", "−{:.1f}", "{:.1f}K"]
)
def test_numbers_beside_a_unit_are_told(form, caplog):
    values = np.random.default_rng(1).normal(50, 5, 300)
    Schema.infer(
        pd.DataFrame({"reading": [form.format(value) for value in values], "load": values})
    )
    assert "'reading': most values look like numbers beside a unit or sign" in caplog.text


@pytest.mark.parametrize(
    "levels", [["a1", "b2", "c3"], ["10 mm", "20 mm", "25 mm"], ["v1.2", "v1.3"]]
)
def test_codes_and_sizes_with_a_unit_are_levels(levels, caplog):
    Schema.infer(
        pd.DataFrame(
            {"part": np.resize(levels, 300), "load": np.random.default_rng(1).normal(size=300)}
        )
    )
    assert not caplog.text

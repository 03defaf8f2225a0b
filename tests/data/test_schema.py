"""What columns mean and how they are encoded; the numbers are worked out by hand."""

import json
import logging
import math
import time
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from unseen.data.fates import HEAD
from unseen.data.scaling import Scale, scales_of
from unseen.data.schema import Schema
from unseen.errors import BundleError, DataError
from unseen.io import read
from unseen.io.write import Writer

E = math.e


def kinds(schema):
    return {column.name: column.kind for column in schema.columns}


def traffic():
    """A table with a column of each kind, some values missing."""
    generator = np.random.default_rng(0)
    n = 60
    size = generator.lognormal(3, 2, n)
    size[5] = np.nan
    return pd.DataFrame(
        {
            "bytes": size,
            "port": generator.choice([80, 443, 8080], n),
            "secure": generator.choice([True, False], n),
            "service": generator.choice(["http", "ftp", None], n),
            "note": [f"call {i} of the day, done" for i in range(n)],
        }
    )


# numbers ------------------------------------------------------------------------------------------


def test_number_is_its_signed_logarithm_in_standard_deviations_of_the_normals():
    # logarithms 1, 3 and -5; mean 2 and deviation 1 of the normals
    x = np.array([[E - 1], [E**3 - 1], [1 - E**5]])
    schema = Schema.infer(x, normals=[True, True, False])
    assert schema.encode(x).tolist() == [[-1.0], [1.0], [-7.0]]
    assert schema.encode([[np.inf], [-np.inf], [1e308], [0.0]]).tolist() == [
        [10.0],
        [-10.0],
        [10.0],
        [-2.0],
    ]


def test_missing_number_is_the_median_of_the_normals_and_indicated():
    # logarithms 0, 0, 3: mean 1, deviation sqrt 2, median 0
    x = np.array([[0.0], [0.0], [E**3 - 1], [np.nan]])
    schema = Schema.infer(x)
    assert schema.features == ("x0", "x0 is missing")
    expected = [-1 / math.sqrt(2), math.sqrt(3)]  # missing in 1 of 4: (1 - 1/4) / sqrt(3/16)
    assert schema.encode([[np.nan]])[0] == pytest.approx(expected)


def test_missing_number_that_training_never_missed_is_the_median():
    schema = Schema.infer(np.array([[0.0], [0.0], [E**3 - 1]]))
    assert schema.encode([[np.nan]]).tolist() == schema.encode([[0.0]]).tolist()


@pytest.mark.parametrize(("usual", "other"), [(1.5, 2.5), ("http", "ftp")])
def test_a_column_is_constant_only_if_its_last_rows_agree_too(usual, other):
    table = pa.table({"same": [usual] * (HEAD + 1), "late": [usual] * HEAD + [other]})
    assert Schema.infer(table).dropped == {"same": "constant"}


@pytest.mark.parametrize(
    ("constant", "deviating"), [(0.0, 1e-9), (5.0, 5.01), (1e9, 1.1e9), (1e308, -1e308)]
)
def test_column_that_varies_among_anomalies_only_is_kept_and_deviates_strongly(constant, deviating):
    x = np.array([[constant], [constant], [deviating]])
    schema = Schema.infer(x, normals=[True, True, False])
    assert schema.encode(x)[:, 0].tolist() == [0.0, 0.0, math.copysign(10, deviating - constant)]


def test_symmetric_values_of_large_spread_stay_plain_and_counts_do_not():
    generator = np.random.default_rng(0)
    counts = np.where(generator.random(2000) < 0.9, 0, generator.geometric(0.01, 2000))
    sizes = generator.lognormal(5, 2, 2000)
    x = np.column_stack(
        [generator.normal(0, 1000, 2000), counts, sizes, generator.normal(100, 5, 2000)]
    )
    assert [column.scales[0].plain for column in Schema.infer(x).columns] == [
        True,
        False,
        False,
        False,
    ]


def test_small_changes_on_a_large_offset_survive():
    x = np.array([1e9 - 1, 1e9 + 1] * 10)[:, None]
    assert Schema.infer(x).encode(x)[:2, 0] == pytest.approx([-1, 1], abs=1e-3)


def test_statistics_come_from_normal_rows_levels_from_all():
    table = pd.DataFrame({"a": [E - 1, E**3 - 1, 1e9, 1e9], "c": ["u", "u", "v", "v"]})
    schema = Schema.infer(table, normals=np.array([True, True, False, False]))
    assert schema.features == ("a", "c=u", "c=v", "c=<other>")
    assert schema.encode(table).tolist() == [
        [-1, 0, 0, 0],
        [1, 0, 0, 0],
        [10, -10, 10, 0],
        [10, -10, 10, 0],
    ]


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (6, 2), elements=st.floats(width=64)),
    arrays(np.float64, (3, 2), elements=st.floats(width=64)),
)
def test_encoding_is_finite_and_bounded_for_any_floats(train, test):
    train = np.vstack([train, [[0, 0], [1, 1]]])  # no column is constant or wholly missing
    schema = Schema.infer(train, normals=np.arange(8) < 4)
    for x in (train, test):
        assert np.abs(schema.encode(x)).max() <= 10  # False for NaN


def test_many_columns_are_learned_at_once_as_one_by_one(monkeypatch):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(37, 60)) * 10.0 ** generator.integers(-3, 6, 60)
    x[:, ::3] = np.exp(3 * generator.normal(size=(37, 20)))
    x[generator.random(x.shape) < 0.05] = np.nan
    x[:, 7], x[3, 9] = np.where(np.arange(37) < 2, 4.0, 2.0), np.inf
    normals = np.arange(37) > 1
    alone = [Scale.learn(np.ascontiguousarray(column), normals) for column in x.T]
    assert scales_of(x, normals) == alone
    monkeypatch.setattr("unseen.data.scaling.CELLS", 200)
    assert scales_of(x, normals) == alone
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(60)])
    assert Schema.infer(frame, normals=normals) == Schema.infer(x, normals=normals)
    assert [column.scales[0] for column in Schema.infer(x, normals=normals).columns] == alone


def test_time_is_linear_in_columns():
    x = np.random.default_rng(0).normal(size=(8, 4000))
    table = pa.table({f"c{j}": column for j, column in enumerate(x.T)})

    def seconds(some):
        start = time.process_time()
        schema = Schema.infer(some)
        schema.relearn(some).encode(some)
        schema.news(some)
        return time.process_time() - start

    few = min(seconds(table.select(table.column_names[:500])) for _ in range(3))
    # 8 times as many columns; a search among names for each would take 64 times
    assert seconds(table) < 30 * few


# other kinds --------------------------------------------------------------------------------------


def test_category_is_one_hot_with_a_place_for_the_rest():
    table = pa.table({"c": ["a", "a", "a", "b", "b", "rare", None, "?"]})
    schema = Schema.infer(table)
    assert schema.features == ("c=a", "c=b", "c=<missing>", "c=<other>")
    unseen = schema.encode(pa.table({"c": ["a", "new", ""]}))
    a, b, missing, other = 3 / 8, 2 / 8, 2 / 8, 1 / 8

    def z(hit, share):
        return (hit - share) / math.sqrt(share * (1 - share))

    assert unseen[0] == pytest.approx([z(1, a), z(0, b), z(0, missing), z(0, other)])
    assert unseen[1] == pytest.approx([z(0, a), z(0, b), z(0, missing), z(1, other)])
    assert unseen[2] == pytest.approx([z(0, a), z(0, b), z(1, missing), z(0, other)])


def test_category_never_seen_is_a_large_deviation_and_so_is_a_missing_one_never_missed():
    schema = Schema.infer(pa.table({"c": ["a", "b"] * 5}))
    assert schema.encode(pa.table({"c": ["new", None]})).tolist() == [[-1, -1, 10]] * 2


def test_number_of_levels_is_bounded():
    words = [f"w{i}" for i in range(80) for _ in range(2 + i)]
    schema = Schema.infer(pa.table({"c": words}))
    assert schema.width == 51
    assert schema.features[0] == "c=w79"
    assert "c=w29" not in schema.features


@pytest.mark.parametrize("pair", ["t f", "TRUE False", "yes no", "Y n"])
def test_two_words_for_yes_and_no_are_one_column(pair):
    yes, no = pair.split()
    schema = Schema.infer(pa.table({"b": [yes, no, no, no, "?"]}))
    assert (kinds(schema), schema.features) == ({"b": "boolean"}, ("b", "b is missing"))
    z = schema.encode(pa.table({"b": [yes, no]}))[:, 0]
    assert z == pytest.approx([math.sqrt(3), -1 / math.sqrt(3)])  # one in four
    assert schema.encode(pd.DataFrame({"b": [True, False]}))[:, 0].tolist() == z.tolist()
    assert schema.encode(pd.DataFrame({"b": [1.0, 0.0]}))[:, 0].tolist() == z.tolist()


def test_text_becomes_facts():
    schema = Schema.infer(pa.table({"t": ["ab 1!", "a b c d", "12 34", "x y, z"]}))
    assert schema.features == ("length of t", "words of t", "digits of t", "punctuation of t")
    raw = schema.columns[0].raw(pa.chunked_array([["ab 1!", None]]))
    assert raw[0].tolist() == [5, 2, 0.2, 0.2]
    assert np.isnan(raw[1]).all()


def test_kinds_are_inferred_and_can_be_overruled():
    table = traffic()
    inferred = {
        "bytes": "number",
        "port": "number",
        "secure": "boolean",
        "service": "category",
        "note": "text",
    }
    assert kinds(Schema.infer(table)) == inferred
    schema = Schema.infer(table, kinds={"port": "category"}, drop=["note"])
    assert kinds(schema)["port"] == "category"
    assert schema.dropped == {"note": "asked"}
    typed, text = pa.table({"port": [80, 443]}), pa.table({"port": ["80.0", " 443"]})
    rest = pa.table(
        {
            name: pa.array(table[name][:2], from_pandas=True)
            for name in ("bytes", "secure", "service")
        }
    )
    ports = [schema.encode(rest.append_column("port", port["port"])) for port in (typed, text)]
    assert ports[0].tolist() == ports[1].tolist()


def test_missing_tokens_do_not_make_a_column_of_numbers_text():
    tokens = [
        "",
        "?",
        "-",
        "NA",
        "N/A",
        "NaN",
        "nan",
        "null",
        "NULL",
        "None",
        "none",
        " 3 ",
        "1e2",
        "+7",
        "inf",
    ]
    schema = Schema.infer(pa.table({"a": tokens}))
    assert schema.features == ("a", "a is missing")


DROPS = {
    "constant": ["x"] * 30,
    "wholly missing": [None, "?", "NA"] * 10,
    "an identifier": [f"id{i}" for i in range(30)],
    "an identifier:": list(range(100, 130)),
    "a date": [f"2024-01-{i + 1:02d} 10:00:00" for i in range(30)],
    "a date: derive columns such as the hour": [
        date(2024, 1, 1) + timedelta(i // 2) for i in range(30)
    ],
    "of a type that cannot be used": [[1, i] for i in range(30)],
}


@pytest.mark.parametrize("reason", DROPS)
def test_columns_that_cannot_help_are_dropped_with_a_reason_and_one_warning(reason, caplog):
    table = pa.table({"useful": [1.5, 2.5, 2.5] * 10, "odd": DROPS[reason], "same": [1] * 30})
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(table)
    assert set(schema.dropped) == {"odd", "same"}
    assert reason in schema.dropped["odd"]
    [record] = caplog.records
    assert "'odd'" in record.message
    assert "'same': constant" in record.message


def test_mark_that_few_rows_bear_is_a_category():
    schema = Schema.infer(pa.table({"remark": ["broken", "late", *[None] * 8]}))
    assert schema.features == ("remark=<missing>", "remark=<other>")
    assert schema.encode(pa.table({"remark": [""]})).tolist() == [[0.5, -0.5]]  # 8 in 10: 0.2 / 0.4


def test_names_that_are_no_text():
    assert Schema.infer(pd.DataFrame(np.eye(2), columns=[1, 2])).inputs == ("1", "2")


def test_array_columns_are_never_identifiers():
    assert Schema.infer(np.arange(30.0)[:, None]).dropped == {}


def test_identifier_that_is_asked_for_is_kept():
    table = pa.table({"n": list(range(30))})
    assert kinds(Schema.infer(table, kinds={"n": "number"})) == {"n": "number"}


def test_date_as_a_number_is_seconds_since_1970():
    moments = [datetime(1970, 1, 1, 0, 0, 1), datetime(1970, 1, 1, 0, 1, 0), datetime(1970, 1, 2)]
    for values in (
        moments,
        [str(moment) for moment in moments],
        [f"{moment}Z" for moment in moments],
    ):
        schema = Schema.infer(pa.table({"at": values}), kinds={"at": "number"})
        raw = schema.columns[0].raw(pa.chunked_array([values]))
        assert raw[:, 0].tolist() == [1, 60, 86400]


# laws ---------------------------------------------------------------------------------------------


def test_order_and_number_of_columns_and_kind_of_frame_do_not_matter(caplog):
    table = traffic()
    schema = Schema.infer(table)
    expected = schema.encode(table)
    with caplog.at_level(logging.INFO, logger="unseen"):
        assert np.array_equal(schema.encode(table[table.columns[::-1]].assign(extra=1)), expected)
    assert [record.message for record in caplog.records] == [
        "columns that the detector did not learn from are ignored: 'extra'"
    ]
    for other in (
        pl.from_pandas(table),
        pa.Table.from_pandas(table),
        table.astype({"service": "category"}),
    ):
        assert np.array_equal(schema.encode(other), expected)


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_csv_and_parquet_of_the_same_table_are_encoded_alike(tmp_path, source):
    table = pa.Table.from_pandas(traffic())
    for suffix in ("csv", "parquet"):
        with Writer(tmp_path / f"a.{suffix}") as out:
            out.write(table)
    schema = Schema.infer(read.table(tmp_path / f"a.{source}"))
    assert schema == Schema.infer(table)
    csv, typed = (
        schema.encode(read.table(tmp_path / f"a.{suffix}")) for suffix in ("csv", "parquet")
    )
    assert np.array_equal(csv, typed)


def test_encoding_in_batches_gives_the_same_bits(monkeypatch):
    table = traffic()
    schema = Schema.infer(table)
    whole = schema.encode(table)
    parts = [schema.encode(table[start : start + 7]) for start in range(0, len(table), 7)]
    assert np.array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr("unseen.data.scaling.CELLS", 64)
    assert np.array_equal(schema.encode(table), whole)


def test_json_and_back_gives_the_same_bits():
    table = traffic()
    schema = Schema.infer(table, drop=["port"])
    again = Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert again == schema
    assert np.array_equal(again.encode(table), schema.encode(table))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("columns"),
        lambda d: d["columns"][0].update(kind="colour"),
        lambda d: d["columns"][0].update(scales=[]),
        lambda d: d.update(inputs=["a"]),
        lambda d: d["columns"][0]["scales"][0].update(spread=0.0),
    ],
)
def test_damaged_json_is_a_bundle_error(damage):
    plain = Schema.infer(traffic()).to_json()
    damage(plain)
    with pytest.raises(BundleError, match="saved schema cannot be read"):
        Schema.from_json(plain)


def test_array_and_table_of_the_same_numbers_are_encoded_alike():
    x = np.random.default_rng(0).normal(0, 1000, (50, 4))
    x[3, 1] = np.nan
    x[:, 2] = 7  # dropped
    schema = Schema.infer(x)
    table = pd.DataFrame(x, columns=[f"x{j}" for j in range(4)])
    assert schema.origin == (0, 1, 1, 2)
    assert [schema.columns[j].name for j in schema.origin] == ["x0", "x1", "x1", "x3"]
    assert np.array_equal(schema.encode(x), schema.encode(table))
    assert np.array_equal(schema.encode(x[:, ::-1][:, ::-1].astype(">f8")), schema.encode(x))
    assert schema.encode(x[:0]).shape == (0, 4)


def test_encode_changes_neither_schema_nor_input():
    table = traffic()
    x = np.array([[1.0, np.nan], [3.0, 4.0], [5.0, 9.0]])
    for data in (table, x):
        schema, copy = Schema.infer(data), data.copy()
        before = schema.to_json()
        schema.encode(data)
        assert schema.to_json() == before
        assert pd.DataFrame(data).equals(pd.DataFrame(copy))


def test_relearn_keeps_kinds_and_drops_and_learns_the_rest_from_the_rows_given():
    table = pa.table(
        {"a": [0.0, E**2 - 1, E**9 - 1] * 10, "c": ["u", "v", "w"] * 10, "k": ["x"] * 30}
    )
    schema = Schema.infer(table)
    rows = table.take([0, 1, 3, 4])
    again = schema.relearn(rows)
    assert (again.dropped, again.inputs, kinds(again)) == (
        schema.dropped,
        schema.inputs,
        kinds(schema),
    )
    assert again.features == ("a", "c=u", "c=v", "c=<other>")
    assert again.encode(table).tolist()[:3] == [[-1, 1, -1, 0], [1, -1, 1, 0], [8, -1, -1, 10]]
    assert schema.relearn(table) == schema


def test_column_of_mixed_objects_is_read_as_text():
    table = pd.DataFrame({"a": [1, "x", None, 2.0, "x", "2", 1, True]})
    schema = Schema.infer(table)
    assert schema.features == ("a=1", "a=2", "a=x", "a=<missing>", "a=<other>")
    with pytest.raises(
        DataError, match=r"column 'a': expected numbers or text, got a dict in row 2"
    ):
        schema.encode(pd.DataFrame({"a": [1, {"b": 2}, 3]}))


# errors -------------------------------------------------------------------------------------------


def test_text_in_a_column_of_numbers_is_counted_over_the_whole_table(monkeypatch):
    monkeypatch.setattr("unseen.data.scaling.CELLS", 8)
    schema = Schema.infer(pa.table({"bytes": [1.0, 2.0, 4.0]}))
    words = [str(i) for i in range(100)]
    words[16], words[40], words[99] = "abc", "1,5", "abc"
    with pytest.raises(
        DataError,
        match=r"column 'bytes': 3 of 100 values are not numbers, first 'abc' in row 17; .*kinds",
    ):
        schema.encode(pa.table({"bytes": words}))


def test_text_in_a_column_of_booleans():
    schema = Schema.infer(pa.table({"b": ["t", "f"]}))
    with pytest.raises(
        DataError, match="column 'b': 1 of 2 values are not yes or no, first 'maybe' in row 2"
    ):
        schema.encode(pa.table({"b": ["t", "maybe"]}))


def test_nested_values_in_a_trained_column():
    schema = Schema.infer(pa.table({"b": [1.0, 2.0]}))
    with pytest.raises(DataError, match="column 'b': expected values of kind 'number', got list"):
        schema.encode(pa.table({"b": [[1.0], [2.0]]}))


def test_absent_column_is_named_with_those_that_look_alike():
    schema = Schema.infer(pa.table({"bytes": [1.0, 2.0, 5.0], "port": [1, 2, 2]}))
    with pytest.raises(
        DataError, match=r"no column 'bytes' \(did you mean 'Byte'\?\); it has 'Byte', 'port'"
    ):
        schema.encode(pa.table({"Byte": [1.0], "port": [1]}))


def test_array_of_another_width_is_refused_in_the_words_of_scikit_learn():
    for schema in (
        Schema.infer(np.eye(3)),
        Schema.infer(pa.table({"a": [1, 2], "b": ["x", "x"], "c": [1, 3]})),
    ):
        with pytest.raises(
            DataError, match="X has 2 features, but Detector is expecting 3 features as input"
        ):
            schema.encode(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((2, 2), dtype=complex), "Complex data not supported"),
        (csr_array(np.eye(2)), "Sparse data was passed, but dense data is required"),
        (np.zeros(3), "Expected 2D array, got 1D array instead.*Reshape your data"),
        (np.zeros((1, 2, 3)), "Found array with dim 3, expected 2"),
        (
            np.zeros((0, 2)),
            r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1 is required",
        ),
        (
            np.zeros((2, 0)),
            r"Found array with 0 feature\(s\) \(shape=\(2, 0\)\) while a minimum of 1 is required",
        ),
        (np.array([["a", "b"]]), "an array must hold numbers only; pass a data frame"),
        (
            np.array([["2020-01-01"]], dtype="datetime64[D]"),
            "expected an array of numbers, got datetime64",
        ),
        ([[1, 2], [3]], "expected a data frame or a 2-D array of numbers"),
        (pl.DataFrame({"a": [1]}).lazy(), "got LazyFrame"),
        (np.ones((1, 2)), r"no column is left to learn from \(n_samples = 1\).*'x0': 'constant'"),
    ],
)
def test_what_is_no_table_is_refused(table, message):
    with pytest.raises(DataError, match=message):
        Schema.infer(table)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"kinds": {"byte": "number"}}, r"no column 'byte' \(did you mean 'bytes'\?\)"),
        ({"drop": ["prt"]}, r"no column 'prt' \(did you mean 'port'\?\)"),
        (
            {"kinds": {"port": "categorical"}},
            (
                r"kinds={'port': 'categorical'}: a kind must be one of number, boolean, "
                r"category, text, got"
            ),
        ),
        (
            {"normals": [True]},
            r"normals must be 60 booleans, one for each row, got bool of shape \(1,\)",
        ),
        ({"normals": [False] * 60}, "none of the 60 rows is marked normal"),
        (
            {"kinds": {"note": "number"}},
            "column 'note': 60 of 60 values are not numbers, first 'call 0 of",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(request_, message):
    with pytest.raises(DataError, match=message):
        Schema.infer(traffic(), **request_)


# real files ---------------------------------------------------------------------------------------


def test_network_flows(shared):
    table = read.table(shared("nsl_kdd/train.parquet")).slice(0, 5000)
    normals = np.array(table["attack"].to_pylist()) == "normal"
    schema = Schema.infer(table, normals=normals, drop=["attack", "family"])
    assert {name for name, kind in kinds(schema).items() if kind == "category"} == {
        "protocol_type",
        "service",
        "flag",
    }
    assert schema.dropped["num_outbound_cmds"] == "constant"
    z = schema.encode(table)
    assert np.abs(z).max() == 10
    assert np.abs(z[normals].mean(axis=0)).max() < 0.2  # 0 but for clipping


def test_thyroid_with_its_question_marks(shared):
    table = read.table(shared("thyroid0387/thyroid.csv")).slice(0, 3000)
    schema = Schema.infer(table, drop=["diagnosis"])
    found = kinds(schema)
    assert (found["TSH"], found["sick"], found["sex"], found["age"]) == (
        "number",
        "boolean",
        "category",
        "number",
    )
    assert {"TSH is missing", "sex=<missing>", "sex=F", "referral_source=SVI"} <= set(
        schema.features
    )
    assert np.isfinite(schema.encode(table)).all()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (
            ["x0"],
            r"kinds must give kinds by the names of columns, as {'port': 'category'}, got \['x0'\]",
        ),
        ("x0", "kinds must give kinds by the names of columns"),
        ({0: "number"}, "the table has no column 0"),
    ],
)
def test_kinds_that_are_not_given_by_name(kinds, message):
    with pytest.raises(DataError, match=message):
        Schema.infer(np.arange(12.0).reshape(6, 2) ** 2, kinds=kinds)


def any_numbers(n, rng):
    """Columns of every type of numbers, some with gaps, in chunks, and others among them."""
    gaps = rng.random(n) < 0.2
    whole = rng.integers(0, 100, n)
    large = rng.integers(2**53, 2**60, n)
    columns = {
        "b": pa.array(rng.normal(size=n), mask=gaps),
        "word": pa.array(rng.choice(["x", "y", "z"], n)),
        "d": pa.array(rng.normal(size=n).astype(np.float32), mask=rng.random(n) < 0.2),
        "e": pa.array(whole, mask=rng.random(n) < 0.2),
        "small": pa.array(whole.astype(np.uint8)),
        "g": pa.array(large),
        "largest": pa.array(large.astype(np.uint64) * np.uint64(15), mask=gaps),
        "said": pa.array(rng.random(n) < 0.5, mask=gaps),
        "text": pa.array([f"{v:.3f}" for v in rng.normal(size=n)]),
        "b2": pa.array(np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))),
        "plain": pa.array(rng.normal(size=n)),
    }
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, n // 3), table.slice(n // 3)])


@pytest.mark.parametrize("order", ["as in training", "reversed", "with others between"])
def test_columns_of_numbers_that_are_read_at_once_are_encoded_as_one_by_one(order, monkeypatch):
    rng = np.random.default_rng(0)
    schema, table = Schema.infer(any_numbers(60, rng)), any_numbers(50, rng)
    names = table.column_names if order == "as in training" else table.column_names[::-1]
    table = table.select(names)
    if order == "with others between":
        table = table.add_column(3, "more", pa.array(range(len(table))))
    read_at_once = [schema.encode(part) for part in (table, table.slice(7, 1), table.slice(0, 0))]
    told = schema.news(table)
    monkeypatch.setattr("unseen.data.rows._NUMBERS", set())
    alone = Schema(schema.columns, schema.dropped, schema.inputs, schema.precedent)
    assert not alone._layout(alone.arrow(table)).encoded
    for found, part in zip(
        read_at_once, (table, table.slice(7, 1), table.slice(0, 0)), strict=True
    ):
        np.testing.assert_array_equal(found, alone.encode(part))
    assert [vars(each) for each in told.gaps] == [vars(each) for each in alone.news(table).gaps]
    assert {"plain", "g"}.isdisjoint(each.name for each in told.gaps)
    np.testing.assert_array_equal(told.amount, alone.news(table).amount)


def test_gaps_in_columns_that_lacked_none_are_counted_and_named_in_their_order():
    names = [f"c{k}" for k in range(6)]
    train = pa.table({n: np.arange(5.0) if k % 2 else np.arange(5) for k, n in enumerate(names)})
    cells = {
        name: [1.0, None, 2.0] if k in (0, 3, 4) else [1, 2, 3] for k, name in enumerate(names)
    }
    cells["c2"] = ["1", "2", ""]
    news = Schema.infer(train).news(pa.table(cells))
    assert [(each.name, each.rows, each.first) for each in news.gaps] == [
        ("c0", 1, 1),
        ("c2", 1, 2),
        ("c3", 1, 1),
        ("c4", 1, 1),
    ]
    assert news.amount.tolist() == [0.0, 3.0, 1.0]


def test_a_table_of_the_same_columns_and_other_types_is_read_anew():
    schema = Schema.infer(pa.table({"a": [1.0, 2.0, 4.0], "b": [1, 5, 2]}))
    expected = schema.encode(pa.table({"a": [1.5], "b": [3.0]}))
    for a, b in (([1.5], [3]), (["1.5"], [3.0]), ([1.5], ["3"])):
        np.testing.assert_array_equal(schema.encode(pa.table({"a": a, "b": b})), expected)
    with pytest.raises(DataError, match="'b'"):
        schema.encode(pa.table({"a": [1.5]}))

"""What becomes of every kind of table that a user may hold; the right values are written down by
hand.
"""

import logging
import math
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from unseen.data.tables import admit
from unseen.errors import DataError
from unseen.names import distinct_names


def plain(table):
    """The values by column, NaN as None."""
    return {
        name: [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        for name, values in table.to_pydict().items()
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2", "a"], ["a", "a_3", "a_2", "a_4"]),
        ([1, "1", True], ["1", "1_2", "True"]),
        (["", ""], ["", "_2"]),
    ],
)
def test_repeated_names_are_numbered_and_given_names_stay(given, expected):
    names, note = distinct_names(given)
    assert names == expected
    assert bool(note) == (expected != [str(name) for name in given])


def test_note_on_names_is_short_and_says_how_many():
    _, note = distinct_names(["a"] * 100)
    assert "'a' is now 'a_2', 'a' is now 'a_3'" in note
    assert note.endswith("and 94 more")


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        pa.Table.from_arrays([pa.array([1, 3]), pa.array([2, 4])], names=["a", "a"]),
        pa.RecordBatch.from_arrays([pa.array([1, 3]), pa.array([2, 4])], names=["a", "a"]),
    ],
)
def test_columns_of_one_name_are_kept_apart_with_a_note(table, caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        assert plain(admit(table)) == {"a": [1, 3], "a_2": [2, 4]}
    assert [record.message for record in caplog.records] == [
        "columns that have the name of an earlier one are numbered: 'a' is now 'a_2'"
    ]


def test_mask_of_a_masked_array_is_missing():
    masked = np.ma.masked_array([[1, 9999], [3, 4]], mask=[[False, True], [False, False]])
    assert np.array_equal(admit(masked), [[1.0, np.nan], [3.0, 4.0]], equal_nan=True)
    objects = np.ma.masked_array(np.array([[1, "x"]], dtype=object), mask=[[False, True]])
    assert np.array_equal(admit(objects), [[1.0, np.nan]], equal_nan=True)
    with pytest.raises(DataError, match="masked array of numbers, got datetime64"):
        admit(np.ma.masked_array(np.array([["2024-01-01"]], dtype="datetime64[D]")))


def test_list_of_dictionaries_is_a_table():
    rows = [{"a": 1, "b": "x"}, {"b": None, "c": 2.5}, {"a": Decimal("3"), "c": math.nan}]
    assert plain(admit(rows)) == {"a": [1, None, 3], "b": ["x", None, None], "c": [None, 2.5, None]}
    assert plain(admit([{"a": 1}, {"a": "x"}, {"a": pd.NA}])) == {"a": ["1", "x", None]}
    with pytest.raises(DataError, match="column 'a': expected numbers or text, got a set in row 2"):
        admit([{"a": 1}, {"a": {1}}])


@pytest.mark.parametrize("gap", [None, math.nan, pd.NA])
def test_list_of_lists_may_have_gaps(gap):
    assert np.array_equal(admit([[1, gap], (2, 3)]), [[1, np.nan], [2, 3]], equal_nan=True)


def test_list_of_lists_with_a_date_is_refused_in_a_sentence():
    with pytest.raises(DataError, match="pass a data frame to keep text"):
        admit([[datetime(2024, 1, 1), 1.0]])


ODD = {
    "bins": (pd.cut(pd.Series([1, 5, 9]), [0, 4, 10]), ["(0, 4]", "(4, 10]", "(4, 10]"]),
    "intervals": (
        pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
        ["(0, 1]", "(1, 2]", "(2, 3]"],
    ),
    "months": (
        pd.period_range("2024-01", periods=3, freq="M"),
        [datetime(2024, m, 1) for m in (1, 2, 3)],
    ),
    "mixed levels": (pd.Categorical([1, "a", None]), ["1", "a", None]),
    "numbers as levels": (pd.Categorical([3, 1, None]), [3, 1, None]),
    "nullable": (pd.array([1, None, 3], dtype="Int64"), [1, None, 3]),
    "nullable booleans": (pd.array([True, None, False], dtype="boolean"), [True, None, False]),
    "sparse": (pd.arrays.SparseArray([0.0, 0.0, 1.5]), [0.0, 0.0, 1.5]),
    "decimals": ([Decimal("1.5"), Decimal("NaN"), None], [Decimal("1.5"), None, None]),
    "identities": ([UUID(int=i) for i in range(3)], [str(UUID(int=i)) for i in range(3)]),
    "arrow levels": (
        pd.Series(pa.array(["u", "v", "u"]).dictionary_encode(), dtype="category"),
        ["u", "v", "u"],
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_pandas_alone_has_becomes_arrow_values(what):
    values, expected = ODD[what]
    assert plain(admit(pd.DataFrame({"x": values, "beside": ["p", "q", "r"]})))["x"] == expected


def test_what_polars_alone_has_becomes_arrow_values():
    frame = pl.DataFrame(
        {
            "enum": pl.Series(["u", "v"], dtype=pl.Enum(["u", "v"])),
            "decimal": pl.Series([Decimal("1.50"), None]),
            "object": pl.Series([UUID(int=1), UUID(int=2)], dtype=pl.Object),
            "large": pl.Series([2**100, 1], dtype=pl.Int128),
        }
    )
    found = plain(admit(frame))
    assert found["enum"] == ["u", "v"]
    assert found["decimal"] == [Decimal("1.50"), None]
    assert found["object"] == [str(UUID(int=1)), str(UUID(int=2))]
    assert [float(value) for value in found["large"]] == [2.0**100, 1.0]


def test_frame_of_nothing_but_numbers_keeps_types_and_gaps():
    floats = admit(pd.DataFrame({"a": [1.5, np.nan], "b": [np.inf, 2.0]}))
    assert floats.to_pydict() == {"a": [1.5, None], "b": [np.inf, 2.0]}
    large = 2**60 + 1  # not a float
    assert admit(pd.DataFrame({"a": [large, 2], "b": [3, 4]})).to_pydict() == {
        "a": [large, 2],
        "b": [3, 4],
    }
    assert admit(pd.DataFrame({"a": [1, 2], "b": [0.5, 4]})).schema.types == [
        pa.int64(),
        pa.float64(),
    ]

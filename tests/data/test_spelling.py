"""How text spells numbers: decimal commas, thousands, slips; the right values are written down by
hand.
"""

import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unseen.data.schema import Schema
from unseen.data.spelling import COMMAS, GROUPED, PLAIN, POINTED, read_as
from unseen.data.values import MISSING, floats, numbers
from unseen.errors import DataError


def words(*texts):
    return pa.chunked_array([pa.array(texts, pa.large_string())])


@pytest.mark.parametrize(
    ("texts", "spelling", "expected"),
    [
        (["12,5", "-0,3", "7"], COMMAS, [12.5, -0.3, 7]),
        (["1.234,5", "12,5", "1.234"], POINTED, [1234.5, 12.5, 1234]),
        (["1.234.567", "12"], POINTED, [1234567, 12]),
        (["1,234.5", "1,234", "3"], GROUPED, [1234.5, 1234, 3]),
        (["1,234,567", "12"], GROUPED, [1234567, 12]),
        (["1 234,5", "2,5", "1\u202f234\u00a0567"], COMMAS, [1234.5, 2.5, 1234567]),
        (["1'234.5", "2"], PLAIN, [1234.5, 2]),
        (["0,123", "1,234"], COMMAS, [0.123, 1.234]),
        (["1234,567", ",5", "3,"], COMMAS, [1234.567, 0.5, 3]),
        (["1,5e3", "+2,5E-1", "inf"], COMMAS, [1500, 0.25, np.inf]),
        (["12,5", "12.5"], COMMAS, [12.5, 12.5]),  # the second was typed
    ],
)
def test_numbers_are_read_by_the_marks_that_the_column_shows(texts, spelling, expected):
    reading = read_as(words(*texts))
    assert (reading.spelling, reading.sure, reading.note) == (spelling, True, "")
    assert floats(words(*texts), spelling).tolist() == expected
    assert [floats(words(text), spelling)[0] for text in texts] == expected  # alone as among others


@pytest.mark.parametrize(
    ("commas", "spelling", "value"), [(False, GROUPED, 1234), (True, COMMAS, 1.234)]
)
def test_lone_comma_before_three_digits_is_decided_by_the_rest_of_the_table(
    commas, spelling, value
):
    reading = read_as(words("1,234", "950"), commas=commas)
    assert (reading.spelling, reading.sure) == (spelling, False)
    assert reading.example == f"'1,234' is {value}"


@pytest.mark.parametrize(
    "texts",
    [
        ["1,2,3", "4,5,6"],
        ["192.168.1.1", "10.0.0.1"],
        ["a,b", "c"],
        ["2024-01-05x", "9"],
        ["12 34", "5 6"],
    ],
)
def test_what_only_looks_like_numbers_is_none(texts):
    assert read_as(words(*texts)).spelling is None


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("1,5", PLAIN),
        ("1,234", PLAIN),
        ("1.234", COMMAS),
        ("2.5", POINTED),
        ("1,23.4", GROUPED),
        ("1.23,4", POINTED),
    ],
)
def test_what_a_spelling_cannot_know_is_no_number(text, spelling):
    assert floats(words(text), spelling) is None


def german(n=300):
    generator = np.random.default_rng(0)
    amount = generator.lognormal(7, 1, n).round(2)
    count = generator.integers(100, 9000, n)
    text = [f"{a:,.2f}".translate(str.maketrans(",.", ".,")) for a in amount]
    whole = [f"{c:,}".replace(",", ".") for c in count]
    return pa.table({"amount": text, "count": whole}), pd.DataFrame(
        {"amount": amount, "count": count}
    )


def test_table_from_a_spreadsheet_is_what_the_numbers_are(caplog):
    text, typed = german()
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(text)
    [record] = caplog.records
    first, point = text["amount"][0].as_py(), typed["amount"][0]
    assert f"'amount': '{first}' is {point:.2f}; 'count': '" in record.message
    assert "(nothing in the column shows it)" in record.message  # a count may have three decimals
    expected = Schema.infer(typed)
    assert [c.scales for c in schema.columns] == [c.scales for c in expected.columns]
    assert np.array_equal(schema.encode(text), expected.encode(typed))
    assert np.array_equal(schema.encode(typed), expected.encode(typed))  # numbers that arrive typed
    one_by_one = np.concatenate([schema.encode(text.slice(i, 1)) for i in range(20)])
    assert np.array_equal(one_by_one, schema.encode(text)[:20])


def test_points_stay_decimal_where_no_column_has_decimal_commas():
    schema = Schema.infer(pa.table({"a": ["1.234", "2.001", "950"]}))
    assert schema.columns[0].raw(words("1.234")).tolist() == [[1.234]]


def test_marks_that_training_did_not_show_are_refused_with_the_row():
    plain, commas = (
        Schema.infer(pa.table({"a": ["1.5", "2"]})),
        Schema.infer(pa.table({"a": ["1.000,5", "2"]})),
    )
    with pytest.raises(
        DataError,
        match=r"1 of 2 values are not numbers \(training showed no decimal commas\), first '1,5'",
    ):
        plain.encode(pa.table({"a": ["2", "1,5"]}))
    with pytest.raises(
        DataError,
        match="1 of 2 values are not numbers with a decimal comma, as in training, first '1.5'",
    ):
        commas.encode(pa.table({"a": ["2", "1.5"]}))


# slips --------------------------------------------------------------------------------------------


def measured(n, *cells, seed=0):
    values = [f"{x:.3f}" for x in np.random.default_rng(seed).normal(20, 3, n)]
    for row, cell in cells:
        values[row] = cell
    return pa.table({"t": values, "u": np.random.default_rng(1).normal(size=n)})


def test_one_cell_that_is_no_number_is_told_and_missing(caplog):
    table = measured(500, (123, "12 kB"), (300, "-"))
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(table)
    [record] = caplog.records
    assert (
        "'t': 1 of 499 values is no number, first '12 kB' in row 124: taken for missing"
        in record.message
    )
    assert schema.features == ("t", "t is missing", "u")
    z = schema.encode(table)  # the training table can be scored, and folds of it learned
    assert z[123, :2].tolist() == z[300, :2].tolist()
    fold = schema.relearn(table.slice(200, 200))
    assert np.array_equal(fold.encode(table)[123, 0], fold.encode(table)[300, 0])
    with pytest.raises(
        DataError, match="column 't': 1 of 500 values are not numbers, first '13 kB' in row 8"
    ):
        schema.encode(measured(500, (7, "13 kB")))


def test_slips_beside_decimal_commas(caplog):
    table = pa.table(
        {"a": [*(f"{i},5" for i in range(200)), "n.v."], "b": list(range(5)) * 40 + [1]}
    )
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(table)
    assert [record.message for record in caplog.records] == [
        "numbers with marks of their own are read so: 'a': '0,5' is 0.5; ask for kind 'category' "
        "where they are none (kinds=...)",
        "cells that are no numbers: 'a': 1 of 201 values is no number, first 'n.v.' in row 201: "
        "taken for missing; correct them, or ask for a kind (kinds=...)",
    ]
    raw = schema.columns[0].raw(words("3,5", "n.v."))
    assert raw[0].tolist() == [3.5, 0]
    assert np.isnan(raw[1, 0])


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([(i, "late") for i in range(6)], "identifier"),  # 6 in 500: too many to be slips
        ([(i, f"late{i}") for i in range(5)], "number"),
    ],
)
def test_many_cells_that_are_no_numbers_are_no_slips_and_told(cells, kind, caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(measured(500, *cells))
    found = {column.name: column.kind for column in schema.columns}.get("t", "identifier")
    assert found == kind
    assert f"{len(cells)} of 500 values are no number, first 'late" in caplog.text


def test_rare_level_among_codes_stays_a_level(caplog):
    codes = ["1", "2", "3"] * 200 + ["A", "A"]
    with caplog.at_level(logging.WARNING, logger="unseen"):
        schema = Schema.infer(pa.table({"code": codes}))
    assert schema.features == ("code=1", "code=2", "code=3", "code=A", "code=<other>")
    assert "2 of 602 values are no number, first 'A' in row 601" in caplog.text
    assert "taken for category" in caplog.text


def test_number_that_is_asked_for_takes_slips_and_refuses_more():
    assert Schema.infer(measured(500, (3, "x")), kinds={"t": "number"}).columns[
        0
    ].spelling.gaps == ("x",)
    with pytest.raises(
        DataError, match="column 't': 50 of 500 values are not numbers, first 'x' in row 1"
    ):
        Schema.infer(measured(500, *((i, "x") for i in range(50))), kinds={"t": "number"})


def test_slip_among_dates_does_not_make_them_a_category():
    days = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(150)] * 2
    days[7] = "yesterday"
    schema = Schema.infer(pa.table({"day": days, "a": [1.5, 2.5, 7.0] * 100}))
    assert schema.dropped["day"].startswith("a date")


# gaps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", MISSING)
def test_every_spelling_of_a_gap_leaves_numbers_numbers(token):
    schema = Schema.infer(pa.table({"a": ["1.5", "2", token, "7"]}))
    assert schema.features == ("a", "a is missing")
    assert np.isnan(numbers("a", words(token, f" {token} "))).all()


def test_word_for_nothing_may_be_a_level_of_a_category():
    table = pa.table({"pain": ["none", "mild", "none", "strong", "mild", "strong", "None", None]})
    schema = Schema.infer(table)
    assert schema.features == (
        "pain=mild",
        "pain=none",
        "pain=strong",
        "pain=<missing>",
        "pain=<other>",
    )
    hot = schema.columns[0].raw(words("none", "None", "?"))
    assert hot.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]]
    never = Schema.infer(pa.table({"pain": ["missing", "there"] * 4}))
    assert never.features == ("pain=missing", "pain=there", "pain=<other>")


# one value, however it arrives --------------------------------------------------------------------

FORMS = {
    "number": [("1.5", "2.0", "7.0"), (1.5, 2, 7), ("1.50", " 2 ", "7e0")],
    "boolean": [
        ("True", "False", "True"),
        (True, False, True),
        ("1", "0", "1"),
        (1.0, 0.0, 1.0),
        ("yes", "NO", "y"),
    ],
    "category": [
        ("1", "2", "30000000"),
        (1, 2, 30_000_000),
        (1.0, 2.0, 3e7),
        ("1.0", "2.00", "30000000.0"),
    ],
}


@pytest.mark.parametrize("kind", FORMS)
def test_text_and_typed_values_mean_the_same_in_training_and_in_scoring(kind):
    tables = [pa.table({"a": list(form) * 4}) for form in FORMS[kind]]
    schemas = [Schema.infer(table, kinds={"a": kind}) for table in tables]
    assert all(schema == schemas[0] for schema in schemas)
    expected = schemas[0].encode(tables[0])
    assert all(np.array_equal(schemas[0].encode(table), expected) for table in tables)


def test_large_codes_are_one_level_however_they_arrive():
    codes = [123456789012, 1000000000000000]
    schema = Schema.infer(
        pa.table({"c": [str(code) for code in codes] * 2}), kinds={"c": "category"}
    )
    for form in (codes, [float(code) for code in codes], [f"{code}.0" for code in codes]):
        assert schema.columns[0].raw(pa.chunked_array([form])).tolist() == [[0, 1, 0], [1, 0, 0]]

"""JSON Lines: what objects become, whole and in batches, and what is said of those that cannot be
used.
"""

import gzip
import json

import pyarrow as pa
import pytest

from unseen.data.schema import Schema
from unseen.errors import DataError
from unseen.io import jsonl, read


@pytest.fixture
def file(tmp_path):
    def written(content, name="a.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.mark.parametrize("name", ["a.jsonl", "a.NDJSON", "a.jsonl.gz", "a.ndjson.gz"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_values_are_text_as_it_is_spelled(file, name, codec):
    lines = [
        '{"n": 1.50, "word": "é\\"x", "yes": true, "big": 12345678901234567890123}',
        "",
        '{"yes": false, "n": null, "word": "", "n2": -1e5}\r',
        '{"word": "NaN", "n": NaN, "n2": Infinity}',
    ]
    content = "\n".join(lines).encode(codec)
    path = file(gzip.compress(content) if name.endswith("gz") else content, name)
    expected = {
        "n": ["1.50", None, "NaN"],
        "word": ['é"x', "", "NaN"],
        "yes": ["true", "false", None],
        "big": ["12345678901234567890123", None, None],
        "n2": [None, "-1e5", "Infinity"],
    }
    assert read.table(path).to_pydict() == expected
    assert [batch.to_pydict() for batch in read.batches(path)] == [expected]


def test_nested_values_make_a_column_that_is_dropped(file, caplog):
    path = file(
        '{"a": 1, "tags": ["x", 1.50, {"k": null}]}\n{"a": 2, "tags": "none"}\n{"a": 4, '
        '"tags": null}'
    )
    table = read.table(path)
    values = [value and value.decode() for value in table["tags"].to_pylist()]
    assert [json.loads(values[0]), *values[1:]] == [["x", 1.5, {"k": None}], "none", None]
    schema = Schema.infer(table)
    assert [column.name for column in schema.columns] == ["a"]
    assert list(schema.dropped) == ["tags"]


def test_keys_that_come_late(file, monkeypatch, caplog):
    monkeypatch.setattr(jsonl, "ROWS", 2)
    path = file('{"a": 1}\n{"a": 2}\n{"a": 3}\n\n{"late": true, "a": 4}\n{"b": {}}\n')
    assert read.table(path).to_pydict() == {
        "a": ["1", "2", "3", "4", None],
        "late": [None, None, None, "true", None],
        "b": [None, None, None, None, b"{}"],
    }
    assert not caplog.text
    assert pa.concat_tables(read.batches(path)).to_pydict() == {"a": ["1", "2", "3", "4", None]}
    assert (
        "keys that do not occur at the start of the file are left out, such as 'late', first in "
        "line 5" in caplog.text
    )
    assert caplog.text.count("left out") == 1
    caplog.clear()
    pieces = pa.concat_tables(read.batches(path, expected=["a", "late"]))
    assert pieces.to_pydict() == {
        "a": ["1", "2", "3", "4", None],
        "late": [None, None, None, "true", None],
    }
    assert (
        "no object among the first 2 has the keys 'late': these values are taken for missing"
        in caplog.text
    )


def test_expected_keys_that_are_all_absent_are_no_columns(file, caplog):
    assert next(read.batches(file('{"x": 1}'), expected=["a", "b"])).column_names == ["x"]
    assert not caplog.text


def test_an_expected_column_stays_text_if_a_value_is_nested(file):
    assert next(read.batches(file('{"a": [1], "b": [2]}'), expected=["a"])).to_pydict() == {
        "a": ["[1]"],
        "b": [b"[2]"],
    }


ERRORS = {
    "list": (
        '[{"a": 1}]',
        r"line 1: expected a JSON object such as .*, found '\[\{\"a\": 1\}\]'; of a list .* jq -c",
    ),
    "number": ('{"a": 1}\n\n7\n', r"line 3: expected a JSON object such as"),
    "half": ('{"a": 1}\n{"a":', r"line 2: expected a JSON object in each line, found '\{\"a\":'"),
    "two in a line": ('{"a": 1} {"a": 2}', r"line 1: .*Extra data"),
    "twice": ('{"a": 1, "b": 2, "a": 3}', r"line 1: the key 'a' occurs twice in one object"),
    "twice within": ('{"a": {"k": 2, "k": 3}}', r"line 1: the key 'k' occurs twice"),
    "deep": ('{"a": ' + "[" * 100_000, r"line 1: expected a JSON object in each line"),
    "half a letter": (
        b'{"a": 1}\n{"a": "\xe9"}',
        r"line 2: expected UTF-8 text, found the byte 0xe9",
    ),
    "no letter": ('{"a": "\\ud800"}', r"expected a JSON Lines file, but .*surrogates"),
    "nothing": ("\n \n", "the file is empty; expected a JSON object in each line"),
    "digits": ('{"a": [%s]}' % ("1" * 5000), r"line 1: key 'a'"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_unusable_lines_say_where(file, case):
    content, message = ERRORS[case]
    for reader in (read.table, lambda path: list(read.batches(path))):
        with pytest.raises(DataError, match=rf"a\.jsonl.*{message}"):
            reader(file(content))


def test_a_key_without_a_name(file, caplog):
    assert read.table(file('{"": 1, "b": 2}')).to_pydict() == {"unnamed_1": ["1"], "b": ["2"]}
    assert "columns without a name are called by their place: 'unnamed_1'" in caplog.text


def test_keys_of_their_own_in_each_object_are_refused_before_they_take_memory(file):
    content = "".join(f'{{"k{i}": 1}}\n' for i in range(5_000))
    for reader in (read.table, lambda path: list(read.batches(path))):
        with pytest.raises(
            DataError,
            match=r"lines 1 to 5,000: .* the same keys, found 5,000, and 1 of them in an object",
        ):
            reader(file(content))
    wide = "".join(json.dumps({f"k{j}": i for j in range(i % 3, 1_200)}) + "\n" for i in range(20))
    assert read.table(file(wide)).shape == (20, 1_200)

"""Rows of CSV text: where they end, and that blocks of any size give the same rows."""

import random

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from unseen.io import read, text
from unseen.io.records import last_end


@pytest.mark.parametrize(
    ("block", "end", "still_open"),
    [
        (b"", 0, False),
        (b"1,2", 0, False),
        (b"1,2\n3,", 4, False),
        (b"1,2\r3,\r", 4, False),  # a line feed may follow
        (b"1,2\r\n", 5, False),
        (b'1,"a\nb"\n2,"c\n', 8, True),
        (b'"a""\nb\n', 0, True),  # two quotes are a letter
        (b'"a"\nb\n', 6, False),
        (b'a"b\n"c\nd"\n', 10, False),  # a quote within a field is a letter
        (b'"a" "b\nc\n', 9, False),  # and so it is behind one that closed
        (b'"",""\n"', 6, True),
    ],
)
def test_last_whole_row(block, end, still_open):
    assert last_end(block, ",") == (end, still_open)


def cells(draw):
    """What fields may hold: quotes in quotes and outside, line ends, blanks, letters of several
    bytes.
    """
    kind = draw.random()
    if kind < 0.35:
        return (
            '"'
            + "".join(
                draw.choice(["a", ",", "\n", "\r\n", '""', " ", "é"])
                for _ in range(draw.randint(0, 5))
            )
            + '"'
        )
    if kind < 0.45:
        return draw.choice(['a"b', 'a"', 'a""b', '"x"y"z', '"x" "y'])
    return "".join(draw.choice("ab 1é") for _ in range(draw.randint(0, 4)))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_small_blocks_give_the_rows_that_arrow_finds_in_the_whole(
    tmp_path, monkeypatch, width, end
):
    draw, names = random.Random(width), ["A", "B", "C"][:width]
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=width > 1)
    for trial in range(20):
        rows = [",".join(cells(draw) for _ in range(width)) for _ in range(draw.randint(5, 40))]
        content = (
            end.join([",".join(names), *rows, ",".join("z" * width)]) + end * (trial % 2)
        ).encode()
        path = tmp_path / "a.csv"
        path.write_bytes(content)
        whole = arrow_csv.read_csv(
            pa.BufferReader(content), parse_options=parse, convert_options=convert
        )
        monkeypatch.setattr(text, "BLOCK", draw.choice([60, 90, 400]))
        assert read.table(path).to_pydict() == whole.to_pydict()
        assert len(read.table(path)) == len(rows) + 1 or width > 1


def test_an_error_in_a_later_block_does_not_wait(tmp_path, monkeypatch):
    """Errors end the reading at any place; with a thread that reads ahead some of these would wait
    for ever.
    """
    monkeypatch.setattr(text, "BLOCK", 64)
    path = tmp_path / "a.csv"
    for line in range(2, 60):
        path.write_bytes(b"a,b\n" + b"1,2\n" * (line - 2) + b"3\n" + b"4,5\n" * 200)
        with pytest.raises(
            read.DataError, match=f"a.csv, line {line}: expected 2 fields as in the header, found 1"
        ):
            read.table(path)

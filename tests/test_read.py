"""Reading files: what comes out, and what is said when nothing can."""

import gzip

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from unseen.data import read
from unseen.errors import DataError


@pytest.fixture
def file(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written


def test_every_csv_column_is_text_and_only_the_empty_field_is_null(file):
    path = file("a.csv", b"n,word\n1,NA\n,?\n2.50,x\n")
    assert read.table(path).to_pydict() == {"n": ["1", None, "2.50"], "word": ["NA", "?", "x"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_in_the_header(file, delimiter):
    content = 'a,"b,;|"\n1,"x;y"\n'.replace(",", "\0").replace('"b\0;|"', '"b,;|"').replace("\0", delimiter)
    assert read.table(file("a.txt", content.encode())).to_pydict() == {"a": ["1"], "b,;|": ["x;y"]}


def test_byte_order_mark_quoted_line_ends_and_gzip(file):
    content = b'\xef\xbb\xbfa,b\r\n1,"two\nlines"\r\n'
    expected = {"a": ["1"], "b": ["two\nlines"]}
    assert read.table(file("a.csv", content)).to_pydict() == expected
    assert read.table(file("a.csv.gz", gzip.compress(content))).to_pydict() == expected


def test_blank_line_is_a_missing_value_only_where_there_is_one_column(file):
    assert read.table(file("one.csv", b"a\n1\n\n2\n")).to_pydict() == {"a": ["1", None, "2"]}
    assert read.table(file("two.csv", b"a,b\n1,2\n\n3,4\n")).to_pydict() == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"\na,b\n\n"])
def test_header_only_gives_no_rows(file, content):
    path = file("a.csv", content)
    assert read.table(path).to_pydict() == {"a": [], "b": []}
    assert [batch.to_pydict() for batch in read.batches(path)] == [{"a": [], "b": []}]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_batches_are_the_file_in_order_in_even_pieces(file, tmp_path, name):
    if name == "a.csv":
        file(name, b"a\n" + b"".join(b"%d\n" % i for i in range(10)))
    else:
        parquet.write_table(pa.table({"a": [str(i) for i in range(10)]}), tmp_path / name, row_group_size=3)
    pieces = [batch["a"].to_pylist() for batch in read.batches(tmp_path / name, rows=4)]
    assert pieces == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]


def test_batches_cross_the_blocks_of_a_csv_file(file, monkeypatch):
    monkeypatch.setattr(read, "BLOCK", 64)
    path = file("a.csv", b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(100)))
    pieces = [batch["a"].to_pylist() for batch in read.batches(path, rows=30)]
    assert [len(piece) for piece in pieces] == [30, 30, 30, 10]
    assert [value for piece in pieces for value in piece] == [str(i) for i in range(100)]


def test_rows_are_known_for_parquet_only(file, tmp_path):
    parquet.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.pq")
    assert read.rows(tmp_path / "a.pq") == 3
    assert read.rows(file("a.csv", b"a\n1\n")) is None


CSV_ERRORS = {
    "empty": (b"", r"a\.csv: the file is empty; expected a header"),
    "blank": (b"\n\n", r"the file is empty"),
    "short row": (b'a,b\n1,"x\ny"\n1\n', r"a\.csv, line 4: expected 2 fields as in the header, found 1"),
    "long row": (b"\na,b\n1,2\n1,2,3\n", r"line 4: expected 2 fields as in the header, found 3; quote .* ','"),
    "latin-1": (b"a,b\n1,x\n2,caf\xe9\n", r"line 3: expected UTF-8 text, found the byte 0xe9; .*iconv -f latin1"),
    "latin-1 header": ("größe,b\n1,2\n".encode("latin1"), r"line 1: expected UTF-8 text, found the byte 0xf6"),
    "twice": (b"a,b,a\n1,2,3\n", r"distinct, but these occur more than once: \['a'\]; rename"),
}


@pytest.mark.parametrize("case", CSV_ERRORS)
@pytest.mark.parametrize("reader", [read.table, lambda path: list(read.batches(path))])
def test_unusable_csv_says_where_and_what_to_do(file, case, reader):
    content, message = CSV_ERRORS[case]
    with pytest.raises(DataError, match=message):
        reader(file("a.csv", content))


def test_row_longer_than_a_block_is_an_error_of_ours(file, monkeypatch):
    monkeypatch.setattr(read, "BLOCK", 16)
    with pytest.raises(DataError, match="expected a CSV file, but it cannot be read as one"):
        read.table(file("a.csv", b"a,b\n1,2\n" + b"x" * 100 + b",3\n"))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_file_that_is_not_what_its_name_says(file, name):
    with pytest.raises(DataError, match=f"{name}: expected a (Parquet|CSV) file, but it cannot be read"):
        read.table(file(name, b"no such format"))


def test_truncated_parquet(file, tmp_path):
    parquet.write_table(pa.table({"a": list(range(1000))}), tmp_path / "whole.parquet")
    path = file("part.parquet", (tmp_path / "whole.parquet").read_bytes()[:-100])
    for reader in (read.table, read.rows, lambda path: list(read.batches(path))):
        with pytest.raises(DataError, match="expected a Parquet file"):
            reader(path)


def test_path_that_is_no_file_to_read(file, tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        next(read.batches(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"ends in \.csv, \.tsv, .*\.parquet"):
        read.table(file("a.xlsx", b"PK"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="expected a file, found a folder"):
        read.rows(tmp_path / "folder.csv")


def test_error_of_the_reader_of_batches_is_not_taken_for_one_of_the_file(file):
    def failing():
        for _ in read.batches(file("a.csv", b"a\n1\n")):
            raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        failing()

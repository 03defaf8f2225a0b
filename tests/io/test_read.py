"""Reading files: what comes out, and what is said when nothing can."""

import gzip
import io
import time
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from unseen.errors import DataError
from unseen.io import packed, read, text


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
    content = (
        'a,"b,;|"\n1,"x;y"\n'.replace(",", "\0")
        .replace('"b\0;|"', '"b,;|"')
        .replace("\0", delimiter)
    )
    assert read.table(file("a.txt", content.encode())).to_pydict() == {"a": ["1"], "b,;|": ["x;y"]}


def test_byte_order_mark_quoted_line_ends_and_gzip(file):
    content = b'\xef\xbb\xbfa,b\r\n1,"two\nlines"\r\n'
    expected = {"a": ["1"], "b": ["two\nlines"]}
    assert read.table(file("a.csv", content)).to_pydict() == expected
    assert read.table(file("a.csv.gz", gzip.compress(content))).to_pydict() == expected


def test_blank_line_is_a_missing_value_only_where_there_is_one_column(file):
    assert read.table(file("one.csv", b"a\n1\n\n2\n")).to_pydict() == {"a": ["1", None, "2"]}
    assert read.table(file("two.csv", b"a,b\n1,2\n\n3,4\n")).to_pydict() == {
        "a": ["1", "3"],
        "b": ["2", "4"],
    }


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
        parquet.write_table(
            pa.table({"a": [str(i) for i in range(10)]}), tmp_path / name, row_group_size=3
        )
    pieces = [batch["a"].to_pylist() for batch in read.batches(tmp_path / name, rows=4)]
    assert pieces == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]


def test_batches_cross_the_blocks_of_a_csv_file(file, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 64)
    path = file("a.csv", b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(100)))
    pieces = [batch["a"].to_pylist() for batch in read.batches(path, rows=30)]
    assert [len(piece) for piece in pieces] == [30, 30, 30, 10]
    assert [value for piece in pieces for value in piece] == [str(i) for i in range(100)]


def blocks_of(monkeypatch, size):
    """Small blocks, so that small files cross them."""
    monkeypatch.setattr(text, "BLOCK", size)


SPELLED = 'größe;b\r\n1,5;"x;\r\ny"\r\n;é😀\r\n'
HELD = {"größe": ["1,5", None], "b": ["x;\r\ny", "é😀"]}


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.csv.gz", "a.tsv.gz"])
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_byte_order_mark_tells_the_encoding(file, monkeypatch, name, codec):
    blocks_of(monkeypatch, 48)  # which ends within letters, in UTF-16 of four bytes
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")
    spelled = SPELLED.replace(";", "\t") if ".tsv" in name else SPELLED
    held = {
        key: [value and value.replace(";", "\t") for value in values]
        for key, values in HELD.items()
    }
    content = mark + spelled.encode(codec)
    path = file(name, gzip.compress(content) if name.endswith("gz") else content)
    assert read.table(path).to_pydict() == (held if ".tsv" in name else HELD)


@pytest.mark.parametrize("line", ["sep=^", '"sep=^"', "SEP=^", "\n\nsep=^\n"])
def test_line_that_says_what_separates_fields(file, line):
    content = f"{line}\r\na^b,c,d\r\n1^2\r\n"
    assert read.table(file("a.csv", content.encode("utf-16"))).to_pydict() == {
        "a": ["1"],
        "b,c,d": ["2"],
    }
    with pytest.raises(DataError, match=f"line {line.count(chr(10)) + 3}: expected 2 fields"):
        read.table(file("b.csv", content.replace("1^2", "1^2^3").encode()))


def test_tsv_has_tabs_only(file):
    assert read.table(file("a.tsv", b"a;b;c\td,e\n1\t2\n")).to_pydict() == {
        "a;b;c": ["1"],
        "d,e": ["2"],
    }
    assert read.table(file("b.TSV", b"a,b\n1,2\n")).to_pydict() == {"a,b": ["1,2"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(file, end):
    content = end.join(["", "  ", ";;;", "a,b", "", "1,2", "", "", "3,", "", ""])
    assert read.table(file("a.csv", content.encode())).to_pydict() == {
        "a": ["1", "3"],
        "b": ["2", None],
    }


def test_repeated_names_are_numbered_and_absent_ones_given(file, caplog):
    path = file("a.csv", b' x,, x,unnamed_2, x_2, ,"say ""a"""\n1,2,3,4,5,6,7\n')
    expected = [" x", "unnamed_2_2", " x_3", "unnamed_2", " x_2", "unnamed_6", 'say "a"']
    assert read.table(path).column_names == expected
    assert next(read.batches(path)).column_names == expected
    assert (
        "a.csv: columns without a name are called by their place: 'unnamed_2_2', 'unnamed_6'"
        in caplog.text
    )
    assert (
        "a.csv: columns that have the name of an earlier one are numbered: ' x' is now ' x_3'"
        in caplog.text
    )


def test_repeated_names_in_parquet(tmp_path, caplog):
    parquet.write_table(
        pa.table([[1], ["x"], [2.5]], names=["a", "b", "a"]), tmp_path / "a.parquet"
    )
    assert read.table(tmp_path / "a.parquet").to_pydict() == {"a": [1], "b": ["x"], "a_2": [2.5]}
    assert "numbered: 'a' is now 'a_2'" in caplog.text


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        # two numbers and a value of the second column
        (b"0,tcp,http,1.5\n0,udp,dns,2\n3,tcp,ftp,0\n", True),
        (b"1;5,5\n2;6\n", True),
        (b"bytes,service\n1,bytes\n", False),
        (b"2019,2020,name\n1,2,x\n", True),  # names all the same: only a note
        (b"id,1\n0,2\n", False),
        (b"normal\nnormal\nattack\n", True),
        (b"1,2\n", True),
    ],
)
def test_names_that_look_like_a_row_are_told(file, caplog, content, noted):
    read.table(file("a.csv", content))
    assert (
        "the first line was taken for the names of the columns, but looks like a row" in caplog.text
    ) == noted
    assert ("header=False" in caplog.text) == noted


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1,5;2\n3;4,5\n", {"x0": ["1,5", "3"], "x1": ["2", "4,5"]}),
        ("1,5;2,5\n3,5;4,5\n", {"x0": ["1,5", "3,5"], "x1": ["2,5", "4,5"]}),
        ("1,2\n3,4\n", {"x0": ["1", "3"], "x1": ["2", "4"]}),
        ("1,a;b\n2,c\n", {"x0": ["1", "2"], "x1": ["a;b", "c"]}),
        ('1\t"a\tb,c,d"\n2\tc,d\n', {"x0": ["1", "2"], "x1": ["a\tb,c,d", "c,d"]}),
    ],
)
def test_delimiter_where_commas_may_be_decimal(file, content, expected):
    assert read.table(file("a.csv", content.encode()), header=False).to_pydict() == expected


def test_no_header(file, caplog):
    expected = {"x0": ["1", "3"], "x1": ["b", None]}
    for content in (b"1,b\n3,\n", b"\n\nsep=,\n1,b\r\n\r\n3,\r\n"):
        assert read.table(file("a.csv", content), header=False).to_pydict() == expected
        assert [
            batch.to_pydict() for batch in read.batches(file("a.csv", content), header=False)
        ] == [expected]
    assert read.table(file("a.csv", b"1\n\n2\n"), header=False).to_pydict() == {
        "x0": ["1", None, "2"]
    }
    assert read.table(file("a.csv", b"\n,\n1,2\n"), header=False).to_pydict() == {
        "x0": [None, "1"],
        "x1": [None, "2"],
    }
    assert not caplog.text
    with pytest.raises(DataError, match="line 2: expected 1 fields as in the first row, found 2"):
        read.table(file("a.csv", b"1\n2,3\n"), header=False)


@pytest.mark.parametrize("rows", [b"1,2\n", b'"1\n1",2\n'])
def test_row_without_end_is_refused_with_its_line(file, monkeypatch, rows):
    blocks_of(monkeypatch, 64)
    start = 2 + 20 * rows.count(b"\n")
    with pytest.raises(DataError, match=f"a.csv, line {start}: expected a row of at most"):
        read.table(file("a.csv", b"a,b\n" + rows * 20 + b"x" * 1000 + b",2\n"))
    with pytest.raises(DataError, match=f"a.csv, line {start}: expected a row of at most"):
        read.table(file("a.csv", b"a,b\n" + rows * 20 + b'"' + b"x\n" * 500 + b'",2\n'))
    with pytest.raises(DataError, match=r"a.csv, line 1: expected a row of at most"):
        read.table(file("a.csv", b"a," * 1000 + b"\n1,2\n"))


def test_header_without_end_takes_no_memory(file):
    path = file("a.csv.gz", gzip.compress(b"a" * (40 << 20), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1: expected a row of at most 4 MiB"):
        read.table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20


def test_many_columns_take_little_time(file):
    """The names, twice as many of them the second time: twice the time, not four times."""
    taken = []
    for columns in (1_000, 16_000):
        path = file(
            "a.csv", b",".join([b"a"] * columns) + b"\n" + b",".join([b"1"] * columns) + b"\n"
        )
        start = time.process_time()
        assert read.table(path).column_names[-1] == f"a_{columns}"
        taken.append(time.process_time() - start)
    assert taken[1] < 64 * taken[0]  # 16 times as many; by their square it would be 256


def test_file_that_unpacks_to_far_more(file, tmp_path, monkeypatch):
    monkeypatch.setattr(read, "FREE", 1 << 20)
    parquet.write_table(
        pa.table({"a": pa.array(["x" * 50_000] * 100)}), tmp_path / "a.parquet", compression="zstd"
    )
    with pytest.raises(
        DataError, match=r"a.parquet: [0-9,]+ bytes that unpack to more than 1,000 times as much"
    ):
        read.table(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="1,000 times as much"):
        read.table(file("a.csv.gz", gzip.compress(b"a,b,c\n" + b",,\n" * 120_000)))


@pytest.mark.parametrize("coded", [False, True])
def test_long_texts_stored_once_are_unpacked_few_rows_at_a_time(tmp_path, monkeypatch, coded):
    monkeypatch.setattr(packed, "ROOM", 100_000)
    words = pa.array(["x" * 30_000, None, "y", "x" * 30_000, "x" * 30_000, "x" * 30_000] * 2)
    table = pa.table({"n": range(12), "word": words.dictionary_encode() if coded else words})
    parquet.write_table(table, tmp_path / "a.parquet")
    pieces = list(read.batches(tmp_path / "a.parquet"))
    assert [value for piece in pieces for value in piece["n"].to_pylist()] == list(range(12))
    assert [value for piece in pieces for value in piece["word"].to_pylist()] == words.to_pylist()
    assert {piece.schema.field("word").type for piece in pieces} == {pa.string()}
    assert max(piece.nbytes for piece in pieces) < 200_000  # of one piece and the next
    assert len(pieces) > 1


def test_parquet_types_come_back(tmp_path):
    table = pa.table(
        {
            "large": pa.array(["a", None], pa.large_string()),
            "bytes": [b"\xff", None],
            "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
            "list": [["a"], None],
            "decimal": pa.array([1, 2]).cast(pa.decimal128(30, 2)),
            "when": pa.array([0, None], pa.timestamp("ns", "UTC")),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    found = read.table(tmp_path / "a.parquet")
    assert found.to_pydict() == table.to_pydict()
    assert found.drop_columns("list").schema.equals(table.drop_columns("list").schema)


def test_every_error_of_arrow_is_one_of_ours(file, tmp_path, monkeypatch):
    parquet.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet")
    for kind in (
        pa.ArrowInvalid,
        pa.ArrowCapacityError,
        pa.ArrowNotImplementedError,
        pa.ArrowMemoryError,
        OSError,
    ):

        def failing(path, admit, kind=kind):
            def rows():
                yield pa.RecordBatch.from_pydict({"a": [1]})
                raise kind("beyond it")

            return pa.schema([("a", pa.int64())]), rows()

        monkeypatch.setattr(packed, "opened_parquet", failing)
        pieces = read.batches(tmp_path / "a.parquet", rows=1)
        assert len(next(pieces)) == 1
        with pytest.raises(DataError, match="a.parquet: expected a Parquet file, but .*beyond it"):
            next(pieces)


def standard_input(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x\n2,\n",
        "a\tb\r\n1\tx\r\n2\t\r\n".encode("utf-16"),
        gzip.compress(b"a;b\n1;x\n2;\n", mtime=0),
        b'\n {"a":1,"b":"x"}\n{"a":2}',
    ],
)
def test_standard_input(monkeypatch, content):
    expected = {"a": ["1", "2"], "b": ["x", None]}
    standard_input(monkeypatch, content)
    assert read.table("-").to_pydict() == expected
    standard_input(monkeypatch, content)
    assert [batch.to_pydict() for batch in read.batches("-")] == [expected]
    assert read.rows("-") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^standard input: the file is empty"),
        (b"a,b\n1,2\n3\n", "^standard input, line 3: expected 2 fields as in the header, found 1"),
        (b"a,b\n1,\xff\n", "^standard input, line 2: expected UTF-8 text, found the byte 0xff"),
        (b"PAR1", "^standard input: expected text, found a Parquet file"),
        (b"a,b\n" + b"1,2" * 50, "^standard input, line 2: expected a row of at most"),
        (b'{"a":1}\n[2]', r"^standard input, line 2: expected a JSON object"),
    ],
)
def test_standard_input_that_cannot_be_used(monkeypatch, content, message):
    blocks_of(monkeypatch, 64)
    standard_input(monkeypatch, content)
    with pytest.raises(DataError, match=message):
        read.table("-")


def test_rows_are_known_for_parquet_only(file, tmp_path):
    parquet.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.pq")
    assert read.rows(tmp_path / "a.pq") == 3
    assert read.rows(file("a.csv", b"a\n1\n")) is None


CSV_ERRORS = {
    "empty": (b"", r"a\.csv: the file is empty; expected a header"),
    "blank": (b"\n\n", r"the file is empty"),
    "short row": (
        b'a,b\n1,"x\ny"\n1\n',
        r"a\.csv, line 4: expected 2 fields as in the header, found 1",
    ),
    "long row": (
        b"\na,b\n1,2\n1,2,3\n",
        r"line 4: expected 2 fields as in the header, found 3; quote .* ','",
    ),
    "latin-1": (
        b"a,b\n1,x\n2,caf\xe9\n",
        r"line 3: expected UTF-8 text, found the byte 0xe9; .*iconv -f latin1",
    ),
    "latin-1 header": (
        "größe,b\n1,2\n".encode("latin1"),
        r"line 1: expected UTF-8 text, found the byte 0xf6",
    ),
    "trailing delimiter": (
        b"a;b\n1;2\n3;4;\n",
        r"line 3: .* found 3; the line ends in ';', and the first does not",
    ),
    "open quote": (
        b'a,b\n1,2\n"3,4\n5,6\n',
        r"a\.csv, line 3: expected a quote that closes, found none",
    ),
    "row of lines": (
        b'a,b\n1,2\n"3\n\n4"\n',
        r"lines 3 to 5: expected 2 fields as in the header, found 1; .*quote not closed",
    ),
    "open quote at the end": (
        b'a,b\n1,"2\n3,4\n',
        r"a\.csv, line 2: expected a quote that closes, found none",
    ),
    "open quote in the header": (b'\na,"b\n1,2\n', r"line 2: a quote opens here and is not closed"),
    "sep": (
        b"sep=;;\na;;b\n",
        r"expected one character after 'sep=' in the first line, found ';;'",
    ),
    "UTF-16 without a mark": (
        "größe,b\n".encode("utf-16-le"),
        r"line 1: .* zero bytes, as in UTF-16 without",
    ),
    "zeros": ("a,b\n".encode("utf-16-be"), r"line 1: .* zero bytes, as in UTF-16 without"),
    "UTF-32": (
        "a,b\n".encode("utf-32"),
        r"found UTF-32 by its byte order mark; convert it: iconv -f utf-32 -t utf-8 a.csv",
    ),
    "half a letter": (
        "a,b\n1,2\n".encode("utf-16")[:-1],
        r"line 2: expected UTF-16-LE text, .* \(truncated data\)",
    ),
    "workbook": (
        b"PK\x03\x04\x14\x00",
        "found a zip archive, as Excel workbooks are; export the sheet as CSV",
    ),
    "Parquet": (b"PAR1\x15", "found a Parquet file; name it .parquet"),
}


@pytest.mark.parametrize("case", CSV_ERRORS)
@pytest.mark.parametrize("reader", [read.table, lambda path: list(read.batches(path))])
def test_unusable_csv_says_where_and_what_to_do(file, case, reader):
    content, message = CSV_ERRORS[case]
    with pytest.raises(DataError, match=message):
        reader(file("a.csv", content))


def test_row_longer_than_a_block_is_an_error_of_ours(file, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 16)
    with pytest.raises(DataError, match=r"a\.csv, line 3: expected a row of at most"):
        read.table(file("a.csv", b"a,b\n1,2\n" + b"x" * 100 + b",3\n"))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_file_that_is_not_what_its_name_says(file, name):
    with pytest.raises(
        DataError, match=f"{name}: expected a (Parquet|CSV) file, but it cannot be read"
    ):
        read.table(file(name, b"no such format"))


@pytest.mark.parametrize("place", [5, 12, -6])
def test_damaged_gzip(file, place):
    """In its header, its data, and its check sum."""
    content = bytearray(gzip.compress(b"a,b\n1,2\n3,4\n" * 9))
    content[place] ^= 0xFF
    content = bytes(content) if place > 5 else bytes(content[:place])
    for reader in (read.table, lambda path: list(read.batches(path))):
        with pytest.raises(
            DataError, match=r"a\.csv\.gz: expected a CSV file, but it cannot be read as one \(.*\)"
        ):
            reader(file("a.csv.gz", content))


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a b c\n1 2 3\n4 5 6\n", 3),
        (b"note\ntwo words\n", 0),
        (b"a b\n1\n2\n", 0),
        (b"a b\nhot day\ncold day\n", 0),
    ],
)
def test_columns_that_spaces_may_separate_are_told(file, caplog, content, words):
    assert read.table(file("log.csv", content)).num_columns == 1
    assert (f"each line has {words} words" in caplog.text) == bool(words)


def test_a_spreadsheet_is_to_be_exported(file):
    with pytest.raises(DataError, match="export the sheet as CSV"):
        read.table(file("data.xlsx", b"PK"))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_more_columns_than_may_be_are_refused_before_rows_are_read(tmp_path, ending):
    table, file = pa.table({f"c{k}": ["1"] for k in range(12)}), tmp_path / f"wide.{ending}"
    if ending == "parquet":
        parquet.write_table(table, file)
    elif ending == "csv":
        file.write_text(",".join(table.column_names) + "\n" + ",".join("1" * 12) + "\n")
    else:
        file.write_text("{" + ", ".join(f'"c{k}": 1' for k in range(12)) + "}\n")
    assert len(next(read.batches(file, most=12))) == 1
    with pytest.raises(DataError, match=r"expected at most 11 columns, found 12"):
        next(read.batches(file, most=11))

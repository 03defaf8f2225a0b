"""Writing files: whole under their name, or not there at all."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest

from unseen.errors import DataError
from unseen.io import read
from unseen.io.atomic import Making
from unseen.io.write import Writer

ROWS = pa.table({"key": ["a", "b,c"], "score": [0.25, 1e-5]})


@pytest.mark.parametrize("name", ["out.parquet", "out.pq"])
def test_parquet_comes_back_as_written(tmp_path, name):
    with Writer(tmp_path / name) as out:
        out.write(ROWS)
        out.write(ROWS)
    assert read.table(tmp_path / name).equals(pa.concat_tables([ROWS, ROWS]).combine_chunks())
    assert os.listdir(tmp_path) == [name]


def test_csv_has_one_header_and_all_batches(tmp_path):
    with Writer(tmp_path / "out.csv") as out:
        out.write(ROWS)
        out.write(ROWS.slice(1))
    assert (
        tmp_path / "out.csv"
    ).read_text() == '"key","score"\n"a",0.25\n"b,c",0.00001\n"b,c",0.00001\n'


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_categories_whose_codes_differ_between_batches(tmp_path, name):
    with Writer(tmp_path / name) as out:
        for words in (["x", "y"], ["y", "z"]):
            out.write(pa.table({"word": pa.array(words).dictionary_encode()}))
    assert read.table(tmp_path / name)["word"].to_pylist() == ["x", "y", "y", "z"]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_texts_of_two_sizes_of_offsets_make_one_column(tmp_path, name):
    with Writer(tmp_path / name) as out:
        for kind in (pa.large_string(), pa.string(), pa.string_view()):
            out.write(pa.table({"word": pa.array(["x", None], kind)}))
    assert read.table(tmp_path / name)["word"].to_pylist() == ["x", None] * 3


def test_rows_of_another_type_name_the_column_and_leave_nothing(tmp_path):
    def mixed():
        with Writer(tmp_path / "out.parquet") as out:
            out.write(pa.table({"key": [1], "score": [0.5]}))
            out.write(pa.table({"key": ["one"], "score": [0.5]}))

    with pytest.raises(DataError, match="column 'key' is string, and int64 in the rows before"):
        mixed()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_work_leaves_nothing(tmp_path, name, error):
    def interrupted():
        with Writer(tmp_path / name) as out:
            out.write(ROWS)
            assert len(os.listdir(tmp_path)) == 1
            raise error

    with pytest.raises(error):
        interrupted()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("batches", [1, 200])
def test_full_disk_says_so_and_leaves_nothing(tmp_path, name, batches):
    def filled():
        with Writer(tmp_path / name) as out:
            out.file.out = Path("/dev/full").open("wb")  # noqa: SIM115 (the writer closes it)
            for _ in range(batches):
                out.write(pa.table({"word": ["some text"] * 1000}))

    with pytest.raises(
        DataError, match=r"out\.\w+: the disk is full, and nothing is left of it; free some space"
    ):
        filled()
    assert os.listdir(tmp_path) == []


def test_disk_that_fills_at_the_last_moment(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="the disk is full"), Writer(tmp_path / "out.csv") as out:
        out.write(ROWS)
    assert os.listdir(tmp_path) == []


def test_path_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(
        DataError, match=r"out\.csv: exists already .* choose another name or remove it"
    ):
        Writer(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    with pytest.raises(DataError, match=r"there is no folder .*absent; create it first"):
        Writer(tmp_path / "absent" / "out.csv")
    with pytest.raises(DataError, match=r"ends in \.csv, \.parquet, \.pq"):
        Writer(tmp_path / "out.xlsx")


SOLE = pa.table({"id": [7]})


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([[1, 2]]), "list<.*>"),
        (pa.array([{"x": 1}]), "struct<.*>"),
        (pa.array([b"\xff\x00"]), "binary"),
        (pa.array([b"\xff"], pa.large_binary()), "large_binary"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "month_day_nano_interval"),
    ],
)
def test_what_csv_cannot_hold_is_named(tmp_path, column, kind):
    message = (
        rf"a\.csv: CSV cannot hold the columns 'k' \({kind}\); leave them out or write Parquet"
    )
    with pytest.raises(DataError, match=message), Writer(tmp_path / "a.csv") as out:
        out.write(SOLE.append_column("k", column))
    assert os.listdir(tmp_path) == []


def test_what_parquet_cannot_hold_is_named(tmp_path):
    column = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    message = (
        r"Parquet cannot hold the columns 'k' \(month_day_nano_interval\); leave them out or "
        r"turn them into text"
    )
    with pytest.raises(DataError, match=message), Writer(tmp_path / "a.parquet") as out:
        out.write(SOLE.append_column("k", column))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
@pytest.mark.parametrize(
    "column",
    [pa.array(["x"], pa.string_view()), pa.array([b"x"]), pa.array([b"x"], pa.binary_view())],
    ids=str,
)
def test_text_however_it_is_stored(tmp_path, name, column):
    with Writer(tmp_path / name) as out:
        out.write(SOLE.append_column("k", column))
    assert read.table(tmp_path / name)["k"].to_pylist() in (["x"], [b"x"])


def test_a_table_appears_with_what_belongs_to_it(tmp_path):
    with Making() as made:
        with Writer(tmp_path / "a.csv", made) as out:
            made.folder(tmp_path / "pictures")
            out.write(SOLE)
        assert all(name.startswith(".") for name in os.listdir(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "pictures"]

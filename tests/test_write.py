"""Writing files: whole under their name, or not there at all."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest

from unseen.data import read, write
from unseen.data.write import Writer
from unseen.errors import DataError

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
    assert (tmp_path / "out.csv").read_text() == '"key","score"\n"a",0.25\n"b,c",0.00001\n"b,c",0.00001\n'


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_categories_whose_codes_differ_between_batches(tmp_path, name):
    with Writer(tmp_path / name) as out:
        for words in (["x", "y"], ["y", "z"]):
            out.write(pa.table({"word": pa.array(words).dictionary_encode()}))
    assert read.table(tmp_path / name)["word"].to_pylist() == ["x", "y", "y", "z"]


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
def test_full_disk_says_so_and_leaves_nothing(tmp_path, name, batches, monkeypatch):
    def full(path, mode):
        path.touch()
        return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")

    def filled():
        with Writer(tmp_path / name) as out:
            for _ in range(batches):
                out.write(pa.table({"word": ["some text"] * 1000}))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"the disk is full; the partial file was removed and nothing is left; free"):
        filled()
    assert os.listdir(tmp_path) == []


def test_disk_that_fills_at_the_last_moment(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(DataError, match="the disk is full"), Writer(tmp_path / "out.csv") as out:
        out.write(ROWS)
    assert os.listdir(tmp_path) == []


def test_path_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(DataError, match=r"out\.csv: exists already .* choose another name or remove it"):
        Writer(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    with pytest.raises(DataError, match=r"there is no folder .*absent; create it first"):
        Writer(tmp_path / "absent" / "out.csv")
    with pytest.raises(DataError, match=r"ends in \.csv, \.parquet, \.pq"):
        Writer(tmp_path / "out.xlsx")


def test_nested_columns_do_not_fit_into_csv(tmp_path):
    with (
        pytest.raises(DataError, match=r"nested columns \['a'\]; leave them out or write Parquet"),
        Writer(tmp_path / "a.csv") as out,
    ):
        out.write(pa.table({"a": [[1, 2]]}))
    assert os.listdir(tmp_path) == []

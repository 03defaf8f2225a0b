"""Places: files of rows by names, globs, folders and URLs, in order; what is written is whole."""

import errno

import pytest
from pyarrow import fs

from unseen.errors import DataError
from unseen.io import places
from unseen.io.places import Place, files_of_rows


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.parquet", "b/10.parquet", "a.csv", "_SUCCESS", "b/.hidden.csv", "_old/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def names(folder, *texts):
    return [
        file.place.name.removeprefix(f"{folder}/")
        for file in files_of_rows([f"{folder}/{text}" if text else str(folder) for text in texts])
    ]


def test_a_folder_stands_for_its_files_of_rows_by_their_paths(folder):
    assert names(folder, "") == ["a.csv", "b/10.parquet", "b/2.parquet"]
    assert names(folder, "b", "a.csv") == ["b/10.parquet", "b/2.parquet", "a.csv"]


def test_globs_match_names_and_folders(folder):
    assert names(folder, "b/*.parquet") == ["b/10.parquet", "b/2.parquet"]
    assert names(folder, "?/2*") == ["b/2.parquet"]
    assert names(folder, "*") == ["a.csv", "b/10.parquet", "b/2.parquet"]
    assert names(folder, "_o*") == ["_old/x.csv"]
    (folder / "b" / "[x].csv").write_text("")
    assert names(folder, "b/[x].csv") == ["b/[x].csv"]  # a name before it is a glob


def test_what_cannot_be_read_is_told_with_its_name(folder):
    for text, what in (
        ("c", "/c: no such file or folder"),
        ("c*", r"/c\*: no file has such a name"),
        ("b/*/x.csv", "no file has such a name"),
    ):
        with pytest.raises(DataError, match=what):
            names(folder, text)
    with pytest.raises(DataError, match=r"/a.csv: is named twice"):
        names(folder, "", "a.csv")
    (folder / "b" / "read.me").write_text("")
    with pytest.raises(DataError, match=r"read.me: expected .* name those to read, as in '.*/b/\*"):
        names(folder, "b")
    (folder / "c").mkdir()
    with pytest.raises(DataError, match="/c: the folder holds no files of rows"):
        names(folder, "c")
    with pytest.raises(DataError, match="standard input comes but once"):
        files_of_rows(["-"])
    with pytest.raises(DataError, match=r"moon://x/y.csv: it cannot be reached"):
        files_of_rows(["moon://x/y.csv"])


def test_a_url_is_read_as_a_path_is(folder, tmp_path_factory):
    urls = [file.place for file in files_of_rows([f"file://{folder}/b/*.parquet"])]
    assert [place.name for place in urls] == [
        f"file://{folder}/b/10.parquet",
        f"file://{folder}/b/2.parquet",
    ]
    assert urls[0].fetched(folder).samefile(folder / "b" / "10.parquet")  # no copy of what is here


def test_results_are_not_written_where_rows_are_read(folder):
    with pytest.raises(DataError, match="lies in"):
        files_of_rows([str(folder)], beside=Place.of(folder / "out"))
    assert files_of_rows([str(folder / "b")], beside=Place.of(folder / "b-scores"))


def test_what_is_written_is_whole_or_not_there(tmp_path):
    place = Place.of(tmp_path / "out")
    place.write("a/one.txt", b"first")
    with pytest.raises(DataError, match="out/a/one.txt: it cannot be written"):
        place.publish(tmp_path / "absent", "a/one.txt")
    assert (tmp_path / "out" / "a" / "one.txt").read_bytes() == b"first"
    assert place.names() == ["a"]
    place.write("a/one.txt", b"second")
    assert (place / "a" / "one.txt").read(most=6) == b"second"
    with pytest.raises(DataError, match="expected at most 5 bytes"):
        (place / "a" / "one.txt").read(most=5)
    place.clear("a")
    place.clear("a")
    assert place.names() == []


def test_a_full_disk_is_told_as_elsewhere(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(places, "synced", full)
    with pytest.raises(DataError, match="out/one.txt: the disk is full"):
        Place.of(tmp_path / "out").write("one.txt", b"first")
    assert Place.of(tmp_path / "out").names() == []


def test_an_object_store_keeps_its_settings_in_every_url(tmp_path, monkeypatch):
    asked = []

    def opened(url):
        asked.append(url)
        return fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "bucket/rows"

    monkeypatch.setattr(places, "_opened", opened)
    place = Place("s3://bucket/rows?region=moon") / "x.csv"
    assert place.name == "s3://bucket/rows/x.csv?region=moon"
    Place("s3://bucket/rows?region=moon").write("x.csv", b"x")
    assert place.path == "bucket/rows/x.csv"
    assert not place.here
    copy = place.fetched(tmp_path)
    assert copy.read_bytes() == b"x"
    assert copy != tmp_path / "bucket" / "rows" / "x.csv"
    assert set(asked) == {"s3://bucket/rows?region=moon"}

"""Writing: whole or not there, never over what exists, several things together, and what killed
processes left.
"""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unseen.errors import DataError
from unseen.io import atomic, paths
from unseen.io.atomic import Making, replace, scratch_folder
from unseen.io.paths import new_path, regular, sweep


def names(folder):
    return sorted(os.listdir(folder))


def test_a_folder_and_a_file_appear_together(tmp_path):
    with Making() as made:
        made.folder(tmp_path / "pictures").write("deep/er/a.png", b"1")
        made.file(tmp_path / "table.csv").write(b"2")
        assert all(name.startswith(".") for name in names(tmp_path))
    assert names(tmp_path) == ["pictures", "table.csv"]
    assert (tmp_path / "pictures" / "deep" / "er" / "a.png").read_bytes() == b"1"
    assert (tmp_path / "table.csv").read_bytes() == b"2"


def test_rights_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        with Making() as made:
            made.file(tmp_path / "a").write(b"")
            made.folder(tmp_path / "b").write("c", b"")
        replace(tmp_path / "d", b"")
    finally:
        os.umask(before)
    modes = {name: os.stat(tmp_path / name).st_mode & 0o777 for name in ("a", "b", "b/c", "d")}
    assert modes == {"a": 0o640, "b": 0o750, "b/c": 0o640, "d": 0o640}


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_what_fails(tmp_path, failure):
    def fails():
        with Making() as made:
            made.folder(tmp_path / "b").write("c", b"1")
            made.file(tmp_path / "a").write(b"1")
            raise failure

    with pytest.raises(failure):
        fails()
    assert names(tmp_path) == []


@pytest.mark.parametrize("order", [("file", "folder"), ("folder", "file")])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("step", ["settle", "place"])
def test_either_all_get_their_names_or_none(tmp_path, monkeypatch, order, at, step):
    """Whichever fails, at whichever step."""

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr({"file": atomic.File, "folder": atomic.Folder}[order[at]], step, full)

    def make():
        with Making() as made:
            for kind in order:
                getattr(made, kind)(tmp_path / kind)

    with pytest.raises(
        DataError, match="the disk is full, and nothing is left of it; free some space"
    ):
        make()
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_appears_meanwhile_is_left_as_it_is(tmp_path, monkeypatch, kind, links):
    """Also an empty file and an empty folder, which a rename would replace; and what stood first
    goes again.
    """
    if not links:
        monkeypatch.setattr(
            atomic.os,
            "link",
            lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")),
        )
    appear = {"file": lambda path: path.touch(), "folder": lambda path: path.mkdir()}

    def make(place, other):
        with Making() as made:
            made.file(place / "first").write(b"1")
            getattr(made, kind)(place / "new")
            appear[other](place / "new")

    for other in appear:
        place = tmp_path / other
        place.mkdir()
        with pytest.raises(
            DataError, match=r"new: appeared meanwhile and is left as it is; choose another name"
        ):
            make(place, other)
        assert names(place) == ["new"]
        assert (place / "new").is_dir() == (other == "folder")


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(
        atomic.os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOTSUP, "no links here"))
    )
    with Making() as made:
        made.file(tmp_path / "a").write(b"1")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_system_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "fcntl", None)
    with Making() as made:
        made.file(tmp_path / "a").write(b"1")
        made.folder(tmp_path / "b").write("c", b"1")
    assert names(tmp_path) == ["a", "b"]


def test_files_are_on_the_disk_before_they_have_names(tmp_path, monkeypatch):
    seen, real = [], os.fsync

    def noted(descriptor):
        seen.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")), names(tmp_path)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with Making() as made:
        made.folder(tmp_path / "b").write("c/d", b"1")
    assert [name for name, _ in seen[:2]] == ["d", "c"]
    assert all("b" not in there for _, there in seen[:3])
    assert seen[-1] == (tmp_path.name, ["b"])


def test_paths_where_nothing_can_be_made(tmp_path):
    (tmp_path / "there").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling"):
        with pytest.raises(
            DataError, match=f"{name}: exists already and is left as it is; choose another name"
        ):
            new_path(tmp_path / name)
    for name in ("absent/x", "there/x"):
        with pytest.raises(DataError, match="there is no folder .*; create it first"):
            new_path(tmp_path / name)
    with pytest.raises(DataError, match="the name is too long; choose a shorter one"):
        new_path(tmp_path / ("x" * 300))
    with pytest.raises(DataError, match="no name of a file"):
        new_path(str(tmp_path / "a\0b"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="may not be written .* check who may write there"):
        new_path(tmp_path / "x")


def test_a_folder_without_the_right_to_write_as_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        DataError,
        match=r"x: it may not be written \(Permission denied\); check who may write there",
    ):
        new_path(tmp_path / "x")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_left_of_what_cannot_be_locked(tmp_path, monkeypatch, kind):
    def refuse(opened, path):
        os.close(opened)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(atomic, "locked", refuse)

    def make():
        with Making() as made:
            getattr(made, kind)(tmp_path / "a")

    with pytest.raises(DataError, match=r"a: it cannot be written \(Input/output error\)"):
        make()
    assert names(tmp_path) == []


def test_long_names_of_any_script_have_room_for_a_hidden_one(tmp_path):
    for name in ("x" * 255, "\u6f22" * 85, "\U0001f600" * 63):
        with Making() as made:
            made.file(tmp_path / name).write(b"1")
    assert len(names(tmp_path)) == 3


def test_replace_takes_the_place_of_what_is_there(tmp_path):
    for content in (b"1", b"2"):
        replace(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"2"
    assert names(tmp_path) == ["a"]


# what killed processes left

KILLED = """
import sys, time
from pathlib import Path
from unseen.io.atomic import Making, scratch_folder
place = Path(sys.argv[1])
with Making() as made, scratch_folder(place / "b") as folder:
    made.file(place / "a").write(b"1")
    made.folder(place / "b").write("c", b"1")
    print("there", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that has a file and two folders in the making."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"there\n"
        yield process
        process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next(writer, tmp_path, caplog):
    caplog.set_level("INFO", logger="unseen")
    assert len(names(tmp_path)) == 3
    sweep(tmp_path)
    assert len(names(tmp_path)) == 3, "its process lives"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    with Making() as made:
        made.file(tmp_path / "other").write(b"")
    assert names(tmp_path) == ["other"]
    assert (
        sum(
            "was left by a process that was killed, and is removed" in said
            for said in caplog.messages
        )
        == 3
    )


def test_only_what_is_ours_is_swept(tmp_path):
    kept = [
        ".x.unseen-0123456789abcde",
        "x.unseen-0123456789abcdef",
        ".x.partial-01234567",
        ".unseen",
    ]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / ".x.unseen-0123456789abcdef").symlink_to(tmp_path / kept[0])
    sweep(tmp_path)
    assert names(tmp_path) == sorted([*kept, ".x.unseen-0123456789abcdef"])
    sweep(tmp_path / "absent")  # is no error


def test_a_name_that_another_process_swept_at_birth_is_tried_anew(tmp_path, monkeypatch):
    real, given = paths.hidden, []

    def hidden(target):
        given.append(real(target))
        return given[-1]

    def swept(opened, path):
        if len(given) == 1:
            path.unlink()
        return locked(opened, path)

    locked = paths.locked
    monkeypatch.setattr(atomic, "hidden", hidden)
    monkeypatch.setattr(atomic, "locked", swept)
    with Making() as made:
        made.file(tmp_path / "a").write(b"1")
    assert len(given) == 2
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_folder_that_another_process_swept_before_it_was_locked_is_made_anew(
    tmp_path, monkeypatch
):
    real, swept = os.open, []

    def late(path, *flags, **how):
        if not swept and Path(path).parent == tmp_path:
            swept.append(path)
            sweep(tmp_path)  # as another process would, which finds no lock
        return real(path, *flags, **how)

    monkeypatch.setattr(atomic.os, "open", late)
    with scratch_folder(tmp_path / "scores") as folder:
        (folder / "half").touch()
        assert not swept[0].exists()
    assert swept
    assert names(tmp_path) == []


def test_a_scratch_folder_goes_with_all_that_is_in_it(tmp_path):
    with scratch_folder(tmp_path / "a") as folder:
        (folder / "b").mkdir()
        (folder / "b" / "c").touch()
        assert folder.parent == tmp_path
    assert names(tmp_path) == []


# reading


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert regular(tmp_path / "link", most=4) == b"1234"
    start = time.monotonic()
    for place in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match="no regular file"):
            regular(place, most=4)
    assert time.monotonic() - start < 0.5
    with pytest.raises(OSError, match="expected at most 3 bytes, found 4"):
        regular(tmp_path / "file", most=3)

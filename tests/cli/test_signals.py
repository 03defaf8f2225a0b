"""What stops a run: it cleans up, says so by its exit status, and is heeded while Python still
imports.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import _unseen
from unseen.cli import main as cli
from unseen.cli.terminal import stoppable
from unseen.io.atomic import Making

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def heeded():
    """Signals are heeded, also where the tests run in the background or below nohup."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in STATUS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_what_stops_a_run_leaves_nothing_and_says_so(tmp_path, monkeypatch, capsys, number):
    def work(*_):
        with Making() as made:
            made.file(tmp_path / "table.csv").write(b"1")
            made.folder(tmp_path / "m").write("a", b"1")
            os.kill(os.getpid(), number)
        raise AssertionError("the signal was not heeded")

    before = {each: signal.getsignal(each) for each in STATUS}
    monkeypatch.setattr(cli, "app", SimpleNamespace(meta=work))
    assert cli.main(["fit"]) == STATUS[number]
    assert capsys.readouterr().err == "interrupted; nothing unfinished is left\n"
    assert os.listdir(tmp_path) == []
    assert {each: signal.getsignal(each) for each in STATUS} == before


def test_a_second_signal_does_not_stop_the_cleaning():
    cleaned = []

    def run():
        with stoppable():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(KeyboardInterrupt) as stop:
        run()
    assert stop.value.args == (signal.SIGTERM,)
    assert cleaned == [True]


def test_what_is_ignored_stays_ignored():
    """As below nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def importing(tmp_path):
    """A process that runs the command while its package takes long to import."""
    (tmp_path / "unseen").mkdir()
    (tmp_path / "unseen" / "__init__.py").touch()
    (tmp_path / "unseen" / "cli").mkdir()
    (tmp_path / "unseen" / "cli" / "__init__.py").touch()
    (tmp_path / "unseen" / "cli" / "main.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "_unseen.py").write_text(Path(_unseen.__file__).read_text())
    command = [sys.executable, "-c", "import _unseen; _unseen.main()"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env={"PYTHONPATH": str(tmp_path)}) as process:
        assert process.stdout.readline() == b"importing\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_a_signal_during_import(importing, number):
    importing.send_signal(number)
    assert importing.wait(5) == STATUS[number]
    assert importing.stderr.read() == b"", "no traceback"

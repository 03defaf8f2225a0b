"""What is a result, what is beside it, and how a script tells: standard output, standard error, and
the exit status.
"""

import re
import shutil
import signal

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from unseen.cli import main as cli
from unseen.cli import terminal

# what a terminal shows of each command meanwhile; `info` alone takes no time
SHOWN = {
    "fit train.csv --label label --method mahalanobis --out new": "training",
    "score m next.csv --out new.csv": "scoring rows",
    "score m next.csv --out new.csv --fdr 0.1 --reasons 2": "scoring rows",
    "adapt m normals.csv --out new": "adapting",
    "evaluate train.csv --label label --method mahalanobis --seeds 2 --json new.json": "fits done",
    "audit m train.csv --out new.csv": "auditing",
    "report m --out new.html": "measuring what it may miss",
    "report m --data next.csv --out new.html": "scoring rows",
    "drift m normals.csv": "comparing rows",
    "recalibrate m normals.csv --out new": "recalibrating",
    "check m train.csv --out new.csv": "checking",
    "blindspots m": "moving normal rows",
    "advise m next.csv --out new.csv": "scoring rows",
    "learn m answers.csv --data train.csv --out new": "training",
    "export m --format onnx --out new": "exporting",
}
AT_ONCE = {"info", "serve", "store", "token"}  # take no time, or go on until they are stopped


def table(seed, normals, **anomalies):
    """Three numbers a row: normal ones around 0, anomalies of a kind around where it lies."""
    rng = np.random.default_rng(seed)
    kinds = ["normal"] * normals + [kind for kind in anomalies for _ in range(40)]
    centres = [anomalies.get(kind, 0.0) for kind in kinds]
    x = rng.normal(size=(len(kinds), 3)) + np.array(centres)[:, None]
    return pa.table({name: x[:, k] for k, name in enumerate("abc")} | {"label": kinds})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a detector and tables."""
    folder = tmp_path_factory.mktemp("made")
    arrow_csv.write_csv(table(0, 300, high=5.0, low=-5.0), folder / "train.csv")
    arrow_csv.write_csv(table(1, 200).drop_columns("label"), folder / "normals.csv")
    arrow_csv.write_csv(table(2, 200, new=8.0).drop_columns("label"), folder / "next.csv")
    arrow_csv.write_csv(table(3, 5, new=8.0), folder / "answers.csv")
    fit = f"fit {folder}/train.csv --label label --method mahalanobis --out {folder}/m"
    assert cli.main(fit.split()) == 0
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """The same, to work in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def screen(monkeypatch):
    """Standard error as a terminal of 200 columns."""
    monkeypatch.setattr(
        terminal, "err", terminal.Printer(stderr=True, force_terminal=True, width=200)
    )


def run(line, capsys):
    status = cli.main(line.split())
    return status, *capsys.readouterr()


@pytest.mark.parametrize(("line", "words"), SHOWN.items(), ids=SHOWN)
def test_a_terminal_shows_progress_unless_silence_is_asked_for(here, capsys, screen, line, words):
    status, first, err = run(line, capsys)
    assert status == 0
    assert words in err
    for made in here.glob("new*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    status, second, err = run(f"{line} --quiet", capsys)
    assert (status, err) == (0, "")
    assert timeless(second) == timeless(first), "results are the same"


def timeless(text):
    """Without seconds, and what differs by the run."""
    return re.sub(r"[\d.,]+ s\b|Normal rows, and time.*?\n\n", "", text, flags=re.DOTALL)


def test_every_command_that_takes_time_is_above():
    assert {line.split()[0] for line in SHOWN} | AT_ONCE == set(cli.app) - {
        *cli.app.help_flags,
        *cli.app.version_flags,
    }


def test_no_progress_where_there_is_no_terminal(here, capsys):
    assert run("blindspots m", capsys)[2] == ""


@pytest.mark.parametrize("line", ["--quiet info nowhere", "info nowhere --quiet", "info --quiet"])
def test_errors_are_told_all_the_same(capsys, line):
    status, out, err = run(line, capsys)
    assert (status, out) == (2, "")
    assert "nowhere" in err or "requires an argument" in err


def test_notes_and_words_beside_a_result_are_no_errors(here, capsys):
    arrow_csv.write_csv(table(4, 20), "few.csv")
    fit = "fit few.csv --label label --method mahalanobis --out few"
    assert "note: only 20 normal rows" in run(fit, capsys)[2]
    shutil.rmtree("few")
    assert run(f"{fit} --quiet", capsys)[2] == ""
    assert "rows flagged" in run("score m next.csv --out -", capsys)[2]
    _, out, err = run("score m next.csv --out - --quiet", capsys)
    assert err == ""
    assert len(out.splitlines()) == 241


def test_help_tells_every_exit_status(here, capsys):
    told = run("--help", capsys)[1].partition("Exit status:\n")[2]
    assert "--quiet" in run("fit --help", capsys)[1]
    status = [int(n) for n in re.findall(r"(?<=[\s,])\d+(?=[ ,])", " " + told)]
    arrow_csv.write_csv(table(5, 600).set_column(0, "a", pa.array(np.full(600, 3.0))), "far.csv")
    seen = [run(line, capsys)[0] for line in ("info m", "info nowhere", "drift m far.csv")]
    assert seen == [0, 2, 3]
    stops = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE]
    assert status == [*seen, *(128 + stop for stop in stops), 1]

"""The command line on files without names, on standard input and standard output."""

import io
import subprocess
import sys

import numpy as np
import pytest

from unseen.cli import main as cli
from unseen.storage.bundle import Bundle

LIGHT = "--method mahalanobis"
KINDS = {9: "leak", 19: "crack"}


def lines(n=200, seed=0):
    """Two numbers and a label; every tenth row is far from the others."""
    x = np.random.default_rng(seed).normal(size=(n, 2)) + (np.arange(n)[:, None] % 10 == 9) * 6
    return [f"{a:.3f},{b:.3f},{KINDS.get(i % 20, 'normal')}" for i, (a, b) in enumerate(x)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with bare.csv, and named.csv, which begins with names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.csv").write_text("\n".join(lines()))
    (tmp_path / "named.csv").write_text("\n".join(["x,y,kind", *lines()]))
    return tmp_path


@pytest.fixture
def run(capsys, monkeypatch):
    def line(words, given=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        status = cli.main(words.split())
        said = capsys.readouterr()
        return status, said.out, said.err

    return line


def test_files_without_names(here, run):
    status, out, err = run(f"fit bare.csv --no-header --label x2 {LIGHT} --out m")
    assert (status, err) == (0, "")
    assert "200: 180 normal, 20 anomalies" in " ".join(out.split())
    assert f"unseen evaluate bare.csv --label x2 --no-header {LIGHT}" in out
    assert Bundle.load("m").facts["header"] is False
    for flag in ("", " --no-header"):
        assert (
            "of 200 rows flagged"
            in run(f"score m bare.csv --out s{len(flag)}.csv --keep x2{flag}")[1]
        )
    assert (here / "s0.csv").read_text() == (here / "s12.csv").read_text()
    assert "200 rows were taken" not in run("audit m bare.csv --out a.csv")[1]
    assert (here / "a.csv").read_text().count("\n") == 1 + 180
    assert run("adapt m bare.csv --out m2")[0] == 0
    assert Bundle.load("m2").facts["header"] is False
    assert "of 200 rows flagged" in run("score m2 bare.csv --out s2.csv")[1]
    status, out, _ = run(f"evaluate bare.csv --no-header --label x2 --seen 1 --seeds 1 {LIGHT}")
    assert status == 0


def test_a_first_row_that_was_taken_for_names_is_noted(here, run):
    name = lines()[0].split(",")[-1]
    err = run(f"fit bare.csv --label {name} {LIGHT} --out m")[2]
    assert (
        "note: bare.csv: the first line was taken for the names of the columns, but looks like a "
        "row" in err
    )
    assert "--no-header" in err
    assert run(f"fit named.csv --label kind {LIGHT} --out m3")[2] == ""


def test_no_header_means_nothing_for_images(here, run):
    (here / "photos").mkdir()
    status, out, err = run("fit photos --no-header --out m")
    assert (status, out) == (2, "")
    assert "leave out --no-header" in err


def test_training_and_scoring_from_standard_input(here, run):
    named = (here / "named.csv").read_bytes()
    status, out, err = run(f"fit - --label kind {LIGHT} --out m", named)
    assert (status, err) == (0, "")
    assert "standard input, labels in column 'kind'" in out
    assert f"unseen evaluate TRAIN --label kind {LIGHT}" in out
    assert run("score m named.csv --out s.csv")[0] == 0
    for words in ("score m - --out -", "score m - --out=-", "score m named.csv --out -"):
        status, out, err = run(words, named)
        assert status == 0
        assert out == (here / "s.csv").read_text()
        assert "of 200 rows flagged" in err
        assert "written to standard output" in err
    status, out, err = run("audit m - --out -", named)
    assert (status, out.count("\n")) == (0, 1 + 180)
    assert "180 rows were taken for normal" in err
    status, out, err = run("score m - --out -", b"")
    assert (status, out) == (2, "")
    assert "standard input: the file is empty" in err


def test_a_pipe_that_is_closed_ends_quietly(here, run):
    assert run(f"fit named.csv --label kind {LIGHT} --out m")[0] == 0
    words = [sys.executable, "-m", "unseen", "score", "m", "-", "--out", "-"]
    # scores of more than a pipe holds
    (here / "many.csv").write_text("x,y,kind\n" + "0.5,0.5,normal\n" * 20_000)
    with (
        (here / "many.csv").open("rb") as source,
        subprocess.Popen(
            words, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout.readline() == b'"row","score","pvalue","verdict"\n'
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(60) == 141
    assert "Traceback" not in said
    assert "error" not in said

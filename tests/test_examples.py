"""The examples run, and print the numbers that the pages quote."""

import csv
import re
import runpy
from itertools import chain
from pathlib import Path

import pytest

from unseen import Mahalanobis

ROOT = Path(__file__).parents[1]


def load(name):
    return runpy.run_path(str(ROOT / "examples" / name))


def quoted(page, start):
    """The text block of a page that begins with `start`."""
    blocks = re.findall(r"^```text\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if block.startswith(start))


def columns(text):
    """Words and numbers of each line."""
    return [line.split() for line in text.strip().splitlines()]


def agree(found, said):
    """Words alike; numbers alike up to what another processor's rounding may do to a few rows."""
    number = re.compile(r"-?[\d.]+%?")
    if number.fullmatch(found) and number.fullmatch(said):
        return float(found.strip("%")) == pytest.approx(float(said.strip("%")), rel=0.03, abs=2)
    return found == said


def test_threshold_prints_what_the_page_quotes(capsys):
    load("threshold.py")["main"]()
    printed, page = columns(capsys.readouterr().out), columns(quoted("docs/calibration.md", "trained on 480"))
    assert [len(line) for line in printed] == [len(line) for line in page]
    for found, said in zip(chain(*printed), chain(*page), strict=True):
        assert agree(found, said), f"prints {found}, the page says {said}"


def test_sklearn_pipeline(capsys):
    load("sklearn_pipeline.py")["main"]((Mahalanobis(),))
    name, known, unknown = capsys.readouterr().out.splitlines()[1].split()
    assert name == "Mahalanobis"
    assert float(known) > 0.95
    assert float(unknown) > 0.85


def test_demo_hides_what_it_says(tmp_path):
    """The tables of the demo: ten rows of each labelled digit in training, none of the others, no row in both."""
    load("demo.py")["write_tables"](tmp_path)
    files = [(tmp_path / name).read_text().splitlines() for name in ("train.csv", "test.csv")]
    train, test = (list(csv.DictReader(lines)) for lines in files)
    kinds = [row["kind"] for row in train]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"normal": 480, "four": 10, "five": 10, "six": 10}
    assert {row["kind"] for row in test} == {"normal", "four", "five", "six", "seven", "eight", "nine"}
    assert len(train) + len(test) == 1797
    assert not {row["row"] for row in train} & {row["row"] for row in test}


def test_demo_clears_only_what_it_wrote(tmp_path):
    for name in ("scores.csv", "mine.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "model").mkdir()
    load("demo.py")["clear"](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

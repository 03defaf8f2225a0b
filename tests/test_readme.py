"""What the README shows: its commands run, and its demo output is what the demo prints."""

import os
import re
import shlex
from pathlib import Path

import pytest

from unseen.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text()
LIGHT = ["--method", "mahalanobis"]  # the commands are under test here, not the default method
NUMBER = re.compile(r"\d[\d,]*\.?\d*|\.\d+")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("unseen ")]


def test_commands_run_in_their_order(demo_tables, tmp_path, monkeypatch):
    (tmp_path / "demo").symlink_to(demo_tables / "demo")
    monkeypatch.chdir(tmp_path)
    assert {command[1] for command in commands()} == {"fit", "score", "evaluate", "info"}
    for _, name, *arguments in commands():
        lighter = LIGHT if name in ("fit", "evaluate") else []
        assert main([name, *arguments, *lighter]) == 0, shlex.join(["unseen", name, *arguments])
    assert (tmp_path / "scores.csv").read_text().splitlines()[0] == '"row","kind","score","pvalue","verdict"'


def demo_output():
    return next(block for block in blocks("text") if block.startswith("$ unseen fit"))


def timeless(lines):
    """Lines without what depends on the machine: seconds, and rows a second."""
    timed = False
    for line in lines:
        timed = line.startswith("Normal rows, and time") or (timed and line != "")
        yield re.sub(r"(%|\S*e-stack|devnet|mahalanobis)\s+.*", r"\1", line) if timed and "%" in line else line


def orderly(lines):
    """Lines with the classes of each table by their names: by their figures, another processor may order them anew."""
    rows = None
    for line in [*lines, ""]:
        if rows is not None and not line.strip():
            yield from sorted(rows)
            rows = None
        if rows is None:
            yield line
        else:
            rows.append(line)
        if line.split()[:2] == ["class", "rows"]:
            rows = []


def alike(found, said):
    """Words alike, numbers up to what another processor's rounding may do."""
    if NUMBER.sub("#", found).split() != NUMBER.sub("#", said).split():
        return False
    pairs = zip(NUMBER.findall(found), NUMBER.findall(said), strict=True)
    return all(abs(value(a) - value(b)) <= (0.05 if "." in b else 5) for a, b in pairs)


def value(text):
    return float(text.replace(",", ""))


def test_classes_may_change_places_and_figures_their_last_digits_but_no_more():
    said = ["class  rows  AUROC", "six  171  0.994", "seven  179  0.995", "", "after"]
    moved = ["class  rows  AUROC", "seven  179  0.993", "six  171  0.994", "", "after"]
    assert list(orderly(said)) == ["class  rows  AUROC", "seven  179  0.995", "six  171  0.994", "", "after", ""]
    assert all(alike(a, b) for a, b in zip(orderly(moved), orderly(said), strict=True))
    assert not alike("six  171  0.894", "six  171  0.994")
    assert not alike("five  171  0.994", "six  171  0.994")


@pytest.mark.skipif("UNSEEN_DEMO_LOG" not in os.environ, reason="needs UNSEEN_DEMO_LOG, what `make demo` printed")
def test_demo_prints_what_the_readme_quotes():
    """Every quoted line, in order; '...' stands for lines left out. Run by .ci/run."""
    printed = orderly(timeless(Path(os.environ["UNSEEN_DEMO_LOG"]).read_text().splitlines()))
    for said in orderly(timeless(demo_output().splitlines())):
        if said.strip() in ("", "...") or said.startswith("Trained in"):
            continue
        assert any(alike(found, said) for found in printed), f"the demo does not print, or not here: {said}"

"""The examples run, and print the numbers that the pages quote."""

import csv
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from torch.nn.functional import max_pool2d

from unseen import Detector, Mahalanobis
from unseen.methods import Patches
from unseen.testing import CHECKS
from unseen.vision.features import Features
from unseen.vision.images import Images
from unseen.vision.maps import Maps

ROOT = Path(__file__).parents[1]


def load(name):
    return runpy.run_path(str(ROOT / "examples" / name))


def quoted(page, start):
    """The text block of a page that begins with `start`."""
    blocks = re.findall(
        r"^```text\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE
    )
    return next(block for block in blocks if block.startswith(start))


def columns(text):
    """Words and numbers of each line."""
    return [line.split() for line in text.strip().splitlines()]


def agree(found, expected):
    """Words alike; numbers alike up to what another processor's rounding may do to a few rows."""
    number = re.compile(r"-?[\d.]+%?")
    if number.fullmatch(found) and number.fullmatch(expected):
        return float(found.strip("%")) == pytest.approx(float(expected.strip("%")), rel=0.03, abs=2)
    return found == expected


def test_threshold_prints_what_the_page_quotes(capsys):
    load("threshold.py")["main"]()
    printed, page = (
        columns(capsys.readouterr().out),
        columns(quoted("docs/guides/calibration.md", "trained on 480")),
    )
    assert [len(line) for line in printed] == [len(line) for line in page]
    for found, expected in zip(chain(*printed), chain(*page), strict=True):
        assert agree(found, expected), f"prints {found}, the page says {expected}"


def test_decision_prints_what_the_tutorial_quotes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    load("decision.py")["main"]()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    text = (ROOT / "docs" / "tutorial" / "decision.md").read_text()
    blocks = re.findall(r"^```text\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    expected = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert len(printed) == len(expected)
    for found, quote in zip(printed, expected, strict=True):
        for one, other in zip(found.split(), quote.split(), strict=True):
            assert agree(one.strip("(),;:."), other.strip("(),;:.")), f"{found!r} is not {quote!r}"
    page = (tmp_path / "report.html").read_text()
    assert "july.csv" in page


LOOPBACK = ROOT / "tests" / "loopback"


def alone(*words):
    """What a program of Python prints that may reach this machine alone; the rest is an error."""
    path = os.pathsep.join([str(LOOPBACK), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_connection_to_another_machine_is_seen():
    """Also one of a child, and the question for an address."""
    outside = "import socket; socket.socket().connect(('192.0.2.1', 9))"
    child = (
        f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {outside!r}]))"
    )
    asks = "import socket; socket.getaddrinfo('unseen.invalid', 80)"
    here = "import socket; s = socket.create_server(('127.0.0.1', 0)); \
socket.create_connection(s.getsockname())"
    found = [alone("-c", program) for program in (outside, child, asks, here)]
    assert [each.returncode for each in found] == [97, 97, 97, 0]
    assert "reached outside" in found[1].stderr


def test_demo_service_prints_what_the_tutorial_quotes_and_reaches_no_other_machine(tmp_path):
    """Run here, or by .ci/run before."""
    log = os.environ.get("UNSEEN_SERVICE_LOG")
    if log:
        text = Path(log).read_text().split("\n--- make ")[0]  # how long it took, behind it
    else:
        made = alone(str(ROOT / "examples" / "demo_service.py"), str(tmp_path / "demo"))
        assert made.returncode == 0, made.stdout + made.stderr
        text = made.stdout
    page = (ROOT / "docs" / "tutorial" / "service.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    printed, expected = (
        [re.sub(r":\d+$|\d+ seconds", "", line) for line in each.splitlines() if line.strip()]
        for each in (text[text.index("$ unseen") :], "".join(blocks))
    )
    for found, quote in zip(printed, expected, strict=False):
        for one, other in zip(found.split(), quote.split(), strict=True):
            assert agree(one.strip("(),;:."), other.strip("(),;:.")), f"{found!r} is not {quote!r}"
    assert len(printed) == len(expected) + 2  # where the page is, and a token
    assert "token" in printed[-1]


def test_sklearn_pipeline(capsys):
    load("sklearn_pipeline.py")["main"]((Mahalanobis(),))
    name, known, unknown = capsys.readouterr().out.splitlines()[1].split()
    assert name == "Mahalanobis"
    assert float(known) > 0.95
    assert float(unknown) > 0.85


def test_own_method(monkeypatch, capsys):
    """As a program of its own, beside which the module of the method is imported by its path."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.delitem(sys.modules, "own_method", raising=False)
    runpy.run_path(str(ROOT / "examples" / "own_method.py"), run_name="__main__")
    *checks, benign, malignant = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in checks] == [check.__name__ for check in CHECKS]
    assert {line.split()[1] for line in checks} == {"passed", "does"}
    flagged, rows = re.findall(r"\d+", benign)
    assert int(flagged) < 0.1 * int(rows)
    flagged, rows = re.findall(r"\d+", malignant)
    assert int(flagged) > 0.5 * int(rows)


def test_demo_hides_what_it_says(tmp_path):
    """The tables of the demo: ten rows of each labelled digit in training, none of the others, no
    row in both.
    """
    load("demo.py")["write_tables"](tmp_path)
    files = [(tmp_path / name).read_text().splitlines() for name in ("train.csv", "test.csv")]
    train, test = (list(csv.DictReader(lines)) for lines in files)
    kinds = [row["kind"] for row in train]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "normal": 480,
        "four": 10,
        "five": 10,
        "six": 10,
    }
    assert {row["kind"] for row in test} == {
        "normal",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
    }
    assert len(train) + len(test) == 1797
    assert not {row["row"] for row in train} & {row["row"] for row in test}


def test_demo_clears_only_what_it_wrote(tmp_path):
    for name in ("scores.csv", "mine.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "model").mkdir()
    load("demo.py")["clear"](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture(scope="module")
def bricks(tmp_path_factory):
    """The image demo, and a folder of a few images that it made."""
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    demo = load("demo_images.py")
    folder = tmp_path_factory.mktemp("demo") / "images"
    defects = {"scratch": 2, "spot": 2}
    defects = {"scratch": 1, "spot": 1}
    counts = {"train": {"normal": 30, **defects}, "test": {"normal": 3, **defects, "cut": 1}}
    demo["clear"](folder)
    demo["make_images"](folder, counts, np.random.default_rng(0))
    return demo, folder


def test_demo_images_hides_what_it_says(bricks):
    demo, folder = bricks
    train, test = Images.read(folder / "train"), Images.read(folder / "test")
    assert Counter(train.labels) == {"normal": 30, "scratch": 1, "spot": 1}
    assert Counter(test.labels) == {"normal": 3, "scratch": 1, "spot": 1, "cut": 1}
    assert demo["UNSEEN"] == ("cut",)
    assert len({file.read_bytes() for file in train.files + test.files}) == 38  # no image twice
    for label, mask in zip(test.labels, test.masks, strict=True):
        assert (mask is None) == (label == "normal")


def test_demo_images_measures_and_draws(bricks, capsys):
    """With features and a method that take no time, and find what is dark: a cut is."""
    demo, folder = bricks
    features = Features(Darkest(), size=160)
    train, test = (Maps.of(Images.read(folder / part), features) for part in ("train", "test"))
    method = Patches(Mahalanobis(), stride=1)
    judged = demo["judge"](
        detector := Detector(method, calibration=2, random_state=0).fit(train), test
    )
    figures = {kind: demo["measured"](judged, kind) for kind in ("cut", "scratch", "spot")}
    demo["draw"](folder, detector)
    demo["tell"](figures, judged.pvalue[judged.of("normal")], 30)
    printed = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +1 ", printed, flags=re.MULTILINE) == ["scratch", "spot", "cut"]
    assert (
        printed.index("Seen kinds")
        < printed.index("spot")
        < printed.index("Unseen kind")
        < printed.index("cut")
    )
    assert figures["cut"].image == 1
    assert figures["cut"].pixel > 0.95
    assert "of 3 (" in printed
    assert "no p-value is below 1/31 = 0.0323" in printed
    report = (folder / "report.html").read_text()
    assert report.count('<li class="photo">') == (judged.pvalue <= 0.05).sum() >= 1
    assert "cut/000.jpg, its heat" in report


class Darkest(nn.Module):
    """The darkest of 8 x 8 pixels."""

    def forward(self, x):
        return -max_pool2d(-x, 8)


def test_demo_images_clears_only_what_it_made(bricks, tmp_path):
    demo, _ = bricks
    other, own = tmp_path / "other", tmp_path / "own"
    (other / "train").mkdir(parents=True)
    with pytest.raises(SystemExit, match="other: it was not made by this demo"):
        demo["clear"](other)
    assert (other / "train").is_dir()
    demo["clear"](own)
    (own / "cache").mkdir()
    (own / "mine.txt").touch()
    demo["clear"](own)
    assert sorted(path.name for path in own.iterdir()) == ["about.txt", "mine.txt"]

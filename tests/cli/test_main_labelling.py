"""blindspots, advise and learn on the command line: from rows that nobody labelled to a detector
that knows them.
"""

import csv
import re
import shutil

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from unseen.cli import main as cli
from unseen.report.blindspots import of_moves
from unseen.storage.bundle import Bundle


def write(path, kinds, normals, *, seed, label=True, each=12):
    """Rows with an id; `kinds` name the column in which theirs lie far, x or y."""
    rng = np.random.default_rng(seed)
    names = ["normal"] * normals + [kind for kind in kinds for _ in range(each)]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "x", "y", *(["kind"] if label else [])])
        for k, name in enumerate(names):
            x, y = rng.normal(size=2) + 8.0 * np.array([name == "wide", name == "tall"])
            x -= 8.0 * (name == "narrow")
            out.writerow([seed * 1000 + k, f"{x:.3f}", f"{y:.3f}", *([name] if label else [])])
    return names


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A detector m of two kinds, and new.csv in which there is a third one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.csv", ["wide", "tall"], 200, seed=1)
    truth = write(tmp_path / "new.csv", ["narrow", "wide"], 100, seed=2, label=False)
    words = "fit train.csv --label kind --drop id --method mahalanobis --out m"
    assert cli.main(words.split()) == 0
    return tmp_path, truth


def answer(folder, truth, n=6, label="kind"):
    """Ask for rows, and fill them in."""
    assert cli.main(f"advise m new.csv -n {n} --out rows.csv".split()) == 0
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row[label] = truth[int(row["row"]) - 1]
    with (folder / "answers.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    return rows


def test_advice_is_a_table_to_fill_in(here, capsys):
    folder, truth = here
    capsys.readouterr()
    rows = answer(folder, truth)
    said = capsys.readouterr().out
    assert "6 rows to label: 3 likely anomalies, 3 unlike what is labelled." in said
    assert "unseen learn m rows.csv --data TRAIN --out m-2" in said
    assert list(rows[0]) == ["kind", "row", "score", "pvalue", "why", "id", "x", "y"]
    assert "narrow" in {row["kind"] for row in rows}
    assert all(int(row["id"]) == 2000 + int(row["row"]) - 1 for row in rows)


@pytest.mark.parametrize("data", ["--data train.csv", ""])
def test_answers_are_learned_beside_the_training_rows(here, capsys, data):
    folder, truth = here
    rows = answer(folder, truth)
    capsys.readouterr()
    assert cli.main(f"learn m answers.csv {data} --out m2".split()) == 0
    said = capsys.readouterr().out
    narrow = sum(row["kind"] == "narrow" for row in rows)
    assert f"{narrow} 'narrow' (new)" in said
    assert "Kinds that nobody has labelled, expected to be found:" in said
    new = Bundle.load(folder / "m2")
    assert new.detector.classes_ == ("narrow", "tall", "wide")
    assert new.facts["anomalies"]["narrow"] == narrow
    assert new.facts["rows"] == 224 + len(rows)
    assert "id" not in new.detector.schema_.inputs


def test_rows_answered_to_be_normal_do_not_calibrate(here):
    folder, truth = here
    rows = answer(folder, truth)
    for row in rows:
        row["kind"] = "normal"
    with (folder / "answers.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    assert cli.main(["learn", "m", "answers.csv", "--data", "train.csv", "--out", "m2"]) == 0
    held = np.concatenate([m.held_out for m in Bundle.load("m2").detector.members_])
    assert held.max() < 224  # answers stand behind the training rows
    assert len(held) == 200


def test_an_answer_counts_and_not_the_same_row_of_training(here, capsys):
    folder, truth = here
    shutil.rmtree("m")
    words = "fit new.csv --drop id --method mahalanobis --out m"
    assert cli.main(words.split()) == 0
    rows = answer(folder, truth, label="label")
    capsys.readouterr()
    found = [k for k, row in enumerate(rows) if row["label"] != "normal"]
    assert found
    assert cli.main(["learn", "m", "answers.csv", "--data", "new.csv", "--out", "m2"]) == 0
    said = capsys.readouterr().err
    assert f"{len(found)} rows that are answered to be anomalies are among the training" in said
    new = Bundle.load(folder / "m2")
    assert new.facts["rows"] == 124 + len(rows) - len(found)
    assert new.facts["normals"] == 124 - len(found)
    assert sum(new.facts["anomalies"].values()) == len(found)


def test_rows_with_a_label_are_not_asked_about(here, capsys):
    folder, _ = here
    write(folder / "half.csv", ["wide"], 50, seed=3)
    assert cli.main(["advise", "m", "half.csv", "--out", "rows.csv"]) == 2
    assert "expected rows without a label" in capsys.readouterr().err


def test_what_cannot_be_learned_is_said(here, capsys):
    folder, _ = here
    assert cli.main(["advise", "m", "new.csv", "--out", "rows.csv"]) == 0
    assert cli.main(["learn", "m", "rows.csv", "--out", "m2"]) == 2
    assert "expected answers in column 'kind', found none in 10 rows" in capsys.readouterr().err
    assert not (folder / "m2").exists()


def test_an_answer_that_holds_no_number_is_named(here, capsys):
    (here[0] / "answers.csv").write_text("kind,x,y\nwide,8.1,0.2\ntall,0.1,far\n")
    assert cli.main(["learn", "m", "answers.csv", "--data", "train.csv", "--out", "m2"]) == 2
    said = capsys.readouterr().err
    assert "answers.csv: column 'y': 1 of 2 values are not numbers, first 'far' in row 2" in said


def test_long_ways_are_written_in_full():
    far = {"what": "load up", "usual_range": 195.0, "distance": 31200.0, "ranges": 160.0}
    table = pa.Table.from_pylist([far | {"column": "load", "caught": 1.0}])
    console = Console(width=80)
    with console.capture() as shown:
        console.print(of_moves(table, 0.05))
    assert "31,200" in shown.get()


def test_blind_spots_are_told(here, capsys):
    folder, _ = here
    capsys.readouterr()
    assert cli.main(["blindspots", "m", "--out", "moves.csv"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Of a kind that nobody has labelled it is expected to find 93%" in said
    assert "x up" in said
    with (folder / "moves.csv").open() as file:
        moves = {row["what"]: row for row in csv.DictReader(file)}
    assert 1.0 < float(moves["x up"]["distance"]) < 4.0
    assert set(moves) == {"x up", "x down", "y up", "y down", "x missing", "y missing"}


def test_blind_spots_under_a_policy(here, capsys):
    capsys.readouterr()
    assert cli.main(["blindspots", "m", "--fdr", "0.2", "--share", "0.1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    level = re.search(r"at ([\d.]+)% false alarms", said).group(1)
    assert 0.5 <= float(level) < 5.0
    assert "In 1,000 rows, 100 of them of kinds" in said
    assert f"until p <= {float(level) / 100:.3g}" in said
    assert cli.main(["blindspots", "m", "--per-day", "50", "--traffic", "1000"]) == 0
    assert "at 5% false alarms" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["blindspots", "m", "--cost", "2", "1", "--share", "0.0001"]) == 2
    assert "--share 0.1" in capsys.readouterr().err
    assert cli.main(["blindspots", "m", "--by-group"]) == 2
    assert "leave --by-group out" in capsys.readouterr().err


def test_there_is_nothing_to_choose_from(here, capsys):
    folder, _ = here
    (folder / "none.csv").write_text("id,x,y\n")
    assert cli.main(["advise", "m", "none.csv", "--out", "rows.csv"]) == 2
    assert "none.csv: expected rows to choose from, found none" in capsys.readouterr().err
    assert not (folder / "rows.csv").exists()

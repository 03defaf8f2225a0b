"""The command line: what a user types, reads, and finds on the disk."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

import unseen
from unseen.cli import main as cli
from unseen.detector.settings import configured
from unseen.errors import DataError
from unseen.evaluation.choices import Protocol
from unseen.methods import catalogue
from unseen.methods.comet import CoMet
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Nearest
from unseen.storage.bundle import Bundle

LIGHT = ("--method", "mahalanobis")


def rows(normals=200, anomalies=30, seed=0):
    """Two numbers, a category, a bookkeeping column and labels: normal, up, down, left."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(["normal", "up", "down", "left"], [normals, anomalies, anomalies, anomalies])
    shift = {"normal": (0, 0), "up": (0, 5), "down": (0, -5), "left": (-5, 0)}
    x = rng.normal(size=(len(kinds), 2)) + [shift[kind] for kind in kinds]
    service = rng.choice(["http", "ftp"], len(kinds))
    return pa.table(
        {
            "x": x[:, 0],
            "y": x[:, 1],
            "service": service,
            "run": np.arange(len(kinds)),
            "label": kinds,
        }
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with train.parquet and train.csv."""
    monkeypatch.chdir(tmp_path)
    parquet.write_table(rows(), "train.parquet")
    arrow_csv.write_csv(rows(), "train.csv")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder that `unseen fit` made."""
    folder = tmp_path_factory.mktemp("model")
    parquet.write_table(rows(), folder / "train.parquet")
    line = [
        "fit",
        str(folder / "train.parquet"),
        "--label",
        "label",
        "--drop",
        "run",
        *LIGHT,
        "--out",
        str(folder / "m"),
    ]
    assert cli.main(line) == 0
    return folder / "m"


def run(line, capsys):
    """Exit status, standard output and standard error of a command line."""
    status = cli.main(line.split())
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err, "no colours where there is no terminal"
    return status, said.out, said.err


def refused(line, capsys):
    """The error of a command line that its user can put right: one message, no traceback, nothing
    as a result.
    """
    status, out, err = run(line, capsys)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    return err


def unboxed(text):
    """A message that stands in a box, on one line, however long the list in it is."""
    return " ".join(text.replace("│", " ").split())


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# the main job


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_fit_then_score(here, capsys, suffix):
    status, out, err = run(
        f"fit train.{suffix} --label label --drop run --method mahalanobis --out m", capsys
    )
    assert (status, err) == (0, "")
    for told in (
        "290: 200 normal, 90 anomalies",
        "3 used, encoded as 5 numbers",
        "left out     run",
        "unseen score m DATA",
    ):
        assert told in out
    assert f"unseen evaluate train.{suffix} --label label --drop run --method mahalanobis" in out
    status, out, err = run(f"score m train.{suffix} --out s.csv --keep run label", capsys)
    assert status == 0
    scores = read_csv("s.csv")
    assert list(scores[0]) == ["run", "label", "score", "pvalue", "verdict"]
    assert [int(row["run"]) for row in scores] == list(range(290))
    flagged = {row["run"] for row in scores if row["verdict"] == "anomaly"}
    assert flagged == {row["run"] for row in scores if float(row["pvalue"]) <= 0.05}
    assert (
        f"{len(flagged)} of 290 rows flagged at p <= 0.05. About 5% of normal rows are expected "
        "among them." in out
    )
    assert sum(row["verdict"] == "anomaly" for row in scores if row["label"] != "normal") > 80
    assert err == ""  # nothing of columns that training did not show: they are kept
    _, _, err = run(f"score m train.{suffix} --out t.csv --keep run", capsys)
    assert "note: columns that the detector did not learn from are ignored: 'label'" in err


def test_the_saved_detector_is_the_one_that_was_asked_for(here, capsys):
    line = (
        "fit train.csv --label label --normal normal --drop run --group service --method nearest "
        "--set k=3 whiten=true --kind y=category --seed 7 --out m"
    )
    assert run(line, capsys)[0] == 0
    bundle = Bundle.load("m")
    assert bundle.detector.method == Nearest(k=3, whiten=True)
    assert bundle.detector.random_state == 7
    assert [(column.name, column.kind) for column in bundle.detector.schema_.columns] == [
        ("x", "number"),
        ("y", "category"),
    ]
    assert bundle.facts["anomalies"] == {"down": 30, "left": 30, "up": 30}
    assert (bundle.facts["group"], bundle.facts["drop"]) == ("service", ["run"])


def test_the_same_line_gives_the_same_scores(here, capsys):
    for name in ("m1", "m2"):
        assert (
            run(
                f"fit train.csv --label label --method isolation-forest --set trees=5 --out {name}",
                capsys,
            )[0]
            == 0
        )
    first, second = (Bundle.load(name).score(rows()) for name in ("m1", "m2"))
    assert first == second


def test_false_discovery_rate(model, here, capsys):
    assert run(f"score {model} train.parquet --out s.parquet --fdr 0.1", capsys)[0] == 0
    verdicts = np.array(parquet.read_table("s.parquet")["verdict"].to_pylist()) == "anomaly"
    assert np.array_equal(verdicts, Bundle.load(model).detector.detect(rows(), fdr=0.1))


def test_a_tail_is_asked_for_when_fitting_or_when_scoring(model, here, capsys):
    line = "fit train.parquet --label label --drop run --method mahalanobis --tail --out m"
    assert "those of a model (tail)" in " ".join(run(line, capsys)[1].split())
    for folder, flags in ((here / "m", ""), (model, "--tail")):
        assert (
            run(f"score {folder} train.parquet --out s.parquet --alpha 0.001 {flags}", capsys)[0]
            == 0
        )
        assert min(parquet.read_table("s.parquet")["pvalue"].to_pylist()) < 0.001
        (here / "s.parquet").unlink()


def test_one_labelled_anomaly_is_enough(here, capsys):
    parquet.write_table(rows()[:201], "one.parquet")
    assert (
        run("fit one.parquet --label label --drop run --method nearest-ratio --out m", capsys)[0]
        == 0
    )
    assert Bundle.load("m").facts["anomalies"] == {"up": 1}


def test_several_values_after_one_flag_or_one_each(here, capsys):
    for drop in ("--drop run service", "--drop run --drop service"):
        name = str(len(drop))
        assert (
            run(f"fit train.csv --label label {drop} --method mahalanobis --out {name}", capsys)[0]
            == 0
        )
        assert [column.name for column in Bundle.load(name).detector.schema_.columns] == ["x", "y"]


def test_info(model, capsys):
    status, out, err = run(f"info {model}", capsys)
    assert (status, err) == (0, "")
    for told in (
        "mahalanobis (shrinkage 0.001)",
        "torch 2.",
        "290: 200 normal",
        "2: x, y",
        "1: service",
        "left out     run",
    ):
        assert told in out
    assert "200 normal rows in 5 folds" in out
    assert "the smallest p-value is 0.005" in out  # 1 / 201
    told = " ".join(out.split())
    assert "new kinds Only if anomalies were labelled as they came" in told  # before any figure
    assert "chosen: 0.0% that the next anomaly is of a kind without labels" in told
    assert "0 of 3 kinds have one label of 90" in told


def test_score_with_kinds(here, model, capsys):
    status, out, _ = run(f"score {model} train.csv --out s.csv --keep label --kinds", capsys)
    assert status == 0
    found = read_csv("s.csv")
    assert list(found[0])[1:] == ["score", "pvalue", "verdict", "kind", "kind_pvalue", "novelty"]
    for row in found:
        assert (row["kind"] == "normal") == (row["verdict"] == "normal")
        assert (row["kind_pvalue"] == "") == (row["verdict"] == "normal")
    kinds = [row["kind"] for row in found if row["label"] == "up" and row["kind"] != "normal"]
    assert kinds.count("up") > len(kinds) / 2
    assert f"'up' ({sum(row['kind'] == 'up' for row in found)})" in out.split("Alarms by kind: ")[1]


def test_info_of_a_stack_tells_how_far_each_member_is_trusted(here, capsys, monkeypatch):
    small = unseen.EvidenceStack(base_scores=("mahalanobis", "nearest", "ratio"))
    monkeypatch.setattr(catalogue, "DEFAULT", small)
    assert run("fit train.csv --label label --drop run --out m", capsys)[0] == 0
    scorer = Bundle.load("m").detector.members_[0].scorer
    out = run("info m", capsys)[1]
    [line] = [
        line.split()
        for line in out.splitlines()
        if line.startswith("distance to the nearest normals ")
    ]
    assert line[5:] == [f"{value:.3f}" for value in (scorer.weights[1], *scorer.auroc[1])]
    table = out[out.index("Evidence by weight") :].splitlines()
    weights = [float(found[1]) for row in table if (found := re.search(r" (0\.\d{3}) ", row))]
    assert weights == sorted(weights, reverse=True)
    assert len(weights) == 3


# evaluate


def test_evaluate_keeps_seen_and_unseen_apart(here, capsys):
    # 60 up, 60 down, 30 left
    parquet.write_table(pa.concat_tables([rows(anomalies=60)[:320], rows()[-30:]]), "more.parquet")
    line = (
        "evaluate more.parquet --label label --drop run --seen 1 --seeds 2 --method "
        "mahalanobis --json e.json"
    )
    status, out, _ = run(line, capsys)
    assert status == 0
    [report] = json.loads((here / "e.json").read_text())["methods"]
    assert report["method"] == "mahalanobis"
    keys = {"unseen", "seen", "normals_flagged_at_5", "fit_seconds", "rows_per_second", "classes"}
    assert keys <= set(report)
    for role in ("unseen", "seen"):
        assert set(report[role]) == {"auroc", "tpr_at_5_fpr", "tpr_at_1_fpr", "ap_1", "worst_auroc"}
    unseen_table, seen_table = out.index("Unseen classes: "), out.index("Seen classes: ")
    assert f"{report['unseen']['auroc']['mean']:.3f}±" in out[unseen_table:seen_table]
    assert f"{report['seen']['auroc']['mean']:.3f}±" in out[seen_table:]
    assert "fewer than 20 test rows: listed, not averaged" in out  # halves of 30 rows
    assert max(map(len, out.splitlines())) <= 80


def test_evaluate_says_how_blind_the_detector_is(here, capsys):
    parquet.write_table(rows(seed=1), "test.parquet")
    line = (
        "evaluate train.parquet --test test.parquet --label label --drop run --seeds 1 "
        "--method mahalanobis forest"
    )
    assert run(f"{line} --seen 2 --json e.json", capsys)[0] == 0
    reports = json.loads((here / "e.json").read_text())["methods"]
    assert [report["method"] for report in reports] == ["mahalanobis", "forest"]
    (here / "e.json").unlink()
    out = " ".join(run(line, capsys)[1].split())
    for report in reports:
        worst = next(row for row in report["classes"] if row["role"] == "unseen")
        found = (
            f"with at least 20 rows {worst['class']!r} is found worst, AUROC {worst['auroc']:.3f}"
        )
        assert f"How blind {report['method']} still is: of the unseen classes {found}" in out


def test_evaluate_says_that_no_label_was_used(here, capsys):
    line = "evaluate train.csv --label label --drop run --seeds 1 --method mahalanobis"
    status, out, err = run(f"{line} --shots 999", capsys)
    assert status == 0
    assert "Seen classes: none, so no label was used" in out
    assert "takes 999 training rows of it (half of its rows train, half test), and" in err
    out, err = run(f"{line} --shots 999 --test train.csv", capsys)[1:]
    assert "takes 999 training rows of it, and another class that stays unseen" in err


def test_the_flags_of_the_protocol_are_its_fields(capsys):
    out = run("evaluate --help", capsys)[1]
    for field in dataclasses.fields(Protocol):
        assert f"--{field.name} " in out
        assert f"[default: {field.default}]" in " ".join(out.replace("│", " ").split())


# audit


def test_audit_writes_the_rows_that_look_least_normal_first(here, capsys):
    hidden = rows(anomalies=10).to_pandas()
    hidden.loc[200:209, "label"] = "normal"  # up
    hidden.loc[210:212, "label"] = None  # down
    hidden.to_parquet("hidden.parquet")
    assert (
        run("fit hidden.parquet --label label --drop run --method mahalanobis --out m", capsys)[0]
        == 0
    )
    status, out, err = run("audit m hidden.parquet --out s.csv", capsys)
    assert (status, err) == (0, "")
    found = read_csv("s.csv")
    assert list(found[0]) == ["row", "weight", "score", "x", "y", "service", "run", "label"]
    assert all(int(row["row"]) == int(row["run"]) + 1 for row in found)  # counted from 1
    assert sorted(int(row["run"]) for row in found) == list(range(213))
    assert sum(int(row["run"]) >= 200 for row in found[:20]) > 10
    weight = [float(row["weight"]) for row in found]
    assert weight == sorted(weight)
    doubted = sum(value < 1 for value in weight)
    assert f"213 rows were taken for normal; {doubted} have a weight below 1" in out


def test_audit_of_weights_that_training_used(here, capsys):
    line = (
        "fit train.csv --label label --drop run --method comet --set base=autoencoder "
        "base.steps=40 meta=none --out m"
    )
    assert run(line, capsys)[0] == 0
    assert run("audit m train.csv --out s.parquet --keep run", capsys)[0] == 0
    found = parquet.read_table("s.parquet")
    assert found.column_names == ["weight", "score", "run"]
    expected = Bundle.load("m").detector.audit(
        rows().drop_columns(["run", "label"]), rows()["label"]
    )
    assert found["run"].cast(pa.int64()) == expected["row"]
    assert found["weight"] == expected["weight"]


def test_audit_of_another_table(model, here, capsys):
    parquet.write_table(rows()[:-1], "less.parquet")
    err = refused(f"audit {model} less.parquet --out s.csv", capsys)
    assert (
        "less.parquet: expected the 290 rows of train.parquet that the detector was trained on, "
        "found 289" in err
    )
    parquet.write_table(rows(seed=1), "other.parquet")
    assert "other.parquet: expected the table that" in refused(
        f"audit {model} other.parquet --out s.csv", capsys
    )
    assert "no column 'runn' (did you mean 'run'?)" in refused(
        f"audit {model} train.csv --out s.csv --keep runn", capsys
    )
    parquet.write_table(
        rows().rename_columns(["x", "score", "service", "run", "label"]), "named.parquet"
    )
    err = refused(f"audit {model} named.parquet --out s.csv", capsys)
    assert "column 'score' cannot be kept, as the result has one of that name" in err
    assert not (here / "s.csv").exists()


def test_audit_numbers_rows_unless_a_key_is_kept(model, here, capsys):
    assert run(f"audit {model} train.csv --out all.csv", capsys)[0] == 0
    assert run(f"audit {model} train.csv --out some.csv --keep run", capsys)[0] == 0
    assert list(read_csv("some.csv")[0]) == ["weight", "score", "run"]
    assert [int(row["row"]) - 1 for row in read_csv("all.csv")] == [
        int(row["run"]) for row in read_csv("some.csv")
    ]


def test_audit_leaves_a_column_of_that_name_as_it_is(here, capsys):
    own = rows().rename_columns(["x", "y", "service", "row", "label"])
    parquet.write_table(own, "own.parquet")
    assert (
        run("fit own.parquet --label label --drop row --method mahalanobis --out m", capsys)[0] == 0
    )
    assert run("audit m own.parquet --out s.csv", capsys)[0] == 0
    found = read_csv("s.csv")
    assert list(found[0]) == ["weight", "score", "x", "y", "service", "row", "label"]
    assert sorted(int(row["row"]) for row in found) == list(range(200))


# words


@pytest.mark.parametrize("command", ["fit", "score", "evaluate", "audit", "info"])
def test_help_shows_an_example(command, capsys):
    status, out, _ = run(f"{command} --help", capsys)
    assert status == 0
    assert f"Example:\n  unseen {command} " in out


def test_version(capsys):
    assert run("--version", capsys)[:2] == (0, f"{unseen.__version__}\n")


def test_python_m(tmp_path):
    line = [sys.executable, "-m", "unseen", "info", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}: expected the folder of a saved")


def test_our_warnings_are_notes_said_once(here, capsys):
    parquet.write_table(rows(normals=20), "few.parquet")
    status, _, err = run(
        "fit few.parquet --label label --drop run --method mahalanobis --out m", capsys
    )
    assert status == 0
    assert err.count("note: only 20 normal rows (fewer than 30)") == 1
    status, _, err = run("score m few.parquet --out s.csv --alpha 0.01", capsys)
    assert status == 0
    assert (
        "note: level 0.01 asked for, but with 20 calibration normals no p-value is below 1/21"
        in err
    )


def test_unexpected_exceptions_keep_their_traceback(here, monkeypatch):
    monkeypatch.setattr(Bundle, "load", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["info", "m"])


def test_an_interrupt(here, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(unseen.Detector, "fit", lambda *_, **__: interrupt())
    status, out, err = run("fit train.csv --label label --out m", capsys)
    assert (status, out) == (130, "")
    assert "interrupted" in err
    assert not (here / "m").exists()


# bad input


@pytest.mark.parametrize(
    "line", ["fit train.csv --label lable --out m", "evaluate train.csv --label lable"]
)
def test_an_absent_label_column(here, capsys, line):
    assert "train.csv has no column 'lable' (did you mean 'label'?)" in refused(line, capsys)


def test_an_absent_normal_name(here, capsys):
    err = refused("fit train.csv --label label --normal Normal --out m", capsys)
    assert "no row of column 'label' is 'Normal' (did you mean 'normal'?)" in err
    assert "'normal' (200), 'down' (30)" in err
    assert "(--normal NAME)" in err
    assert "no row of column 'label' is 'Normal'" in refused(
        "evaluate train.csv --label label --normal Normal", capsys
    )


def test_no_normal_row(here, capsys):
    parquet.write_table(rows()[200:], "anomalies.parquet")
    err = refused("fit anomalies.parquet --label label --out m", capsys)
    assert "no row of column 'label' is 'normal'" in err
    assert "of its 90 rows 0 have no label" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"x,label\n", "it has no rows"),
        (b"x,label\n1,normal\n2,normal,3\n", "line 3: expected 2 fields"),
        (b"x,label\n1,normal\n2,\xe9t\xe9\n", "line 3: expected UTF-8 text, found the byte 0xe9"),
    ],
)
def test_files_that_cannot_be_used(here, capsys, content, message):
    (here / "bad.csv").write_bytes(content)
    assert message in refused("fit bad.csv --label label --out m", capsys)
    assert not (here / "m").exists()


def test_constant_and_missing_columns_are_left_out_with_a_note(here, capsys):
    odd = (
        rows()
        .append_column("site", [["a"] * 290])
        .append_column("gone", [pa.nulls(290, pa.float64())])
    )
    x = odd["x"].to_numpy().copy()
    x[3], x[4] = np.inf, -np.inf
    parquet.write_table(odd.set_column(0, "x", [x]), "odd.parquet")
    status, out, err = run(
        "fit odd.parquet --label label --drop run --method mahalanobis --out m", capsys
    )
    assert status == 0
    assert "note: columns that are not used: 'site': constant; 'gone': wholly missing" in err
    assert "site (constant), gone (wholly missing)" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--drop rum", "no column 'rum' (did you mean 'run'?)"),
        ("--group servise", "no column 'servise' (did you mean 'service'?)"),
        ("--kind service", "expected --kind COL=KIND, found 'service'"),
        (
            "--kind x=numbr",
            "a kind must be one of number, boolean, category, text, got 'numbr' (did you mean "
            "'number'?)",
        ),
        ("--method devnt", "There is no such method (did you mean 'devnet'?); the names are"),
        (
            "--method devnet --set marjin=3",
            "no field 'marjin' (did you mean 'margin'?); its fields are hidden=[20], margin=",
        ),
        (
            "--method devnet --set margin=wide",
            "field 'margin': expected a value like 5.0, found 'wide'",
        ),
        ("--set learners=1", "its fields are base_scores="),
        (
            "--method comet --set base=devnt",
            "field 'base': no method 'devnt' (did you mean 'devnet'?)",
        ),
        ("--method comet --set base=nearest", "Nearest offers none: wrap a method"),
        (
            "--method comet --set base.stepps=3",
            "method 'autoencoder' has no field 'stepps' (did you mean 'steps'?)",
        ),
        (
            "--method comet --set meta=maml",
            "field 'meta': expected a value like \"reptile\", found 'maml'",
        ),
    ],
)
def test_wrong_flags_of_fit(here, capsys, flags, message):
    assert message in unboxed(refused(f"fit train.csv --label label --out m {flags}", capsys))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--seen 0", "seen must be a whole number from 1, got 0"),
        ("--method nearest devnt", 'Invalid value "devnt" for --method.'),
        ("--shots few", 'unable to convert "few" into int'),
        ("--method devnet forest --set margin=3", "--set changes one method, and --method names 2"),
        ("--test nowhere.csv", "nowhere.csv: no such file"),
        ("--json train.csv", "train.csv: exists already"),
        ("--json nowhere/e.json", "there is no folder nowhere"),
    ],
)
def test_wrong_flags_of_evaluate(here, capsys, flags, message):
    assert message in refused(f"evaluate train.csv --label label {flags}", capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--alpha 0.1 --fdr 0.1", "found --alpha and --fdr: keep one of them"),
        ("--alpha 1", "alpha must lie between 0 and 1"),
        ("--keep runn", "no column 'runn' (did you mean 'run'?)"),
        ("--out train.csv", "train.csv: exists already and is left as it is"),
        ("--out s.xls", "s.xls: expected a name that ends in .csv, .parquet"),
    ],
)
def test_wrong_flags_of_score(model, here, capsys, flags, message):
    out = "" if "--out" in flags else "--out s.csv"
    assert message in refused(f"score {model} train.csv {out} {flags}", capsys)
    assert sorted(path.name for path in here.iterdir()) == ["train.csv", "train.parquet"]


def test_an_output_folder_that_exists_is_refused_before_training(here, capsys, monkeypatch):
    monkeypatch.setattr(unseen.Detector, "fit", lambda *_, **__: pytest.fail("was trained"))
    (here / "m").mkdir()
    assert "m: exists already" in refused("fit train.csv --label label --out m", capsys)


def test_a_damaged_detector(model, here, capsys):
    (here / "m").mkdir()
    assert "m: expected the folder of a saved detector, found no bundle.json in it" in refused(
        "info m", capsys
    )
    (here / "m" / "bundle.json").write_bytes((model / "bundle.json").read_bytes())
    assert "m/tensors.safetensors: missing" in refused("score m train.csv --out s.csv", capsys)


def test_a_full_disk(here, capsys, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status = cli.main(
        ["evaluate", "train.csv", "--label", "label", "--seeds", "1", *LIGHT, "--json", "e.json"]
    )
    said = capsys.readouterr()
    assert status == 2
    assert "Unseen classes" in said.out, "the work of minutes is shown even when it cannot be kept"
    assert "e.json: the disk is full, and nothing is left of it" in said.err
    assert sorted(path.name for path in here.iterdir()) == ["train.csv", "train.parquet"]


# settings


def test_fields_take_values_of_their_own_type():
    assert configured(
        "devnet", ["margin=3", "hidden=[8, 4]", "whiten=true"]
    ) == dataclasses.replace(DevNet(), margin=3.0, hidden=(8, 4), whiten=True)
    inside = configured("comet", ["base=devnet", "base.margin=3", "meta=none", "kappa=3"])
    assert inside == CoMet(dataclasses.replace(DevNet(), margin=3.0), kappa=3.0, meta="none")
    for text in ("steps=1.5", "whiten=3", "hidden=8", "margin="):
        with pytest.raises(DataError, match="expected a value like"):
            configured("devnet", [text])


def test_reasons_of_alarms_are_written_beside_them(here, model, capsys):
    status, *_ = run(f"score {model} train.csv --out s.csv --keep label --reasons 1", capsys)
    assert status == 0
    with open("s.csv", newline="") as file:
        found = list(csv.DictReader(file))
    flagged = [row for row in found if row["verdict"] == "anomaly"]
    assert all(row["reasons"] == "" for row in found if row["verdict"] == "normal")
    assert all("nearest normal: " in row["reasons"] for row in flagged)
    left = [row["reasons"] for row in flagged if row["label"] == "left"]
    assert sum(text.startswith("x ") for text in left) > 0.9 * len(left)
    assert json.loads(flagged[0]["reasons_json"])["columns"]

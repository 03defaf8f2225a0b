"""The command line's words: labels as they are in files, flags in messages, and what to type
next.
"""

import json
import shlex
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import torch

from unseen.cli import main as cli
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import BundleError, DataError, UnseenError
from unseen.io import read
from unseen.methods import IMAGES, METHODS
from unseen.methods.distances import Nearest
from unseen.report import inspection, text
from unseen.storage.bundle import Bundle
from unseen.vision.images import Images

LIGHT = "--method mahalanobis"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(counts, seed=0, name="label"):
    """Two numbers, a port and labels; each class but the first lies elsewhere."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(list(counts), dtype=object), list(counts.values()))
    shift = 5.0 * np.repeat(np.arange(len(counts)), list(counts.values()))
    port = rng.choice([22, 80, 443], len(labels))
    return pd.DataFrame(
        {
            "a": rng.normal(size=len(labels)) + shift,
            "b": rng.normal(size=len(labels)),
            "port": port,
            name: labels,
        }
    )


def run(line, capsys):
    status = cli.main(shlex.split(line))
    said = capsys.readouterr()
    return status, said.out, said.err


def refused(line, capsys):
    status, out, err = run(line, capsys)
    assert (status, out) == (2, "")
    return err


def next_command(out):
    """What the line after a fit says to type."""
    return next(
        line.strip() for line in out.splitlines() if line.strip().startswith("unseen evaluate")
    )


# labels as files have them


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("normal", ["True", "true", "1", "1.0"])
def test_true_is_normal(here, capsys, suffix, normal):
    data = table({True: 120, False: 45})
    data.to_csv("t.csv", index=False)
    data.astype({"label": bool}).to_parquet("t.parquet")
    status, out, err = run(
        f"fit t.{suffix} --label label --normal {normal} {LIGHT} --out m", capsys
    )
    assert (status, err) == (0, "")
    assert "165: 120 normal, 45 anomalies" in out
    assert "False (45)" in out
    assert run(next_command(out)[len("unseen ") :] + " --seeds 1", capsys)[0] == 0


@pytest.mark.parametrize("given", [-1, "-1.0"])
def test_minus_one_beside_one(here, capsys, given):
    table({1: 120, given: 45}).to_csv("t.csv", index=False)
    err = refused(f"fit t.csv --label label {LIGHT} --out m", capsys)
    assert "--normal 1 (scikit-learn's convention) or --normal -1" in err
    assert run(f"fit t.csv --label label --normal 1 {LIGHT} --out m", capsys)[0] == 0
    assert Bundle.load("m").facts["anomalies"] == {str(given): 45}
    status, out, err = run(f"fit t.csv --label label --normal -1 {LIGHT} --out m2", capsys)
    assert "120 of 165 rows are labelled '1'" in err
    assert Bundle.load("m2").facts["anomalies"] == {"1": 120}
    assert status == 0
    assert "--normal -1" in next_command(out)


def test_a_wrong_normal_shows_values_as_the_file_has_them(here, capsys):
    table({True: 50, False: 10}).to_csv("t.csv", index=False)
    err = refused(f"fit t.csv --label label --normal yes {LIGHT} --out m", capsys)
    assert "no row of column 'label' is 'yes'; of its 60 rows 0 have no label" in err
    assert "the others are 'True' (50), 'False' (10): say which are normal (--normal NAME)" in err
    assert "no row of column 'label' is 'yes'; of its 60 rows" in refused(
        "evaluate t.csv --label label --normal yes", capsys
    )


def test_the_majority_taken_for_anomalies(here, capsys):
    table({0: 40, 1: 160}).to_csv("t.csv", index=False)
    status, _, err = run(f"fit t.csv --label label {LIGHT} --out m", capsys)
    assert status == 0
    assert err.count("say so with --normal 1") == 1
    assert (
        run(f"evaluate t.csv --label label --seeds 1 {LIGHT}", capsys)[2].count(
            "say so with --normal 1"
        )
        == 1
    )
    assert run(f"fit t.csv --label label --normal 1 {LIGHT} --out m2", capsys)[2] == ""


def test_a_label_with_a_space_is_quoted(here, capsys):
    table({"normal": 40, "all good": 160}).to_csv("t.csv", index=False)
    assert "--normal 'all good'" in run(f"fit t.csv --label label {LIGHT} --out m", capsys)[2]


# no labels


def test_a_file_without_labels(here, capsys):
    data = table({"normal": 200}).drop(columns="label")
    data.to_csv("t.csv", index=False)
    status, out, err = run(f"fit t.csv {LIGHT} --out m", capsys)
    assert status == 0
    assert (
        err == "note: no label column is named (--label COL): all 200 rows are taken for normal\n"
    )
    assert "t.csv, no label column: all rows are taken for normal" in " ".join(out.split())
    assert "200: 200 normal, 0 anomalies" in out
    assert (
        "evaluate needs a column that says what each row is (--label COL), and at least 20 test "
        "rows" in out
    )
    assert next_command(out) == f"unseen evaluate LABELLED --label COL {LIGHT}"
    plain = Detector("mahalanobis", random_state=0).fit(data)
    assert Bundle.load("m").detector.pvalue(data).tolist() == plain.pvalue(data).tolist()
    for line in (
        "score m t.csv --out s.csv",
        "audit m t.csv --out a.csv",
        "adapt m t.csv --out m2",
        "info m",
    ):
        status, out, _ = run(line, capsys)
        assert (status, "Traceback" in out) == (0, False) or line.startswith("adapt")
    assert len(pd.read_csv("s.csv")) == len(pd.read_csv("a.csv")) == 200


def test_a_detector_without_labels_moves_to_new_normals(here, capsys):
    data = table({"normal": 200}).drop(columns="label")
    data.to_csv("t.csv", index=False)
    assert run("fit t.csv --method resad --set steps=3 --out m", capsys)[0] == 0
    assert run("adapt m t.csv --out m2", capsys)[0] == 0


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (
            ["class"],
            "column 'class' looks like labels: if so, add --label class",
        ),
        (["Target", "y"], "columns 'Target' and 'y' look like labels: if so, add --label Target"),
        (["is anomaly"], "column 'is anomaly' looks like labels: if so, add --label 'is anomaly'"),
    ],
)
def test_what_looks_like_labels_is_named_and_left_as_it_is(here, capsys, names, hint):
    data = table({"normal": 100, "leak": 10})
    for name in names:
        data[name] = data["label"]
    data.drop(columns="label").to_csv("t.csv", index=False)
    status, _, err = run(f"fit t.csv {LIGHT} --out m", capsys)
    assert status == 0
    assert f"all 110 rows are taken for normal; {hint}" in err
    assert set(names) <= {column.name for column in Bundle.load("m").detector.schema_.columns}
    assert hint in refused("evaluate t.csv", capsys)


def test_without_labels_there_is_no_name_for_normal(here, capsys):
    table({"normal": 100}).to_csv("t.csv", index=False)
    err = refused(f"fit t.csv --normal good {LIGHT} --out m", capsys)
    assert (
        "--normal good says what the label column calls normal, and no column is named: add "
        "--label COL" in err
    )


def test_an_evaluation_says_that_it_needs_labels(here, capsys):
    table({"normal": 100}).drop(columns="label").to_csv("t.csv", index=False)
    err = refused("evaluate t.csv", capsys)
    assert "an evaluation needs the column that says what each row is" in err
    assert "(--label COL)" in err


# what to type next


def test_the_next_line_measures_the_same_detector(here, capsys):
    data = table({"normal": 200, "up": 50, "down": 50}).assign(site=["s 1", "s 2"] * 150, id=1)
    data.to_csv("t.csv", index=False)
    line = (
        "fit t.csv --label label --drop id --group site --kind port=category --method nearest "
        "--set k=3 --repeats keep --tail --seed 4"
    )
    status, out, _ = run(f"{line} --out m", capsys)
    assert status == 0
    command = next_command(out)
    assert command == (
        "unseen evaluate t.csv --label label --drop id --group site --kind port=category --method "
        "nearest --set k=3 --repeats keep"
    )
    assert run(command[len("unseen ") :] + " --seeds 1 --json e.json", capsys)[0] == 0
    assert json.loads((here / "e.json").read_text())["methods"][0]["fields"]["k"] == 3


def test_the_next_line_of_a_file_without_a_header(here, capsys):
    table({"normal": 200, "up": 50}).to_csv("t.csv", index=False, header=False)
    status, out, _ = run(f"fit t.csv --no-header --label x3 {LIGHT} --out m", capsys)
    assert status == 0
    assert next_command(out) == f"unseen evaluate t.csv --label x3 --no-header {LIGHT}"
    assert run(next_command(out)[len("unseen ") :] + " --seeds 1", capsys)[0] == 0


def test_evaluate_fits_what_fit_does(here, capsys, monkeypatch):
    data = table({"normal": 200, "up": 50, "down": 50}).assign(site=["s1", "s2"] * 150)
    data.to_csv("t.csv", index=False)
    data.drop(columns="site").to_csv("test.csv", index=False)
    fits = []

    def fit(self, X, y=None, *, groups=None, blocks=None):
        fits.append(
            (self.get_params(), X.column_names, None if groups is None else len(groups), len(X))
        )
        return original(self, X, y, groups=groups, blocks=blocks)

    original = Detector.fit
    monkeypatch.setattr(Detector, "fit", fit)
    same = "--label label --group site --kind port=category --method nearest --repeats once"
    for test in ("", "--test test.csv"):
        assert run(f"evaluate t.csv {same} --seeds 1 --device cpu {test}", capsys)[0] == 0
    for params, names, groups, rows in fits:
        assert names == ["a", "b", "port"]
        assert groups == rows
        assert (params["kinds"], params["device"], params["method"]) == (
            {"port": "category"},
            "cpu",
            Nearest(),
        )
        assert params["repeats"] == "once"


@pytest.mark.parametrize("repeats", ["keep", "once"])
def test_an_audit_counts_repeats_as_the_fit_did(here, capsys, repeats):
    data = table({"normal": 100, "up": 10})
    pd.concat([data, data]).to_csv("t.csv", index=False)
    assert run(f"fit t.csv --label label --repeats {repeats} {LIGHT} --out m", capsys)[0] == 0
    assert Bundle.load("m").detector.repeats == repeats
    assert run("audit m t.csv --out s.csv", capsys)[0] == 0
    assert len(pd.read_csv("s.csv")) == 200


@pytest.mark.parametrize(
    ("counts", "needs", "command"),
    [
        ({"normal": 200, "up": 40, "down": 3}, None, "t.csv --label label --method mahalanobis"),
        (
            {"normal": 200, "up": 39, "down": 3},
            "at least 20 test rows of a class of anomalies (half of the largest, 'up', is 19)",
            "t.csv --label label --method mahalanobis --test TEST",
        ),
        (
            {"normal": 200},
            "at least 20 test rows of a class of anomalies (none is labelled)",
            "t.csv --label label --method mahalanobis --test TEST",
        ),
        (
            {"normal": 200, "": 20, "up": 40},
            "labels of all rows (20 have none)",
            "LABELLED --label label --method mahalanobis",
        ),
    ],
)
def test_the_next_line_leads_somewhere(here, capsys, counts, needs, command):
    table(counts).to_csv("t.csv", index=False)
    status, out, _ = run(f"fit t.csv --label label {LIGHT} --out m", capsys)
    assert status == 0
    assert next_command(out) == f"unseen evaluate {command}"
    assert (needs is None) == ("evaluate needs" not in out)
    assert (
        needs is None
        or (
            "To find out how blind such a detector is to classes without labels, evaluate "
            f"needs {needs}:"
        )
        in out
    )
    table({"normal": 100, "up": 40, "down": 40}, seed=1).to_csv("more.csv", index=False)
    line = (
        next_command(out)[len("unseen ") :]
        .replace("TEST", "more.csv")
        .replace("LABELLED", "more.csv")
    )
    status, out, _ = run(f"{line} --seeds 1", capsys)
    assert status == 0
    assert "nothing is known" not in out


def test_values_that_look_like_flags_are_typed_so_that_they_are_none(here, capsys):
    data = table({"-ok": 100, "-bad": 45}).rename(columns={"port": "-port"})
    data.to_csv("t.csv", index=False)
    status, out, _ = run(
        f"fit t.csv --label label --normal=-ok --drop=-port {LIGHT} --out m", capsys
    )
    assert status == 0
    assert run(next_command(out)[len("unseen ") :] + " --seeds 1", capsys)[0] == 0


# flags in messages


def test_messages_name_flags(here, capsys):
    table({"normal": 200}).to_csv("t.csv", index=False)
    run(f"fit t.csv --label label {LIGHT} --out m", capsys)
    err = run("score m t.csv --out s.csv --alpha 0.0001", capsys)[2]
    assert "or let a model go on where the normals end (--tail)" in err
    dirty = table({"normal": 200}).astype({"port": object})
    dirty.loc[3, "port"] = "80 kB"
    dirty.to_csv("e.csv", index=False)
    status, _, err = run("score m e.csv --out s2.csv", capsys)
    assert "kinds=" not in err
    assert status == 0 or "--kind port=category" in err
    assert "--alpha must lie between 0 and 1" in refused(
        "score m t.csv --out s3.csv --alpha 2", capsys
    )
    found = refused("evaluate t.csv --label label --shots 0", capsys)
    assert "--shots must be a whole number from 1" in found


@pytest.mark.parametrize(
    "command", ["fit t.csv --label label --out m", "evaluate t.csv --label label"]
)
def test_devices_are_checked_before_anything_is_read(here, capsys, command):
    (here / "t.csv").write_text("a,label\n")
    assert "--device gpu is not known; use 'cpu', 'cuda'" in refused(
        f"{command} --device gpu", capsys
    )
    if not torch.cuda.is_available():
        assert "--device cuda:3: torch finds no CUDA device here" in refused(
            f"{command} --device cuda:3", capsys
        )


Tally = namedtuple(
    "Tally", ["rows", "flagged", "threshold", "smallest", "kinds"], defaults=[0.001, {}]
)


def test_alarms_in_words():
    assert text.alarms(Tally(10, 0, 0.001), "rows", Policy.alpha(0.001), 0.005) == (
        "0 of 10 rows flagged: no p-value is as small as 0.001."
    )
    assert text.alarms(Tally(1287, 927, 0.05), "rows", Policy.alpha(0.05)) == (
        "927 of 1,287 rows flagged at p <= 0.05. About 5% of normal rows are expected among them."
    )
    assert text.alarms(Tally(10, 0, 0.001, 0.0625), "images", Policy.alpha(0.001)) == (
        "0 of 10 images flagged at p <= 0.001: the smallest p-value is 0.0625."
    )
    assert text.alarms(Tally(100, 7, 0.0123), "rows", Policy.fdr(0.1)) == (
        "7 of 100 rows flagged at p <= 0.0123. Up to 10% of them are expected to be false alarms."
    )
    assert text.alarms(Tally(100, 0, 0.0), "rows", Policy.fdr(0.1)) == (
        "0 of 100 rows flagged: no p-value is small enough for at most 10% of false alarms. Allow "
        "more of them, flag by a level (alpha=0.01), or train on more normals, for "
        "smaller p-values."
    )


@pytest.mark.parametrize(
    "policy", [Policy.alpha(0.05), Policy.per_day(5, 100), Policy.fdr(0.1), Policy.cost(10, 1)]
)
def test_alarms_are_told_by_kind_under_any_policy(policy):
    found = Tally(100, 7, 0.0123, 0.001, {"leak": 2, "new kind": 5})
    said = text.alarms(found, "rows", policy)
    assert said.endswith(".\nAlarms by kind: 'new kind' (5), 'leak' (2).")
    assert len(text.alarms(Tally(100, 7, 0.0123), "rows", policy).splitlines()) == 1


def test_flags_of_two_words_are_named_as_they_are_typed(capsys):
    said = refused("score m d --out s --per-day 20 --traffic 10", capsys)
    assert "--per-day must be less than --traffic" in said


@pytest.mark.parametrize("name", [*METHODS, *IMAGES])
def test_fields_of_every_method_are_words(name):
    bundle = Bundle(Detector(name), {})
    lines = dict(inspection._method_lines(bundle))
    assert lines["method"].startswith(name if name != "patchcore" else "patches")
    assert not any(sign in text for text in lines.values() for sign in "{}[]'\"")
    assert all(len(text) < 300 for text in lines.values())


def test_fields_of_the_image_stack_stand_in_one_line():
    lines = dict(inspection._method_lines(Bundle(Detector("image-stack"), {})))
    assert lines["method"] == (
        "image-stack (inverse_temperature 40.0 and 80.0, seen_class_weight 0.3, most_from_labels "
        "0.3, folds 5)"
    )
    assert lines["members"] == (
        "multi-directional of whole, nearest (whiten) of whole, nearest (whiten, coreset) of "
        "patches, nearest (coreset) of patches (unscaled), nearest-ratio of patches (context)"
    )


def test_rows_without_a_label_are_normal_where_most_have_none(here, capsys):
    table({"": 120, "leak": 45}).to_csv("t.csv", index=False)
    status, out, err = run(f"fit t.csv --label label {LIGHT} --out m", capsys)
    assert status == 0
    assert (
        "no row of column 'label' is 'normal': the 120 rows without a label are taken for normal"
        in err
    )
    assert "leak (45)" in out
    assert "no row of column 'label' is 'ok'" in refused(
        f"fit t.csv --label label --normal ok {LIGHT} --out n", capsys
    )
    table({"": 20, "leak": 45}).to_csv("few.csv", index=False)
    assert "of its 65 rows 20 have no label" in refused(
        f"fit few.csv --label label {LIGHT} --out n", capsys
    )


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_an_error_in_words(name, tmp_path):
    with pytest.raises(UnseenError, match="check the spelling|expected a file|no name"):
        read.table(f"{name}.csv")
    with pytest.raises(BundleError, match="found nothing"):
        Bundle.load(tmp_path / name)
    with pytest.raises(DataError, match="check the spelling"):
        Images.read(tmp_path / name)

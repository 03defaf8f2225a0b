"""Policies, blocks, domains and checked calibration on the command line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from unseen.cli import main as cli
from unseen.storage.bundle import Bundle


def table():
    """400 normal rows of 8 runs and two sites, 20 of them in truth far off, and 10 leaks."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(410, 2))
    far = rng.choice(400, 20, replace=False)
    x[far] += 9.0
    x[400:] -= 9.0
    return pa.table(
        {
            "x": x[:, 0],
            "y": x[:, 1],
            "run": np.arange(410) % 8,
            "site": np.where(np.arange(410) % 2, "a", "b"),
            "kind": np.repeat(["normal", "leak"], [400, 10]),
        }
    )


def run(line, capsys):
    """Exit status, standard output and standard error of a command line."""
    status = cli.main(line.split())
    said = capsys.readouterr()
    return status, said.out, said.err


def refused(line, capsys):
    """The error of a command line that its user can put right."""
    status, out, err = run(line, capsys)
    assert (status, out) == (2, "")
    return err


FIT = "fit t.csv --label kind --method mahalanobis"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrow_csv.write_csv(table(), "t.csv")
    return tmp_path


def test_blocks_and_domains(here, capsys):
    assert run(f"{FIT} --group site --block run --out m", capsys)[0] == 0
    facts = Bundle.load("m").facts
    assert (facts["block"], facts["blocks"]) == ("run", 8)
    assert "of 8 blocks (column 'run'), each scored by" in " ".join(
        run("info m", capsys)[1].split()
    )
    assert run("score m t.csv --by-group --out s.csv", capsys)[0] == 0
    expected = Bundle.load("m").detector.pvalue(
        table().select(["x", "y"]), groups=table()["site"].to_pylist()
    )
    assert arrow_csv.read_csv("s.csv")["pvalue"].to_numpy() == pytest.approx(expected)
    assert run("audit m t.csv --out a.csv", capsys)[0] == 0
    assert run(f"{FIT} --drop run site --blocks 10 --out m2", capsys)[0] == 0
    assert Bundle.load("m2").facts["blocks"] == 10
    err = refused(f"{FIT} --block run --blocks 10 --out m3", capsys)
    assert "found both: leave one out" in err
    err = refused("score m2 t.csv --by-group --out s2.csv", capsys)
    assert "fit again with --group COL" in err


@pytest.mark.parametrize("policy", ["", "--fdr 0.2"])
def test_reasons_are_of_the_domain_of_a_row(here, capsys, policy):
    """Six is nothing in the loud domain, and far out in the quiet one."""
    rng = np.random.default_rng(0)
    site = np.repeat(["quiet", "loud"], 300)
    spread = np.where(site == "quiet", 1.0, 30.0)[:, None]
    names = {"x": 0, "y": 1}
    x = rng.normal(size=(600, 2)) * spread
    arrow_csv.write_csv(pa.table({"site": site, **{n: x[:, k] for n, k in names.items()}}), "n.csv")
    new = pa.table({"site": ["quiet", "loud", "quiet"], "x": [0.1] * 3, "y": [9.0, 9.0, 0.2]})
    arrow_csv.write_csv(new, "new.csv")
    assert run("fit n.csv --group site --method mahalanobis --out m", capsys)[0] == 0
    line = f"score m new.csv --by-group --reasons 2 {policy} --out s.csv"
    assert run(line, capsys)[0] == 0
    found = arrow_csv.read_csv("s.csv").to_pylist()
    assert [row["verdict"] for row in found] == ["anomaly", "normal", "normal"]
    why = json.loads(found[0]["reasons_json"])
    assert why["pvalue"] == pytest.approx(found[0]["pvalue"])
    assert why["columns"][0]["column"] == "y"
    assert abs(why["columns"][0]["normal"]) < 3.5  # of a quiet row
    assert "y" in found[0]["change"]
    assert run("report m --data new.csv --by-group --out r.html", capsys)[0] == 0
    assert "nearest normal" in (here / "r.html").read_text()


def test_policies(here, capsys):
    assert run(f"{FIT} --drop run site --out m", capsys)[0] == 0
    line = "score m t.csv --out {}.csv "
    _, out, err = run(line.format("a") + "--per-day 20 --traffic 100000", capsys)
    assert "no p-value is as small as 0.0002" in out
    assert "allow 250 alarms or more" in err  # 100,000 / 401 = 249.4
    _, out, _ = run(line.format("b") + "--per-day 100 --traffic 10000", capsys)
    assert "About 1% of normal rows are expected among them, 100 a day." in out
    _, out, _ = run(line.format("c") + "--cost 20 1", capsys)
    assert "a chance of 5% or more to be an anomaly" in out
    assert "--per-day and --traffic go together" in refused(
        line.format("d") + "--per-day 20", capsys
    )
    assert "found --fdr and --cost: keep one" in refused(
        line.format("d") + "--fdr 0.1 --cost 20 1", capsys
    )


def test_check_and_its_answers(here, capsys):
    assert run(f"{FIT} --drop run site --out m", capsys)[0] == 0
    status, out, _ = run("check m t.csv -n 20 --out look.csv", capsys)
    assert status == 0
    assert "unseen check m t.csv --answers look.csv --out DIR2" in out
    look = arrow_csv.read_csv("look.csv")
    assert look.column_names[:3] == ["answer", "training_row", "pvalue"]
    assert table()["x"].take(look["training_row"].to_numpy() - 1).to_pylist() == pytest.approx(
        look["x"].to_pylist()
    )
    assert "column 'answer' is empty" in refused(
        "check m t.csv --answers look.csv --out m2", capsys
    )
    answers = np.where(look["x"].to_numpy() > 5, "anomaly", "normal").tolist()
    arrow_csv.write_csv(look.set_column(0, "answer", pa.array(answers)), "filled.csv")
    _, out, _ = run("check m t.csv --answers filled.csv --out m2", capsys)
    bad = answers.count("anomaly")
    assert f"{bad} of 20 rows that were checked are anomalies" in out
    assert "p = 0.05 is now p = 0.0" in out
    before, after = Bundle.load("m"), Bundle.load("m2")
    assert after.facts["checked"]["anomalies"] == bad
    assert after.detector.pvalue([[9.0, 9.0]])[0] < before.detector.pvalue([[9.0, 9.0]])[0]
    assert "were left out after 20" in " ".join(run("info m2", capsys)[1].split())
    answers[2] = "yes"
    arrow_csv.write_csv(look.set_column(0, "answer", pa.array(answers)), "wrong.csv")
    assert "expected 'normal' or 'anomaly'" in refused(
        "check m t.csv --answers wrong.csv --out m3", capsys
    )
    arrow_csv.write_csv(table().take(np.arange(409, -1, -1)), "other.csv")
    assert "name that file" in refused("check m other.csv --out look2.csv", capsys)

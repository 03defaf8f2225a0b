"""`unseen drift` and `unseen recalibrate`: what is typed, printed, written, and the exit status."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from unseen.cli import main as cli
from unseen.storage.bundle import Bundle


def table(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    service = rng.choice(["http", "ftp"], n)
    return pa.table({"x": rng.normal(size=n), "y": rng.normal(shift, size=n), "service": service})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    parquet.write_table(table(1500, 0), folder / "train.parquet")
    words = ["fit", folder / "train.parquet", "--method", "mahalanobis", "--out", folder / "m"]
    assert cli.main([*map(str, words)]) == 0
    arrow_csv.write_csv(table(2000, 1), folder / "same.csv")
    moved = pa.concat_tables([table(1000, 2), table(1000, 3, shift=1.5)])
    arrow_csv.write_csv(moved, folder / "moved.csv")
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


def run(line, capsys):
    status = cli.main(line.split())
    said = capsys.readouterr()
    return status, said.out, said.err


def test_no_drift_exits_with_0(capsys):
    status, out, err = run("drift m same.csv", capsys)
    assert (status, err) == (0, "")
    assert out.startswith("No drift in 2,000 rows.\n")


def test_drift_exits_with_3_and_says_what_moved(capsys, tmp_path):
    status, out, err = run(f"drift m moved.csv --json {tmp_path}/d.json", capsys)
    assert (status, err) == (3, "")
    assert "from row 1,0" in out
    assert "'y' moved: median" in out
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["drifted"] is True
    assert abs(found["since"] - 1001) <= 30


def test_an_error_exits_with_2_and_leaves_nothing(capsys, tmp_path):
    status, out, err = run(f"drift m nowhere.csv --json {tmp_path}/d.json", capsys)
    assert (status, out) == (2, "")
    assert "no such file" in err
    status, _, err = run("drift m same.csv --level 2", capsys)
    assert status == 2
    assert "--level must lie between 0 and 1" in err
    assert list(tmp_path.iterdir()) == []


def test_recalibrate_then_no_drift(capsys, tmp_path):
    parquet.write_table(table(1000, 4, shift=1.5), tmp_path / "recent.parquet")
    parquet.write_table(table(1500, 5, shift=1.5), tmp_path / "next.parquet")
    line = f"recalibrate m {tmp_path}/recent.parquet --anomalies 0.02 --out {tmp_path}/m2"
    status, out, _ = run(line, capsys)
    assert status == 0
    assert "recalibrated  on recent.parquet with 1,000 rows" in out
    assert f"unseen score {tmp_path}/m2 DATA" in out
    assert run(f"drift m {tmp_path}/next.parquet", capsys)[0] == 3
    assert run(f"drift {tmp_path}/m2 {tmp_path}/next.parquet", capsys)[0] == 0
    assert "recalibrated" in run(f"info {tmp_path}/m2", capsys)[1]
    assert "recalibrated" not in Bundle.load("m").facts
    status, _, err = run(f"audit {tmp_path}/m2 train.parquet --out {tmp_path}/a.csv", capsys)
    assert status == 2
    assert "take the detector that it came from" in err


def test_a_share_of_anomalies_that_is_too_much(capsys, tmp_path):
    status, _, err = run(f"recalibrate m same.csv --anomalies 0.5 --out {tmp_path}/m2", capsys)
    assert status == 2
    assert "--anomalies must lie between 0 and 0.2" in err
    assert list(tmp_path.iterdir()) == []


def test_score_warns_of_drift_by_itself(capsys, tmp_path):
    status, out, err = run(f"score m moved.csv --out {tmp_path}/s.csv", capsys)
    assert status == 0
    assert err.count("note: ") == 1
    assert "have drifted" in err
    assert run(f"score m same.csv --out {tmp_path}/t.csv", capsys)[2] == ""
    assert "flagged" in out

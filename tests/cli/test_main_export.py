"""`unseen export`: files for other programs and for people, their words, and what is refused."""

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from pyarrow import csv

from unseen import Bundle, Detector
from unseen.cli.main import main
from unseen.report.card import model_card
from unseen.storage.onnx_inputs import onnx_inputs


@pytest.fixture
def saved(tmp_path):
    """A saved detector of two columns, and a file of rows."""
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.normal(size=400), "b": rng.choice(["u", "v"], 400)})
    detector = Detector("mahalanobis", calibration=0.3, random_state=0).fit(table)
    Bundle(detector).save(tmp_path / "m")
    csv.write_csv(table.slice(0, 50), tmp_path / "rows.csv")
    return tmp_path


def test_a_file_that_another_program_runs(saved, capsys):
    given = ["--data", str(saved / "rows.csv"), "--out", str(saved / "m.onnx")]
    assert main(["export", str(saved / "m"), "--format", "onnx", *given]) == 0
    printed = capsys.readouterr()
    words = f"written to {saved / 'm.onnx'}: 1,874 rows are judged as by unseen: scores within "
    assert words in " ".join(printed.out.split())
    assert printed.err == ""
    detector, rows = Bundle.load(saved / "m").detector, csv.read_csv(saved / "rows.csv")
    session = onnxruntime.InferenceSession(str(saved / "m.onnx"))
    score, pvalue = session.run(None, onnx_inputs(detector, rows))
    np.testing.assert_allclose(score, detector.anomaly_score(rows), rtol=1e-5)
    np.testing.assert_array_equal(pvalue, detector.pvalue(rows))


def test_what_is_refused_leaves_no_file(saved, capsys):
    (saved / "taken").write_text("mine")
    refused = {
        "exists already": ["--format", "onnx", "--out", str(saved / "taken")],
        "--format": ["--format", "pickle", "--out", str(saved / "new")],
        "no such file": ["--format", "onnx", "--data", "none.csv", "--out", str(saved / "new")],
    }
    for word, flags in refused.items():
        assert main(["export", str(saved / "m"), *flags]) == 2
        assert word in " ".join(capsys.readouterr().err.split())
    assert sorted(each.name for each in saved.iterdir()) == ["m", "rows.csv", "taken"]


@pytest.fixture(scope="module")
def counters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "m"
    rows = [[float(i % 7), i % 5] for i in range(100)]
    Bundle(Detector("mahalanobis", random_state=0).fit(rows), {"source": "counters"}).save(folder)
    return folder


def test_a_card_is_the_bundles(counters, tmp_path, capsys):
    target = tmp_path / "card.md"
    assert main(["export", str(counters), "--format", "card", "--out", str(target)]) == 0
    assert target.read_text() == model_card(Bundle.load(counters))
    assert capsys.readouterr().out == f"written to {target}: the model card\n"
    assert main(["export", str(counters), "--format", "card", "--out", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # MLflow warns of itself, and of pandas
def test_a_folder_of_mlflow_holds_detector_and_card(counters, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "true")
    target = tmp_path / "model"
    assert main(["export", str(counters), "--format", "mlflow", "--out", str(target)]) == 0
    inside = target / "data" / "unseen"
    assert (inside / "card.md").read_text() == model_card(Bundle.load(counters))
    assert (inside / "detector" / "bundle.json").read_bytes() == (
        counters / "bundle.json"
    ).read_bytes()


@pytest.mark.parametrize("form", ["card", "mlflow"])
def test_data_is_for_onnx_alone(counters, tmp_path, capsys, form):
    (tmp_path / "new.csv").write_text("x0,x1\n1,2\n")
    words = ["--data", str(tmp_path / "new.csv"), "--out", str(tmp_path / "out")]
    assert main(["export", str(counters), "--format", form, *words]) == 2
    assert "--data is for --format onnx" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

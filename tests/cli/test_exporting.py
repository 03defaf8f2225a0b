"""`unseen export` to a model card and to MLflow; tests of ONNX stand beside its module."""

import pytest

from unseen import Bundle, Detector
from unseen.cli.main import main
from unseen.report.card import model_card


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "m"
    rows = [[float(i % 7), i % 5] for i in range(100)]
    Bundle(Detector("mahalanobis", random_state=0).fit(rows), {"source": "counters"}).save(folder)
    return folder


def test_a_card_is_the_bundles(saved, tmp_path, capsys):
    target = tmp_path / "card.md"
    assert main(["export", str(saved), "--format", "card", "--out", str(target)]) == 0
    assert target.read_text() == model_card(Bundle.load(saved))
    assert capsys.readouterr().out == f"written to {target}: the model card\n"
    assert main(["export", str(saved), "--format", "card", "--out", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # MLflow warns of itself, and of pandas
def test_a_folder_of_mlflow_holds_detector_and_card(saved, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "true")
    target = tmp_path / "model"
    assert main(["export", str(saved), "--format", "mlflow", "--out", str(target)]) == 0
    inside = target / "data" / "unseen"
    assert (inside / "card.md").read_text() == model_card(Bundle.load(saved))
    assert (inside / "detector" / "bundle.json").read_bytes() == (
        saved / "bundle.json"
    ).read_bytes()


@pytest.mark.parametrize("form", ["card", "mlflow"])
def test_data_is_for_onnx_alone(saved, tmp_path, capsys, form):
    (tmp_path / "new.csv").write_text("x0,x1\n1,2\n")
    words = ["--data", str(tmp_path / "new.csv"), "--out", str(tmp_path / "out")]
    assert main(["export", str(saved), "--format", form, *words]) == 2
    assert "--data is for --format onnx" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

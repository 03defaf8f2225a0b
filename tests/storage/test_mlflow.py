"""A detector as a model of MLflow's: what it answers is the library's, bit for bit, and nothing is
pickled or fetched.
"""

import socket
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from unseen import Bundle, Detector
from unseen.errors import BundleError, DataError, Unsupported
from unseen.storage.mlflow import CARD, DETECTOR, log_model, save_model

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself, and of pandas


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """MLflow reports to nobody, keeps its runs in a folder, and no connection is made."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setattr(socket.socket, "connect", None)


def frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "flow": rng.normal(size=n),
            "count": rng.integers(0, 2000, size=n),  # MLflow turns none of these into floats
            "valve": rng.choice(["open", "half", None], size=n),
            "on": rng.random(n) < 0.5,
            "row": np.arange(n),
        }
    )


@pytest.fixture(scope="module")
def bundle():
    x, y = frame().drop(columns="row"), np.array(["normal"] * 280 + ["leak"] * 20, dtype=object)
    x.loc[280:, "flow"] += 9
    return Bundle(Detector(random_state=0).fit(x, y), {"source": "pumps"})


def loaded(place):
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(place))


@pytest.fixture(scope="module")
def other():
    """Rows to judge, some of them far out."""
    x = frame(500, seed=1)
    x.loc[:20, "flow"] = 30.0
    return x


def test_answers_are_bit_equal_to_the_library(bundle, other, tmp_path):
    save_model(bundle, tmp_path / "model", card="# A card")
    model = loaded(tmp_path / "model")
    pd.testing.assert_frame_equal(
        model.predict(other), bundle.score(other).to_pandas(), check_exact=True
    )
    found = model.predict(other, params={"alpha": 0.01, "reasons": 2})
    expected = bundle.score(other, alpha=0.01).to_pandas()
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=True)
    alarms = expected["verdict"] == "anomaly"
    told = bundle.detector.explain(other.drop(columns="row")[alarms], 2, alpha=0.01)
    assert found["reasons"][alarms].tolist() == [str(each) for each in told]
    assert 20 < alarms.sum() < 100
    assert found["reasons"][~alarms].isna().all()
    assert model.predict(other[:0]).empty


def test_the_folder_is_plain(bundle, tmp_path):
    save_model(bundle, tmp_path / "model", card="# A card \ud800")
    names = {file.relative_to(tmp_path / "model").as_posix() for file in tmp_path.rglob("*.*")}
    assert {"data/unseen/card.md", "data/unseen/detector/bundle.json", "MLmodel"} <= names | {
        file.name for file in (tmp_path / "model").iterdir()
    }
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    needs = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert all("==" in need for need in needs)
    assert {need.partition("==")[0] for need in needs} == {"mlflow", "unseen[mlflow]", "torch"}
    model = loaded(tmp_path / "model")
    assert model.metadata.metadata == {"sha256": bundle.digest}
    assert model.metadata.get_input_schema().input_names() == ["flow", "count", "valve", "on"]
    assert model.predict(model.input_example)["verdict"].tolist() == ["normal"] * 5
    assert (tmp_path / "model" / "data" / "unseen" / CARD).read_text() == "# A card \\ud800"
    with pytest.raises(DataError, match="model"):
        save_model(bundle, tmp_path / "model", card="")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_column_that_lacks_is_refused(bundle, other, tmp_path):
    from mlflow.exceptions import MlflowException

    save_model(bundle, tmp_path / "model", card="")
    with pytest.raises(MlflowException, match="flow"):
        loaded(tmp_path / "model").predict(other.drop(columns="flow"))


def test_a_run_holds_the_same_model(bundle, other, tmp_path):
    info = log_model(bundle, "pumps", card="# A card", beside=tmp_path)
    found = loaded(info.model_uri).predict(other)
    pd.testing.assert_frame_equal(found, bundle.score(other).to_pandas(), check_exact=True)


def test_a_folder_that_was_changed_is_refused(bundle, tmp_path):
    save_model(bundle, tmp_path / "model", card="")
    file = tmp_path / "model" / "data" / "unseen" / DETECTOR / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
    with pytest.raises(BundleError, match="changed since it was saved"):
        loaded(tmp_path / "model")


def test_what_cannot_be_is_told_before_any_work(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr("unseen.storage.mlflow.paths_in", lambda method: ["mine.m:Mine"])
    with pytest.raises(Unsupported, match="method of another package, mine.m:Mine"):
        save_model(bundle, tmp_path / "model", card="")
    monkeypatch.undo()
    images = SimpleNamespace(detector=SimpleNamespace(schema_=SimpleNamespace(noun="images")))
    with pytest.raises(Unsupported, match="judges images"):
        save_model(images, tmp_path / "model", card="")
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(Unsupported, match=r'pip install "unseen\[mlflow\]"'):
        save_model(bundle, tmp_path / "model", card="")
    assert not list(tmp_path.iterdir())

"""An exported graph judges rows as the detector does, and one that does not is not written."""

import hashlib
import json
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from quick import brief, quick
from toys import maps_of
from unseen import Bundle, DataError, Detector, NotFitted, Schema, Unsupported
from unseen.methods import (
    DEFAULT,
    METHODS,
    ImageStack,
    Mahalanobis,
    Patches,
    Whole,
)
from unseen.storage import onnx_draw
from unseen.storage.onnx import export_onnx
from unseen.storage.onnx_check import Agreement
from unseen.storage.onnx_inputs import onnx_inputs
from unseen.types import Samples


def table(n=300, anomalies=20, seed=0):
    """Numbers, a column of ties, a binary one and one that never moves; two kinds of anomaly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + anomalies, 5))
    x[n:, :2] += rng.choice([-5, 5], size=(anomalies, 2))
    x[:, 2], x[:, 3], x[:, 4] = x[:, 2].round(), x[:, 3] > 0.8, 7.0
    return x, ["normal"] * n + ["left", "right"] * (anomalies // 2)


def fitted(method, **choices):
    x, y = table()
    groups = choices.pop("groups", None)
    return Detector(method, random_state=0, **choices).fit(x, y, groups=groups)


def fresh(n=200):
    """Rows from near to far; of the last the constant moves."""
    x = table(n, 20, seed=1)[0] * np.linspace(0.5, 4, n + 20)[:, None]
    x[:, 2:4], x[:, 4] = x[:, 2:4].round(), 7.0
    x[-1, 4] = 9.0
    return x


def judged(file, inputs):
    """Scores and p-values by the file alone."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["score", "pvalue"], inputs)


def alike(detector, file, x, groups=None):
    """Assert that a file judges rows as a detector does, in batches of any size; how many scores
    are the same within 1e-5 of the score or of the spread of the calibration.
    """
    expected = detector.anomaly_score(x), detector.pvalue(x, groups=groups)
    inputs = onnx_inputs(detector, x, groups=groups)
    score, pvalue = judged(file, inputs)
    assert score.dtype == pvalue.dtype == np.float64
    spread = np.abs(detector.conformal_.scores - np.median(detector.conformal_.scores)).mean()
    off = np.abs(score - expected[0]) > 1e-5 * np.maximum(np.abs(expected[0]), spread)
    np.testing.assert_allclose(pvalue[~off], expected[1][~off], rtol=1e-12)
    for n in (0, 1, 64):
        few = judged(file, {name: value[:n] for name, value in inputs.items()})
        assert [len(each) for each in few] == [n, n]
        np.testing.assert_allclose(few[0][~off[:n]], score[:n][~off[:n]], rtol=2e-5, atol=1e-7)
    return int((~off).sum())


# trees, a bank of neighbours, clusters and a head; the others are in `python -m bench onnx`
SOME = ("isolation-forest", "nearest-ratio", "prn")


@pytest.mark.parametrize("name", SOME)
def test_scores_and_p_values_are_those_of_the_library(name, tmp_path):
    detector, x = fitted(brief(METHODS[name]), calibration=0.3), fresh()
    found = export_onnx(Bundle(detector), tmp_path / "m.onnx", [x[:100], x[100:]])
    assert found.rows > len(x)
    assert found.apart == 0
    assert alike(detector, tmp_path / "m.onnx", x) >= 0.98 * len(x)


def test_the_default_method_trees_and_all(tmp_path):
    detector, x = fitted(quick(DEFAULT)), fresh()
    found = export_onnx(Bundle(detector), tmp_path / "m.onnx", [x])
    assert found.largest <= 1e-5
    assert alike(detector, tmp_path / "m.onnx", x) >= 0.98 * len(x)
    assert "TreeEnsemble" in {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}


def test_folds_domains_and_a_tail(tmp_path):
    groups = np.array(["a", "b"] * 160)
    detector = fitted("mahalanobis", calibration=2, tail=True, groups=groups)
    x, file = fresh(), tmp_path / "m.onnx"
    export_onnx(Bundle(detector), file)
    of = np.resize(["a", "b", "b"], len(x))
    assert set(onnx_inputs(detector, x)) == {"x0", "x1", "unprecedented", "domain"}
    assert alike(detector, file, x) == len(x)  # beside all
    assert alike(detector, file, x, groups=of) == len(x)
    assert detector.pvalue(x).min() < 1 / 241  # so the tail was asked


def test_images_from_their_maps(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(70, 4, 6, 6, generator=generator)
    y = (torch.arange(70) >= 60).long()
    x[60:, 1, 2, 3] += 8.0
    maps = maps_of(Samples.of(x, y))
    stack = ImageStack((Patches(Mahalanobis(), top=(0.0, 0.5)), Whole(Mahalanobis())))
    detector = Detector(stack, random_state=0, calibration=0.5).fit(maps)
    export_onnx(Bundle(detector), tmp_path / "m.onnx", [maps])
    inputs = onnx_inputs(detector, maps)
    assert {n: value.shape for n, value in inputs.items()} == {"x": (70, 4, 6, 6)}
    assert alike(detector, tmp_path / "m.onnx", maps) >= 68


def state():
    """What of the process an export may not change."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", *onnx_draw.NOISY)]
    set_by = [(each.level, each.disabled, list(each.filters)) for each in loggers]
    return set_by, list(warnings.filters), torch.get_num_threads()


def test_a_file_says_how_rows_are_encoded_and_whose_it_is(tmp_path, caplog, capfd):
    detector = fitted("mahalanobis", calibration=0.3)
    Bundle(detector).save(tmp_path / "m")
    before = state()
    caplog.clear()
    for name in ("one.onnx", "two.onnx"):
        export_onnx(Bundle.load(tmp_path / "m"), tmp_path / name)
    assert state() == before
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []
    assert capfd.readouterr() == ("", "")
    one, two = ((tmp_path / name).read_bytes() for name in ("one.onnx", "two.onnx"))
    assert one == two
    assert b".py" not in one  # nothing of where it was made
    model = onnx.load_from_string(one)
    assert {each.domain: each.version for each in model.opset_import}[""] == 20
    known = {each.key: each.value for each in model.metadata_props}
    assert json.loads(known["unseen.method"]) == {"name": "mahalanobis", "shrinkage": 0.001}
    tensors = (tmp_path / "m" / "tensors.safetensors").read_bytes()
    assert known["unseen.bundle"] == hashlib.sha256(tensors).hexdigest()
    encoder = Schema.from_json(json.loads(known["unseen.encoding"])["x"])
    inputs = onnx_inputs(detector, fresh())
    np.testing.assert_array_equal(encoder.encode(fresh()), inputs["x"])
    np.testing.assert_array_equal(encoder.unprecedented(fresh()), inputs["unprecedented"])
    assert inputs["unprecedented"][-1] > 0


def tampered(model, by):
    """A graph, one of its tables of numbers a little larger."""
    table = max(
        (each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT),
        key=lambda each: len(each.raw_data),
    )
    table.raw_data = (np.frombuffer(table.raw_data, np.float32) * np.float32(1 + by)).tobytes()
    return model


def test_a_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    detector, drawn = fitted("nearest", calibration=0.3), onnx_draw.onnx_model
    monkeypatch.setattr(
        onnx_draw, "onnx_model", lambda *args, **how: tampered(drawn(*args, **how), 1e-4)
    )
    words = (
        r"differ in [\d,]+ of [\d,]+ rows .*most in row \d+ of .*: score \S+ by the graph, \S+ by "
        r"the library, \S+ apart .*nothing is written"
    )
    with pytest.raises(DataError, match=words):
        export_onnx(Bundle(detector), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_scores_that_mostly_hang_on_rounding_cannot_be_compared():
    Agreement(rows=100, unsettled=50, jumps=10).check()
    words = "scores of 11 of 100 rows hang on rounding by more than 0.001, where 10% may"
    with pytest.raises(DataError, match=words):
        Agreement(rows=100, unsettled=50, jumps=11).check()


class Halved(torch.nn.Module):
    """Halves rows until they are small: how often depends on them."""

    def forward(self, x):
        while x.abs().max() > 1:
            x = x / 2
        return x[:, 0]


class Halving(Mahalanobis):
    def build(self, shape):
        return Halved()

    def train(self, scorer, data, run):
        pass


def unread():
    pytest.fail("rows were read before it was told that there is no graph")
    yield


def test_a_piece_without_a_graph_is_named_before_any_row_is_read(tmp_path):
    detector = fitted(Halving(), calibration=0.3)
    with pytest.raises(Unsupported, match="Halved has no ONNX graph: .*take another method"):
        export_onnx(Bundle(detector), tmp_path / "m.onnx", unread())


def test_a_detector_that_no_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_draw, "LARGEST", 1000)
    words = r"at most 1,000 bytes, .* take [\d,]+, most of them \S*normals.rows \([\d,]+\)"
    with pytest.raises(Unsupported, match=words):
        export_onnx(Bundle(fitted("nearest", calibration=0.3)), tmp_path / "m.onnx", unread())


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(Unsupported, match=r"pip install 'unseen\[onnx\]'"):
        export_onnx(Bundle(fitted("mahalanobis", calibration=0.3)), tmp_path / "m.onnx")


def test_a_name_that_is_taken_and_a_detector_that_never_learned(tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(b"mine")
    with pytest.raises(DataError, match="exists already"):
        export_onnx(Bundle(fitted("mahalanobis", calibration=0.3)), file)
    assert file.read_bytes() == b"mine"
    with pytest.raises(NotFitted):
        export_onnx(Bundle(Detector()), tmp_path / "n.onnx")
    with pytest.raises(NotFitted):
        onnx_inputs(Detector(), [[1.0]])

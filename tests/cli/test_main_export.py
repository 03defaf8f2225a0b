"""`unseen export`: a file for other programs, its words, and what it refuses."""

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from pyarrow import csv

from unseen import Bundle, Detector
from unseen.cli.main import main
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

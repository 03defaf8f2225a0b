"""Labels as users have them: what is normal, in any spelling, and whether it can be right."""

import logging

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from unseen.data.labels import as_given, encode_labels, originals
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.evaluation.choices import Protocol
from unseen.evaluation.protocol import evaluate
from unseen.methods.distances import Mahalanobis
from unseen.storage.bundle import Bundle
from unseen.wording import typed

pytestmark = pytest.mark.filterwarnings("ignore::unseen.errors.FewNormals")
TWO = [[0.1 * i, (i % 7) - 3.0] for i in range(60)]


@pytest.mark.parametrize(
    ("normal", "y", "codes", "names"),
    [
        (0, [0, 1, 2], [0, 1, 2], ("1", "2")),
        (1, [0, 1, 2], [1, 0, 2], ("0", "2")),
        (2, [0, 1, 2], [1, 2, 0], ("0", "1")),
        (1.0, ["1", "0"], [0, 1], ("0",)),
        ("1.0", [True, False], [0, 1], ("0",)),
        (True, [True, False], [0, 1], ("0",)),
        ("True", np.array([True, False]), [0, 1], ("0",)),
        ("true", ["True", "False"], [0, 1], ("0",)),
        (False, ["TRUE", "FALSE"], [1, 0], ("1",)),
        (np.int64(2), pd.Series([2, 1], dtype="Int64"), [0, 1], ("1",)),
        (np.bool_(True), pl.Series([True, None, False]), [0, -1, 1], ("0",)),
        (1, [1, -1, 1], [0, 1, 0], ("-1",)),
        ("1", ["1", "-1", ""], [0, 1, -1], ("-1",)),
        (1, [1.0, -1.0, float("nan")], [0, 1, -1], ("-1",)),
        (1, [-1, -1], [1, 1], ("-1",)),
        (-1, [1, -1, 1], [1, 0, 1], ("1",)),
        (1, [1, -1, 2], [0, -1, 1], ("2",)),  # beside other labels -1 is unlabelled, as ever
        (" ok ", ["ok", "bad"], [0, 1], ("bad",)),
        (0, np.ma.masked_array([0, 1, 1], mask=[False, True, False]), [0, -1, 1], ("1",)),
        ("normal", pa.chunked_array([["normal", None], ["leak"]]), [0, -1, 1], ("leak",)),
        (0, [-0.0, 1.0], [0, 1], ("1",)),
    ],
)
def test_normal_in_any_spelling(normal, y, codes, names):
    got, classes = encode_labels(y, rows=len(codes), normal=normal)
    assert got.tolist() == codes
    assert classes == names


@pytest.mark.parametrize("normal", [None, float("nan"), "", [0], np.array([0, 1]), {"a": 1}, len])
def test_normal_is_one_label(normal):
    with pytest.raises(
        DataError,
        match=r"normal must be the label of normal rows, such as 'normal', 0 or True, got",
    ):
        encode_labels([0, 1], rows=2, normal=normal)


def test_one_and_minus_one_need_a_word():
    with pytest.raises(DataError, match=r"normal=1 \(scikit-learn's convention\) or normal=-1"):
        encode_labels([1, -1], rows=2)
    with typed(), pytest.raises(DataError, match=r"--normal 1 .* or --normal -1"):
        encode_labels(["1", "-1"], rows=2, normal="good")


def test_labels_are_numbers_or_texts():
    y = pd.Series([["a"], ["b"]])
    with pytest.raises(DataError, match="y must hold numbers or texts, one label per row"):
        encode_labels(y, rows=2)


def test_labels_as_the_data_has_them():
    assert originals([True, False, None, np.True_]) == {"1": True, "0": False}
    assert as_given(("0", "1"), pa.array([True, False])) == ("False", "True")
    assert as_given(("1", "leak"), ["1.0", " leak "]) == ("1.0", "leak")
    assert as_given((), None) == ()


def noted(caplog, y, **settings):
    with caplog.at_level(logging.INFO, logger="unseen"):
        Detector(Mahalanobis(), random_state=0, **settings).fit(TWO, y)
    return [message for message in caplog.messages if "taken for anomalies" in message]


def test_more_rows_of_one_class_than_normal_ones_are_doubted(caplog):
    [message] = noted(caplog, [False] * 10 + [True] * 50)
    assert message == (
        "50 of 60 rows are labelled True and taken for anomalies, only 10 rows are taken for "
        "normal: if True is the label of normal rows, say so with normal=True"
    )


def test_the_doubt_names_what_turns_it_around(caplog):
    [message] = noted(caplog, ["scratch"] * 9 + ["all good"] * 31 + ["normal"] * 20)
    assert message.endswith("say so with normal='all good'")
    caplog.clear()
    assert (
        noted(caplog, ["scratch"] * 9 + ["all good"] * 31 + ["normal"] * 20, normal="all good")
        == []
    )


@pytest.mark.parametrize(
    "y",
    [
        ["normal"] * 30 + ["a"] * 30,  # as many
        ["normal"] * 20
        + ["a"] * 19
        + ["b"] * 19
        + ["c"] * 2,  # many, but none of them is more than the normals
        ["normal"] * 5 + [None] * 30 + ["a"] * 25,  # unlabelled rows are taken for normal, too
        None,
    ],
)
def test_no_doubt_where_turning_around_would_not_help(caplog, y):
    assert noted(caplog, y) == []


def test_an_evaluation_doubts_too(caplog):
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=300), "ok": np.repeat([0, 1], [60, 240])})
    methods = {"mahalanobis": Mahalanobis()}
    with caplog.at_level(logging.WARNING, logger="unseen"):
        evaluate(table, label="ok", protocol=Protocol(seeds=2), methods=methods)
    assert sum("240 of 300 rows are labelled 1" in message for message in caplog.messages) == 1
    caplog.clear()
    evaluate(table, label="ok", normal=1, protocol=Protocol(seeds=1), methods=methods)
    assert not any("labelled 0" in message for message in caplog.messages)


def test_a_report_names_classes_as_the_data_has_them():
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=260), "ok": np.repeat([True, False], [200, 60])})
    methods = {"mahalanobis": Mahalanobis()}
    [report] = evaluate(table, label="ok", normal=True, protocol=Protocol(seeds=1), methods=methods)
    assert [row["class"] for row in report["classes"]] == ["False"]
    text = pa.table({"x": table["x"], "ok": np.repeat(["True", "False"], [200, 60])})
    [same] = evaluate(
        table, test=text, label="ok", normal=True, protocol=Protocol(seeds=1), methods=methods
    )
    assert [row["class"] for row in same["classes"]] == ["False"]


@pytest.mark.parametrize("normal", [1, True, -1, "ok"])
def test_a_saved_detector_keeps_what_is_normal(tmp_path, normal):
    y = [normal] * 50 + ["bad"] * 10
    detector = Detector(Mahalanobis(), normal=normal, random_state=0).fit(TWO, y)
    Bundle(detector, {}).save(tmp_path / "m")
    loaded = Bundle.load(tmp_path / "m").detector
    assert encode_labels(y, rows=60, normal=loaded.normal)[0].tolist() == [0] * 50 + [1] * 10
    assert loaded.score(TWO, y) == detector.score(TWO, y)


@pytest.mark.parametrize("y", [None, [0, 0], ["normal", None]])
def test_two_rows_are_the_least(y):
    detector = Detector("mahalanobis", random_state=0).fit([[0.0, 1.0], [1.0, 3.0]], y)
    pvalues = detector.pvalue([[0.0, 1.0], [50.0, -50.0]])
    assert (
        (pvalues > 0.33) & (pvalues <= 1)
    ).all()  # of two calibration rows none tells more than 1/3


@pytest.mark.parametrize("gap", [None, float("nan"), ""])
def test_a_row_of_no_kind_of_normal_is_refused_with_its_number(gap):
    groups = np.array(["a"] * 40, dtype=object)
    groups[[6, 9]] = gap
    with pytest.raises(DataError, match="name none for 2, the first is row 7"):
        Detector("mahalanobis").fit(np.random.default_rng(0).normal(size=(40, 2)), groups=groups)

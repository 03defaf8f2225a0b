"""Rows in memory are a source like rows of a file: same labels, same keys, same scores."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io import read
from unseen.scoring.rows import FileRows, FrameRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource

ASIDE = {"label": "fault", "drop": ("id",), "group": "machine"}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    fault = np.where(np.arange(300) % 30 == 0, "leak", "normal")
    return pa.table(
        {
            "id": np.arange(300),
            "load": rng.normal(size=300) + 9.0 * (fault == "leak"),
            "valve": rng.choice(["open", "shut"], 300),
            "machine": rng.choice(["press", "lathe"], 300),
            "fault": fault,
        }
    )


@pytest.fixture(scope="module")
def file(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "rows.parquet"
    parquet.write_table(rows, path)
    return path


@pytest.fixture(scope="module")
def detector(rows):
    data = TableSource(FrameRows(rows), **ASIDE).labelled()
    return Detector("mahalanobis", random_state=0).fit(data.rows, data.y, groups=data.groups)


def judged(source, detector, policy=None):
    each = score(source, detector, policy or Policy.alpha(0.05))
    return pa.concat_tables([scored.table() for scored in each])


FRAMES = {
    "arrow": lambda rows: rows,
    "pandas": pa.Table.to_pandas,
    "polars": pl.from_arrow,
    "dicts": pa.Table.to_pylist,
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_and_its_file_teach_the_same(rows, file, frame):
    memory, disk = (
        TableSource(FrameRows(frame(rows)), **ASIDE),
        TableSource(FileRows(file), **ASIDE),
    )
    for teaches in (TableSource.labelled, TableSource.to_evaluate, TableSource.normals):
        ours, other = teaches(memory), teaches(disk)
        assert ours.rows.to_pydict() == other.rows.to_pydict()
        assert ours.y.to_pylist() == other.y.to_pylist()
        assert ours.groups == other.groups
        assert ours.facts == other.facts | {"source": "a data frame"}
    counts = TableSource(FrameRows(frame(rows)), **ASIDE).labelled().facts
    assert counts["anomalies"] == {"leak": 10}
    assert (counts["rows"], counts["normals"]) == (300, 290)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("policy", [Policy.alpha(0.05), Policy.fdr(0.2)], ids=["alpha", "fdr"])
def test_a_frame_and_its_file_score_the_same(rows, file, detector, frame, policy, monkeypatch):
    monkeypatch.setattr(read, "ROWS", 128)  # three blocks
    source = TableSource(FrameRows(frame(rows)), keep=("id",))
    found = judged(source, detector, policy)
    assert found.equals(judged(TableSource(FileRows(file), keep=("id",)), detector, policy))
    assert found["id"].to_pylist() == list(range(300))
    assert source.count() == 300
    assert set(found["verdict"].to_pylist()) == {"normal", "anomaly"}


def test_without_keys_rows_are_numbered_from_one_through_all_blocks(rows, detector, monkeypatch):
    monkeypatch.setattr(read, "ROWS", 128)
    assert judged(TableSource(FrameRows(rows)), detector)["row"].to_pylist() == list(range(1, 301))


def test_columns_of_an_array_are_numbered():
    rng = np.random.default_rng(0)
    detector = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(200, 3)))
    new = rng.normal(size=(5, 3))
    found = judged(TableSource(FrameRows(new)), detector)
    assert found["score"].to_pylist() == detector.anomaly_score(new).tolist()
    assert TableSource(FrameRows(new)).labelled().rows.column_names == ["x0", "x1", "x2"]


def test_no_rows_are_none_to_judge_and_nothing_to_learn_from(rows, detector):
    assert len(judged(TableSource(FrameRows(rows.slice(0, 0))), detector)) == 0
    with pytest.raises(DataError, match="the data frame: it has no rows, only columns; expected"):
        TableSource(FrameRows(rows.slice(0, 0))).labelled()


def test_what_is_wrong_is_said_of_the_frame_and_of_where_it_is(rows, detector, monkeypatch):
    with pytest.raises(
        DataError, match="the data frame has no column 'fualt' .did you mean 'fault'"
    ):
        TableSource(FrameRows(rows), label="fualt").labelled()
    with pytest.raises(DataError, match="the data frame: an evaluation needs .* add label='class'"):
        TableSource(
            FrameRows(rows.rename_columns({"fault": "class"}).drop_columns("machine"))
        ).to_evaluate()
    monkeypatch.setattr(read, "ROWS", 128)
    wrong = rows.to_pandas().astype({"load": object})
    wrong.loc[200, "load"] = "much"
    with pytest.raises(DataError, match=r"the data frame, rows 129 to 256.*'load'.*much"):
        judged(TableSource(FrameRows(pd.DataFrame(wrong))), detector)


@pytest.mark.parametrize("keep", [("score",), ("pvalue", "id"), ("verdict",), ("id", "id")])
@pytest.mark.parametrize("policy", [Policy.alpha(0.05), Policy.fdr(0.2)], ids=["alpha", "fdr"])
def test_what_a_user_keeps_never_takes_the_place_of_a_result(rows, detector, policy, keep):
    more = rows.append_column("score", rows["id"]).append_column("pvalue", rows["load"])
    source = TableSource(FrameRows(more.append_column("verdict", rows["fault"])), keep=keep)
    with pytest.raises(DataError, match="cannot be kept|kept twice"):
        judged(source, detector, policy)


def test_a_column_that_is_set_aside_twice_takes_no_other_with_it(rows):
    source = TableSource(FrameRows(rows), label="fault", group="fault", drop=("id", "id"))
    for found in (source.labelled(), source.normals(), source.to_evaluate()):
        assert found.rows.column_names == ["load", "valve", "machine"]


def test_columns_of_an_array_have_the_places_of_those_that_were_learned(rows):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["a", "b"])
    detector = Detector("mahalanobis", random_state=0).fit(frame)
    found = judged(TableSource(FrameRows(frame.to_numpy()[:5])), detector)
    assert found["score"].to_pylist() == detector.anomaly_score(frame[:5]).tolist()


def test_what_is_no_source_or_no_policy_is_refused(rows, detector):
    with pytest.raises(DataError, match=r"expected a source, such as TableSource.*got Table"):
        list(score(rows, detector, Policy.alpha(0.05)))
    with pytest.raises(DataError, match=r"expected a policy, such as Policy.alpha.*got 0.05"):
        list(score(TableSource(FrameRows(rows)), detector, 0.05))
    with pytest.raises(
        DataError, match=r"keep must be names of columns, as in \('id',\), got text"
    ):
        TableSource(FrameRows(rows), keep="id")
    with pytest.raises(DataError, match="the data frame: it has no columns"):
        TableSource(FrameRows(np.zeros((5, 0)))).labelled()


def test_a_false_discovery_rate_may_wait_beside_a_path_in_text(rows, detector, tmp_path):
    source = TableSource(FrameRows(rows), keep=("id",))
    found = list(score(source, detector, Policy.fdr(0.2), beside=str(tmp_path / "out.csv")))
    assert sum(map(len, found)) == 300
    assert list(tmp_path.iterdir()) == []

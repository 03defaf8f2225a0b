"""Scoring files: the rows of the file in its order, whole or not at all, whatever its size."""

import errno
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from unseen.detector.detector import Detector
from unseen.detector.policy import Policy, benjamini_hochberg
from unseen.errors import DataError, FewNormals
from unseen.io import read, write
from unseen.methods.distances import Mahalanobis
from unseen.scoring import rows as places
from unseen.scoring.rows import FileRows
from unseen.scoring.sinks import TableSink
from unseen.scoring.stream import score, score_file
from unseen.scoring.tables import KINDS, RESULTS, TableSource
from unseen.storage.bundle import Bundle

BATCH = 40


@pytest.fixture(scope="module")
def bundle():
    rng = np.random.default_rng(0)
    rows = pa.table({"size": rng.normal(size=400), "kind": rng.choice(["a", "b"], 400)})
    return Bundle(Detector(Mahalanobis(), calibration=0.25, random_state=0).fit(rows), {})


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Several batches, of few rows."""
    whole = read.batches
    monkeypatch.setattr(places.read, "batches", lambda path, **how: whole(path, rows=BATCH, **how))


def new_rows(n=100):
    rng = np.random.default_rng(1)
    size = np.where(np.arange(n) % 5 == 0, 9.0, rng.normal(size=n))
    return pa.table({"id": np.arange(n), "size": size, "kind": rng.choice(["a", "b"], n)})


def stored(table, path):
    (arrow_csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, path)
    return path


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("target", ["scores.csv", "scores.parquet"])
@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
def test_rows_come_out_as_they_came_in(bundle, tmp_path, source, target):
    rows = new_rows()
    progress = []
    tally = score_file(
        bundle,
        stored(rows, tmp_path / source),
        tmp_path / target,
        keep=["id"],
        alpha=0.05,
        progress=progress.append,
    )
    scores = (arrow_csv.read_csv if target.endswith("csv") else parquet.read_table)(
        tmp_path / target
    )
    whole = bundle.score(rows, alpha=0.05)
    assert scores.column_names == ["id", "score", "pvalue", "verdict"]
    assert [int(value) for value in scores["id"].to_pylist()] == list(range(100))
    assert scores["score"].to_pylist() == whole["score"].to_pylist()  # to the last bit
    assert scores["verdict"].to_pylist() == whole["verdict"].to_pylist()
    assert tally.rows == 100
    assert tally.flagged == whole["verdict"].to_pylist().count("anomaly") >= 20
    assert progress == [40, 40, 20]
    assert left(tmp_path) == sorted([source, target])


@pytest.mark.parametrize("fdr", [0.02, 0.1, 0.5])
def test_false_discoveries_are_controlled_over_the_whole_file(bundle, tmp_path, fdr):
    rows = new_rows()
    tally = score_file(
        bundle, stored(rows, tmp_path / "r.parquet"), tmp_path / "s.parquet", keep=["id"], fdr=fdr
    )
    flagged = (
        np.array(parquet.read_table(tmp_path / "s.parquet")["verdict"].to_pylist()) == "anomaly"
    )
    assert np.array_equal(flagged, bundle.detector.detect(rows.drop_columns(["id"]), fdr=fdr))
    assert tally.flagged == flagged.sum()
    assert left(tmp_path) == ["r.parquet", "s.parquet"]


def test_counted_pvalues_give_the_same_cut():
    rng = np.random.default_rng(0)
    pvalues = np.ceil(rng.uniform(size=500) ** 3 * 50) / 50
    values, counts = np.unique(pvalues, return_counts=True)
    order = rng.permutation(len(values))
    for fdr in (0.05, 0.1, 0.3):
        assert benjamini_hochberg(values[order], fdr, counts[order]) == benjamini_hochberg(
            pvalues, fdr
        )


def test_a_level_below_the_finest_pvalue_is_warned_of(bundle, tmp_path):
    with pytest.warns(FewNormals, match=r"level 0.005 asked for, but with 100 calibration normals"):
        tally = score_file(
            bundle, stored(new_rows(), tmp_path / "r.csv"), tmp_path / "s.csv", alpha=0.005
        )
    assert tally.flagged == 0


@pytest.mark.parametrize("policy", [{"alpha": 0.05}, {"fdr": 0.1}])
def test_a_file_without_rows_gives_one_without_rows(bundle, tmp_path, policy):
    tally = score_file(
        bundle, stored(new_rows(0), tmp_path / "r.csv"), tmp_path / "s.csv", keep=["id"], **policy
    )
    assert tally.rows == tally.flagged == 0
    assert (tmp_path / "s.csv").read_text().strip() == '"id","score","pvalue","verdict"'
    stored(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "other.csv")
    with pytest.raises(DataError, match="no column 'size', 'kind'"):
        score_file(bundle, tmp_path / "other.csv", tmp_path / "t.csv", **policy)


def test_columns_go_by_name(bundle, tmp_path):
    """Re-ordered and with more columns than training showed; a category that training never saw;
    infinities.
    """
    rows = new_rows()
    kinds, sizes = rows["kind"].to_pylist(), rows["size"].to_pylist()
    kinds[0], sizes[1], sizes[2] = "never seen", np.inf, None
    changed = pa.table({"more": ["x"] * 100, "kind": kinds, "id": rows["id"], "size": sizes})
    score_file(bundle, stored(changed, tmp_path / "r.parquet"), tmp_path / "s.parquet", alpha=0.05)
    scores = parquet.read_table(tmp_path / "s.parquet")
    assert scores["score"].to_pylist()[3:] == bundle.score(rows)["score"].to_pylist()[3:]
    assert scores["verdict"][1].as_py() == "anomaly"
    assert np.isfinite(scores["score"].to_numpy()).all()


def test_a_missing_column(bundle, tmp_path):
    source = stored(new_rows().rename_columns(["id", "sise", "kind"]), tmp_path / "r.csv")
    with pytest.raises(
        DataError, match=r"r.csv: the table has no column 'size' \(did you mean 'sise'\?\)"
    ):
        score_file(bundle, source, tmp_path / "s.csv", alpha=0.05)
    assert left(tmp_path) == ["r.csv"]


def test_numbers_that_arrive_as_text_are_numbers_or_an_error_that_says_where(bundle, tmp_path):
    rows = new_rows()
    text = [f" {value!r} " for value in rows["size"].to_pylist()]
    score_file(
        bundle,
        stored(rows.set_column(1, "size", [text]), tmp_path / "r.csv"),
        tmp_path / "s.csv",
        alpha=0.05,
    )
    assert (
        arrow_csv.read_csv(tmp_path / "s.csv")["score"].to_pylist()
        == bundle.score(rows)["score"].to_pylist()
    )
    text[90] = "many"
    stored(rows.set_column(1, "size", [text]), tmp_path / "bad.csv")
    with pytest.raises(
        DataError, match=r"rows 81 to 100, counted from 1 again: column 'size': .*'many' in row 11"
    ):
        score_file(bundle, tmp_path / "bad.csv", tmp_path / "t.csv", alpha=0.05)
    assert left(tmp_path) == ["bad.csv", "r.csv", "s.csv"]


def test_columns_to_keep(bundle, tmp_path):
    source = stored(new_rows().append_column("pvalue", [["p"] * 100]), tmp_path / "r.csv")
    for keep, message in (
        (["ID"], r"no column 'ID' \(did you mean 'id'"),
        (["pvalue"], "column 'pvalue' cannot be kept.*rename it"),
        (["id", "id"], "column 'id' is to be kept twice"),
    ):
        with pytest.raises(DataError, match=message):
            score_file(bundle, source, tmp_path / "s.csv", keep=keep, alpha=0.05)
    assert left(tmp_path) == ["r.csv"]


def test_one_policy(bundle, tmp_path):
    for policy in ({}, {"alpha": 0.05, "fdr": 0.1}):
        with pytest.raises(DataError, match="needs one policy"):
            score_file(bundle, tmp_path / "r.csv", tmp_path / "s.csv", **policy)


@pytest.mark.parametrize("policy", [{"alpha": 0.05}, {"fdr": 0.1}])
@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_nothing_is_left_when_writing_fails(bundle, tmp_path, monkeypatch, policy, failure):
    """A full disk or Ctrl-C, at the second batch."""

    class Full:
        def __init__(self, file, schema):
            self.batches = 0

        def write(self, table):
            self.batches += 1
            if self.batches == 2:
                raise failure

        def close(self):
            pass

    source = stored(new_rows(), tmp_path / "r.parquet")
    monkeypatch.setattr(write, "FORMATS", {".csv": Full, ".parquet": Full})
    full = isinstance(failure, OSError)
    with pytest.raises(
        DataError if full else KeyboardInterrupt, match="the disk is full" if full else None
    ):
        score_file(bundle, source, tmp_path / "s.csv", **policy)
    assert left(tmp_path) == ["r.parquet"]


def test_rows_are_numbered_where_nothing_is_kept(bundle, tmp_path):
    source = stored(new_rows(), tmp_path / "r.csv")
    score_file(bundle, source, tmp_path / "s.csv", alpha=0.05)
    score_file(bundle, source, tmp_path / "s.parquet", fdr=0.1)
    for scores in (
        arrow_csv.read_csv(tmp_path / "s.csv"),
        parquet.read_table(tmp_path / "s.parquet"),
    ):
        assert scores.column_names == ["row", "score", "pvalue", "verdict"]
        assert scores["row"].to_pylist() == list(range(1, 101))
    named = new_rows().rename_columns(["row", "size", "kind"])
    score_file(
        bundle, stored(named, tmp_path / "n.csv"), tmp_path / "k.csv", keep=["row"], alpha=0.05
    )
    assert arrow_csv.read_csv(tmp_path / "k.csv")["row"].to_pylist() == list(range(100))


@pytest.mark.parametrize("policy", [{"alpha": 0.05}, {"fdr": 0.1}])
def test_standard_input_and_output(bundle, tmp_path, monkeypatch, policy):
    rows = new_rows()
    score_file(bundle, stored(rows, tmp_path / "r.csv"), tmp_path / "s.csv", keep=["id"], **policy)
    lines = "".join(json.dumps(row) + "\n" for row in rows.to_pylist())
    monkeypatch.chdir(tmp_path)
    for given in ((tmp_path / "r.csv").read_bytes(), lines.encode()):
        out = io.BytesIO()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out))
        tally = score_file(bundle, "-", "-", keep=["id"], **policy)
        assert tally.rows == 100
        assert out.getvalue() == (tmp_path / "s.csv").read_bytes()
    assert left(tmp_path) == ["r.csv", "s.csv"]


def test_a_closed_pipe_is_no_error_of_data(bundle, tmp_path, monkeypatch):
    class Closed(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(Closed()))
    with pytest.raises(BrokenPipeError):
        score_file(bundle, stored(new_rows(), tmp_path / "r.csv"), "-", alpha=0.05)


def test_a_detector_remembers_that_it_was_trained_without_names(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f}" for a, b in rng.normal(size=(200, 2))]
    (tmp_path / "r.csv").write_text("\n".join(rows))
    detector = Detector(Mahalanobis(), random_state=0).fit(
        read.table(tmp_path / "r.csv", header=False)
    )
    for number, (facts, header) in enumerate(
        [({"header": False}, True), ({}, False), ({"header": False}, False)]
    ):
        tally = score_file(
            Bundle(detector, facts),
            tmp_path / "r.csv",
            tmp_path / f"{number}.csv",
            alpha=0.05,
            header=header,
        )
        assert tally.rows == 200
    with pytest.raises(DataError, match="no column 'x0', 'x1'"):
        score_file(Bundle(detector, {}), tmp_path / "r.csv", tmp_path / "s.csv", alpha=0.05)


def test_keys_that_json_leaves_out_are_missing(bundle, tmp_path, caplog):
    (tmp_path / "r.jsonl").write_text('{"size": 0.5, "id": 7}\n' * 3)
    score_file(bundle, tmp_path / "r.jsonl", tmp_path / "s.csv", keep=["id"], alpha=0.05)
    expected = bundle.score(pa.table({"size": [0.5], "kind": pa.array([None], pa.string())}))[
        "score"
    ][0].as_py()
    assert arrow_csv.read_csv(tmp_path / "s.csv")["score"].to_pylist() == [expected] * 3
    assert "has the keys 'kind': these values are taken for missing" in caplog.text
    with pytest.raises(DataError, match="r.jsonl has no column 'key'"):
        score_file(bundle, tmp_path / "r.jsonl", tmp_path / "t.csv", keep=["key"], alpha=0.05)


def test_a_column_of_a_type_that_is_no_number_is_an_error_of_ours(bundle, tmp_path):
    for number, column in enumerate([[b"\xff"], [[1.0]], [{"a": 1}]]):
        table = pa.table({"size": column, "kind": ["a"]})
        with pytest.raises(DataError, match=rf"{number}.parquet"):
            score_file(
                bundle,
                stored(table, tmp_path / f"{number}.parquet"),
                tmp_path / "s.csv",
                alpha=0.05,
            )


def test_kinds_stand_behind_the_verdict_and_follow_the_policy(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(330, 2))
    x[300:315, 0] += 9
    x[315:, 1] += 9
    table = pa.table({"a": x[:, 0], "b": x[:, 1]})
    y = ["normal"] * 300 + ["leak"] * 15 + ["crack"] * 15
    detector = Detector(Mahalanobis(), random_state=0).fit(table, y)
    new = pa.table({"id": np.arange(120), "a": np.r_[np.zeros(118), 9, 0], "b": np.zeros(120)})
    new = new.set_column(2, "b", pa.array(np.r_[np.zeros(119), -9]))
    source = TableSource(FileRows(stored(new, tmp_path / "rows.csv")), keep=("id",))
    for policy in (Policy.alpha(0.02), Policy.fdr(0.5)):
        sink = TableSink(tmp_path / f"{policy.kind}.parquet")
        sink.write(score(source, detector, policy, beside=sink.target, kinds=True))
        found = parquet.read_table(sink.target)
        assert found.column_names[1:] == [*RESULTS, *KINDS]
        assert found["kind"].to_pylist()[:118] == ["normal"] * 118
        assert found["kind_pvalue"].null_count == found["novelty"].null_count == 118
        whole = detector.verdict(new.slice(118).drop_columns(["id"]))
        assert found["kind"].to_pylist()[118:] == whole.kind.tolist() == ["leak", "new kind"]
        assert found["novelty"].to_pylist()[118:] == whole.novelty.tolist()
        assert sink.kinds == {"leak": 1, "new kind": 1}
    judged = score(TableSource(source.place, keep=("kind",)), detector, policy, kinds=True)
    with pytest.raises(DataError, match="'kind' cannot be kept"):
        next(judged)

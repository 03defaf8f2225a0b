"""What is learned from a data set of any size: the same draw from one file or many, in this process
or in parts, and all of what fits.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from unseen.detector.detector import Detector
from unseen.errors import BundleError, DataError
from unseen.io import jsonl, packed, read
from unseen.scoring.drawing import Drawing, InParts
from unseen.scoring.rows import FileRows, FilesRows, FrameRows
from unseen.scoring.sources import files_of, place_of, source_of
from unseen.scoring.stream import score
from unseen.scoring.suspects import suspects
from unseen.scoring.tables import TableSource
from unseen.storage.bundle import Bundle
from unseen.storage.facts import Drawn, of_form

ASIDE = {"label": "kind", "drop": ("id",), "group": "site"}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    n = 4000
    kind = rng.choice(["normal", "leak", "crack"], n, p=[0.96, 0.03, 0.01])
    return pa.table(
        {
            "id": np.arange(n),
            "load": rng.normal(size=n) + 6.0 * (kind != "normal"),
            "flow": rng.normal(size=n),
            "site": rng.choice(["a", "b", "c"], n, p=[0.9, 0.095, 0.005]),
            "kind": kind,
        }
    )


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    """The rows in files of several sizes, one without rows."""
    place, start = tmp_path_factory.mktemp("days") / "days", 0
    (place / "more").mkdir(parents=True)
    for k, size in enumerate((700, 0, 2300, 1000)):
        name = f"more/{k}.parquet" if k == 3 else f"{k}.parquet"
        parquet.write_table(rows.slice(start, size), place / name, row_group_size=300)
        start += size
    (place / "_SUCCESS").write_text("")
    return place


@pytest.fixture(scope="module")
def file(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "rows.parquet"
    parquet.write_table(rows, path)
    return path


def labelled(data, rows=500, **how):
    return source_of(data, drawing=Drawing(rows, **how), **ASIDE).labelled()


def test_a_folder_a_pattern_an_address_and_a_file_draw_the_same(rows, folder, file, tmp_path):
    whole = labelled(file)
    ways = [folder, f"file://{folder}", [*sorted(folder.glob("*.parquet")), folder / "more"]]
    for data in ways:
        found = labelled(data)
        assert found.rows.equals(whole.rows)
        assert found.y.equals(whole.y)
        assert found.groups == whole.groups
        assert found.facts["drawn"] == whole.facts["drawn"]
    (tmp_path / "rows.csv").write_bytes(b"")
    arrow_csv.write_csv(rows, tmp_path / "rows.csv")
    text = labelled(tmp_path / "rows.csv")
    assert [float(x) for x in text.rows["load"].to_pylist()] == whole.rows["load"].to_pylist()
    assert text.facts["drawn"] == whole.facts["drawn"]


def test_anomalies_are_all_there_and_what_was_drawn_is_told(rows, folder, caplog):
    with caplog.at_level("INFO", "unseen"):
        data = labelled(folder, seed=3)
    kinds = np.array(rows["kind"].to_pylist())
    seen = {name: int((kinds == name).sum()) for name in ("leak", "crack")}
    assert data.facts["anomalies"] == seen
    facts = data.facts["drawn"]
    assert facts == {
        "most": 500,
        "most_anomalies": 10_000,
        "seed": 3,
        "rows": 4000,
        "normals": int((kinds == "normal").sum()),
        "unlabelled": 0,
        "anomalies": seen,
        "strata": 3,
        "floor": 8,  # 500 // (20 * 3)
    }
    # the uniform part, and rows of a or b that it has already; site c has few there
    assert 500 <= data.facts["normals"] <= 508
    assert data.groups.count("c") >= 8
    told = f"{len(data.rows):,} of 4,000 rows are drawn (seed 3): {data.facts['normals']} of "
    assert f"{told}{facts['normals']:,} normal, all others" in caplog.text
    assert "each value of 'site' keeps at least 8 normal rows" in caplog.text


@pytest.mark.parametrize("backwards", [False, True])
def test_files_by_themselves_merge_to_the_same(folder, backwards):
    def spread(work, items):
        return map(work, list(items)[:: -1 if backwards else 1])

    done = []
    reader = InParts(files_of(folder), spread)
    found = labelled(folder, reader=reader, progress=done.append)
    assert found.rows.equals(labelled(folder).rows)
    assert sum(done) == 4000


def test_parts_go_to_workers_and_come_back(folder):
    """As Ray sends them; what it does with them is the same as `map`."""
    sent = pytest.importorskip("ray.cloudpickle")

    def again(each):
        return sent.loads(sent.dumps(each))

    def spread(work, items):
        return (again(again(work)(again(item))) for item in items)

    found = labelled(folder, reader=InParts(files_of(folder), spread))
    assert found.rows.equals(labelled(folder).rows)


SMALL = {
    "csv": b"id,load,flow,site,kind\n1,2.5,,a,normal\n2,x,1,b,\n3,2,1,a,leak\n",
    "jsonl": b'{"id": 1, "load": 2.5, "kind": "normal", "site": "a"}\n'
    b'{"id": 2, "load": true, "kind": null, "site": "b", "flow": {"a": 1}}\n'
    * 250
    + b'{"id": 3, "load": "x", "kind": "leak", "site": "a", "late": [1]}\n',
}


@pytest.mark.parametrize("suffix", [*SMALL, "parquet"])
def test_files_that_fit_are_read_as_before(suffix, file, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(jsonl, "ROWS", 100)
    path = file
    if suffix in SMALL:
        path = tmp_path / f"rows.{suffix}"
        path.write_bytes(SMALL[suffix])
    before = TableSource(FileRows(path), "kind", drop=("id",), group="site").labelled()
    caplog.clear()
    now = labelled(path, rows=20_000)
    assert now.rows.equals(before.rows)
    assert now.rows.schema.equals(before.rows.schema)
    assert now.y.equals(before.y)
    assert (now.groups, now.facts) == (before.groups, before.facts)
    assert "drawn" not in caplog.text


def test_a_saved_detector_knows_what_it_was_drawn_from(folder, file, tmp_path):
    data = labelled(folder)
    detector = Detector("mahalanobis", random_state=0).fit(data.rows, data.y, groups=data.groups)
    held_out = np.concatenate([member.held_out for member in detector.members_])
    codes = np.array([label != "normal" for label in data.y.to_pylist()])
    assert not codes[held_out].any()
    assert len(np.unique(held_out)) == len(held_out) >= data.facts["normals"] // 5
    Bundle(detector, data.facts).save(tmp_path / "m")
    bundle = Bundle.load(tmp_path / "m")
    drawn = of_form(Drawn, bundle.facts["drawn"])
    assert (drawn.rows, drawn.most, drawn.strata, drawn.floor) == (4000, 500, 3, 8)
    # an audit draws the same rows again, and tells where they are among all
    from unseen.scoring.sources import table_again

    source = table_again(bundle, file)
    found = suspects(bundle.detector, bundle.facts, source)
    assert len(found) == data.facts["normals"]
    assert [row - 1 for row in found["row"].to_pylist()] == found["id"].to_pylist()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 7},
        {"most": 0},
        {"most_anomalies": None},
        {"seed": "1"},
        {"anomalies": [3]},
        {"floor": -1},
    ],
)
def test_facts_that_do_not_hold_together_are_none(folder, change):
    facts = labelled(folder).facts["drawn"]
    assert of_form(Drawn, facts) is not None
    assert of_form(Drawn, facts | change) is None


def test_facts_that_were_changed_are_refused(folder, tmp_path):
    data = labelled(folder)
    detector = Detector("mahalanobis", random_state=0).fit(data.rows, data.y)
    Bundle(detector, data.facts).save(tmp_path / "m")
    text = tmp_path / "m" / "bundle.json"
    plain = json.loads(text.read_text())
    plain["facts"]["drawn"]["seed"] = 8
    text.write_text(json.dumps(plain))
    with pytest.raises(BundleError, match="changed since it was saved"):
        Bundle.load(tmp_path / "m")


def test_rows_that_are_drawn_from_several_files_score_like_one(folder, file, rows):
    data = labelled(file)
    detector = Detector("mahalanobis", random_state=0).fit(data.rows, data.y)
    from unseen.detector.policy import Policy

    def judged(place):
        each = score(TableSource(place), detector, Policy.fdr(0.1))
        return pa.concat_tables([scored.table() for scored in each])

    found = judged(place_of(folder))
    assert found.equals(judged(FileRows(file)))
    assert found["row"].to_pylist() == list(range(1, 4001))
    assert place_of(folder).count() == 4000


def test_columns_that_are_left_out_are_not_read(file, monkeypatch):
    asked = []
    real = packed._rows

    def noted(source, rows, plain, names):
        asked.append(names)
        return real(source, rows, plain, names)

    monkeypatch.setattr(packed, "_rows", noted)
    labelled(file)
    labelled(file, keys=True)
    assert asked == [["load", "flow", "site", "kind"], None]


def test_files_that_differ_are_named(folder, tmp_path):
    place = tmp_path / "two"
    place.mkdir()
    parquet.write_table(pa.table({"a": [1.0], "b": [2.0]}), place / "1.parquet")
    parquet.write_table(pa.table({"b": [1.0], "c": [2.0]}), place / "2.parquet")
    with pytest.raises(DataError, match=r"2.parquet has no column 'a'"):
        source_of(place, drawing=Drawing()).labelled()
    parquet.write_table(pa.table({"a": [1.0], "b": [2.0], "c": [3.0]}), place / "2.parquet")
    for reader in ({}, {"reader": InParts(files_of(place), map)}):
        with pytest.raises(DataError, match=r"2.parquet: has 'c', which other files lack"):
            source_of(place, drawing=Drawing(**reader)).labelled()
    parquet.write_table(pa.table({"a": ["x"], "b": [2.0]}), place / "2.parquet")
    with pytest.raises(DataError, match="differ in the type of a column"):
        source_of(place, drawing=Drawing()).labelled()


def test_messages_before_rows_are_read(folder, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"0.parquet has no column 'kinds' \(did you mean 'kind'"):
        source_of(folder, label="kinds", drawing=Drawing()).labelled()
    with pytest.raises(DataError, match=r"0.parquet has no column 'ids'"):
        source_of(folder, label="kind", drop=("ids",), drawing=Drawing()).labelled()
    with pytest.raises(DataError, match="files or folders to read, found none"):
        source_of((), drawing=Drawing())
    with pytest.raises(DataError, match=r"nothing\*: no file has such a name"):
        place_of(str(tmp_path / "nothing*"))
    arrow_csv.write_csv(pa.table({"a": [1]}), tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a.csv: only reading all of it tells how many rows"):
        files_of([tmp_path / "a.csv"]).known_counts()
    monkeypatch.setattr(FilesRows, "WHOLE", 3000)
    with pytest.raises(DataError, match="expected at most 3,000 rows.*found 4,000"):
        place_of(folder).whole()


def test_long_texts_that_unpack_are_refused(tmp_path, monkeypatch):
    """A text of a megabyte in each of 3,000 rows takes little on disk, and a draw of them much."""
    monkeypatch.setattr(read, "FREE", 1 << 20)
    text = pa.array(["x" * (1 << 16)])
    table = pa.table({"a": pa.DictionaryArray.from_arrays(np.zeros(3000, np.int32), text)})
    parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DataError, match="more than 1,000 times as much"):
        source_of(tmp_path / "a.parquet", drawing=Drawing(2000)).labelled()
    source_of(tmp_path / "a.parquet", drawing=Drawing(5)).labelled()


def test_rows_in_memory_are_drawn_likewise(rows, file):
    frame = TableSource(FrameRows(rows), **ASIDE, drawing=Drawing(500)).labelled()
    assert frame.rows.equals(labelled(file).rows)

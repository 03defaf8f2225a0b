"""The command line on data sets of many files: drawn, told, and judged like one file."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from unseen.cli import main as cli
from unseen.storage.bundle import Bundle

WORDS = "--label kind --drop id --group site --method mahalanobis"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder `days` of three files, and `all.parquet` with the same rows."""
    place, rng, n = tmp_path_factory.mktemp("large"), np.random.default_rng(0), 3000
    kind = rng.choice(["normal", "leak"], n, p=[0.98, 0.02])
    table = pa.table(
        {
            "id": np.arange(n),
            "load": rng.normal(size=n) + 6.0 * (kind != "normal"),
            "flow": rng.normal(size=n),
            "site": rng.choice(["a", "b"], n),
            "kind": kind,
        }
    )
    (place / "days").mkdir()
    for k in range(3):
        parquet.write_table(table.slice(1000 * k, 1000), place / "days" / f"{k}.parquet")
    parquet.write_table(table, place / "all.parquet")
    return place


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def line(words):
        status = cli.main(words.split())
        said = capsys.readouterr()
        return status, " ".join(said.out.split()), said.err

    return line


def test_a_fit_from_many_files_and_what_it_tells(place, run):
    status, out, err = run(f"fit days {WORDS} --rows 400 --out m")
    assert status == 0, err
    facts = Bundle.load(place / "m").facts
    drawn = facts["drawn"]
    assert f"note: {facts['rows']} of 3,000 rows are drawn (seed 0)" in err
    assert "to draw another number: --rows N" in err
    assert "data days (3 files), labels in column 'kind'" in out
    assert (
        f"drawn from 3,000 rows: {drawn['normals']:,} normal, {facts['anomalies']['leak']}" in out
    )
    assert f"unseen evaluate days {WORDS.replace(' --method', ' --rows 400 --method')}" in out
    assert drawn["rows"] == 3000
    assert run("info m")[1].count("at most 400 of each class (seed 0); 2 domains or blocks") == 1


def test_the_same_rows_in_other_files_make_the_same_detector(place, run):
    for name, data in {
        "one": "all.parquet",
        "three": "days/0.parquet days/1.parquet days/2*",
    }.items():
        status, _, err = run(f"fit {data} {WORDS} --rows 400 --seed 3 --out {name}")
        assert status == 0, err
    one, three = ((place / name / "tensors.safetensors").read_bytes() for name in ("one", "three"))
    assert one == three
    for name, data in {"a": "all.parquet", "b": "days/*", "c": "days/2.parquet days"}.items():
        status, _, err = run(f"score one {data} --keep id --out {name}.csv")
        assert (status == 0) is (name != "c"), err
    assert (place / "a.csv").read_bytes() == (place / "b.csv").read_bytes()
    assert "2.parquet: is named twice" in err


def test_audits_and_evaluations_draw_the_same(place, run):
    assert run(f"fit days {WORDS} --rows 400 --out audited")[0] == 0
    status, _, err = run("audit audited all.parquet --out suspects.parquet")
    assert status == 0, err
    found = parquet.read_table(place / "suspects.parquet")
    assert [row - 1 for row in found["row"].to_pylist()] == found["id"].to_pylist()
    status, _, err = run(f"evaluate days {WORDS} --rows 400 --seeds 1")
    assert status == 0, err
    assert "rows are drawn (seed 0)" in err


def test_answers_are_learned_beside_the_rows_that_were_drawn(place, run):
    assert (
        run("fit days --label kind --drop id --rows 400 --method mahalanobis --out first")[0] == 0
    )
    rows = parquet.read_table(place / "all.parquet").slice(0, 2)
    rows = rows.set_column(rows.column_names.index("kind"), "kind", pa.array(["crack", "normal"]))
    arrow_csv.write_csv(rows, place / "answers.csv")
    status, _, err = run("learn first answers.csv --data all.parquet --out second")
    assert status == 0, err
    facts = Bundle.load(place / "second").facts
    assert facts["anomalies"]["crack"] == 1
    assert facts["drawn"]["rows"] == 3000
    (place / "answers.csv").write_text("load,flow,site,kind\nmuch,1,a,leak\n")
    status, _, err = run("learn first answers.csv --data all.parquet --out third")
    assert (status, "'much'" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("fit --label kind --out n", "files or folders to read, found none"),
        ("fit days --label kind --rows 0 --out n", "Must be >= 1"),
        ("fit days --label kind --seed -1 --out n", "--seed must be a whole number from 0"),
        ("fit days --label kinds --out n", "0.parquet has no column 'kinds'"),
        ("fit empty --rows 5 --out n", "empty is a folder of images"),
        ("fit nowhere* --out n", "nowhere*: no file has such a name"),
        ("fit days empty --out n", "is a folder of images, of which one is read at a time"),
    ],
)
def test_what_is_said_of_what_cannot_be(place, run, words, told):
    (place / "empty").mkdir(exist_ok=True)
    status, _, err = run(words)
    assert status == 2
    assert told in err
    assert not (place / "n").exists()

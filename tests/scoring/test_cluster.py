"""Scoring on a cluster: what one machine gives, bit for bit, whoever is killed on the way."""

import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from pyarrow import fs

from unseen.cli.main import main
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import BundleError, DataError, Unsupported
from unseen.io import places, read
from unseen.io.paths import alone
from unseen.io.places import Place
from unseen.methods.distances import Mahalanobis
from unseen.scoring import engine as engines
from unseen.scoring import rows as reading
from unseen.scoring.cluster import asked_of, score_partitions
from unseen.scoring.engine import Engine
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource
from unseen.scoring.worker import Work
from unseen.storage.bundle import Bundle

ALPHA, FDR = Policy.alpha(0.05), Policy.fdr(0.2)
SIZES = (90, 0, 131, 40, 77, 64, 50, 128, 33, 60, 71, 80)


@dataclass(frozen=True)
class Inline:
    """An engine of this process, which may be told to break off before a step."""

    steps: int = 1_000_000

    @contextmanager
    def started(self):
        left = iter(range(self.steps))

        def spread(work, items):
            for item in items:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                yield work(item)

        yield spread


def some_rows(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x[::9] += 5.0
    return pa.table(
        {
            "key": pa.array([f"{seed}-{k}" for k in range(n)], pa.string()),
            "line": rng.choice(["a", "b"], n),
            **{f"x{j}": column for j, column in enumerate(x.T)},
        }
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved detector that knows a kind and two domains, 12 files of rows, and one of all."""
    place = tmp_path_factory.mktemp("cluster")
    rows = some_rows(800, 99)
    kind = np.where(np.arange(800) % 9 == 0, "up", "normal")
    detector = Detector(Mahalanobis(), calibration=0.25, random_state=0)
    facts = {"label": "kind", "drop": ["key"], "group": "line", "source": "rows"}
    learnt = detector.fit(rows.drop(["key", "line"]), kind, groups=rows["line"].to_pylist())
    Bundle(learnt, {"data": facts} | facts).save(place / "model")
    (place / "rows").mkdir()
    tables = [some_rows(n, k) for k, n in enumerate(SIZES)]
    for k, table in enumerate(tables):
        parquet.write_table(table, place / "rows" / f"{k:02d}.parquet", row_group_size=50)
    parquet.write_table(pa.concat_tables(tables), place / "all.parquet")
    return place


@pytest.fixture(scope="module")
def ray():
    """Two workers, for all tests that need some."""
    ray = pytest.importorskip("ray")
    assert not ray.is_initialized()
    with Engine(workers=2).started():
        yield ray
    assert not ray.is_initialized()


def on_one_machine(saved, policy, file="all.parquet", **how):
    bundle = Bundle.load(saved / "model")
    source = TableSource(reading.FileRows(saved / file), keep=how.pop("keep", ()))
    found = [each.table() for each in score(source, bundle.detector, policy, **how)]
    return pa.concat_tables(found)


def on_workers(saved, out, policy, data=("rows",), engine=None, progress=None, keep=(), **how):
    asked = asked_of(Bundle.load(saved / "model"), policy, keep, **how)
    given = {} if progress is None else {"progress": progress}
    files = [str(saved / name) for name in data]
    engine = engine or Inline()
    return score_partitions(saved / "model", files, str(out), asked, engine=engine, **given)


def parts(out):
    return sorted(path.name for path in out.glob("part-*"))


def whole(out):
    """All scores: as other readers of such folders find them, and each file whole."""
    assert sorted(path.name for path in out.iterdir()) == ["_SUCCESS", "_plan.json", *parts(out)]
    return parquet.read_table(out)


def same(found, expected):
    return found.combine_chunks().equals(expected.combine_chunks())


@pytest.mark.parametrize("policy", [ALPHA, FDR], ids=["alpha", "fdr"])
def test_workers_give_what_one_machine_gives(saved, tmp_path, ray, policy):
    told = {"kinds": True, "reasons": 2}
    found = on_workers(saved, tmp_path / "out", policy, engine=Engine(), **told)
    expected = on_one_machine(saved, policy, **told)
    assert same(whole(tmp_path / "out"), expected)
    alarms = alarms_of(expected)
    assert (found.rows, found.flagged) == (sum(SIZES), len(alarms))
    assert 40 < len(alarms) < 300
    assert found.kinds["up"] == alarms["kind"].to_pylist().count("up") > 20
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text())["flagged"] == len(alarms)
    for k, name in enumerate(parts(tmp_path / "out")):
        assert parquet.read_metadata(tmp_path / "out" / name).num_rows == SIZES[k]


def test_a_partition_of_a_worker_that_is_killed_is_done_by_another(saved, tmp_path, ray):
    killed = []

    def kill(rows):
        for process in psutil.Process().children(recursive=True):
            if not killed and process.name().startswith("ray::_on_worker"):
                killed.append(process.pid)
                process.kill()

    found = on_workers(saved, tmp_path / "out", ALPHA, engine=Engine(), progress=kill)
    assert len(killed) == 1
    assert found.rows == sum(SIZES)
    assert same(whole(tmp_path / "out"), on_one_machine(saved, ALPHA))


def test_the_command_line_scores_on_workers(saved, tmp_path, ray, capsys, monkeypatch):
    monkeypatch.chdir(saved)
    words = ["score", "model", "rows/0?.parquet", "--out", str(tmp_path / "out"), "--keep", "key"]
    assert main([*words, "--alpha", "0.02", "--engine", "ray"]) == 0
    said = capsys.readouterr()
    count = alarms_of(whole(tmp_path / "out")).num_rows
    assert f"{count} of {sum(SIZES[:10])} rows flagged at p <= 0.02." in said.out
    assert f"written to {tmp_path}/out" in said.out
    assert main([*words, "--alpha", "0.05", "--engine", "ray"]) == 2
    assert "was begun otherwise (policy: alpha 0.02, now alpha 0.05)" in capsys.readouterr().err


def test_the_command_line_tells_what_does_not_go_together(saved, tmp_path, capsys):
    words = ["score", str(saved / "model"), str(saved / "rows")]
    for more, said in (
        (["--out", "o", "--workers", "2"], "--workers is for --engine ray"),
        (["--out", "o", "--address", "auto"], "--address is for --engine ray"),
        (["--out", "o", "--engine", "ray", "--cache", "c"], "are for images"),
        (["--out", "-", "--engine", "ray"], "expected a folder to write to"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err


def test_workers_evaluate_as_one_process_does(tmp_path, ray, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(520, 3))
    x[400:460] += 4.0
    x[460:] -= 4.0
    kind = np.repeat(["normal", "up", "down"], [400, 60, 60])
    columns = {f"x{j}": column for j, column in enumerate(x.T)} | {"kind": kind}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    words = ["evaluate", str(tmp_path / "rows.parquet"), "--label", "kind", "--seeds", "2"]
    words += ["--method", "mahalanobis", "nearest"]
    reports = {}
    for engine in ("local", "ray"):
        file = tmp_path / f"{engine}.json"
        assert main([*words, "--engine", engine, "--json", str(file)]) == 0
        reports[engine] = json.loads(file.read_text())["methods"]
        for report in reports[engine]:
            assert report.pop("fit_seconds") > 0
            assert report.pop("rows_per_second") > 0
    assert reports["ray"] == reports["local"]
    assert [report["method"] for report in reports["ray"]] == ["mahalanobis", "nearest"]


def odd(how):
    """Work that fails, or says something; a worker knows nothing of this file."""

    def work(item):
        import logging
        import os
        import signal

        from unseen.errors import BundleError

        if how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fails":
            raise OSError("no such bucket")
        if how == "refuses":
            raise BundleError("changed since it was saved")
        logging.getLogger("unseen").warning("row %s is new", item)
        return os.environ.get("OMP_NUM_THREADS")

    return work


def test_what_goes_wrong_names_the_partition(ray, monkeypatch, caplog):
    monkeypatch.setattr(engines, "AGAIN", 0)
    with Engine().started() as spread:
        with pytest.raises(DataError, match="rows/7: its worker died"):
            list(spread(odd("dies"), ["rows/7"]))
        with pytest.raises(DataError, match=r"rows/7: a worker failed .*no such bucket"):
            list(spread(odd("fails"), ["rows/7"]))
        with pytest.raises(BundleError, match="changed since"):
            list(spread(odd("refuses"), ["rows/7"]))
        assert list(spread(odd("speaks"), range(25))) == ["1"] * 25
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == engines.NOTES + 1
    assert told[-1].startswith("15 further notes")
    assert all(f"{text[0]}: row {text[0]}" in text for text in told[:-1] if text[1] == ":")


def test_work_is_loaded_once_by_each_worker(ray):
    def loading():
        class Loading:
            def __call__(self, item):
                return os.getpid(), vars(self).setdefault("loaded", os.urandom(8))

        return Loading()

    work = loading()
    with Engine().started() as spread:
        found = {each for _ in range(2) for each in spread(work, range(20))}
    assert len(found) == len({pid for pid, _ in found}) <= 2


def test_what_is_sent_is_the_files_alone(saved, tmp_path):
    sent = []

    class Seeing(Inline):
        @contextmanager
        def started(self):
            yield lambda work, items: sent.append(dict(vars(work))) or map(work, items)

    on_workers(saved, tmp_path / "out", FDR, engine=Seeing())
    assert sent[0].keys() == {"files", "asked", "out", "trust", "release"}
    assert sent[0]["files"].keys() >= {"bundle.json", "tensors.safetensors"}


def test_a_session_leaves_the_process_as_it_was(ray):
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    assert "RAY_AUTH_MODE" not in os.environ
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_no_cluster_and_no_ray_are_told(monkeypatch):
    with pytest.raises(DataError, match="workers is for workers on this machine"):
        Engine("auto", 2)
    with pytest.raises(DataError, match="at least 1, got 0"):
        Engine(workers=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Unsupported, match=r'pip install "unseen\[ray\]"'), Engine().started():
        pass


def as_it_is(file):
    """What changes when a file is written again."""
    return file.stat().st_ino, file.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("policy", "kinds", "steps", "done"),
    [(ALPHA, 0, 0, 0), (ALPHA, 0, 11, 11), (FDR, 0, 5, 0), (FDR, 1, 15, 3)],
)
def test_an_interrupted_run_goes_on(saved, tmp_path, policy, kinds, steps, done):
    out, how = tmp_path / "out", {"kinds": bool(kinds)}
    with pytest.raises(KeyboardInterrupt):
        on_workers(saved, out, policy, engine=Inline(steps), **how)
    first = {name: as_it_is(out / name) for name in parts(out)}
    assert len(first) == done
    assert not (out / "_SUCCESS").exists()
    found = on_workers(saved, out, policy, **how)
    assert first == {name: as_it_is(out / name) for name in first}
    expected = on_one_machine(saved, policy, **how)
    assert same(whole(out), expected)
    assert found.flagged == expected["verdict"].to_pylist().count("anomaly")
    assert found.smallest == pa.compute.min(expected["pvalue"]).as_py()
    assert found.threshold == (policy.level if policy is ALPHA else largest_alarm(expected))
    assert sum(found.kinds.values()) == kinds * found.flagged


def largest_alarm(table):
    return pa.compute.max(alarms_of(table)["pvalue"]).as_py()


def alarms_of(table):
    return table.filter(pa.compute.equal(table["verdict"], "anomaly"))


@pytest.mark.parametrize(("policy", "after"), [(ALPHA, 4), (FDR, 7)], ids=["alpha", "fdr"])
def test_a_run_whose_driver_is_killed_goes_on(saved, tmp_path, policy, after):
    out, left = tmp_path / "out", iter(range(after))

    def kill(rows):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        signal.alarm(60)
        on_workers(saved, out, policy, progress=kill)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    first = {name: as_it_is(out / name) for name in parts(out)}
    assert len(first) == (after + 1 if policy is ALPHA else 0)
    (out / "_making" / "part-00011.parquet-0123").write_bytes(b"half")  # what a worker left
    on_workers(saved, out, policy)
    assert first == {name: as_it_is(out / name) for name in first}
    assert same(whole(out), on_one_machine(saved, policy))


def test_a_whole_run_is_left_as_it_is(saved, tmp_path, caplog):
    out = tmp_path / "out"
    first = on_workers(saved, out, FDR, kinds=True)
    before = {path.name: as_it_is(path) for path in out.iterdir()}
    (out / "_judged").mkdir()  # killed before it was removed
    caplog.set_level("INFO", "unseen")
    assert on_workers(saved, out, FDR, kinds=True, engine=Inline(0)) == first
    assert before == {path.name: as_it_is(path) for path in out.iterdir()}
    assert caplog.messages == [f"{out}: is whole already, and left as it is"]


@pytest.fixture
def begun(saved, tmp_path):
    """A copy of three files, and a run of them that was interrupted."""
    (tmp_path / "rows").mkdir()
    for name in ("00", "02", "03"):
        rows = parquet.read_table(saved / "rows" / f"{name}.parquet")
        parquet.write_table(rows, tmp_path / "rows" / f"{name}.parquet")
    with pytest.raises(KeyboardInterrupt):
        on_workers(saved, tmp_path / "out", ALPHA, [tmp_path / "rows"], Inline(1))
    return tmp_path


def test_a_run_goes_on_only_as_what_it_was(saved, begun):
    out, rows = begun / "out", begun / "rows"

    def refused(what, policy=ALPHA, data=(rows,), **how):
        with pytest.raises(DataError, match=what):
            on_workers(saved, out, policy, data, **how)

    refused("was begun otherwise .policy: alpha 0.05, now alpha 0.01", Policy.alpha(0.01))
    refused(r"columns kept: \[\], now \['key'\]", keep=("key",))
    refused("kinds: False, now True", kinds=True)
    refused("rows/03.parquet is missing", data=(rows / "0[02].parquet",))
    refused("the files have another order", data=(rows / "0[23].parquet", rows / "00.parquet"))
    more = rows / "04.parquet"
    more.write_bytes((rows / "03.parquet").read_bytes())
    refused("rows/04.parquet is new")
    more.unlink()
    parquet.write_table(some_rows(40, 3)[:39], rows / "03.parquet")
    refused("rows/03.parquet has changed")
    assert parts(out) == ["part-00000.parquet"]
    (out / "_plan.json").write_text("[]")
    refused("expected the plan of a run")


def test_a_run_goes_on_only_with_its_detector(saved, begun):
    bundle = Bundle.load(saved / "model")
    Bundle(bundle.detector, bundle.facts | {"note": "another"}).save(begun / "model")
    with pytest.raises(DataError, match="was begun otherwise .detector: "):
        on_workers(begun, begun / "out", ALPHA)


def test_workers_of_another_release_are_refused(saved, tmp_path):
    asked = asked_of(Bundle.load(saved / "model"), ALPHA)
    work = Work({}, asked, Place.of(tmp_path), release="0.0.1")
    with pytest.raises(DataError, match=r"has unseen .*, and the run was begun by 0\.0\.1"):
        work.detector  # noqa: B018


def test_a_file_that_changes_meanwhile_is_refused(saved, begun):
    def change(rows):
        parquet.write_table(some_rows(40, 3)[:39], begun / "rows" / "03.parquet")

    with pytest.raises(DataError, match="03.parquet: has changed since the run began"):
        on_workers(saved, begun / "out", ALPHA, [begun / "rows"], progress=change)
    assert not (begun / "out" / "_SUCCESS").exists()


def test_files_that_do_not_fit_together_are_named(saved, begun):
    odd = begun / "rows" / "03.parquet"
    rows = parquet.read_table(odd)
    out, data = begun / "new", [begun / "rows"]
    parquet.write_table(rows.set_column(0, "key", pa.array(range(len(rows)))), odd)
    with pytest.raises(DataError, match="03.parquet: column 'key' is int64, .*00.parquet .*string"):
        on_workers(saved, out, ALPHA, data, keep=("key",))
    parquet.write_table(rows.drop(["x1"]), odd)
    with pytest.raises(DataError, match="03.parquet has no column 'x1'"):
        on_workers(saved, out, ALPHA, data)
    odd.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="03.parquet: expected a Parquet file"):
        on_workers(saved, out, ALPHA, data)
    assert not (out / "_plan.json").exists()  # nothing was begun


def test_large_texts_and_texts_are_one_type_of_a_kept_column(saved, begun):
    large = begun / "rows" / "03.parquet"
    rows = parquet.read_table(large)
    key = rows["key"].cast(pa.large_string())
    parquet.write_table(rows.set_column(0, "key", key), large)
    on_workers(saved, begun / "large", ALPHA, [begun / "rows"], keep=("key",))
    parts = [parquet.read_table(part) for part in sorted((begun / "large").glob("*.parquet"))]
    assert {part.schema.field("key").type for part in parts} == {pa.string()}
    assert rows["key"].to_pylist() in [part["key"].to_pylist() for part in parts]


def as_csv(saved, folder):
    folder.mkdir()
    for k in range(3):
        table = parquet.read_table(saved / "rows" / f"{2 * k:02d}.parquet")
        arrow_csv.write_csv(table, folder / f"{k}.csv")
    arrow_csv.write_csv(
        pa.concat_tables([read.table(folder / f"{k}.csv") for k in range(3)]),
        folder.parent / "all.csv",
    )


def test_rows_of_text_files_are_numbered_through(saved, tmp_path):
    as_csv(saved, tmp_path / "rows")
    on_workers(saved, tmp_path / "out", ALPHA, [tmp_path / "rows"])
    expected = on_one_machine(saved, ALPHA, tmp_path / "all.csv")
    assert same(whole(tmp_path / "out"), expected)
    assert expected["row"].to_pylist() == list(range(1, 90 + 131 + 77 + 1))


def test_a_bad_row_names_its_file_and_line(saved, tmp_path):
    as_csv(saved, tmp_path / "rows")
    with (tmp_path / "rows" / "2.csv").open("a") as file:
        file.write('"x","a",1,2,3,4\n')
    with pytest.raises(DataError, match=r"rows/2.csv, line 79: expected 5 fields .* found 6"):
        on_workers(saved, tmp_path / "out", ALPHA, [tmp_path / "rows"], keep=("key",))
    assert parts(tmp_path / "out") == ["part-00000.parquet", "part-00001.parquet"]


def test_object_stores_are_read_and_written_by_their_urls(saved, tmp_path, monkeypatch):
    """A file system that is not this machine's: files are copied there and back."""
    (tmp_path / "bucket").mkdir()
    as_csv(saved, tmp_path / "bucket" / "rows")

    def opened(url):
        system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
        assert url.endswith("?region=moon")
        return system, url.removeprefix("s3://").removesuffix("?region=moon")

    monkeypatch.setattr(places, "_opened", opened)
    bundle, how = Bundle.load(saved / "model"), "?region=moon"
    asked = asked_of(bundle, FDR)
    data, out = [f"s3://bucket/rows/*.csv{how}"], f"s3://bucket/out{how}"
    score_partitions(saved / "model", data, out, asked, engine=Inline())
    expected = on_one_machine(saved, FDR, tmp_path / "bucket" / "all.csv")
    assert same(whole(tmp_path / "bucket" / "out"), expected)
    with (tmp_path / "bucket" / "rows" / "2.csv").open("a") as file:
        file.write('"x","a",1,2,3,4\n')
    with pytest.raises(DataError, match=r"^s3://bucket/rows/2.csv\?region=moon, line 79: "):
        score_partitions(saved / "model", data, f"s3://bucket/new{how}", asked, engine=Inline())


def test_rows_are_judged_by_domain_where_that_is_asked_for(saved, tmp_path):
    bundle = Bundle.load(saved / "model")
    asked = asked_of(bundle, FDR, ("key",))
    asked = replace(asked, rows=replace(asked.rows, group="line", by_group=True))
    score_partitions(
        saved / "model", [str(saved / "rows")], str(tmp_path / "out"), asked, engine=Inline()
    )
    source = replace(asked.rows, place=reading.FileRows(saved / "all.parquet"))
    expected = pa.concat_tables([each.table() for each in score(source, bundle.detector, FDR)])
    assert same(whole(tmp_path / "out"), expected)
    assert not same(expected.select(["pvalue"]), on_one_machine(saved, FDR).select(["pvalue"]))


def test_a_folder_of_something_else_is_left_alone(saved, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="mine: exists already and is left as it is"):
        on_workers(saved, tmp_path / "mine", ALPHA)
    with pytest.raises(DataError, match="expected a folder to write to, found a file"):
        on_workers(saved, tmp_path / "mine" / "letter.txt", ALPHA)
    with pytest.raises(DataError, match="there is no folder"):
        on_workers(saved, tmp_path / "no" / "out", ALPHA)
    with pytest.raises(DataError, match="rows/out: lies in .*rows, whose files are to be read"):
        on_workers(saved, saved / "rows" / "out", ALPHA)
    (saved / "rows" / "out").rmdir()
    (tmp_path / "out").mkdir()
    with alone(tmp_path / "out"), pytest.raises(DataError, match="another run is writing there"):
        on_workers(saved, tmp_path / "out", ALPHA)

"""The benchmark's Parquet file: resumed by key, whole at any time; and its workers, one of which
may hang.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as parquet
import pytest
from bench.runs.store import Store, schema
from bench.runs.workers import run_all

SCHEMA = schema(text=["set", "error"], whole=["seed"], real=["value"])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "deep" / "runs.parquet", SCHEMA, ("set", "seed"))


def record(name, seed, value=0.5, error=None):
    return {"set": name, "seed": seed, "value": value, "error": error}


def test_records_come_back_in_order_and_a_new_one_takes_the_place_of_the_old(store):
    assert store.records() == []
    for entry in (
        record("a", 0),
        record("b", 0, error="ValueError: x"),
        record("a", 1),
        record("b", 0, 0.75),
    ):
        store.append(entry)
    assert store.records() == [record("a", 0), record("a", 1), record("b", 0, 0.75)]


def test_failed_runs_are_done_until_asked_for_again(store):
    assert store.keys() == set()
    store.append(record("a", 0))
    store.append(record("b", 3, error="TimeoutError: not done"))
    assert store.keys() == {("a", 0), ("b", 3)}
    assert store.keys(failed=False) == {("a", 0)}


def test_a_key_is_told_from_any_record(store):
    assert store.key_of({"seed": 4, "set": "a", "other": 1}) == ("a", 4)


def test_a_write_that_fails_halfway_leaves_the_file_as_it_was(store, monkeypatch):
    store.append(record("a", 0))

    def half(table, path, **_):
        path.write_bytes(b"PAR1 and no more")
        raise OSError("disk full")

    monkeypatch.setattr(parquet, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        store.append(record("a", 1))
    monkeypatch.undo()
    assert store.records() == [record("a", 0)]
    store.append(record("a", 2))
    assert store.keys() == {("a", 0), ("a", 2)}


def test_writers_at_the_same_time_lose_nothing(store):
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda seed: Store(store.path, SCHEMA, store.key).append(record("a", seed)),
                range(20),
            )
        )
    assert store.keys() == {("a", seed) for seed in range(20)}


def answer(job):
    """What the workers of the next test do; at module level, for their processes to find."""
    if job == "hang":
        time.sleep(60)
    if job == "die":
        os._exit(3)
    if job == "fail":
        raise ValueError("no such luck")
    return {"value": len(job), "process": os.getpid()}


def test_a_run_that_hangs_dies_or_fails_costs_no_other():
    found = {}
    run_all(
        answer,
        ["one", "hang", "die", "fail", "three"],
        workers=1,
        limit=2.0,
        done=found.__setitem__,
    )
    assert list(found) == ["one", "hang", "die", "fail", "three"]
    assert (found["one"]["value"], found["one"]["error"]) == (3, None)
    assert found["hang"] == {"error": "TimeoutError: not done after 2 s"}
    assert found["die"] == {"error": "ProcessError: the process ended"}
    assert found["fail"]["error"].startswith("ValueError: no such luck (test_store.py:")
    assert found["three"]["value"] == 5
    assert found["three"]["process"] not in (found["one"]["process"], os.getpid())


def test_no_run_starts_when_time_is_up():
    found = {}
    run_all(answer, ["one"], workers=1, limit=2.0, done=found.__setitem__, stop=time.monotonic())
    assert found == {}

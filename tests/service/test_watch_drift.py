"""What passes is watched beside the requests: drift is written down once it is there, a bounded
sample of rows is kept, and nothing of it holds a request up.
"""

import io
import time

import numpy as np
import pyarrow as pa
import pytest
from desk import COLUMNS, Desk, rows
from sqlalchemy import select

from unseen.service import watch as watch_
from unseen.service.recent import Recent, rows_kept, without_lessons
from unseen.service.store.tables import drifts, recent
from unseen.service.watch import Watch


@pytest.fixture
def desk(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(watch_, "PAUSE", 0.01)
    monkeypatch.setattr(watch_, "OFTEN", 0.0)
    monkeypatch.setattr(watch_, "REST", 0.1)
    found = Desk(tmp_path / "home", bundle)
    yield found
    found.close()


def scored(desk, given):
    answer = desk.ask("feed", "POST", "/score?reasons=0", json={"rows": given})
    assert answer.status_code == 200, answer.text


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def reports(desk):
    with desk.store.reading() as connection:
        return connection.execute(select(drifts).order_by(drifts.c.id)).all()


def test_drift_is_written_down_and_told_once_it_is_there(desk, caplog):
    desk.service.watch.start(desk.store, 50)
    try:
        scored(desk, rows(300, 20))
        time.sleep(0.3)
        assert reports(desk) == []  # nothing to tell
        scored(desk, rows(400, 21, {"share": 0.71}))
        [report] = until(lambda: reports(desk))
    finally:
        desk.service.watch.close()
    assert (report.model, report.version, report.drifted) == ("traffic", 1, True)
    assert "share" in {each["column"] for each in report.report["columns"]}
    assert "left its band" in caplog.text
    assert "'share'" in caplog.text
    assert "0.71" not in caplog.text  # no values of rows


def test_rows_that_passed_are_kept_as_they_came_and_others_make_room(desk):
    desk.service.watch.start(desk.store, 40)
    try:
        given = rows(30, 30)
        scored(desk, given)
        until(lambda: kept(desk))
        assert sorted(map(str, kept(desk))) == sorted(map(str, given))
        for seed in range(31, 41):
            scored(desk, rows(30, seed))
    finally:
        desk.service.watch.close()
    assert 40 <= len(kept(desk)) < 80


def kept(desk):
    with desk.store.reading() as connection:
        table, _ = rows_kept(connection, "traffic")
    return [] if table is None else table.select(list(COLUMNS)).to_pylist()


def test_none_is_kept_where_none_is_wanted(desk):
    desk.service.watch.start(desk.store, 0)
    scored(desk, rows(30, 30))
    desk.service.watch.close()
    assert kept(desk) == []


def test_under_load_rows_are_skipped_and_counted_and_no_request_waits(desk, monkeypatch):
    monkeypatch.setattr(watch_, "WAITING", 10_000)
    watch, serving = Watch(), desk.registry.serving("traffic")
    watch._thread = object()  # as if it were busy
    table = pa.Table.from_pylist(rows(100, 5))
    for _ in range(50):
        watch.see(serving, table)
    waiting = sum(len(rows) for _, rows in watch._queue)
    assert watch.skipped["traffic"] == 5000 - waiting
    assert 0 < waiting < 1000


def test_single_rows_that_wait_count_for_what_their_columns_take(desk, monkeypatch):
    monkeypatch.setattr(watch_, "WAITING", 100_000)
    watch, serving = Watch(), desk.registry.serving("traffic")
    watch._thread = object()
    for k in range(500):
        watch.see(serving, pa.Table.from_pylist(rows(1, k)))
    waiting = sum(len(rows) for _, rows in watch._queue)
    assert 10 < waiting <= 100_000 / (watch_.COLUMN * len(COLUMNS))
    assert watch.skipped["traffic"] == 500 - waiting


def test_single_rows_that_nobody_takes_become_one_table():
    sample = Recent(keep=1000)
    for k in range(600):
        sample.see("m", pa.table({"k": [k]}))
    tables = sample._drawn["m"]
    assert len(tables) < 256
    assert [k for table in tables for k in table["k"].to_pylist()] == list(range(600))
    [block] = sample.taken()
    assert block["rows"] == 600


def test_a_large_block_is_taken_in_parts(desk):
    watch, serving = Watch(), desk.registry.serving("traffic")
    watch._thread = object()
    watch.see(serving, pa.Table.from_pylist(rows(2500, 5)))
    sizes = []
    while taken := watch._waiting():
        [(_, blocks)] = taken.values()
        sizes.append(sum(map(len, blocks)))
    assert sizes == [1000, 1000, 500]
    assert watch._bytes == 0


def test_the_sample_is_spread_over_what_passed():
    sample = Recent(keep=200, seed=1)
    blocks = []
    for k in range(200):  # 20,000 rows
        sample.see("m", pa.table({"k": np.full(100, k)}), at=float(k))
        blocks += [table["k"].to_pylist() for table in sample._drawn.pop("m", [])]
    drawn = [k for block in blocks for k in block]
    last = np.array(drawn[-200:])  # the others made room
    # of n rows 200 + 200 log(n / 200) are drawn, and the last 200 are those since n / e
    assert 900 < len(drawn) < 1350
    assert abs(last.min() / 200 - 1 / np.e) < 0.1
    assert abs(np.median(last) / 200 - np.exp(-0.5)) < 0.1


def test_blocks_that_are_not_needed_are_removed(desk):
    sample = Recent(keep=10)
    for k in range(6):
        sample.see("traffic", pa.table({"k": [4 * k, 4 * k + 1, 4 * k + 2, 4 * k + 3]}), at=0.0)
        sample._passed.clear()  # so that each is drawn
        with desk.store.writing() as connection:
            sample.write(connection, sample.taken())
    with desk.store.reading() as connection:
        table, _ = rows_kept(connection, "traffic")
        blocks = connection.execute(select(recent.c.rows)).scalars().all()
    assert blocks == [4, 4, 4]
    assert table["k"].to_pylist() == list(range(12, 24))


def test_rows_of_csv_beside_rows_of_json_come_together(desk):
    sample = Recent(keep=100)
    sample.see("traffic", pa.table({"seconds": [1.5], "service": ["dns"]}))
    sample.see("traffic", pa.table({"seconds": ["2.5"], "service": ["http"]}))
    with desk.store.writing() as connection:
        sample.write(connection, sample.taken())
    with desk.store.reading() as connection:
        table, _ = rows_kept(connection, "traffic")
    assert table.to_pylist() == [
        {"seconds": "1.5", "service": "dns"},
        {"seconds": "2.5", "service": "http"},
    ]


def test_labelled_anomalies_do_not_calibrate(desk):
    from unseen.service.lessons import Lesson

    given = rows(20, 9)
    lessons = [
        Lesson(1, 1, "new", "slow", given[3]),
        Lesson(2, 2, "normal", None, given[4]),
        Lesson(3, None, "known", "leak", {"nothing": 1}),
    ]
    detector = desk.registry.serving("traffic").bundle.detector
    left, count = without_lessons(pa.Table.from_pylist(given), lessons[:2], detector)
    assert (len(left), count) == (19, 1)
    assert given[3] not in left.to_pylist()
    left, count = without_lessons(pa.Table.from_pylist(given), lessons[2:], detector)
    assert (len(left), count) == (20, 0)


def test_a_source_that_is_watched_is_as_it_was(desk):
    watch, serving = Watch(), desk.registry.serving("traffic")
    watch._thread = object()
    body = io.BytesIO()
    table = pa.Table.from_pylist(rows(20, 9))
    import pyarrow.parquet as pq

    pq.write_table(table, body)
    head = {"content-type": "application/vnd.apache.parquet"}
    desk.service.watch._thread = object()
    answer = desk.ask("feed", "POST", "/score?key=service", content=body.getvalue(), headers=head)
    assert [row["key"] for row in answer.json()["rows"]] == table["service"].to_pylist()
    seen = pa.concat_tables([rows for _, rows in desk.service.watch._queue])
    assert seen.select(list(COLUMNS)).equals(table.select(list(COLUMNS)))
    desk.service.watch._thread = None
    assert serving.version == 1

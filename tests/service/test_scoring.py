"""Scoring over HTTP: every type of body gives what the library gives, alerts are kept before they
are told, answers come in lines where that is asked for.
"""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import func, select
from stand import Stand, saved, saved_images

from unseen import Bundle, Detector, Policy
from unseen.scoring.rows import FileRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource
from unseen.service.store.tables import alerts, pictures, traffic

PARQUET = "application/vnd.apache.parquet"


def some(n=40):
    generator = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "load": generator.normal(3, 1, n).round(3),
            "heat": generator.normal(60, 5, n).round(2),
            "valve": generator.choice(["open", "shut"], n),
        }
    )
    frame.loc[frame.index.isin([3, 17]), "heat"] = 400.0
    frame.insert(0, "pump", [f"p-{k}" for k in range(n)])
    return frame


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoring")
    made = Stand(folder / "home", saved(folder))
    made.bundle = Bundle.load(folder / "pumps")
    yield made
    made.close()


def bodies(frame):
    target = io.BytesIO()
    frame.to_parquet(target)
    return {
        "application/json": json.dumps({"rows": frame.to_dict("records")}).encode(),
        "application/jsonl": frame.to_json(orient="records", lines=True).encode(),
        "text/csv": frame.to_csv(index=False).encode(),
        PARQUET: target.getvalue(),
    }


@pytest.mark.parametrize("media", ["application/json", "application/jsonl", "text/csv", PARQUET])
def test_every_type_of_body_gives_the_scores_of_the_library(stand, media):
    frame = some()
    rows, detector = frame.drop(columns="pump"), stand.bundle.detector
    score, pvalue = detector.anomaly_score(rows), detector.pvalue(rows)
    answer = stand.ask(
        path="/v1/models/pumps/score?key=pump&reasons=1",
        headers={"Content-Type": media},
        content=bodies(frame)[media],
    )
    rows = answer.json()["rows"]
    assert [row["row"] for row in rows] == list(range(1, 41))
    assert [row["key"] for row in rows] == list(frame["pump"])
    np.testing.assert_array_equal([row["score"] for row in rows], score)
    np.testing.assert_array_equal([row["pvalue"] for row in rows], pvalue)
    alarms = [row for row in rows if row["verdict"] == "anomaly"]
    assert {"p-3", "p-17"} <= {row["key"] for row in alarms}
    assert all(row["reasons"]["columns"][0]["column"] == "heat" for row in alarms)
    with stand.service.store.reading() as connection:
        kept = connection.execute(select(alerts).where(alerts.c.id == alarms[0]["alert"])).one()
    assert (kept.key, kept.score, kept.row) == ("p-3", rows[3]["score"], 4)
    assert float(kept.values["heat"]) == 400.0


def test_without_reasons_alarms_are_kept_all_the_same(stand):
    sent = {"path": "/v1/models/pumps/score?reasons=0", "json": {"rows": some().to_dict("records")}}
    rows = stand.ask(**sent).json()["rows"]
    assert [row["row"] for row in rows if "alert" in row] == [4, 18]
    assert all("reasons" not in row for row in rows)
    with stand.service.store.reading() as connection:
        kept = connection.execute(select(alerts).where(alerts.c.id == rows[3]["alert"])).one()
    assert (kept.reasons, kept.values["pump"]) == (None, "p-3")


def test_lines_are_the_rows_of_the_one_text(stand):
    body = bodies(some())["text/csv"]
    sent = {"headers": {"Content-Type": "text/csv"}, "content": body}
    whole = stand.ask(**sent).json()
    sent["headers"]["Accept"] = "application/jsonl"
    lines = stand.ask(**sent)
    assert lines.headers["content-type"] == "application/jsonl"
    assert lines.headers["x-unseen-version"] == str(whole["version"])
    found = [json.loads(line) for line in lines.text.splitlines()]
    for row in [*found, *whole["rows"]]:
        row.pop("alert", None)
    assert found == whole["rows"]
    assert stand.service.door.inside == 0


def test_an_error_behind_rows_that_were_sent_is_the_last_line(stand, monkeypatch):
    monkeypatch.setattr("unseen.io.read.ROWS", 10)
    monkeypatch.setattr("unseen.io.read.batches.__defaults__", (10,))
    body = bodies(some())["text/csv"] + b"p-40,1.0,2.0\n"  # a field is missing
    sent = {"headers": {"Content-Type": "text/csv"}, "content": body}
    assert stand.ask(**sent).status_code == 400
    sent["headers"]["Accept"] = "application/jsonl"
    answer = stand.ask(**sent)
    *rows, last = map(json.loads, answer.text.splitlines())
    if answer.status_code == 200:
        assert all("row" in row for row in rows)
        assert "expected 4 fields" in last["error"]
        assert "/tmp" not in last["error"]
    assert stand.service.door.inside == 0


def test_no_rows_are_no_error(stand):
    for media, body in {
        "text/csv": b"pump,load,heat,valve\n",
        "application/json": b'{"rows": []}',
        PARQUET: bodies(some().head(0))[PARQUET],
    }.items():
        for path in ("", "?key=pump"):
            answer = stand.ask(
                path=f"/v1/models/pumps/score{path}", headers={"Content-Type": media}, content=body
            )
            assert (answer.status_code, answer.json()["rows"]) == (200, []), answer.text


@pytest.mark.parametrize("place", ["extra", "load", "pump"])
@pytest.mark.parametrize(
    ("ticks", "kind"),
    [
        (2**50, pa.timestamp("s")),
        (-(2**50), pa.timestamp("s")),
        (7, pa.timestamp("us", tz="Mars/Olympus")),
        (7, pa.timestamp("us", tz="+25:99")),
        (2**31 - 1, pa.date32()),
        (2**62, pa.duration("s")),
    ],
)
def test_times_that_python_cannot_hold_are_judged_and_told(stand, place, ticks, kind):
    ints = pa.array([ticks], pa.int32() if kind == pa.date32() else pa.int64())
    columns = {"load": [3.0], "heat": [400.0], "valve": ["open"], "pump": ["p"]}
    body = io.BytesIO()
    parquet.write_table(pa.table(columns | {place: ints.cast(kind)}), body)
    answer = stand.ask(
        path="/v1/models/pumps/score?key=pump",
        headers={"Content-Type": PARQUET},
        content=body.getvalue(),
    )
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["rows"]
    alert = stand.ask("GET", f"/v1/models/pumps/alerts/{row['alert']}").json()
    told = alert["key"] if place == "pump" else alert["values"][place]
    assert told not in (None, "p", 3.0)


def test_a_key_that_no_label_may_have_is_refused(stand):
    row = {"load": 3.0, "heat": 400.0, "valve": "open"}
    for size, status in ((2000, 200), (2001, 400)):
        answer = stand.ask(
            path="/v1/models/pumps/score?key=pump", json={"rows": [row | {"pump": "x" * size}]}
        )
        assert answer.status_code == status
    assert "keys of up to 2,000 characters, found one of 2,001" in answer.json()["detail"]


def test_what_cannot_be_judged_says_the_column(stand):
    answer = stand.ask(json={"rows": [{"load": "much", "heat": 1.0, "valve": "open"}]})
    assert answer.status_code == 400
    assert "'load'" in answer.json()["detail"]
    answer = stand.ask(json={"rows": [{"heat": 1.0}]})
    assert answer.status_code == 400
    assert "the body" in answer.json()["detail"]


def test_a_policy_of_a_share_of_alarms_judges_the_rows_of_a_request_together(stand):
    frame = some()
    stand.service.registry.decide("pumps", Policy.fdr(0.2), "admin")
    try:
        answer = stand.ask(json={"rows": frame.to_dict("records")})
        for accept in ("application/json", "application/jsonl"):
            again = stand.ask(json={"rows": frame.to_dict("records")}, headers={"Accept": accept})
            assert again.status_code == 200
    finally:
        stand.service.registry.decide("pumps", Policy.alpha(0.01), "admin")
    wanted = stand.bundle.detector.detect(frame.drop(columns="pump"), fdr=0.2)
    found = [row["verdict"] == "anomaly" for row in answer.json()["rows"]]
    assert found == wanted.tolist()
    assert 2 <= sum(found) < 40


def test_rows_are_judged_by_domain_where_the_detector_knows_domains(tmp_path):
    generator = np.random.default_rng(3)
    rows = [
        {"site": site, "load": float(generator.normal(0, width)), "heat": float(generator.normal())}
        for site, width in (("a", 1.0), ("b", 10.0))
        for _ in range(200)
    ]
    data = [{"load": row["load"], "heat": row["heat"]} for row in rows]
    sites = [row["site"] for row in rows]
    detector = Detector("mahalanobis", random_state=0).fit(data, groups=sites)
    facts = {"source": "x", "group": "site", "label": None, "drop": []}
    Bundle(detector, facts).save(tmp_path / "pumps")
    made = Stand(tmp_path / "home", tmp_path / "pumps")
    try:
        new = [{"site": site, "load": 14.0, "heat": 0.0} for site in ("a", "b")]
        path = "/v1/models/pumps/score?by_group=true"
        found = [row["pvalue"] for row in made.ask(path=path, json={"rows": new}).json()["rows"]]
        wanted = detector.pvalue([{"load": 14.0, "heat": 0.0}] * 2, groups=["a", "b"])
        assert found == wanted.tolist()
        assert found[0] < 0.1 < found[1]
    finally:
        made.close()


def test_traffic_is_counted(stand):
    before = stand.ask("GET", "/metrics", role="admin").text
    stand.ask(json={"rows": some(12).to_dict("records")})
    stand.service.traffic.flush()
    with stand.service.store.reading() as connection:
        rows, raised = connection.execute(
            select(func.sum(traffic.c.rows), func.sum(traffic.c.alarms))
        ).one()
        kept = connection.execute(select(func.count()).select_from(alerts)).scalar()
    assert rows >= 12
    assert raised >= kept > 0
    assert before != stand.ask("GET", "/metrics", role="admin").text


def test_images_come_as_a_form_and_their_pictures_are_kept(tmp_path):
    made = Stand(tmp_path / "home", saved_images(tmp_path))
    try:
        place = tmp_path / "pumps-images"
        names = ["crack/0.png", "normal/1.png", "crack/1.png"]
        files = [("images", (name, (place / name).read_bytes())) for name in names]
        rows = made.ask(files=[*files, ("images", ("no.png", b"nothing"))]).json()["rows"]
        assert [row["key"] for row in rows] == [*names, "no.png"]
        assert [row["verdict"] for row in rows] == ["anomaly", "normal", "anomaly", "failed"]
        assert rows[3]["score"] is None
        assert rows[3]["problem"].startswith("expected an image")
        with made.service.store.reading() as connection:
            found = connection.execute(select(pictures).order_by(pictures.c.alert)).all()
        assert {row.alert for row in found} == {rows[0]["alert"], rows[2]["alert"]}
        kinds = {(row.what, row.media) for row in found}
        assert kinds == {("given", "image/png"), ("image", "image/webp"), ("heat", "image/webp")}
        assert next(row.bytes for row in found if row.what == "given") == files[0][1][1]
        lines = made.ask(files=files, headers={"Accept": "application/jsonl"})
        assert [json.loads(line)["verdict"] for line in lines.text.splitlines()] == [
            row["verdict"] for row in rows[:3]
        ]
    finally:
        made.close()


def test_a_detector_of_an_earlier_release_is_served_without_reasons_and_kinds(tmp_path):
    detector = Bundle.load(saved(tmp_path)).detector
    del detector.references_
    Bundle(detector, {"source": "pumps.csv"}).save(tmp_path / "old")
    made = Stand(tmp_path / "home", tmp_path / "old")
    try:
        (row,) = made.ask(json={"rows": [{"load": 3.0, "heat": 400.0, "valve": "open"}]}).json()[
            "rows"
        ]
        assert row["verdict"] == "anomaly"
        assert "reasons" not in row
        assert "kind" not in row
    finally:
        made.close()


def test_the_answer_beside_the_command_line(stand, tmp_path):
    file = tmp_path / "rows.csv"
    some().to_csv(file, index=False)
    answer = stand.ask(headers={"Content-Type": "text/csv"}, content=file.read_bytes())
    blocks = score(
        TableSource(FileRows(file)), stand.bundle.detector, Policy.alpha(0.01), kinds=True
    )
    wanted = [row for block in blocks for row in block.table().to_pylist()]
    names = ("row", "score", "pvalue", "verdict", "kind", "kind_pvalue", "novelty")
    found = [{name: row[name] for name in names} for row in answer.json()["rows"]]
    assert found == [{name: row[name] for name in names} for row in wanted]

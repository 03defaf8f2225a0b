"""Labels: answers at the revision that was seen, undo, near duplicates, files, all audited."""

import csv
import io
import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from desk import Desk, rows
from sqlalchemy import func, insert, select

from unseen import Detector
from unseen.errors import DataError
from unseen.service import labelling
from unseen.service.answers import Answer, Stale
from unseen.service.labelfiles import HEADS, MOST, of_csv, of_tasks, plain_cell, safe_cell
from unseen.service.labelling import answer_alert, undo
from unseen.service.similar import similar_of
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, audit, labels, metadata, models, now, versions
from unseen.service.tokens import Who

SAID = '{"from_name": "answer", "value": {"choices": ["normal"]}}'
NASTY = ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r", "'=1", "''@", "'s-Hertogenbosch", 'a"b,c\nd')


@pytest.fixture(scope="module")
def calm(bundle, tmp_path_factory):
    """A desk for tests that change nothing of it."""
    found = Desk(tmp_path_factory.mktemp("calm") / "home", bundle)
    found.alerts(rows(1, 5, {"bytes_out": 340000.0}))
    yield found
    found.close()


@pytest.fixture
def desk(bundle, tmp_path):
    found = Desk(tmp_path / "home", bundle)
    yield found
    found.close()


def told(desk, what):
    """Lines of the audit trail about something."""
    with desk.store.reading() as connection:
        return connection.execute(select(audit).where(audit.c.what == what)).all()


def answered(desk, who, number, revision=0, **given):
    sent = {"revision": revision} | given
    return desk.ask(who, "PATCH", f"/alerts/{number}", json=sent)


def undone(desk, who, act):
    return desk.ask(who, "POST", "/labels/undo", json={"act": act["act"]})


def test_an_answer_counts_once_and_the_second_hears_of_the_first(desk):
    desk.alerts(rows(1, 5, {"bytes_out": 340000.0}))
    first = answered(desk, "ann", 1, answer="new", kind=" slow   drain ")
    assert first.status_code == 200
    assert first.json()["revision"] == 1
    second = answered(desk, "bob", 1, answer="normal")
    assert second.status_code == 409
    assert second.json()["alert"] == {
        "alert": 1,
        "revision": 1,
        "answer": "new",
        "kind": "slow drain",
        "by": "ann",
    }
    assert "ann answered new kind 'slow drain'" in second.json()["detail"]
    assert answered(desk, "bob", 1, revision=1, answer="normal").status_code == 200
    found = desk.ask("ann", "GET", "/labels").json()["labels"]
    assert [(each["by"], each["answer"]) for each in found] == [("ann", "new"), ("bob", "normal")]
    assert [line.who for line in told(desk, "label")] == ["ann", "bob"]


def test_undo_goes_back_to_the_answer_before_and_is_refused_when_replayed(desk):
    desk.alerts(rows(1, 5, {"bytes_out": 340000.0}))
    first = answered(desk, "ann", 1, answer="unsure").json()
    second = answered(desk, "bob", 1, revision=1, answer="normal").json()
    assert undone(desk, "ann", second).status_code == 403
    assert undone(desk, "root", second).status_code == 200
    alert = desk.ask("ann", "GET", "/alerts/1").json()
    assert (alert["answer"], alert["revision"]) == ("unsure", 3)
    assert desk.ask("root", "POST", "/labels/undo", json={"act": second["act"]}).status_code == 409
    assert desk.ask("ann", "POST", "/labels/undo", json={"act": first["act"]}).json() == {
        "labels": 1
    }
    assert desk.ask("ann", "GET", "/alerts/1").json()["answer"] is None
    assert [line.who for line in told(desk, "undo")] == ["root", "ann"]
    assert undone(desk, "ann", {"act": "0" * 32}).status_code == 404


def test_near_duplicates_are_answered_together_and_undone_together(desk):
    desk.alerts(rows(5, 5, {"bytes_out": 340000.0}) + rows(2, 6, {"seconds": 40.0}))
    answered(desk, "bob", 2, answer="normal")
    act = answered(desk, "ann", 1, answer="new", kind="drain", duplicates=True).json()
    assert act["labels"] == 4  # not what bob answered, nor what lies elsewhere
    listed = {
        each["id"]: each for each in desk.ask("ann", "GET", "/alerts?state=all").json()["alerts"]
    }
    assert [listed[k]["answer"] for k in range(1, 8)] == ["new", "normal", *["new"] * 3, None, None]
    undone(desk, "ann", act)
    assert len(desk.ask("ann", "GET", "/alerts").json()["alerts"]) == 6


def test_pages_of_alerts_and_labels_end(desk):
    desk.alerts(rows(5, 5, {"bytes_out": 340000.0}))
    first = desk.ask("ann", "GET", "/alerts?limit=3").json()
    second = desk.ask("ann", "GET", f"/alerts?limit=3&after={first['next']}").json()
    assert [each["id"] for each in first["alerts"] + second["alerts"]] == [1, 2, 3, 4, 5]
    assert second["next"] is None


@pytest.mark.parametrize(
    "given",
    [
        {"answer": "normal", "kind": "leak"},
        {"answer": "known"},
        {"answer": "known", "kind": "nobody named it"},
        {"answer": "new", "kind": " "},
        {"answer": "new", "kind": "a\x00b"},
        {"answer": "new", "kind": "normal"},
        {"answer": "new", "kind": "x" * 121},
        {"answer": "perhaps"},
        {"answer": "normal", "more": 1},
    ],
)
def test_what_is_no_answer_is_refused(calm, given):
    assert answered(calm, "ann", 1, **given).status_code in (400, 422)
    assert calm.ask("ann", "GET", "/labels").json()["labels"] == []


def test_who_scores_may_not_label_and_nobody_labels_another_model(calm):
    assert answered(calm, "feed", 1, answer="normal").status_code == 403
    sent = {"answer": "normal", "revision": 0}
    headers = {"Authorization": f"Bearer {calm.tokens['ann']}"}
    other = calm.client.patch("/v1/models/other/alerts/1", json=sent, headers=headers)
    assert other.status_code == 404


def test_a_label_without_its_line_of_the_audit_trail_is_none(desk, monkeypatch):
    desk.alerts(rows(1, 5, {"bytes_out": 340000.0}))

    def fails(*_):
        raise DataError("no room")

    monkeypatch.setattr(labelling, "tell", fails)
    assert answered(desk, "ann", 1, answer="normal").status_code == 400
    assert desk.ask("ann", "GET", "/labels").json()["labels"] == []
    assert desk.ask("ann", "GET", "/alerts/1").json()["revision"] == 0


def filled(store, keys):
    """A model and an alert for each key."""
    alert = {"model": "m", "version": 1, "request": "q", "at": now(), "score": 1.0, "pvalue": 0.01}
    alert |= {"values": {"a": 1}, "similar": "s"}
    with store.writing() as connection:
        model = {"name": "m", "created": now(), "current": 1, "policy": "alpha", "level": 0.01}
        connection.execute(insert(models), model)
        version = {"model": "m", "number": 1, "digest": "d", "origin": "given", "created": now()}
        connection.execute(insert(versions), version | {"facts": {}})
        for row, key in enumerate(keys, start=1):
            connection.execute(insert(alerts), alert | {"row": row, "key": key})


def test_of_many_who_answer_at_once_one_is_heard(url):
    store = Store(url)
    metadata.create_all(store.engine)
    filled(store, ["a", "b"])

    def answer(who):
        try:
            with store.writing() as connection:
                answer_alert(
                    connection,
                    "m",
                    1,
                    Answer("normal"),
                    revision=0,
                    who=who,
                    origin="api",
                    duplicates_to=2,
                )
        except Stale as error:
            return error.alert["by"]
        return None

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(answer, [f"p{k}" for k in range(6)]))
    assert found.count(None) == 1
    assert set(found) == {None, f"p{found.index(None)}"}
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(labels)).scalar() == 2
    with store.writing() as connection:
        act = connection.execute(select(labels.c.act)).scalar()
        who = Who(1, f"p{found.index(None)}", "review")
        assert undo(connection, "m", act, who) == 2
    store.close()


def test_labels_of_rows_and_of_alerts_come_back_from_csv_and_label_studio(desk, bundle, tmp_path):
    desk.alerts(rows(2, 5, {"bytes_out": 340000.0}))
    answered(desk, "ann", 1, answer="new", kind="-drain")
    odd = {"n": 0.1, "no": None, "t": True}
    given = [
        {"answer": "normal", "key": key, "values": row | {key: key} | odd}
        for key, row in zip(NASTY, rows(len(NASTY), 6), strict=True)
    ]
    assert desk.ask("ann", "POST", "/labels", json={"labels": given}).status_code == 201
    files = {
        form: desk.ask("ann", "GET", f"/labels/export?format={form}")
        for form in ("csv", "label-studio")
    }
    for cells in csv.reader(io.StringIO(files["csv"].text, newline="")):
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    tasks = json.loads(files["label-studio"].text)
    assert len(tasks) == 2 + len(NASTY)  # an open alert waits for an annotation
    assert [len(task["annotations"]) for task in tasks].count(0) == 1
    whole = lambda found: Counter(  # noqa: E731
        json.dumps([each[k] for k in ("answer", "kind", "key", "values")], sort_keys=True)
        for each in found.ask("ann", "GET", "/labels?limit=1000").json()["labels"]
    )
    for form, file in files.items():
        other = Desk(tmp_path / form, bundle)  # knows none of the alerts
        path = f"/labels/import?format={form}"
        made = other.ask("bob", "POST", path, content=file.content)
        assert made.json() == {"alerts": 0, "rows": 1 + len(NASTY), "same": 0}
        again = other.ask("bob", "POST", path, content=file.content)
        assert again.json() == {"alerts": 0, "rows": 0, "same": 1 + len(NASTY)}
        values = desk.ask("ann", "GET", "/alerts/1").json()["values"]
        mine = whole(desk)
        mine -= Counter([json.dumps(["new", "-drain", None, None])])
        mine += Counter([json.dumps(["new", "-drain", None, values], sort_keys=True)])
        assert whole(other) == mine
        other.close()
    same = desk.ask("bob", "POST", "/labels/import", content=files["csv"].content)
    assert same.json() == {"alerts": 0, "rows": 0, "same": 1 + len(NASTY)}


def test_an_import_overwrites_nothing_and_is_whole_or_not_there(desk):
    desk.alerts(rows(2, 5, {"bytes_out": 340000.0}))
    request = desk.ask("ann", "GET", "/alerts/1").json()["request"]
    answered(desk, "ann", 1, answer="unsure")
    file = f"request,row,answer\n{request},2,normal\n{request},1,normal\n".encode()
    refused = desk.ask("bob", "POST", "/labels/import", content=file)
    assert refused.status_code == 409
    assert refused.json()["alert"]["by"] == "ann"
    assert desk.ask("ann", "GET", "/alerts/2").json()["answer"] is None
    added = desk.ask(
        "bob", "POST", "/labels/import", content=file.splitlines(True)[0] + file.splitlines(True)[1]
    )
    assert added.json() == {"alerts": 1, "rows": 0, "same": 0}
    assert told(desk, "import")[0].detail["alerts"] == 1


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (of_csv, b"key,kind\na,b\n"),
        (of_csv, b"answer,values\nnormal,[1]\n"),
        (of_csv, b"answer,values\nnormal,{\n"),
        (of_csv, b"answer,answer\nnormal,new\n"),
        (of_csv, b"answer\nnormal\n"),
        (of_csv, b"answer,request,row\nnormal,q,1.5\n"),
        (of_csv, b""),
        (of_csv, b"answer,values\n" + b'normal,"{""a"": 1}"\n' * (MOST + 1)),
        (of_tasks, b"{}"),
        (of_tasks, b"[1]"),
        (of_tasks, b"[" * 100_000),
        (
            of_tasks,
            b'[{"data": {}, "annotations": [{"result": [{"from_name": "answer", '
            b'"value": {"choices": ["what"]}}]}]}]',
        ),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence(read, body):
    with pytest.raises(DataError, match="^labels"):
        read(body)


@pytest.mark.parametrize("text", [*NASTY, "", "plain", "==", "'" * 5, "'''=", "\n=1"])
def test_cells_are_no_formulas_and_come_back(text):
    assert plain_cell(safe_cell(text)) == text
    assert safe_cell(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")


def wiggled(frame, size, far, generator):
    """The same rows with noise in the numbers that do not lie far out."""
    found = frame.copy()
    middle = frame.quantile([0.25, 0.75], numeric_only=True)
    for name in middle:
        width = (middle[name][0.75] - middle[name][0.25]) / 1.35
        if found[name].dtype.kind == "f":
            moved = found[name] + size * width * generator.normal(size=len(found))
            found[name] = np.where(far[name], found[name], moved)
    return found


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", '"\\ud800"', "[" * 400 + "]" * 400, '{"\\udfff": 1}']
)
def test_a_value_that_no_way_out_could_tell_is_refused_on_every_way_in(calm, value):
    given = f'{{"labels": [{{"answer": "normal", "values": {{"seconds": {value}}}}}]}}'
    sent = {"content": given, "headers": {"Content-Type": "application/json"}}
    answer = calm.ask("bob", "POST", "/labels", **sent)
    assert answer.status_code == 400, answer.text
    assert "expected finite numbers" in answer.json()["detail"]
    data = f'{{"values": {{"seconds": {value}}}}}'
    task = f'[{{"data": {data}, "annotations": [{{"result": [{SAID}]}}]}}]'
    with pytest.raises(DataError, match="line 1: the values of a row: expected finite"):
        of_tasks(task.encode())
    cell = f'{{"seconds": {value}}}'.replace('"', '""')
    with pytest.raises(DataError, match="line 2: the values of a row: expected finite"):
        of_csv(f'answer,values\nnormal,"{cell}"\n'.encode())
    for path in ("/labels", "/labels/export", "/labels/export?format=label-studio"):
        assert calm.ask("bob", "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"id": 1, "answer": "normal", "values": {"seconds": 1}}, "JSON-MIN"),
        ({"data": {}, "annotations": [{"result": [{"from_name": "choice"}]}]}, "named 'answer'"),
        ({"data": {"request": "r", "row": float("inf")}}, "the number of a row"),
        ({"data": {"request": "r", "row": [1]}}, "the number of a row"),
    ],
)
def test_a_task_whose_label_would_be_lost_is_refused(task, why):
    said = {"annotations": [{"result": [json.loads(SAID)]}]}
    with pytest.raises(DataError, match=why):
        of_tasks(json.dumps([said | task]).encode())


@pytest.mark.parametrize(
    ("name", "label", "normal"),
    [("nsl_kdd/train.parquet", "attack", "normal"), ("shuttle/shuttle.parquet", "Class", "normal")],
)
def test_near_duplicates_of_real_sets(shared, name, label, normal):
    frame = pd.read_parquet(shared(name)).drop(columns="family", errors="ignore")
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    numbers = frame.select_dtypes("number").columns.drop(label, errors="ignore")
    frame[numbers] = frame[numbers].astype(float)
    kinds = frame.pop(label)
    normals = frame[kinds == normal].head(2000)
    detector = Detector("mahalanobis", random_state=0, repeats="keep").fit(
        normals, ["normal"] * len(normals)
    )
    flagged = frame[kinds != normal].head(400)
    keys = similar_of(detector, flagged, len(flagged))
    usual = normals[numbers].quantile([0.01, 0.99])
    far = (flagged[numbers] < usual.loc[0.01]) | (flagged[numbers] > usual.loc[0.99])
    again = similar_of(detector, wiggled(flagged, 0.1, far, np.random.default_rng(0)), len(flagged))
    groups = defaultdict(list)
    for key, kind in zip(keys, kinds[flagged.index], strict=True):
        groups[key].append(kind)
    alike = sum(max(Counter(each).values()) for each in groups.values()) / len(flagged)
    same = np.mean([a == b for a, b in zip(keys, again, strict=True)])
    print(f"{name}: {same:.3f} stay, {alike:.3f} of one kind, {len(groups)} groups")
    assert same >= 0.85
    assert alike >= 0.9
    assert len(groups) < len(flagged) / 4


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bytes_out": "many"}, "column 'bytes_out': 1 of 2 values are not numbers, first 'many'"),
        ({"bytes_out": [1, 2]}, "column 'bytes_out': expected numbers or text, got a list in row"),
        ({"bytes_out": {"x": 1}}, "column 'bytes_out': expected numbers or text, got a dict"),
    ],
)
def test_a_row_that_no_retraining_could_learn_gets_no_label(calm, wrong, told):
    good, bad = rows(2, 7)
    given = [{"answer": "normal", "values": each} for each in (good, bad | wrong)]
    refused = calm.ask("ann", "POST", "/labels", json={"labels": given})
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("labels of rows: ")
    assert told in refused.json()["detail"]
    file = io.StringIO(newline="")
    out = csv.DictWriter(file, HEADS)
    out.writeheader()
    for each in given:
        out.writerow({"answer": "normal", "values": json.dumps(each["values"])})
    sent = file.getvalue().encode()
    imported = calm.ask("ann", "POST", "/labels/import?format=csv", content=sent)
    assert imported.status_code == 400
    assert told in imported.json()["detail"]
    assert calm.ask("ann", "GET", "/labels").json()["labels"] == []


def test_a_label_of_a_row_without_the_columns_of_the_model_is_refused(calm):
    given = [{"answer": "normal", "values": {"bytes": 1}}]
    refused = calm.ask("ann", "POST", "/labels", json={"labels": given})
    assert refused.status_code == 400
    assert "has no column 'bytes_out' (did you mean 'bytes'?)" in refused.json()["detail"]
    assert calm.ask("ann", "GET", "/labels").json()["labels"] == []


def test_a_body_that_is_not_called_json_is_told_what_header_to_send(calm):
    path, sent = "/retrain", b'{"promote": true}'
    for media in ("application/x-www-form-urlencoded", "text/plain"):
        headers = {"content-type": media}
        refused = calm.ask("root", "POST", path, content=sent, headers=headers)
        assert refused.status_code == 422
        assert "'Content-Type: application/json'" in refused.json()["detail"]
    headers = {"content-type": "application/json; charset=utf-8"}
    other = calm.ask("root", "POST", path, content=b"[]", headers=headers)
    assert other.status_code == 422
    assert "Content-Type" not in other.json()["detail"]

"""The open-set protocol, checked on tables small enough to follow by hand."""

import json
import logging

import numpy as np
import pyarrow as pa
import pytest
import torch
from bench.data.sets import identical

from unseen.data.labels import encode_labels
from unseen.data.split import class_halves
from unseen.errors import DataError
from unseen.evaluation.choices import Protocol
from unseen.evaluation.draws import draw_rows
from unseen.evaluation.metrics import average_precision, over_classes, over_seeds, tpr_at_fpr
from unseen.evaluation.protocol import copy_numbers, evaluate
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis
from unseen.parts.ranking import auroc

COUNTS = {"normal": 400, "a": 60, "b": 60, "c": 60, "d": 60, "rare": 12}
MAHALANOBIS = {"mahalanobis": Mahalanobis()}


def table(seed=0, **counts):
    counts = COUNTS | counts
    rng = np.random.default_rng(seed)
    kind = np.repeat(list(counts), list(counts.values()))
    x = rng.normal(size=(len(kind), 3))
    for j, name in enumerate(["a", "b", "c", "d", "rare"]):
        x[kind == name] += (
            5 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]])[j]
        )
    return pa.table({**{f"x{j}": x[:, j] for j in range(3)}, "kind": kind})


def drawn(seed=0, protocol=None, given=None):
    given = given or table()
    codes, names = encode_labels(given["kind"], rows=len(given))
    copies = copy_numbers(given.drop_columns(["kind"]))
    return (
        codes,
        names,
        draw_rows(codes, codes, protocol or Protocol(), np.random.default_rng(seed), copies),
    )


def test_training_rows_are_normals_and_few_shots_of_seen_classes():
    codes, _, draw = drawn()
    assert len(draw.seen) == 3
    assert np.bincount(draw.y)[list(draw.seen)].tolist() == [10, 10, 10]
    assert (draw.y == 0).sum() == 200  # half of the normals
    np.testing.assert_array_equal(draw.y, codes[draw.train])
    assert set(codes[draw.train]) == {0, *draw.seen}, "an unseen class stands in training"


def test_train_and_test_share_no_row_and_the_rest_is_tested():
    codes, _, draw = drawn()
    assert not set(draw.train) & set(draw.test)
    assert (codes[draw.test] == 0).sum() == 200
    assert (codes[draw.test] == 1).sum() == 30


def test_a_class_with_too_few_rows_is_never_seen():
    codes, names, _ = drawn()
    rare = names.index("rare") + 1
    assert all(rare not in drawn(seed)[2].seen for seed in range(20))
    assert (codes == rare).sum() // 2 < Protocol().shots


@pytest.mark.parametrize(
    ("counts", "seen"), [({"c": 0, "d": 0}, 1), ({"d": 0}, 2), ({"b": 0, "c": 0, "d": 0}, 0)]
)
def test_one_class_always_stays_out(counts, seen):
    _, _, draw = drawn(given=table(**counts, rare=0))
    assert len(draw.seen) == seen


def test_as_many_classes_as_asked_are_seen_when_a_rare_one_stays_out():
    _, names, draw = drawn(given=table(d=0))
    # "rare" has too few rows to be shown, and is unseen
    assert [names[c - 1] for c in draw.seen] == ["a", "b", "c"]


def test_normals_are_capped():
    _, _, draw = drawn(protocol=Protocol(normals=50))
    assert (draw.y == 0).sum() == 50


def test_contamination_is_a_fraction_of_the_normals_and_of_seen_classes_only():
    codes, _, draw = drawn(protocol=Protocol(contamination=0.1, normals=180))
    taken_for_normal = codes[draw.train[draw.y == 0]]
    hidden = taken_for_normal[taken_for_normal > 0]
    assert len(taken_for_normal) == 200
    assert len(hidden) == 20
    assert set(hidden) <= set(draw.seen)
    shown = draw.train[draw.y > 0]
    assert not set(shown) & set(draw.train[draw.y == 0])


def test_rows_that_stand_in_both_halves_leave_the_test_half():
    given = pa.concat_tables([table(), table()])  # every row twice
    codes, _, draw = drawn(given=given)
    same = identical(given.drop_columns(["kind"]))
    assert not set(same[draw.train]) & set(same[draw.test])
    assert len(draw.test) < len(codes) / 3


def test_halves_split_every_class():
    y = np.array([0] * 10 + [1] * 5)
    train, test = class_halves(y, np.random.default_rng(0))
    assert np.bincount(y[train])[0] == 5
    assert np.bincount(y[train])[1] in (2, 3)
    assert sorted([*train, *test]) == list(range(15))


def test_identical_sees_missing_values_and_types():
    rows = identical(pa.table({"a": [1, None, 1, None, None], "b": ["x", "y", "x", "z", "y"]}))
    assert (rows[:, None] == rows).astype(int).tolist() == [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 0, 1],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1],
    ]


def test_a_table_of_few_values_keeps_its_test_rows():
    rng = np.random.default_rng(0)
    kind = np.repeat(["normal", "a", "b"], [400, 60, 60])
    state = np.where(kind == "normal", rng.choice(["idle", "run"], 520), "stop")
    given = pa.table({"state": state, "load": rng.integers(0, 4, 520), "kind": kind})
    _, _, draw = drawn(given=given)
    assert len(draw.test) == 260  # half of each class, though only 12 rows are distinct


def test_a_copy_is_known_in_another_class_and_with_another_number():
    given = table(rare=0)
    again = given.set_column(3, "kind", pa.array(["normal"] * len(given)))
    both = pa.concat_tables([given, again]).append_column("id", pa.array(np.arange(2 * len(given))))
    of_one = copy_numbers(both.drop_columns(["kind"]))
    assert (of_one[: len(given)] == of_one[len(given) :]).all()


def test_rows_that_are_said_to_be_no_copies_stay():
    given = pa.concat_tables([table(), table()]).drop_columns(["kind"])
    assert len(np.unique(copy_numbers(given))) == len(given) / 2
    assert len(np.unique(copy_numbers(given, repeats="keep"))) == len(given)


def test_report_keeps_seen_and_unseen_apart():
    [report] = evaluate(table(), label="kind", protocol=Protocol(seeds=2), methods=MAHALANOBIS)
    assert report["method"] == "mahalanobis"
    for role in ("unseen", "seen"):
        assert set(report[role]) == {"auroc", "tpr_at_5_fpr", "tpr_at_1_fpr", "ap_1", "worst_auroc"}
        assert report[role]["auroc"]["mean"] > 0.95
    assert 0 < report["normals_flagged_at_5"] < 0.2
    roles = {(c["class"], c["role"]) for c in report["classes"]}
    assert ("rare", "unseen") in roles
    assert ("rare", "seen") not in roles
    assert not next(c for c in report["classes"] if c["class"] == "rare")["averaged"]
    assert json.loads(json.dumps(report)) == report


def test_a_test_table_of_its_own_may_hold_new_classes():
    train, test = table(d=0, rare=0), table(seed=1)
    [report] = evaluate(
        train, label="kind", test=test, protocol=Protocol(seeds=1), methods=MAHALANOBIS
    )
    assert {"d", "rare"} <= {c["class"] for c in report["classes"] if c["role"] == "unseen"}
    assert sum(c["rows"] for c in report["classes"]) == 252


def test_few_shot_network_is_blind_to_the_unseen_and_the_report_shows_it():
    rng = np.random.default_rng(0)
    kind = np.repeat(["normal", "up", "down"], [600, 80, 80])
    shift = np.repeat([0.0, 4.0, -4.0], [600, 80, 80])
    given = pa.table(
        {"x": shift + rng.normal(size=760), "noise": rng.normal(size=760), "kind": kind}
    )
    methods = {"devnet": DevNet(steps=200, batch=64)}
    [report] = evaluate(given, label="kind", protocol=Protocol(seen=1, seeds=2), methods=methods)
    assert report["seen"]["auroc"]["mean"] > 0.95
    assert report["unseen"]["auroc"]["mean"] < 0.5


def test_means_by_hand():
    row = {"tpr_at_5_fpr": 1.0, "tpr_at_1_fpr": 0.0, "ap_1": 0.5}
    classes = [
        {"role": "seen", "rows": 20, "auroc": 0.9, **row},
        {"role": "seen", "rows": 500, "auroc": 0.7, **row},
        {"role": "seen", "rows": 19, "auroc": 0.1, **row},  # too few rows: listed, not averaged
        {"role": "unseen", "rows": 50, "auroc": 0.2, **row},
    ]
    seen = over_classes(classes, "seen")
    assert seen["auroc"] == pytest.approx(0.8)
    assert seen["worst_auroc"] == 0.7
    both = over_seeds([seen, {**seen, "auroc": 0.6}])
    assert both["auroc"] == {"mean": pytest.approx(0.7), "sd": pytest.approx(0.2 / 2**0.5)}
    assert over_seeds([None])["auroc"] == {"mean": None, "sd": None}


def test_same_seeds_same_report():
    reports = [
        evaluate(table(), label="kind", protocol=Protocol(seeds=1), methods=MAHALANOBIS)[0]
        for _ in range(2)
    ]
    assert reports[0]["classes"] == reports[1]["classes"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "kin"}, r"no column 'kin' \(did you mean 'kind'\?\)"),
        ({"normal": "ok"}, r"no row of column 'kind' is 'ok'; its values are 'a'.*normal=\.\.\."),
        ({"protocol": Protocol(seeds=1), "table": table(normal=1)}, "learning normality needs"),
    ],
)
def test_bad_requests(changes, message):
    arguments = {"table": table(), "label": "kind", "methods": MAHALANOBIS} | changes
    with pytest.raises(DataError, match=message):
        evaluate(arguments.pop("table"), **arguments)


@pytest.mark.parametrize("field", [{"seen": 0}, {"shots": 0}, {"seeds": 0}, {"contamination": 1.0}])
def test_protocol_refuses_nonsense(field):
    with pytest.raises(DataError, match=next(iter(field))):
        Protocol(**field)


def test_what_every_fit_would_say_is_said_once(caplog):
    given = table().append_column("same", pa.array([1] * len(table())))
    with caplog.at_level(logging.WARNING, logger="unseen"):
        evaluate(given, label="kind", protocol=Protocol(seeds=3), methods=MAHALANOBIS)
    assert sum("constant" in m for m in caplog.messages) == 1


# figures of merit


def test_auroc_by_hand():
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])) == 0.875


def test_tpr_at_fpr_by_hand():
    normal = np.arange(100.0)
    # 5 of 100 normals may exceed the threshold: it is the 6th largest, 94.
    assert tpr_at_fpr(normal, np.array([94.0, 94.5, 99.5, 10.0]), 0.05) == 0.5
    # None of 50 may exceed it at 1%: it is the largest.
    assert tpr_at_fpr(normal[:50], np.array([49.0, 49.5]), 0.01) == 0.5


def test_average_precision_by_hand():
    # Two anomalies, four normals, prevalence 1/2: each anomaly weighs 2. Ranked a n a n n n:
    # recall 1/2 at precision 1, recall 1 at precision 4/5.
    normal, anomaly = np.array([4.0, 2.0, 1.0, 0.0]), np.array([5.0, 3.0])
    assert average_precision(normal, anomaly, 0.5) == pytest.approx(0.5 * 1 + 0.5 * 0.8)


def test_a_method_may_be_given_by_its_name():
    by_name, by_object = (
        evaluate(table(), label="kind", protocol=Protocol(seeds=1), methods={"m": method})[0]
        for method in ("mahalanobis", Mahalanobis())
    )
    assert by_name["unseen"] == by_object["unseen"]
    with pytest.raises(DataError, match=r"did you mean 'mahalanobis'"):
        evaluate(table(), label="kind", methods={"m": "mahalonobis"})


def test_a_column_of_lists_does_not_stop_an_evaluation():
    given = table().append_column("tags", pa.array([[1, 2]] * table().num_rows))
    [with_lists], [without] = (
        evaluate(each, label="kind", protocol=Protocol(seeds=1), methods=MAHALANOBIS)
        for each in (given, table())
    )
    assert with_lists["unseen"] == without["unseen"]


def test_labels_may_be_domains_too_and_take_no_column_with_them():
    rng, i = np.random.default_rng(0), np.arange(200)
    kind = np.where(i % 2, np.where(i % 4 == 1, "up", "down"), "normal")
    far = np.where(i % 2, 8.0, 0.0) + rng.normal(size=200)
    table = pa.table({"kind": kind, "far": far, "noise": rng.normal(size=200)})
    choices = Protocol(seeds=1, shots=3)
    both = [
        evaluate(table, label="kind", group=group, protocol=choices, methods="mahalanobis")[0]
        for group in (None, "kind")
    ]
    assert both[0]["unseen"]["auroc"]["mean"] > 0.95
    assert both[1]["unseen"]["auroc"] == both[0]["unseen"]["auroc"]


@pytest.mark.parametrize(
    "wrong", [{"seeds": "x"}, {"shots": None}, {"shots": 1.5}, {"seeds": True}, {"normals": 0}]
)
def test_counts_of_the_protocol_are_whole_numbers(wrong):
    with pytest.raises(DataError, match="must be a whole number from 1"):
        Protocol(**wrong)


def test_a_share_of_contamination_is_a_number():
    with pytest.raises(DataError, match="from 0 to below 1, got 'x'"):
        Protocol(contamination="x")


def test_an_evaluation_of_too_few_blocks_tells_how_many_there_are():
    codes, rng = np.repeat([0, 1], [300, 30]), np.random.default_rng(0)
    few, many = np.arange(330) % 2, np.arange(330) % 8
    with pytest.raises(DataError, match="normal rows are of 2 blocks, about half of which train"):
        draw_rows(codes, codes, Protocol(), rng, np.arange(330), few)
    drawn = draw_rows(codes, codes, Protocol(), rng, np.arange(330), many)
    assert len(np.unique(many[drawn.train])) == 4

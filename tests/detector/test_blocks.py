"""Blocks: whole blocks are held out, and p-values hold for a new one."""

import numpy as np
import pyarrow as pa
import pytest

from unseen.data.split import block_halves
from unseen.detector.blocks import beside_others, check_apart, encode_blocks, folds_of_blocks
from unseen.detector.detector import Detector
from unseen.errors import DataError, FewNormals, Unsupported
from unseen.evaluation.choices import Protocol
from unseen.evaluation.protocol import evaluate
from unseen.storage.bundle import Bundle


def runs(count, rows=60, spread=2.0, seed=0):
    """Rows of runs that lie around a point of their own, and the run of each."""
    rng = np.random.default_rng(seed)
    centre = np.repeat(rng.normal(0, spread, (count, 4)), rows, axis=0)
    return centre + rng.normal(size=centre.shape), np.repeat(np.arange(count), rows)


def test_blocks_have_codes():
    assert encode_blocks(["b", "a", "b"], rows=3).tolist() == [1, 0, 1]
    assert encode_blocks(3, rows=7).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert encode_blocks(None, rows=7) is None


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (1, "at least 2 and at most the 3 rows"),
        (4, "at least 2"),
        (["a", "b"], "each of the 3 rows, got 2"),
        (["a", None, "b"], "row 2 has none"),
    ],
)
def test_blocks_that_mean_nothing(blocks, said):
    with pytest.raises(DataError, match=said):
        encode_blocks(blocks, rows=3)


def test_a_block_is_in_one_fold_and_folds_are_alike():
    blocks = np.repeat(np.arange(10), [50, 40, 30, 20, 10, 10, 10, 10, 10, 10])
    fold = folds_of_blocks(blocks, np.random.default_rng(0))
    assert all(len(np.unique(fold[blocks == b])) == 1 for b in range(10))
    assert sorted(np.bincount(fold).tolist()) == [30, 40, 40, 40, 50]


def test_one_block_tells_nothing():
    with pytest.raises(DataError, match="all normal rows are of one block"):
        folds_of_blocks(np.zeros(9, dtype=int), np.random.default_rng(0))


def test_a_block_is_judged_by_the_others():
    # block 1 beside block 0, whose median is 1 and whose 90% quantile is 1.8: (3 - 1) / 0.8 = 2.5;
    # of all six scores these are 1.5 and 2.5
    found = beside_others(np.array([0.0, 1.0, 2.0, 1.0, 2.0, 3.0]), np.repeat([0, 1], 3))
    assert found[5] == pytest.approx(1.5 + 1.0 * 2.5)


@pytest.mark.parametrize("method", ["mahalanobis", "nearest"])
def test_pvalues_hold_for_a_new_block(method):
    random, held, power = [], [], []
    for seed in range(25):
        x, run = runs(13, seed=seed)
        train, new = run < 12, x[run == 12]
        plain = Detector(method, random_state=0, calibration=0.2).fit(x[train])
        whole = Detector(method, random_state=0).fit(x[train], blocks=run[train])
        random.append((plain.pvalue(new) <= 0.05).mean())
        held.append((whole.pvalue(new) <= 0.05).mean())
        power.append((whole.pvalue(new + 15) <= 0.05).mean())
    assert np.mean(random) > 0.1
    assert np.mean(held) < 0.08
    assert np.mean(power) > 0.8


def test_no_row_of_its_block_is_learned_from_but_labelled_anomalies(monkeypatch):
    seen = []
    x, run = runs(8, rows=20)
    y = np.array(["normal"] * 160, dtype=object)
    y[::20], y[1::20] = "leak", None
    whole = Detector("mahalanobis", random_state=0)
    from unseen.detector import members

    begun = members.Learning.begun

    def noted(self, encoder, data, inside):
        seen.append(inside)
        return begun(self, encoder, data, inside)

    monkeypatch.setattr(members.Learning, "begun", noted)
    whole.fit(x, y, blocks=run)
    *folds, last = seen
    assert len(folds) == 5
    assert len(last) == 160
    for inside in folds:
        away = np.setdiff1d(run, run[inside][y[inside] != "leak"])
        assert len(away) in (1, 2)
        assert (y[np.isin(run, away) & np.isin(np.arange(160), inside)] == "leak").all()
    assert whole.blocks_ == 8
    assert sorted(whole.members_[0].held_out) == np.flatnonzero(y == "normal").tolist()


def test_blocks_need_folds_of_their_own():
    x, run = runs(8, rows=10)
    with pytest.raises(DataError, match="calibration must be None"):
        Detector("mahalanobis", calibration=5).fit(x, blocks=run)


def test_few_blocks_are_warned_of():
    x, run = runs(3, rows=40)
    with pytest.warns(FewNormals, match="of 3 blocks"):
        Detector("mahalanobis", random_state=0).fit(x, blocks=run)


def test_blocks_stay_known_when_saved(tmp_path):
    x, run = runs(8, rows=20)
    detector = Detector("mahalanobis", random_state=0).fit(x, blocks=run)
    Bundle(detector, {}).save(tmp_path / "m")
    again = Bundle.load(tmp_path / "m")
    assert again.detector.blocks_ == 8
    assert again.detector.pvalue(x).tolist() == detector.pvalue(x).tolist()
    assert len(detector.audit_) == 160


def test_learning_on_would_forget_blocks():
    from unseen.methods.csad import CSAD

    x, run = runs(8, rows=20)
    y = np.where(np.arange(160) % 40 == 0, "leak", "normal")
    detector = Detector(CSAD(steps=2), random_state=0).fit(x, y, blocks=run)
    with pytest.raises(Unsupported, match="calibrated by blocks"):
        detector.partial_fit(x, y)


def test_halves_of_blocks():
    blocks = np.repeat(np.arange(6), 10)
    y = np.where(np.arange(60) % 10 == 0, 1, 0)
    train, test = block_halves(y, blocks, np.random.default_rng(0))
    assert not np.intersect1d(blocks[train], blocks[test]).size
    assert len(train) == len(test) == 30


def test_an_evaluation_has_no_block_twice():
    with pytest.raises(DataError, match="'2': the rows to test on are of blocks that training has"):
        check_apart([1, 2], [2, 3])
    check_apart([1, 2], [3])
    x, run = runs(20, rows=40)
    kind = np.where(
        np.arange(800) % 4 == 0, "up", np.where(np.arange(800) % 4 == 1, "down", "normal")
    )
    x[kind == "up", 0] += 30
    x[kind == "down", 0] -= 30
    table = pa.table({f"x{j}": x[:, j] for j in range(4)} | {"kind": kind, "run": run})
    reports = [
        evaluate(
            table.drop_columns([] if block else ["run"]),
            label="kind",
            block=block,
            methods="mahalanobis",
            protocol=Protocol(seeds=4, seen=1),
        )[0]["normals_flagged_at_5"]
        for block in ("run", None)
    ]
    assert reports[0] < 0.12

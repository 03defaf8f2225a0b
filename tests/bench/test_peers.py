"""Peers of other libraries, those that are installed: scores for every row, whatever the columns
hold.
"""

import numpy as np
import pyarrow as pa
import pytest
import torch
from bench.peers import PEERS
from bench.peers.preparation import gaps, native, numbers, plain, scaled
from bench.runs.open_set import auroc

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, not ours


def table(n=200, seed=0):
    rng = np.random.default_rng(seed)
    far = np.arange(n) >= n - 20
    size = rng.normal(size=n) + 5.0 * far
    return pa.table(
        {
            "size": [str(round(value, 3)) if j % 9 else "?" for j, value in enumerate(size)],
            "count": rng.poisson(4, size=n) + 6 * far,
            "service": rng.choice(["http", "ftp", "dns"], n),
            "flag": rng.choice(["t", "f"], n),
        }
    )


KINDS = np.array(["normal"] * 180 + ["leak"] * 20, dtype=object)


def test_text_that_spells_numbers_is_numbers():
    assert numbers(table()) == ["size", "count"]


def test_rows_are_scaled_by_training_rows_and_new_levels_are_all_zero():
    train = pa.table({"x": [1.0, 3.0, None, 2.0], "c": ["a", "b", "c", "a"]})
    rows = scaled(train)(pa.table({"x": [2.0, None], "c": ["b", "new"]}))
    assert rows.tolist() == [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]  # median 2 = mean
    assert plain(train)(train)[:, 0].tolist() == [1.0, 3.0, 2.0, 2.0]
    assert np.isnan(gaps(train)(train)[2, 0])
    assert native(train)(pa.table({"x": [2.0], "c": [""]})).iloc[0].tolist() == [2.0, "missing"]


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_scores_every_row(name):
    if PEERS[name].version() is None:
        pytest.skip(f"needs {PEERS[name].package}, which is not installed")
    score = PEERS[name].fit(table(), KINDS, 0)(table(seed=1))
    assert score.shape == (200,)
    assert np.isfinite(score).all()
    if name not in ("pyod-devnet", "deepod-devnet"):  # as shipped, they do not learn
        assert auroc(score[:180], score[180:]) > 0.8


def test_peers_without_use_for_labels_are_not_shown_labelled_rows():
    for name in ("sklearn-lof", "sklearn-isolation-forest", "pyod-ecod-repaired"):
        normals = PEERS[name].fit(table().slice(0, 180), KINDS[:180], 0)(table(seed=1))
        assert (PEERS[name].fit(table(), KINDS, 0)(table(seed=1)) == normals).all()


def test_ecod_repaired_scores_a_row_by_itself():
    score = PEERS["pyod-ecod-repaired"].fit(table(), KINDS, 0)
    assert (score(table(seed=1))[:50] == score(table(seed=1).slice(0, 50))).all()


@pytest.mark.parametrize(("name", "sees"), [("pyod-devnet", False), ("pyod-devnet-repaired", True)])
def test_pyods_loss_and_the_labels(name, sees):
    devnet = pytest.importorskip("pyod.models.devnet")
    output = torch.tensor([[0.0], [5.0]], requires_grad=True)
    loss = devnet.deviation_loss
    right, wrong = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    called = (lambda y: loss(y, output.flatten())) if sees else (lambda y: loss(output, y))
    values = [called(y).item() for y in (right, wrong)]
    assert (abs(values[0] - values[1]) > 1) == sees


@pytest.mark.parametrize("repaired", [False, True])
def test_deepods_loss_and_the_labels(repaired):
    devnet = pytest.importorskip("deepod.models.tabular.devnet")
    output = torch.tensor([[0.0], [5.0]])
    loss = devnet.DevLoss()
    given = output.flatten() if repaired else output
    values = [loss(y, given).item() for y in (torch.tensor([0, 1]), torch.tensor([1, 0]))]
    assert (abs(values[0] - values[1]) > 1) == repaired

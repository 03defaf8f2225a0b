"""The study of policies: figures of a batch by hand, and a slice of each half."""

import numpy as np
import pyarrow as pa
import pytest
from bench.studies import policies


def test_figures_of_a_batch():
    # p <= 0.05 * 2 / 4 for two rows, of which one is normal
    p, truth = np.array([0.001, 0.002, 0.5, 0.9]), np.array([True, False, False, True])
    found = policies.figures(p, truth)
    assert found[:2] == [0.5, 0.5]
    assert found[6] == 0.5  # of two normals one has p <= 0.002


def test_a_batch_loses_power_to_dirt_and_gets_it_back():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=9000), rng.normal(5.0, 1.0, size=2000)
    alone = np.zeros(9000, dtype=int), np.zeros(2000, dtype=int)
    found = [policies.batch(normal, anomalous, alone, np.random.default_rng(k)) for k in range(10)]
    fdr, power = (
        {how: np.mean([each[how][k] for each in found]) for how in found[0]} for k in (2, 3)
    )
    assert max(fdr.values()) < 0.15
    assert power["clean"] > 0.9
    assert power["5% anomalies"] < 0.1
    assert power["5%, checked"] > 0.5


def test_a_new_block(monkeypatch):
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(10), 60)
    rows = rng.normal(size=(600, 3)) + np.repeat(rng.normal(size=(10, 3)), 60, axis=0)
    y = np.where(np.arange(600) % 6 == 0, np.array(["a", "b", "c"])[np.arange(600) % 3], "normal")
    y = np.where(y == "normal", y, np.array(["a", "b", "c"])[np.arange(600) // 6 % 3])
    rows[y != "normal"] += 8.0
    table = pa.table({f"x{j}": column for j, column in enumerate(rows.T)})
    monkeypatch.setattr(policies, "blocks_of", lambda name: (table, y, blocks, np.arange(10)))
    random, found, held, too, *centred = policies.new_block("tep", 8, "mahalanobis", 0)
    assert held <= random
    assert min(found, too) > 0.5
    assert held == pytest.approx(0.05, abs=0.06)
    assert centred[0] == pytest.approx(0.05, abs=0.06)
    assert centred[1] > 0.5

"""Equal rows have equal scores and equal p-values: alone, in any batch, in any order, wherever a
batch is cut.
"""

import numpy as np
import pyarrow as pa
import pytest
import torch

from quick import brief, parametrised
from unseen import Detector
from unseen.detector.conformal import Conformal, outranked, tie_width
from unseen.methods import METHODS
from unseen.methods.distances import Mahalanobis
from unseen.methods.isolation import IsolationForest
from unseen.parts.bank import Bank
from unseen.parts.products import NARROW, Linear, product
from unseen.parts.surprisal import Surprisal
from unseen.testing import check_equal_rows, trained
from unseen.types import Samples


def tied(n=160, seed=0):
    """Rows of few values, some binary, some far apart, and two classes of anomaly."""
    g = torch.Generator().manual_seed(seed)
    x = torch.stack(
        [torch.randint(2, (n,), generator=g), torch.randint(3, (n,), generator=g)], dim=1
    ).float()
    x = torch.cat([x, torch.tensor([0.1, 0.7, 5.3])[torch.randint(3, (n, 3), generator=g)]], dim=1)
    y = torch.zeros(n, dtype=torch.int64)
    y[:8] = torch.arange(8) % 2 + 1
    x[:8, 0] += 4 * (y[:8] == 1)
    x[:8, 1] += 4 * (y[:8] == 2)
    return Samples.of(torch.nn.functional.pad(x, (0, 1)), y)


@parametrised(METHODS, brief)
def test_rows_of_few_values(method):
    data = tied()
    check_equal_rows(trained(method, data), data.x)


@pytest.mark.parametrize("columns", [1, 2, 5, NARROW - 1, NARROW, 40])
@pytest.mark.parametrize("d", [1, 3, 10, 33, 130])
def test_a_product_does_not_depend_on_the_place_of_a_row(d, columns):
    g = torch.Generator().manual_seed(0)
    x, right = torch.randn(192, d, generator=g), torch.randn(d, columns, generator=g)
    layer = Linear(d, columns)
    with torch.no_grad():
        for shift in (1, 2, 3, 13):
            moved = torch.roll(x, shift, 0)
            assert torch.equal(product(moved, right), torch.roll(product(x, right), shift, 0))
            assert torch.equal(layer(moved), torch.roll(layer(x), shift, 0))
        torch.testing.assert_close(product(x, right), x @ right)
        torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)


def test_a_small_bank_finds_the_same_neighbours():
    bank = Bank(2)
    bank.fill(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    with torch.no_grad():
        assert bank.nearest(torch.tensor([[0.0, 2.0]]), k=2).tolist() == [[2, 0]]
        found = bank.distances(torch.tensor([[3.0, 0.0]]), k=3)
        torch.testing.assert_close(found, torch.tensor([[3.0, 10**0.5, 4.0]]))


@pytest.mark.parametrize(
    "method", [Mahalanobis(), IsolationForest(trees=10), None], ids=["distance", "trees", "default"]
)
def test_a_detector_gives_one_pvalue_for_one_row(method):
    rng = np.random.default_rng(0)
    table = {
        "colour": rng.choice(["red", "green", "blue"], 300, p=[0.7, 0.25, 0.05]),
        "ports": rng.choice([1, 2, 8], 300),
        "on": rng.random(300) < 0.5,
    }
    labels = np.array(["normal"] * 300, dtype=object)
    labels[:6] = "fault"
    table["ports"][:6] = 64
    rows = pa.table(table)
    detector = Detector(method, random_state=0, calibration=0.3, repeats="keep").fit(rows, labels)
    whole = detector.pvalue(rows)
    order = rng.permutation(300)
    assert (detector.pvalue(rows.take(order)) == whole[order]).all()
    alone = [detector.pvalue(rows.slice(i, 1))[0] for i in range(0, 300, 50)]
    assert alone == whole[::50].tolist()
    values = {}
    for key, p in zip(zip(*table.values(), strict=True), whole, strict=True):
        values.setdefault(key, set()).add(p)
    assert max(map(len, values.values())) == 1


def test_the_number_of_threads_does_not_matter():
    x = np.random.default_rng(0).normal(size=(2500, 5))
    detector = Detector(Mahalanobis(), random_state=0).fit(x)
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(detector.anomaly_score(x))
    finally:
        torch.set_num_threads(threads)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_calibration_scores_that_differ_by_rounding_are_ties():
    # Mean distance from the median 2 is 1, so scores less than 0.00001 apart are equal.
    conformal = Conformal.fit(np.array([0.5, 2.0, 2.0, 3.5]))
    assert conformal.alike == pytest.approx(0.75e-5)
    just, clearly = 2 + 0.5e-5, 2 + 1e-5
    np.testing.assert_allclose(conformal.pvalue(np.array([2.0, just, clearly])), [0.8, 0.8, 0.4])
    assert just < conformal.threshold(0.4) < clearly
    assert conformal.pvalue(np.array([conformal.threshold(0.4)]))[0] > 0.4
    folds = [np.array([0.0, 2.0, 4.0]), np.array([0.0, 20.0, 40.0])]
    assert tie_width(folds[1]) == pytest.approx(1e-5 * 40 / 3)
    ranks = outranked(folds, [np.array([2 + 1e-6, 2.1]), np.array([20 + 1e-5, 20.1])])
    assert np.floor(ranks).tolist() == [2.0, 4.0]


def test_a_surprise_stands_in_the_middle_of_ties():
    surprisal = Surprisal(1)
    surprisal.fit(torch.tensor([[0.0] * 4 + [1.0] * 6]))
    # Places 0..3 and 4..9, so 1.5 and 6.5 of 10: -log(1 - 0.2) and -log(1 - 0.7); rounding changes
    # nothing.
    expected = torch.tensor([[0.2231, 0.2231, 1.2040, 1.2040]])
    found = surprisal(torch.tensor([[0.0, 2e-6, 1.0 - 1e-6, 1.0 + 2e-6]]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    beyond, farther = surprisal(torch.tensor([[1.5, 2.5]]))[0].tolist()
    assert 20.0 < beyond < farther < 40.0  # no score drowns the others, and none ties
    loaded = Surprisal(1)
    loaded.load_state_dict(surprisal.state_dict())
    assert torch.equal(loaded(torch.tensor([[0.4, 1.0]])), surprisal(torch.tensor([[0.4, 1.0]])))
    assert sorted(surprisal.state_dict()) == ["normals", "scale"]  # as bundles of 0.1.0 have it

"""Export forms give what the parts give, and are used by the thread alone that draws a graph."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from unseen.parts.bank import Bank
from unseen.parts.exporting import counted_below, drawing, drawn, forest_attributes, solved
from unseen.parts.products import product


@pytest.mark.parametrize("m", [1, 2, 3, 7, 8, 9, 100])
def test_as_many_are_below_as_a_search_finds(m):
    generator = torch.Generator().manual_seed(m)
    ordered = torch.randint(-3, 4, (2, m), generator=generator).double().sort(dim=1).values
    values = torch.cat([ordered, ordered + 0.5, torch.full((2, 1), torch.inf)], dim=1)
    assert torch.equal(counted_below(ordered, values), torch.searchsorted(ordered, values))
    lowest = torch.full((2, 1), -torch.inf).double()
    assert counted_below(ordered, lowest).tolist() == [[0], [0]]


def test_small_systems_are_solved_as_by_torch():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 4, 4, generator=generator, dtype=torch.float64)
    matrix, right = root @ root.mT + torch.eye(4), torch.randn(5, 4, generator=generator).double()
    expected = torch.linalg.solve(matrix, right[:, :, None])[:, :, 0]
    torch.testing.assert_close(solved(matrix, right), expected)


def test_trees_as_the_operator_has_them():
    """A tree x0 <= 1 ? 10 : (x1 <= 2 ? 20 : 30), and one that is a leaf."""
    found = forest_attributes(
        feature=np.array([0, 0, 1, 0, 0, 0]),
        threshold=np.array([1, np.inf, 2, np.inf, np.inf, np.inf], np.float32),
        left=np.array([1, 1, 3, 3, 4, 5]),
        value=np.array([0, 10, 0, 20, 30, 7], np.float32),
        roots=np.array([0, 5]),
    )
    assert {name: value.tolist() for name, value in found.items()} == {
        "nodes_featureids": [0, 1, 0],
        "nodes_splits": [1, 2, 0],
        "nodes_truenodeids": [0, 1, 3],
        "nodes_trueleafs": [1, 1, 1],
        "nodes_falsenodeids": [1, 2, 3],
        "nodes_falseleafs": [0, 1, 1],
        "leaf_weights": [10, 20, 30, 7],
        "tree_roots": [0, 2],
    }


def test_other_threads_compute_as_ever():
    x, right = torch.randn(64, 40), torch.randn(40, 3)

    @torch.no_grad()
    def computed():
        return drawing(), product(x, right)

    plain = computed()[1]
    with drawn(Bank(2)) as graph, ThreadPoolExecutor(1) as other:
        assert drawing() is graph
        there, found = other.submit(computed).result()
        assert there is None
        assert torch.equal(found, plain)
    assert drawing() is None

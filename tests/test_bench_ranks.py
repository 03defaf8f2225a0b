"""Tests of significance between methods, against numbers worked out by hand."""

import numpy as np
import pytest
from bench.ranks import Comparison, compare, different, holm


def test_friedman_of_methods_in_the_same_order_on_every_block():
    found = compare(["bad", "good", "fair"], np.array([[0.1, 0.9, 0.5]] * 4) + np.arange(4)[:, None] / 100)
    assert found.names == ("good", "fair", "bad")
    assert found.ranks == (1.0, 2.0, 3.0)
    # chi2 = 12 x 4 / (3 x 4) x (1 + 4 + 9 - 3 x 16 / 4) = 8, with 2 degrees of freedom: p = exp(-4)
    assert found.friedman == pytest.approx(np.exp(-4))
    assert found.blocks == 4


def test_ties_share_their_ranks():
    found = compare(["a", "b", "c"], np.array([[0.9, 0.9, 0.1], [0.8, 0.7, 0.7], [0.9, 0.5, 0.6]]))
    assert dict(zip(found.names, found.ranks, strict=True)) == pytest.approx({"a": 3.5 / 3, "b": 7 / 3, "c": 7.5 / 3})


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_wilcoxon_of_six_blocks_all_one_way():
    low = np.linspace(0.1, 0.6, 6)
    assert different(low + np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]), low) == pytest.approx(2 / 2**6)
    assert different(low, low) == 1.0


def test_pairs_are_corrected_over_all_of_them():
    gaps = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    base = np.linspace(0.1, 0.3, 6)
    found = compare(["a", "b", "c"], np.column_stack([base + 3 * gaps, base + gaps, base]))
    assert found.pairs == pytest.approx({("a", "b"): 3 / 32, ("a", "c"): 3 / 32, ("b", "c"): 3 / 32})
    assert found.alike() == [(0, 2)]


def test_bars_join_neighbours_of_which_no_two_differ():
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    found = Comparison(("a", "b", "c", "d"), (1, 2, 3, 4), 9, 0.0, {pair: 0.01 * (pair not in apart) for pair in pairs})
    assert found.alike(0.005) == [(0, 1), (1, 2), (2, 3)]
    assert found.alike(0.02) == []

"""Shapley values by orders and their reverses: by hand, and where they are exact."""

from itertools import permutations

import numpy as np
import pytest

from unseen.explain.shapley import coalitions


def by_all_orders(players, value):
    """Shapley values by their definition."""
    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        inside = set()
        for player in order:
            before = value(frozenset(inside))
            inside.add(player)
            total[player] += value(frozenset(inside)) - before
    return total / len(orders)


def found(players, pairs, value):
    sets = coalitions(players, pairs=pairs)
    values = [value(frozenset(np.flatnonzero(row).tolist())) for row in sets.members]
    return sets.shapley(np.array([values]))[0]


def test_one_pair_is_exact_where_players_act_in_pairs():
    # 0 and 1 give 6 together, 2 gives 1 by itself: each of the two has half of the 6
    def value(inside):
        return 6.0 * ({0, 1} <= inside) + 1.0 * (2 in inside)

    np.testing.assert_allclose(found(3, 1, value), [3.0, 3.0, 1.0])


def test_many_pairs_come_close_to_the_definition():
    rng = np.random.default_rng(0)
    table = {}

    def value(inside):
        return table.setdefault(inside, len(inside) ** 2 + rng.normal())

    exact = by_all_orders(5, value)
    assert np.abs(found(5, 200, value) - exact).max() < 0.25
    assert np.abs(found(5, 200, value) - exact).max() < np.abs(found(5, 1, value) - exact).max()


@pytest.mark.parametrize("players", [1, 2, 12])
def test_values_add_up_and_nobody_comes_first(players):
    sets = coalitions(players, pairs=4)
    assert not sets.members[0].any()
    assert sets.members[-1].all()
    assert len({row.tobytes() for row in sets.members}) == len(sets.members)
    values = np.random.default_rng(players).normal(size=(3, len(sets.members)))
    np.testing.assert_allclose(
        sets.shapley(values).sum(axis=1), values[:, -1] - values[:, 0], atol=1e-12
    )


def test_a_player_that_changes_nothing_has_nothing():
    assert found(4, 3, lambda inside: float(len(inside - {2})) ** 2)[2] == 0.0

"""Shapley values by antithetic permutations: what each player adds, on average over the orders in
which players join (Shapley 1953; Mitchell et al. 2022, section 4.1: orders with their reverses).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unseen.explain.hybrids import Mask


@dataclass(frozen=True)
class Coalitions:
    """Which sets of players are judged, and what follows from how they are judged.

    Parameters
    ----------
    members : array
        Who is in each set (c, p), bool; nobody in the first, all in the last.
    weights : array
        Shapley values are weighted sums of the values of the sets (p, c).
    """

    members: Mask
    weights: NDArray[np.float64]

    def shapley(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each player adds; the sum is the last value less the first: (n, c) -> (n, p).

        >>> found = coalitions(3, pairs=1)
        >>> additive = found.members @ np.array([1.0, 2.0, 4.0])
        >>> found.shapley(additive[None])
        array([[1., 2., 4.]])
        """
        # no matrix product: its last bits hang on the number of rows
        return np.stack([(values * row).sum(axis=1) for row in self.weights], axis=1)


@lru_cache(maxsize=64)
def coalitions(players: int, *, pairs: int) -> Coalitions:
    """The sets that so many pairs of orders, drawn once and for all, go through."""
    rng = np.random.default_rng(0)
    halves = [rng.permutation(players) for _ in range(pairs)]
    places: dict[bytes, int] = {}
    steps = []  # (player, set without, set with)
    for order in [each for half in halves for each in (half, half[::-1])]:
        members = np.zeros(players, dtype=bool)
        before = places.setdefault(members.tobytes(), len(places))
        for player in order.tolist():
            members[player] = True
            after = places.setdefault(members.tobytes(), len(places))
            steps.append((player, before, after))
            before = after
    sets = np.array([np.frombuffer(each, dtype=bool) for each in places])
    ranked = np.argsort(sets.sum(axis=1), kind="stable")  # nobody first, all last
    weights = np.zeros((players, len(sets)))
    for player, before, after in steps:
        weights[player, after] += 0.5 / pairs
        weights[player, before] -= 0.5 / pairs
    return Coalitions(sets[ranked], weights[:, ranked])

"""What raises a row's score above that of its nearest normal, column by column, and which columns
make it unremarkable once they are as there.

A hybrid takes some columns from a row, and all others from a normal row near it. Everything here
asks how hybrids are judged, for many rows at a time, and knows nothing of the detector. Columns
that matter are found from the row's side: what is planted in several columns saturates a score, so
that each of them alone, put into a normal row, looks like all of it, and none put back looks like
any.

Real anomalies move many columns at once, and which normal a row is compared with then decides how
many have to go back: where the nearest asks for more than a reader changes at once, others near by
are tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unseen.explain.beam import BEAM, FARTHEST, FEW, search_by_beam
from unseen.explain.hybrids import Array, Change, Hybrids, Mask, Places
from unseen.explain.shapley import coalitions

CANDIDATES = 24  # columns that are tried one by one, to find those that matter
NAMED = 12  # columns of them that have a share of their own; all others share one
PAIRS = 4  # orders in which columns join, each with its reverse
MOST = 10  # columns that are put back at most
TRIED = 4  # columns tried for each place: so many that helped most, and as many that lie farthest
CELLS = 1 << 22  # columns of hybrids that are judged at once
LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Found:
    """What was found of rows (n).

    Parameters
    ----------
    normal : array
        The number of the normal that each row is compared with: the nearest, or another where fewer
        columns have to go back to that (n,).
    score, baseline, pvalue : array
        Scores of the rows and of those normals, and p-values of the rows (n,).
    named : array
        Columns with a share of their own, the largest share first (n, m).
    added : array
        What each of them adds to the score (n, m).
    rest : array
        What all other columns together add (n,).
    changes : tuple
        Of each row the smallest set of columns found, and the p-value once they are put back; None
        where there is none.
    """

    normal: Places
    score: Array
    baseline: Array
    pvalue: Array
    named: Places
    added: Array
    rest: Array
    changes: tuple[Change | None, ...]


def search(hybrids: Hybrids, n: int, alpha: float) -> Found:
    """Shares of the columns of n rows, at least one, and what to put back where p <= alpha.

    The shares are Shapley values of the named columns; the others are the row's own from the start,
    so that what the named ones add is judged in the row's company: columns that belong together are
    torn apart least.
    """
    sets = max(2 * PAIRS * NAMED, hybrids.normals, BEAM * FARTHEST) + CANDIDATES
    step = max(CELLS // (hybrids.columns * sets), 1)
    rows = np.arange(n)
    parts = [_searched(hybrids, rows[k : k + step], alpha) for k in range(0, n, step)]
    arrays = ("normal", "score", "baseline", "pvalue", "named", "added", "rest")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return Found(**joined, changes=tuple(each for part in parts for each in part.changes))


def _searched(hybrids: Hybrids, rows: Places, alpha: float) -> Found:
    unmasking = _Unmasking(hybrids, rows, alpha)
    matter, changes, normal = unmasking.matter(), unmasking.changes(), np.zeros_like(rows)
    many = [change is None or len(change[0]) > FEW for change in changes]
    left = np.flatnonzero((unmasking.pvalue <= alpha) & np.array(many))
    for k, found in zip(left.tolist(), search_by_beam(hybrids, rows[left], alpha), strict=True):
        if found is not None:
            normal[k], changes[k] = found
            matter[k, list(found[1][0])] = np.inf
    m = min(NAMED, unmasking.tried.shape[1])
    named = np.argsort(-matter, axis=1, kind="stable")[:, :m]
    sets = coalitions(m, pairs=PAIRS)
    own = np.ones((len(rows), len(sets.members) + 1, hybrids.columns), dtype=bool)
    own[:, -1] = False  # the normal itself
    places = named[:, None].repeat(len(sets.members), axis=1)
    np.put_along_axis(own[:, :-1], places, sets.members[None].repeat(len(rows), axis=0), axis=2)
    values, _ = _all_judged(hybrids, rows, normal, own)
    added = sets.shapley(values[:, :-1])
    order = np.argsort(-added, axis=1, kind="stable")
    return Found(
        normal,
        values[:, -2],
        values[:, -1],
        unmasking.pvalue,
        np.take_along_axis(named, order, axis=1),
        np.take_along_axis(added, order, axis=1),
        values[:, 0] - values[:, -1],
        tuple(changes),
    )


class _Unmasking:
    """Puts back one column after the other to the nearest normal, always the one whose return
    lowers the score most, until a row is unremarkable.
    """

    def __init__(self, hybrids: Hybrids, rows: Places, alpha: float) -> None:
        self.hybrids, self.rows, self.alpha = hybrids, rows, alpha
        self.nearest = np.zeros_like(rows)
        self.tried = hybrids.farthest(rows, self.nearest, CANDIDATES)  # (n, q)
        n, q = self.tried.shape
        own = np.ones((n, q + 1, hybrids.columns), dtype=bool)
        np.put_along_axis(own[:, :q], self.tried[:, :, None], False, axis=2)
        scores, pvalues = _all_judged(hybrids, rows, self.nearest, own)
        self.pvalue, self.score, self.reached = pvalues[:, -1], scores[:, -1], pvalues[:, -1].copy()
        self.alone = scores[:, :q], pvalues[:, :q]  # with each column back that is tried
        # by how much each column lowers the score, as it was last found
        self.lowers = scores[:, -1:] - scores[:, :q]
        self.own = own[:, -1].copy()  # (n, p)
        self.order = np.full((n, min(MOST, q)), -1)  # places among those tried, as they came back
        for turn in range(self.order.shape[1]):
            if len(left := np.flatnonzero(self.reached <= alpha)):
                self._put_back(left, turn)

    def _put_back(self, left: Places, turn: int) -> None:
        """One more column, of the rows that are left."""
        k, back = np.arange(len(left)), np.zeros(self.tried[left].shape, dtype=bool)
        if turn:
            np.put_along_axis(back, self.order[left, :turn], True, axis=1)
        lowers = np.where(back, -np.inf, self.lowers[left])
        places = np.argsort(-lowers, axis=1, kind="stable")[:, : TRIED if turn else 1]
        if turn:
            further = back.copy()
            np.put_along_axis(further, places, True, axis=1)
            far = np.argsort(further, axis=1, kind="stable")[:, :TRIED]
            places = np.concatenate([places, far], axis=1)
        own = self.own[left][:, None].repeat(places.shape[1], axis=1)
        columns = np.take_along_axis(self.tried[left], places, axis=1)
        np.put_along_axis(own, columns[:, :, None], False, axis=2)
        if turn:
            scores, pvalues = _all_judged(self.hybrids, self.rows[left], self.nearest[left], own)
        else:
            scores, pvalues = (np.take_along_axis(each[left], places, 1) for each in self.alone)
        found = self.score[left][:, None] - scores
        self.lowers[left[:, None], places] = found
        chosen = np.where(np.take_along_axis(back, places, axis=1), -np.inf, found).argmax(axis=1)
        self.order[left, turn] = places[k, chosen]
        self.own[left] = own[k, chosen]
        self.score[left], self.reached[left] = scores[k, chosen], pvalues[k, chosen]

    def matter(self) -> Array:
        """How much each column matters: beyond all others where it came back, else by how much it
        lowers the score; (n, p).
        """
        rank = self.lowers.copy()
        for turn in range(self.order.shape[1]):
            there = np.flatnonzero(self.order[:, turn] >= 0)
            rank[there, self.order[there, turn]] = LARGEST
        found = np.full(self.own.shape, -np.inf)
        np.put_along_axis(found, self.tried, rank, axis=1)
        return found

    def changes(self) -> list[Change | None]:
        """The columns that came back, less those that need not, the last first."""
        usual = (self.pvalue <= self.alpha) & (self.reached > self.alpha)
        for turn in range(self.order.shape[1] - 2, -1, -1):
            # the last that came back was needed
            left = np.flatnonzero(usual & (self.order[:, turn + 1 :] >= 0).any(axis=1))
            if len(left):
                self._do_without(left, turn)
        kept = [self.tried[k][each[each >= 0]].tolist() for k, each in enumerate(self.order)]
        return [
            (tuple(kept[k]), float(self.reached[k])) if usual[k] else None for k in range(len(kept))
        ]

    def _do_without(self, left: Places, turn: int) -> None:
        """Take a column from what came back, where p stays above alpha."""
        own = self.own[left]
        columns = self.tried[left, self.order[left, turn]]
        own[np.arange(len(left)), columns] = True
        pvalues = self.hybrids.judged(self.rows[left], self.nearest[left], own)[1]
        idle = pvalues > self.alpha
        self.own[left[idle]], self.reached[left[idle]] = own[idle], pvalues[idle]
        self.order[left[idle], turn] = -1


def _all_judged(hybrids: Hybrids, rows: Places, normals: Places, own: Mask) -> tuple[Array, Array]:
    """Scores and p-values of several hybrids of each row with its normal: (n,), (n,), (n, c, p) ->
    (n, c) twice.
    """
    n, c, p = own.shape
    scores, pvalues = hybrids.judged(rows.repeat(c), normals.repeat(c), own.reshape(n * c, p))
    return scores.reshape(n, c), pvalues.reshape(n, c)

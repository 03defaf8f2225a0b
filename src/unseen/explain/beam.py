"""Which normal a row is compared with where the nearest asks for many columns: a beam search over
pairs of a normal and a set of columns that go back to it.
"""

from __future__ import annotations

import numpy as np

from unseen.explain.hybrids import Array, Change, Hybrids, Mask, Places

FEW = 5  # columns that a reader changes at once
BEAM = 8  # pairs that are kept at each step
FARTHEST = 8  # columns that each of them tries next


def search_by_beam(hybrids: Hybrids, rows: Places, alpha: float) -> list[tuple[int, Change] | None]:
    """For each of the rows (n,) a normal to which at most `FEW` columns go back, and these; None
    where none was found.

    At first every normal is tried with the columns in which the row lies farthest from it. A step
    then puts one column more back, in each way that the pairs that are kept leave open.
    """
    n, t = len(rows), hybrids.normals
    found: list[tuple[int, Change] | None] = [None] * n
    if not n:
        return found
    normals = np.tile(np.arange(t), (n, 1))
    far = hybrids.farthest(rows.repeat(t), normals.ravel(), FARTHEST).reshape(n, t, -1)
    q = far.shape[2]
    start = np.full((n, t), (1 << min(FEW, q)) - 1)
    scores = _judged_back(hybrids, rows, normals, far, start, start >= 0)[0]
    normals = np.argsort(scores, axis=1, kind="stable")[:, :BEAM]
    far = np.take_along_axis(far, normals[:, :, None], axis=1)  # (n, b, q)
    back, left = np.zeros(normals.shape, dtype=np.int64), np.arange(n)  # a bit for each of far
    for _ in range(min(FEW, q)):
        more = (back[:, :, None] | (1 << np.arange(q))).reshape(len(back), -1)  # (n, b * q)
        own = np.arange(normals.shape[1]).repeat(q)  # which of the beam each comes from
        pairs = normals[:, own] << q | more
        new = _first_of_equal(pairs) & (more != back[:, own])
        scores, pvalues = _judged_back(hybrids, rows[left], normals[:, own], far[:, own], more, new)
        usual = np.where(pvalues > alpha, scores, np.inf)
        for k in np.flatnonzero((pvalues > alpha).any(axis=1)).tolist():
            at = int(usual[k].argmin())
            columns = far[k, own[at]][(more[k, at] >> np.arange(q) & 1).astype(bool)]
            change = tuple(columns.tolist()), float(pvalues[k, at])
            found[left[k]] = int(normals[k, own[at]]), change
        on = np.flatnonzero(~(pvalues > alpha).any(axis=1))
        if not len(on):
            break
        best = np.argsort(scores[on], axis=1, kind="stable")[:, :BEAM]
        normals, far = normals[on[:, None], own[best]], far[on[:, None], own[best]]
        back, left = more[on[:, None], best], left[on]
    return found


def _first_of_equal(values: Places) -> Mask:
    """Which values of each row no earlier one equals: (n, k) -> (n, k)."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered, first = np.take_along_axis(values, order, axis=1), np.ones(values.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return first


def _judged_back(
    hybrids: Hybrids, rows: Places, normals: Places, far: Places, back: Places, wanted: Mask
) -> tuple[Array, Array]:
    """Scores and p-values (n, k) once those of the columns `far` (n, k, q) that `back` (n, k) has a
    bit for go back to the normals (n, k); infinite and 0 where not wanted.
    """
    own = np.ones((int(wanted.sum()), hybrids.columns), dtype=bool)
    stays = (back[wanted][:, None] >> np.arange(far.shape[2]) & 1) == 0
    np.put_along_axis(own, far[wanted], stays, axis=1)
    scores, pvalues = np.full(back.shape, np.inf), np.zeros(back.shape)
    each = np.broadcast_to(rows[:, None], back.shape)[wanted]
    scores[wanted], pvalues[wanted] = hybrids.judged(each, normals[wanted], own)
    return scores, pvalues

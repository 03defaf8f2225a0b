"""Blocks of rows that belong together, such as runs, days or machines: what is held out is whole
blocks, so that p-values hold for rows of a block that training never saw.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.labels import spellings
from unseen.errors import DataError, FewNormals
from unseen.names import first_few
from unseen.parts.ranking import ALIKE

MOST = 5  # times that a method is trained to score blocks that it did not see
FEW = 8  # blocks below which p-values of a new one are a rough guide
HIGH = 0.9  # quantile whose distance from the median is the unit of scores of normals


def encode_blocks(blocks: Any, *, rows: int) -> NDArray[np.int64] | None:
    """The code of each row's block, from 0: (n,); None where nothing is said.

    Parameters
    ----------
    blocks : sequence (n,), int or None
        A name for each row's block; or a number of blocks, into which the rows are cut as they lie.
    rows : int
        How many rows there are, n.

    Returns
    -------
    array or None
        Codes (n,).

    Raises
    ------
    DataError
        For fewer than 2 blocks, another number of names than rows, and rows without a name.

    >>> encode_blocks(["mon", "tue", "mon"], rows=3), encode_blocks(2, rows=5)
    (array([0, 1, 0]), array([0, 0, 0, 1, 1]))
    """
    if blocks is None:
        return None
    if isinstance(blocks, int | np.integer):
        if not 2 <= blocks <= rows:
            raise DataError(
                f"blocks must be at least 2 and at most the {rows:,} rows, got {blocks}: rows are "
                "cut into so many parts, as they lie"
            )
        return np.arange(rows) * int(blocks) // rows
    values = list(blocks)
    if len(values) != rows:
        raise DataError(
            f"blocks must name the block of each of the {rows:,} rows, got {len(values):,} names"
        )
    names = spellings(values)
    if None in names:
        raise DataError(
            f"blocks must name the block of every row, and row {names.index(None) + 1:,} has none: "
            "give each row a block, or leave out those without one"
        )
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def check_apart(blocks: Any, others: Any) -> None:
    """DataError where rows to test on are of blocks that rows to train on are of, too."""
    if blocks is None or others is None:
        return
    both = sorted(
        {str(name) for name in spellings(list(blocks))} & {*map(str, spellings(list(others)))}
    )
    if both:
        raise DataError(
            f"{first_few(map(repr, both))}: the rows to test on are of blocks that training has, "
            "too, so they tell nothing of a new block: leave these rows out, or name the blocks "
            "apart where they are not the same"
        )


def folds_of_blocks(blocks: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each of these normal rows, whole blocks together and folds of about one size:
    (n,) -> (n,).

    Raises
    ------
    DataError
        For rows of a single block.

    >>> fold = folds_of_blocks(np.repeat(np.arange(8), 3), np.random.default_rng(0))
    >>> len(np.unique(fold)), len(np.unique(fold[:3]))
    (5, 1)
    """
    present, place, count = np.unique(blocks, return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise DataError(
            "all normal rows are of one block, so nothing tells how blocks differ: expected normal "
            "rows of at least 2, better 8; name another column, or leave blocks out"
        )
    if len(present) < FEW:
        warnings.warn(
            f"the normal rows are of {len(present)} blocks (fewer than {FEW}): how much a new "
            "block may differ is a rough guess; add normal rows of other blocks",
            FewNormals,
            stacklevel=2,
        )
    mixed = rng.permutation(len(present))
    fold, load = np.zeros(len(present), dtype=np.int64), np.zeros(min(MOST, len(present)))
    for block in mixed[np.argsort(-count[mixed], kind="stable")]:  # the largest first
        fold[block] = int(load.argmin())
        load[fold[block]] += count[block]
    return fold[place]


def beside_others(scores: NDArray[np.float64], blocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores of held-out normals (m,), each as far out as it lies beside the other blocks: (m,).

    With M and H the median and the 90% quantile of all scores, and M_b and H_b those of all blocks
    but b, a score s in block b becomes

        M + (H - M) * (s - M_b) / (H_b - M_b)

    A new row is judged by M and H of blocks that are not its own, and so are these: ranks among
    them are p-values for a block drawn like the others, on average over blocks. That holds the
    better the more blocks there are (pooling over groups: Dunn, Wasserman & Ramdas 2022). Exact
    p-values for a new block are never below 1 / (blocks + 1) (Lee, Barber & Willett 2023), too
    large for an alarm.

    >>> beside_others(np.array([0.0, 1.0, 2.0, 1.0, 2.0, 3.0]), np.repeat([0, 1], 3)).round(2)
    array([-1.  ,  0.25,  1.5 ,  1.5 ,  2.75,  4.  ])
    """
    middle, high = np.quantile(scores, [0.5, HIGH])
    least = max(ALIKE * float(np.ptp(scores)), 1e-12)
    found = np.empty_like(scores)
    for block in np.unique(blocks):
        own = blocks == block
        m, h = np.quantile(scores[~own], [0.5, HIGH])
        found[own] = middle + (high - middle) * (scores[own] - m) / max(h - m, least)
    return found

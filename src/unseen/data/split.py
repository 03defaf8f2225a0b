"""Splits of rows: row numbers out, made once, before anything is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def spread_over(groups: NDArray[np.int64], parts: int, rng: np.random.Generator) -> Rows:
    """Part number of each row, every group spread evenly over the parts: (n,) -> (n,) in 0 .. parts
    - 1.
    """
    part = np.empty(len(groups), dtype=np.int64)
    part[_shuffled_groups(groups, rng)] = np.arange(len(groups)) % parts
    return part


def hold_out(rows: Rows, groups: NDArray[np.int64], share: float, rng: np.random.Generator) -> Rows:
    """A share of the rows, at least one, drawn evenly from their groups (n,)."""
    steps = np.floor(np.arange(-1, len(rows)) * share + 1e-9)
    return rows[np.sort(_shuffled_groups(groups[rows], rng)[np.diff(steps) > 0])]


def _shuffled_groups(groups: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """Row numbers in random order, one group after the other."""
    order = rng.permutation(len(groups))
    return order[np.argsort(groups[order], kind="stable")]


def class_halves(y: NDArray[np.int64], rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Two halves of the rows, every class split half and half; which half gets the odd row is
    drawn.

    Parameters
    ----------
    y : array
        Codes of the classes (n,).
    rng : Generator
        Where the randomness comes from.

    Returns
    -------
    array, array
        Row numbers of the halves, in rising order.
    """
    half = np.empty(len(y), dtype=np.int64)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        half[rows] = (np.arange(len(rows)) + rng.integers(2)) % 2
    return np.flatnonzero(half == 0), np.flatnonzero(half == 1)


def block_halves(
    y: NDArray[np.int64], blocks: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Two halves of the rows, whole blocks together, with about as many normal rows each.

    Parameters
    ----------
    y : array
        Codes of the classes, 0 normal (n,).
    blocks : array
        Codes of the blocks (n,).
    rng : Generator
        Where the randomness comes from.

    Returns
    -------
    array, array
        Row numbers of the halves, in rising order.
    """
    present, place = np.unique(blocks, return_inverse=True)
    normals = np.bincount(place[y == 0], minlength=len(present))
    order = rng.permutation(len(present))
    half, load = np.zeros(len(present), dtype=np.int64), np.zeros(2)
    for block in order[np.argsort(-normals[order], kind="stable")]:  # the largest first
        half[block] = rng.integers(2) if load[0] == load[1] else int(load.argmin())
        load[half[block]] += normals[block]
    return np.flatnonzero(half[place] == 0), np.flatnonzero(half[place] == 1)


def encoded(column: Any) -> NDArray[np.int64]:
    """Codes of an Arrow column's values, missing ones among them: (n,)."""
    codes = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    return np.asarray(
        codes.indices if hasattr(codes, "indices") else codes.chunk(0).indices, dtype=np.int64
    )


def take(table: Any, rows: Rows) -> Any:
    """These rows of an Arrow table or a matrix."""
    if isinstance(table, np.ndarray):
        return table[rows]
    if isinstance(table, pa.Table) and not len(rows):
        return table.slice(0, 0)  # looks at no column
    return table.take(rows)

"""Fitted scikit-learn trees as tensor buffers, all walked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unseen.errors import DataError
from unseen.parts.exporting import drawing, forest_attributes
from unseen.parts.nets import Resizing

DEEPEST = 10_000  # levels of a tree that is loaded: each takes time, and no row needs so many
FEW = 64  # rows among which copies are looked for
AGAIN = 3  # levels between two looks at who has reached a leaf


class Trees(Resizing):
    """Mean over trees of the value of the leaf that a row falls into: (n, d) -> (n,).

    All trees share flat node tables. A row holds one node number per tree; each step moves every
    one of them a level down, and a leaf points to itself. Children stand side by side, so that
    right = left + 1."""

    feature: Tensor  # (nodes,) column that a node tests; 0 at a leaf
    threshold: Tensor  # (nodes,) a row goes right when its value is above; +inf at a leaf
    left: Tensor  # (nodes,) left child; itself at a leaf
    value: Tensor  # (nodes,)
    roots: Tensor  # (trees,)
    depth: Tensor  # () steps from the roots to the deepest leaf
    may_be_infinite = ("threshold",)

    def __init__(self) -> None:
        super().__init__()
        for name in ("feature", "left", "roots"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((1,), torch.inf))
        self.register_buffer("value", torch.zeros(1))
        self.register_buffer("depth", torch.zeros((), dtype=torch.int64))

    def fill(self, trees: Sequence[Any], values: Sequence[np.ndarray]) -> None:
        """Take over scikit-learn's `tree_` objects, each with the value of its nodes (nodes,)."""
        tables = [_flatten(tree, value) for tree, value in zip(trees, values, strict=True)]
        starts = np.cumsum([0] + [len(t["left"]) for t in tables])
        self.feature = torch.from_numpy(np.concatenate([t["feature"] for t in tables]))
        self.threshold = torch.from_numpy(np.concatenate([t["threshold"] for t in tables]))
        self.left = torch.from_numpy(
            np.concatenate([t["left"] + s for t, s in zip(tables, starts, strict=False)])
        )
        self.value = torch.from_numpy(np.concatenate([t["value"] for t in tables]))
        self.roots = torch.from_numpy(starts[:-1].astype(np.int64))
        self.depth = torch.tensor(max(int(tree.max_depth) for tree in trees))

    def forward(self, x: Tensor) -> Tensor:
        if graph := drawing():
            names = ("feature", "threshold", "left", "value", "roots")
            tables = (graph.value(self, name) for name in names)
            return graph.forest(x, forest_attributes(*tables))
        # a block of few rows is filled up with copies of its last: one of them walks for all
        many, x = len(x), x[: _distinct(x)]
        walkers = len(x) * len(self.roots)
        fits = max(x.numel(), walkers, len(self.left)) < 2**31
        # the smaller, the more of a table stays in the cache
        whole = torch.int32 if fits else torch.int64
        feature, left, roots = (table.to(whole) for table in (self.feature, self.left, self.roots))
        # where a row's cells begin
        start = torch.arange(len(x), dtype=whole, device=x.device)[:, None] * x.shape[1]
        # (n * trees,)
        here, start = (t.expand(len(x), len(roots)).reshape(-1) for t in (roots, start))
        cells, node = x.reshape(-1), here.clone()
        walking = torch.arange(walkers, device=x.device)
        # no path is longer, whatever a file says
        for level in range(min(int(self.depth), len(left))):
            child = left.index_select(0, here)
            # most end after a few levels: only those that have not reached a leaf walk on
            if level % AGAIN == AGAIN - 1:
                node.scatter_(0, walking, here)
                on = _where(child != here)
                walking, here, child, start = (
                    table.index_select(0, on) for table in (walking, here, child, start)
                )
            tested = cells.index_select(0, feature.index_select(0, here).add_(start))
            here = child.add_(tested > self.threshold.index_select(0, here))
        node.scatter_(0, walking, here)
        found = self.value.index_select(0, node).view(len(x), len(roots))
        if many > len(x):  # the mean of fewer rows may be summed in another order
            found = torch.cat([found, found[-1:].expand(many - len(x), -1)])
        return found.mean(dim=1)

    def check_loaded(self, x: Tensor) -> None:
        """DataError unless the tables are trees for rows like x (n, d): every node has one parent,
        every path ends.
        """
        tables = (self.feature, self.threshold, self.left, self.value)
        if (
            len({tuple(table.shape) for table in tables}) > 1
            or self.left.ndim != 1
            or not len(self.roots)
        ):
            raise DataError("trees: expected tables of one length, and roots")
        here = torch.arange(len(self.left))
        inner = self.left > here
        met = torch.cat([self.left[inner], self.left[inner] + 1, self.roots.reshape(-1)])
        checks = {
            f"columns from 0 to {x.shape[1] - 1}": (self.feature >= 0)
            & (self.feature < x.shape[1]),
            "children after their parents": self.left >= here,
            "an infinite threshold at a leaf, and only there": (self.threshold == torch.inf)
            != inner,
            f"nodes from 0 to {len(here) - 1}": (met >= 0) & (met < len(here)),
            f"at most {DEEPEST:,} levels": (self.depth >= 0) & (self.depth <= DEEPEST),
        }
        for what, holds in checks.items():
            if not holds.all():
                raise DataError(f"trees: expected {what}")
        if met.bincount().max() > 1:
            raise DataError("trees: expected one parent for every node")
        here = self.roots
        for _ in range(int(self.depth)):
            here = self.left[here[inner[here]]]
            here = torch.cat([here, here + 1])
        if inner[here].any():
            raise DataError(f"trees: expected leaves within {int(self.depth):,} steps")


def _distinct(x: Tensor) -> int:
    """How many rows there are up to the first of those that are all as the last: (n, d) -> k."""
    if not 1 < len(x) <= FEW:
        return len(x)
    other = (x != x[-1]).any(dim=1).nonzero()
    return int(other[-1]) + 2 if len(other) else 1


def _where(holds: Tensor) -> Tensor:
    """Numbers of the entries that hold: (n,) -> (k,). On the CPU by numpy, six times as fast."""
    if holds.device.type != "cpu":
        return holds.nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(holds.numpy()))


def _flatten(tree: Any, value: np.ndarray) -> dict[str, np.ndarray]:
    """One tree's tables with its nodes renumbered level by level, so that siblings are neighbours.

    scikit-learn sends a float32 value left when it is <= a float64 threshold. The largest float32
    that is not above the threshold decides every float32 value the same way.
    """
    inner = tree.children_left >= 0
    order, place = [0], np.zeros(tree.node_count, dtype=np.int64)
    for node in order:  # grows while it is read: breadth first
        if inner[node]:
            place[tree.children_left[node]] = len(order)
            order += [tree.children_left[node], tree.children_right[node]]
    rows = np.asarray(order)
    near = tree.threshold[rows].astype(np.float32)
    near = np.where(near > tree.threshold[rows], np.nextafter(near, np.float32(-np.inf)), near)
    here = np.arange(len(rows))
    return {
        "feature": np.where(inner[rows], tree.feature[rows], 0).astype(np.int64),
        "threshold": np.where(inner[rows], near, np.float32(np.inf)).astype(np.float32),
        "left": np.where(inner[rows], place[tree.children_left[rows]], here).astype(np.int64),
        "value": value[rows].astype(np.float32),
    }

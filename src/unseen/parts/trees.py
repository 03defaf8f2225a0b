"""Fitted scikit-learn trees as tensor buffers, all walked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unseen.parts.nets import Resizing

TOGETHER = 8  # levels that all walkers take together: an isolation forest ends there
AGAIN = 4  # levels between two looks at who has reached a leaf


class Trees(Resizing):
    """Mean over trees of the value of the leaf that a row falls into: (n, d) -> (n,).

    All trees share flat node tables. A row holds one node number per tree; each step moves every one of them a level
    down, and a leaf points to itself. Children stand side by side, so that right = left + 1.
    """

    feature: Tensor  # (nodes,) column that a node tests; 0 at a leaf
    threshold: Tensor  # (nodes,) a row goes right when its value is above; +inf at a leaf
    left: Tensor  # (nodes,) left child; itself at a leaf
    value: Tensor  # (nodes,)
    roots: Tensor  # (trees,)
    depth: Tensor  # () steps from the roots to the deepest leaf

    def __init__(self) -> None:
        super().__init__()
        for name in ("feature", "left", "roots"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((1,), torch.inf))
        self.register_buffer("value", torch.zeros(1))
        self.register_buffer("depth", torch.zeros((), dtype=torch.int64))

    def fill(self, trees: Sequence[Any], values: Sequence[np.ndarray]) -> None:
        """Take over scikit-learn's `tree_` objects, each with the value of its nodes (nodes,)."""
        tables = [flatten(tree, value) for tree, value in zip(trees, values, strict=True)]
        starts = np.cumsum([0] + [len(t["left"]) for t in tables])
        self.feature = torch.from_numpy(np.concatenate([t["feature"] for t in tables]))
        self.threshold = torch.from_numpy(np.concatenate([t["threshold"] for t in tables]))
        self.left = torch.from_numpy(np.concatenate([t["left"] + s for t, s in zip(tables, starts, strict=False)]))
        self.value = torch.from_numpy(np.concatenate([t["value"] for t in tables]))
        self.roots = torch.from_numpy(starts[:-1].astype(np.int64))
        self.depth = torch.tensor(max(int(tree.max_depth) for tree in trees))

    def forward(self, x: Tensor) -> Tensor:
        node = self.roots.expand(len(x), -1).contiguous()  # (n, trees)
        depth = min(int(self.depth), len(self.left))  # no path is longer, whatever a file says
        for _ in range(min(depth, TOGETHER)):
            flat = node.view(-1)
            tested = x.gather(1, self.feature.index_select(0, flat).view_as(node))  # (n, trees)
            above = tested > self.threshold.index_select(0, flat).view_as(node)
            node = self.left.index_select(0, flat).view_as(node) + above
        leaf = node.view(-1)
        if depth > TOGETHER:
            leaf = self.walk_on(x, leaf, depth - TOGETHER)
        return self.value.index_select(0, leaf).view_as(node).mean(dim=1)

    def walk_on(self, x: Tensor, node: Tensor, levels: int) -> Tensor:
        """Walk the few that have not reached a leaf by now, and look anew every few levels: (n * trees,) -> same."""
        cells, trees = x.reshape(-1), len(self.roots)
        walking = torch.arange(len(node), device=node.device)
        for level in range(levels):
            if level % AGAIN == 0:
                walking = walking[self.left.index_select(0, node[walking]) != node[walking]]
                start = walking.div(trees, rounding_mode="floor") * x.shape[1]  # where a walker's row begins
            here = node[walking]
            above = cells.index_select(0, start + self.feature.index_select(0, here)) > self.threshold[here]
            node[walking] = self.left.index_select(0, here) + above
        return node


def flatten(tree: Any, value: np.ndarray) -> dict[str, np.ndarray]:
    """One tree's tables with its nodes renumbered level by level, so that siblings are neighbours.

    scikit-learn sends a float32 value left when it is <= a float64 threshold. The largest float32 that is not above the
    threshold decides every float32 value the same way.
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

"""Isolation forest: how few random cuts set a row apart (Liu, Ting and Zhou, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn import ensemble
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.threads import filters_kept
from unseen.parts.trees import Trees
from unseen.types import Run, Samples


@dataclass(frozen=True)
class IsolationForest:
    """How few random cuts set a row apart from the others (Liu, Ting & Zhou, ICDM 2008).

    No label is used.

    Equation:
        score(x) = 2^(-(mean number of cuts that isolate x) / c),
            c the mean for a typical row of `rows`
    When: anomalies are extreme in some column. Each cut sees one: where only a combination is
    anomalous, mahalanobis leads.
    Differs: the paper also grows trees on normals and anomalies mixed; here rows taken for normal
    are all it sees.

    Parameters
    ----------
    trees : int
        Trees that are grown.
    rows : int
        Normal rows that each tree is grown on, drawn at random; all of them where there are fewer.

    >>> IsolationForest().build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    trees: int = 100
    rows: int = 256
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return IsolationScorer()

    def train(self, scorer: IsolationScorer, data: Samples, run: Run) -> None:
        x = data.normals.x.cpu().numpy()
        if len(x) < 2:
            raise DataError(
                f"IsolationForest sets rows apart, and was given {len(x)} normal row(s): add more"
            )
        size = min(self.rows, len(x))
        forest = ensemble.IsolationForest(
            n_estimators=self.trees, max_samples=size, random_state=run.seed()
        )
        with filters_kept():
            forest.fit(x)
        trees = [e.tree_ for e in forest.estimators_]
        # A node's value: its depth, plus the cuts that its remaining rows would still have taken on
        # average.
        scorer.trees.fill(trees, [_depths(t) + expected_path(t.n_node_samples) for t in trees])
        scorer.trees.to(data.x.device)
        scorer.scale.fill_(float(expected_path(np.array([size]))[0]))


class IsolationScorer(nn.Module):
    """2^(-mean path / c): (n, d) -> (n,) in (0, 1]."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trees = Trees()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp2(-self.trees(x) / self.scale)


def _depths(tree: Any) -> np.ndarray:
    """Depth of every node of a scikit-learn tree: (nodes,)."""
    depth = np.zeros(tree.node_count)
    for parent, (left, right) in enumerate(
        zip(tree.children_left, tree.children_right, strict=True)
    ):
        if left >= 0:  # a parent stands before its children
            depth[left] = depth[right] = depth[parent] + 1
    return depth


def expected_path(rows: np.ndarray) -> np.ndarray:
    """Mean number of cuts that isolate one of m rows, c(m) = 2 H(m - 1) - 2 (m - 1) / m: (k,) ->
    (k,).

    Liu et al. 2008, eq. 1, with H(i) = log(i) + 0.5772.
    >>> expected_path(np.array([1, 2, 256])).round(4)
    array([ 0.    ,  1.    , 10.2448])
    """
    m = np.maximum(rows, 3).astype(float)
    many = 2 * (np.log(m - 1) + np.euler_gamma) - 2 * (m - 1) / m
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, many))

"""Forest: trees of labelled anomalies against normals, fitted by scikit-learn, kept and walked as
tensors.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from torch import nn

from unseen.errors import DataError
from unseen.parts.episodes import together
from unseen.parts.threads import filters_kept
from unseen.parts.trees import Trees
from unseen.types import Run, Samples


@dataclass(frozen=True)
class Forest:
    """Trees of labelled anomalies against normals (Breiman 2001; Geurts et al. 2006; Provost &
    Domingos 2003).

    Half of the trees cut where it tells most (random forest), half at random (extremely randomised
    trees), smoother with few labels. Normals and anomalies weigh the same.

    Equation:
        score(x) = mean over trees of (weight of anomalies + 1) / (weight of all rows + 2)
            in the leaf of x
    When: the kinds to find are the labelled ones. Where new kinds lie no tree has cut, so they
    share leaves with normal rows, and the nearest-ratio is ahead. It refuses to train without
    labels.
    Differs: two kinds of trees; in leaves Laplace's correction, so that rows where normals are rare
    rank higher, too.

    Parameters
    ----------
    trees : int
        Trees of both kinds together.
    rows : int
        Most rows drawn for a tree, so that time does not grow. They are drawn out of all anomalies
        and at most twice as many normals as this, so that few labels are not drowned.

    >>> data, scorer = (
    ...     Samples.of(torch.tensor([[0.0], [0.1], [5.0]]), torch.tensor([0, 0, 1])),
    ...     Forest().build((1,)),
    ... )
    >>> Forest().train(scorer, data, Run(torch.Generator()))
    >>> bool(scorer(torch.tensor([[5.0]])) > scorer(torch.tensor([[0.0]])))
    True
    """

    trees: int = 100
    rows: int = 4096
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Trees()

    def train(self, scorer: Trees, data: Samples, run: Run) -> None:
        normals, anomalies = data.normals, data.anomalies
        if not len(normals) or not len(anomalies):
            raise DataError(
                f"Forest learns normals against labelled anomalies; it was given {len(normals)} "
                f"rows of the first and {len(anomalies)} of the second: label at least one row of "
                "each, or use a method without labels"
            )
        sample = torch.randperm(len(normals), generator=run.generator)[: 2 * self.rows]
        drawn = together(normals[sample.to(data.x.device)], anomalies)
        x, y, weight = (
            drawn.x.cpu().contiguous().numpy(),
            (drawn.y > 0).cpu().numpy(),
            drawn.weight.cpu().numpy(),
        )
        seeds = torch.randint(2**31 - 1, (self.trees,), generator=run.generator).tolist()
        kinds = [
            DecisionTreeClassifier if i % 2 == 0 else ExtraTreeClassifier for i in range(self.trees)
        ]
        grow = partial(grown, x=x, y=y, weight=weight, rows=self.rows)
        # scikit-learn grows trees without holding Python's lock
        with filters_kept(), ThreadPoolExecutor(os.cpu_count()) as pool:
            trees = list(pool.map(grow, kinds, seeds))
        scorer.fill(trees, [laplace(t) for t in trees])
        scorer.to(data.x.device)


def grown(
    kind: Any, seed: int, *, x: np.ndarray, y: np.ndarray, weight: np.ndarray, rows: int
) -> Any:
    """A tree grown on a bootstrap sample of both sides, (n, d), (n,) bool, (n,), which then weigh
    the same.

    What scikit-learn's forests do with `class_weight="balanced_subsample"`, without what they do
    beside it: on a few hundred rows that takes two thirds of their time. And each side is drawn by
    itself, or a tree might miss a single anomaly.
    """
    rng = np.random.default_rng(seed)
    size = min(rows, len(y))
    share = max(1, round(size * y.mean()))
    drawn = np.zeros(len(y))
    for side, count in ((y, share), (~y, max(1, size - share))):
        one = np.flatnonzero(side)
        drawn[one] = (
            np.bincount(rng.integers(len(one), size=count), minlength=len(one)) * weight[one]
        )
        drawn[one] *= size / 2 / max(drawn[one].sum(), 1e-12)
    tree = kind(max_features="sqrt", random_state=int(rng.integers(2**31 - 1)))
    return tree.fit(x, y, sample_weight=drawn, check_input=False).tree_


def laplace(tree: Any) -> np.ndarray:
    """Share of anomalies at every node, (weight of anomalies + 1) / (weight + 2): (nodes,) in (0,
    1).
    """
    weight = tree.weighted_n_node_samples
    share = tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1)
    return np.asarray((share * weight + 1) / (weight + 2))

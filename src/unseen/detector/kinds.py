"""Which known kind an anomaly is, and how unlike all known kinds: learned from the labelled rows
that stay with a detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestClassifier

from unseen.parts.covariance import inverse_root, means, pooled_covariance, shrunk
from unseen.parts.ranking import auroc
from unseen.parts.scoring import scores
from unseen.parts.threads import filters_kept, one_thread

Array = NDArray[np.float64]

NAMES = (
    "distance to the nearest labelled anomaly",
    "the same, by how rows differ inside their class",
    "random forest on normals and classes",
)
PARTS = 5  # of each class; each is measured by how rows differ in the others
NEAR = 1e-3  # two rows nearer than this count as the same
SHRINKAGE = 0.1  # of the covariance inside classes: few rows, many columns
TREES = 100
NORMALS = 100  # that the forest learns from: with more, new kinds look like them
MOST = 6  # classes that are held out, one after the other
LEAST = 3  # labelled rows with another of their class, below which nothing is known of novelty
SHARP = 3.0  # how sharply weights follow AUROC on held-out classes
# log odds of a new kind: at the mean of labelled rows, and for each spread beyond; as measured over
# the development tables, where a line for each table, from classes held out, was no better
ODDS = (-0.86, 1.66)
FAR = 4.0  # spreads beyond which a piece counts no further
BLOCK = 2048  # rows that are compared at once


class Comparison:
    """New rows beside labelled anomalies: how unlike each class they are, by several pieces of
    evidence, and p-values of the classes.

    Parameters
    ----------
    x : array
        Encoded rows (m, d), float32.
    codes : array
        0 for a normal row, 1.. for its class (m,); at least one is labelled.
    """

    def __init__(self, x: NDArray[np.float32], codes: NDArray[np.int64]) -> None:
        normal = np.flatnonzero(codes == 0)[:NORMALS]
        labelled = np.flatnonzero(codes > 0)
        self.anomalies, self.codes = x[labelled].astype(np.float64), codes[labelled]
        self.classes = np.unique(self.codes)
        self.forest = _forest(
            x[np.r_[normal, labelled]], np.r_[np.zeros(len(normal)), self.codes].astype(np.int64)
        )
        self.directions = _inside(self.anomalies, self.codes)
        self.turned = _along(self.anomalies, self.directions)
        self.apart = cdist(self.anomalies, self.anomalies, "cityblock")
        np.fill_diagonal(self.apart, np.inf)
        same = self.codes[:, None] == self.codes
        # how far each labelled row is from the nearest other one of its class
        self.alone = np.where(same, self.apart, np.inf).min(axis=1)

    def own(self) -> Array:
        """The pieces of labelled rows with another one of their class, each by what did not learn
        from it: (3, k).
        """
        chance = self.forest.oob_decision_function_[-len(self.codes) :, 1:]
        each = [self._nearest(self.apart), self._nearest(self._turned_apart()), 1 - chance]
        each[:2] = [np.log(distance + NEAR) for distance in each[:2]]
        return np.stack([piece.min(axis=1) for piece in each])[:, np.isfinite(self.alone)]

    def compared(self, x: NDArray[np.float32]) -> tuple[Array, Array]:
        """Pieces for each class (3, n, c), and p-values of the classes (n, c), of encoded rows
        (n, d).
        """
        blocks = [x[k : k + BLOCK] for k in range(0, len(x), BLOCK)]
        found = [self._block(block) for block in blocks]
        pieces, pvalues = zip(*found, strict=True)
        return np.concatenate(pieces, axis=1), np.concatenate(pvalues)

    def _block(self, x: NDArray[np.float32]) -> tuple[Array, Array]:
        rows = x.astype(np.float64)
        nearest = self._nearest(cdist(rows, self.anomalies, "cityblock"))
        turned = self._nearest(cdist(_along(rows, self.directions), self.turned))
        chance = chances(self.forest, x)[:, 1:]
        each = zip(nearest.T, self.classes, strict=True)
        pvalues = [class_pvalue(own, self.alone[self.codes == code]) for own, code in each]
        pieces = [np.log(nearest + NEAR), np.log(turned + NEAR), 1 - chance]
        return np.stack(pieces), np.stack(pvalues, axis=1)

    def _nearest(self, apart: Array) -> Array:
        """The smallest distance to a row of each class: (n, k) -> (n, c)."""
        return np.stack([apart[:, self.codes == code].min(axis=1) for code in self.classes], axis=1)

    def _turned_apart(self) -> Array:
        """Distances between labelled rows (k, k), each row's by how others differ inside their
        class: by directions that it helped to find it would look nearer than a new row does.
        """
        turn = np.zeros(len(self.codes), dtype=np.int64)  # which of its class a row is
        for code in self.classes:
            turn[self.codes == code] = np.arange((self.codes == code).sum())
        found = np.empty_like(self.apart)
        for part in np.unique(turn % PARTS):
            out = turn % PARTS == part
            inside = ~out if (~out).any() else out
            directions = _inside(self.anomalies[inside], self.codes[inside])
            turned = _along(self.anomalies, directions)
            found[out] = cdist(turned[out], turned)
        np.fill_diagonal(found, np.inf)
        return found


def chances(forest: RandomForestClassifier, x: NDArray[np.float32]) -> Array:
    """What `predict_proba` of a forest gives, (n, c), which takes longer to share its trees out
    among workers, and to look at each, than they take for a row.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    total = np.zeros((len(x), len(forest.classes_)))
    for tree in forest.estimators_:
        total += tree.tree_.predict(x)[:, : len(forest.classes_)]
    return total / len(forest.estimators_)


def class_pvalue(nearest: Array, alone: Array) -> Array:
    """Chance that a row of the class lies as far from the others of its class: (n,), (m,) -> (n,).

    p = (1 + number of the m labelled rows that are at least as far from the nearest other one as
    the row from the nearest of them) / (m + 1). That is the full conformal p-value (Vovk et al.
    2005) of the distance to the nearest: with the row among them, a labelled row is at least as far
    from its nearest exactly where it was without the row, as none of them is nearer to it than its
    own nearest. So a fresh row of the class has p <= a with a chance of at most a. None is below
    1 / (m + 1); of a single row it is 1 and tells nothing.

    >>> class_pvalue(np.array([0.5, 3.0, 9.0]), np.array([1.0, 1.0, 4.0]))
    array([1.  , 0.5 , 0.25])
    """
    at_least = len(alone) - np.searchsorted(np.sort(alone), nearest, side="left")
    return np.asarray((1 + at_least) / (len(alone) + 1), dtype=np.float64)


@dataclass(frozen=True)
class KnownKinds:
    """What labelled rows tell of new ones.

    Parameters
    ----------
    comparison : Comparison
        Of new rows with the labelled ones.
    centre, spread : array
        Of each piece among the labelled rows (3,).
    weights : array
        Of the pieces (3,), summing to 1.
    auroc : array
        Of each piece: how well it told rows of a class that was held out from those of the others
        (3,), NaN where none was.
    tells : bool
        Whether enough rows are labelled to tell new kinds from known ones.
    """

    comparison: Comparison
    centre: Array
    spread: Array
    weights: Array
    auroc: Array
    tells: bool

    @classmethod
    def learned(cls, x: NDArray[np.float32], codes: NDArray[np.int64]) -> KnownKinds:
        """From encoded rows (m, d) and their codes (m,): 0 normal, 1.. the class."""
        whole = Comparison(x, codes)
        own = whole.own()
        e, classes = len(NAMES), whole.classes
        if own.shape[1] < LEAST:
            ones = np.ones(e)
            return cls(whole, 0 * ones, ones, ones / e, np.full(e, np.nan), False)
        ranks = []
        for code in classes[:MOST] if len(classes) > 1 else ():
            part = Comparison(x[codes != code], codes[codes != code])
            inside = part.own()
            if inside.shape[1] >= LEAST:
                outside = part.compared(x[codes == code])[0].min(axis=2)
                ranks.append([auroc(a, b) for a, b in zip(inside, outside, strict=True)])
        found = np.mean(ranks, axis=0) if ranks else np.full(e, np.nan)
        weights = np.exp(SHARP * np.nan_to_num(found))
        centre, spread = own.mean(axis=1), own.std(axis=1) + NEAR
        return cls(whole, centre, spread, weights / weights.sum(), found, True)

    def judged(self, x: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        """Novelty (n,), shares of the classes (n, c), and their p-values (n, c), of encoded rows
        (n, d).

        Novelty is the chance of a new kind, were new and known kinds equally frequent; NaN where
        too few rows are labelled to tell.
        """
        n, c = len(x), len(self.comparison.classes)
        if not n:
            return np.zeros(0), np.zeros((0, c)), np.zeros((0, c))
        pieces, pvalues = self.comparison.compared(x)
        unlike = self.weighed(pieces)  # (n, c)
        shares = np.exp(-len(NAMES) * (unlike - unlike.min(axis=1, keepdims=True)))
        novelty = np.full(n, np.nan)
        if self.tells:
            new = self.weighed(pieces.min(axis=2))
            novelty = 1 / (1 + np.exp(-(ODDS[0] + ODDS[1] * new)))
        return novelty, shares / shares.sum(axis=1, keepdims=True), pvalues

    def weighed(self, pieces: Array) -> Array:
        """Sum of pieces in spreads of labelled rows from their mean, up to `FAR`: (3, ...) ->
        (...).
        """
        each = zip(pieces, self.weights, self.centre, self.spread, strict=True)
        # added one by one: a product of matrices rounds by what is beside a row
        found = sum(w * ((p - centre) / spread).clip(-FAR, FAR) for p, w, centre, spread in each)
        return np.asarray(found)


def _forest(x: NDArray[np.float32], codes: NDArray[np.int64]) -> Any:
    """A forest that tells normals and classes apart, each class weighing the same in each tree."""
    forest = RandomForestClassifier(
        TREES, class_weight="balanced_subsample", oob_score=True, random_state=0, n_jobs=1
    )
    with filters_kept(), one_thread():
        return forest.fit(x, codes)


@torch.no_grad()
def _inside(anomalies: Array, codes: NDArray[np.int64]) -> Array:
    """Directions and scales that make the rows of a class alike spread: (k, d), (k,) -> (d, d)."""
    kind = torch.from_numpy(np.unique(codes, return_inverse=True)[1])
    x = torch.from_numpy(anomalies)
    covariance = pooled_covariance(x, kind, means(x, kind, int(kind.max()) + 1))
    floor = SHRINKAGE * NEAR * torch.eye(x.shape[1], dtype=x.dtype)
    return np.asarray(inverse_root(shrunk(covariance, variance=SHRINKAGE, correlation=0) + floor))


def _along(rows: Array, directions: Array) -> Array:
    """Rows along these directions: (n, d), (d, d) -> (n, d), equal rows alike to the last bit."""
    turn = torch.from_numpy(directions)
    with one_thread():
        found = scores(lambda block: block @ turn, torch.from_numpy(rows), torch.device("cpu"))
    return np.asarray(found.numpy())

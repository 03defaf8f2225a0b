"""Which known kind an anomaly is, and how unlike all known kinds: learned from the labelled rows
that stay with a detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
NEAR = 1e-3  # two rows nearer than this count as the same
SHRINKAGE = 0.1  # of the covariance inside classes: few rows, many columns
TREES = 100
NORMALS = 500  # that the forest learns from; more take time and tell little
MOST = 6  # classes that are held out, one after the other
LEAST = 3  # labelled rows with another of their class, below which nothing is known of novelty
SHARP = 3.0  # how sharply weights follow AUROC on held-out classes
# log odds of a new kind: at the mean of labelled rows, and for each spread beyond; as measured over
# the development tables, where a line for each table, from classes held out, was no better
ODDS = (-1.4, 1.2)
FAR = 4.0  # spreads beyond which a piece counts no further
BLOCK = 2048  # rows that are compared at once


class Comparison:
    """New rows beside labelled anomalies: pieces of evidence for a kind without labels, and shares
    and p-values of the known ones.

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
        self.directions = _inside(self.anomalies, np.searchsorted(self.classes, self.codes))
        self.turned = _turned(self.anomalies, self.directions)
        apart = cdist(self.anomalies, self.anomalies, "cityblock")
        np.fill_diagonal(apart, np.inf)
        self.apart = apart
        same = self.codes[:, None] == self.codes
        # how far each labelled row is from the nearest other one of its class
        self.alone = np.where(same, apart, np.inf).min(axis=1)

    @cached_property
    def scale(self) -> Array:
        """Median log distance between neighbours of each class, of all where it has one row:
        (c,).
        """
        logs, has = np.log(self.alone + NEAR), np.isfinite(self.alone)
        whole = np.median(logs[has]) if has.any() else 0.0
        each = [logs[(self.codes == code) & has] for code in self.classes]
        return np.array([np.median(own) if len(own) else whole for own in each])

    def own(self) -> Array:
        """The pieces of labelled rows with another one of their class, each by what did not learn
        from it: (3, k).
        """
        turned = cdist(self.turned, self.turned)
        np.fill_diagonal(turned, np.inf)
        found = _pieces(self.apart, turned, self.forest.oob_decision_function_[-len(self.codes) :])
        return found[:, np.isfinite(self.alone)]

    def compared(self, x: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        """Pieces (3, n), shares of the classes (n, c), and their p-values (n, c), of encoded rows
        (n, d).
        """
        found = [self._block(x[k : k + BLOCK]) for k in range(0, max(len(x), 1), BLOCK)]
        pieces, shares, pvalues = zip(*found, strict=True)
        return np.concatenate(pieces, axis=1), np.concatenate(shares), np.concatenate(pvalues)

    def _block(self, x: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        rows, c = x.astype(np.float64), len(self.classes)
        if not len(rows):
            return np.zeros((len(NAMES), 0)), np.zeros((0, c)), np.zeros((0, c))
        chance = self.forest.predict_proba(x)
        apart = cdist(rows, self.anomalies, "cityblock")
        turned = cdist(_turned(rows, self.directions), self.turned)
        nearest = np.stack(
            [apart[:, self.codes == code].min(axis=1) for code in self.classes], axis=1
        )
        odds = np.log(chance[:, 1:] + 1 / TREES) - (np.log(nearest + NEAR) - self.scale)
        shares = np.exp(odds - odds.max(axis=1, keepdims=True))
        pvalues = np.stack(
            [
                class_pvalue(nearest[:, j], self.alone[self.codes == code])
                for j, code in enumerate(self.classes)
            ],
            axis=1,
        )
        return _pieces(apart, turned, chance), shares / shares.sum(axis=1, keepdims=True), pvalues


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
        Of each piece among the labelled rows (3, 1).
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
            flat = np.zeros((e, 1))
            return cls(whole, flat, flat + 1, np.full(e, 1 / e), np.full(e, np.nan), False)
        ranks = []
        for code in classes[:MOST] if len(classes) > 1 else ():
            part = Comparison(x[codes != code], codes[codes != code])
            inside = part.own()
            if inside.shape[1] >= LEAST:
                outside = part.compared(x[codes == code])[0]
                ranks.append([auroc(a, b) for a, b in zip(inside, outside, strict=True)])
        found = np.mean(ranks, axis=0) if ranks else np.full(e, np.nan)
        weights = np.exp(SHARP * np.nan_to_num(found))
        return cls(whole, *_centre_and_spread(own), weights / weights.sum(), found, True)

    def novelty(self, pieces: Array) -> Array:
        """Chance of a new kind, were new and known kinds equally frequent: (3, n) -> (n,); NaN
        where too few rows are labelled to tell.
        """
        if not self.tells:
            return np.full(pieces.shape[1], np.nan)
        odds = ODDS[0] + ODDS[1] * self.unlike(pieces)
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)

    def unlike(self, pieces: Array) -> Array:
        """Weighed sum of the pieces in spreads of labelled rows: (3, n) -> (n,)."""
        return np.asarray(self.weights @ _standardised(pieces, self.centre, self.spread))


def _pieces(apart: Array, turned: Array, chance: Array) -> Array:
    """The pieces of rows from their distances to labelled ones (n, k), plain and turned, and the
    forest's chances (n, 1 + c): (3, n), each higher for what is less like a labelled row.
    """
    return np.stack(
        [
            np.log(apart.min(axis=1) + NEAR),
            np.log(turned.min(axis=1) + NEAR),
            1 - chance[:, 1:].max(axis=1),
        ]
    )


def _centre_and_spread(own: Array) -> tuple[Array, Array]:
    return own.mean(axis=1, keepdims=True), own.std(axis=1, keepdims=True) + 1e-3


def _standardised(pieces: Array, centre: Array, spread: Array) -> Array:
    return np.asarray(((pieces - centre) / spread).clip(-FAR, FAR))


def _forest(x: NDArray[np.float32], codes: NDArray[np.int64]) -> Any:
    """A forest that tells normals and classes apart, each class weighing the same in each tree."""
    forest = RandomForestClassifier(
        TREES, class_weight="balanced_subsample", oob_score=True, random_state=0, n_jobs=1
    )
    with filters_kept(), one_thread():
        return forest.fit(x, codes)


@torch.no_grad()
def _inside(anomalies: Array, kind: NDArray[np.int64]) -> Array:
    """Directions and scales that make the rows of a class alike spread: (k, d), (k,) -> (d, d)."""
    x, own = torch.from_numpy(anomalies), torch.from_numpy(kind)
    covariance = pooled_covariance(x, own, means(x, own, int(own.max()) + 1))
    floor = SHRINKAGE * NEAR * torch.eye(x.shape[1], dtype=x.dtype)
    found = inverse_root(shrunk(covariance, variance=SHRINKAGE, correlation=0.0) + floor)
    return np.asarray(found.numpy())


def _turned(rows: Array, directions: Array) -> Array:
    """Rows along these directions: (n, d), (d, d) -> (n, d), equal rows alike to the last bit."""
    turn = torch.from_numpy(directions)
    with one_thread():
        found = scores(lambda block: block @ turn, torch.from_numpy(rows), torch.device("cpu"))
    return np.asarray(found.numpy())

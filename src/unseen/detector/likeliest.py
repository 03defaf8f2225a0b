"""Which of the labelled classes a row is likeliest of, were it of one of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier

from unseen.parts.scoring import scores
from unseen.parts.threads import filters_kept, one_thread

Array = NDArray[np.float64]

TREES = 100
FLOOR = 0.01  # added to a forest's chances: that no tree says so does not rule a class out
LOWEST = -8.0  # log chance below which the linear rule counts no further


class Likeliest:
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006) and a linear discriminant with
    shrunk covariances (Ledoit & Wolf 2004), which err on different rows; the share of a class is
    the geometric mean of what they say, scaled to sum to 1.

    Both learn from labelled anomalies alone: what tells these from normal rows, which the score
    does already, does not tell them from one another. Classes count as equally frequent.

    Parameters
    ----------
    x : array
        Encoded labelled rows (k, d), float64.
    codes : array
        Their classes (k,).

    >>> x = np.array([[0.0], [0.1], [4.0], [4.1]])
    >>> Likeliest(x, np.array([1, 1, 2, 2])).shares(np.array([[0.0], [4.0]])).round(1)
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(self, x: Array, codes: NDArray[np.int64]) -> None:
        count = np.unique(codes, return_counts=True)[1]
        with filters_kept(), one_thread():
            self.forest = ExtraTreesClassifier(
                TREES, class_weight="balanced", random_state=0, n_jobs=1
            ).fit(x, codes)
        self.centre, self.unit = x.mean(axis=0), x.std(axis=0) + 1e-6
        self.directions, self.offset = np.zeros((x.shape[1], len(count))), np.zeros(len(count))
        if len(count) > 1 and count.min() > 1:  # a class of one row does not show its spread
            rule = LinearDiscriminantAnalysis(
                solver="lsqr", shrinkage="auto", priors=np.full(len(count), 1 / len(count))
            ).fit((x - self.centre) / self.unit, codes)
            # of two classes it keeps the difference: the first is then the zero
            self.directions[:, -len(rule.coef_) :] = rule.coef_.T
            self.offset[-len(rule.coef_) :] = rule.intercept_

    def shares(self, x: Array) -> Array:
        """How likely each class is, of encoded rows: (n, d) -> (n, c), each row summing to 1."""
        by_forest = np.log(self.forest.predict_proba(x) + FLOOR)
        linear = along((x - self.centre) / self.unit, self.directions) + self.offset
        by_rule = log_softmax(linear, axis=1).clip(LOWEST)
        return np.asarray(softmax((by_forest + by_rule) / 2, axis=1))


def along(rows: Array, directions: Array) -> Array:
    """Rows along these directions: (n, d), (d, k) -> (n, k), equal rows alike to the last bit."""
    turn = torch.from_numpy(directions)
    with one_thread():
        found = scores(lambda block: block @ turn, torch.from_numpy(rows), torch.device("cpu"))
    return np.asarray(found.numpy())

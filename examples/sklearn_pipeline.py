"""The detector as a scikit-learn estimator: in a pipeline, cloned, cross-validated, its method a
parameter.

Handwritten digits: 0 to 3 are normal, ten rows each of 4, 5 and 6 are labelled. Prints the AUROC of
each method on the labelled classes (cross-validated) and on 7, 8 and 9, which training never saw:
near-perfect on the first says little about the second.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from unseen import Detector, DevNet, Mahalanobis, Method, NearestRatio, scorer

METHODS: tuple[Method, ...] = (DevNet(), Mahalanobis(), NearestRatio())


def main(methods: tuple[Method, ...] = METHODS) -> None:
    X, digit = load_digits(return_X_y=True)
    y = np.where(digit <= 3, "normal", digit.astype(str))
    rng = np.random.default_rng(0)
    normals = rng.permutation(np.flatnonzero(digit <= 3))
    labelled = np.concatenate([rng.permutation(np.flatnonzero(digit == k))[:10] for k in (4, 5, 6)])
    train = np.concatenate([normals[:480], labelled])
    fresh = np.concatenate([normals[480:], np.flatnonzero(digit >= 7)])

    pipeline = make_pipeline(PCA(20, random_state=0), Detector(random_state=0))
    print(f"{'method':<16}{'labelled classes':>18}{'classes 7, 8, 9':>18}")
    for method in methods:
        pipeline.set_params(detector__method=method)
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        known = cross_val_score(
            pipeline, X[train], y[train], scoring=scorer, cv=folds, error_score="raise"
        )
        unknown = scorer(pipeline.fit(X[train], y[train]), X[fresh], y[fresh])
        print(f"{type(method).__name__:<16}{known.mean():>18.3f}{unknown:>18.3f}")


if __name__ == "__main__":
    main()

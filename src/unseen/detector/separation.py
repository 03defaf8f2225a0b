"""How well scores set anomalies apart from normal rows, by labels, as scikit-learn asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.labels import encode_labels
from unseen.errors import DataError
from unseen.parts.ranking import auroc
from unseen.wording import option


def scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """For scikit-learn's `scoring=`: the chance that an anomaly scores higher than a normal row
    (ROC AUC).

    scoring="roc_auc" takes the higher `decision_function` for the class 1, where scikit-learn's own
    outlier detectors, too, are low for anomalies: with labels 0 and 1 it is upside down. This is
    not, whatever the labels: those of `Detector.fit`. It takes pipelines, searches, and
    scikit-learn's own outlier detectors with the same labels.

    Parameters
    ----------
    estimator : estimator
        A fitted one with `score_samples`.
    X : data frame, array (n, columns), Images or Maps
        Rows or images to score.
    y : sequence (n,)
        Their labels; rows without one do not count.

    Returns
    -------
    float
        The chance, from 0 to 1.

    Raises
    ------
    DataError
        Unless y labels normal rows and anomalies.

    >>> from sklearn.model_selection import cross_val_score
    >>> from unseen import Detector
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(400, 3)), np.repeat(["normal", "leak"], [360, 40])
    >>> X[y == "leak"] += 9
    >>> mixed = rng.permutation(400)
    >>> cross_val_score(Detector("mahalanobis"), X[mixed], y[mixed], scoring=scorer, cv=3).tolist()
    [1.0, 1.0, 1.0]
    """
    # a pipeline or a search holds its detector among these
    inside = [estimator, *estimator.get_params().values()]
    normal = [each.normal for each in inside if hasattr(each, "anomaly_score")]
    return separation(-estimator.score_samples(X), y, normal[0] if normal else "normal")


def separation(scores: NDArray[np.float64], y: Any, normal: Any) -> float:
    """ROC AUC of anomaly scores (n,) of rows with labels y; rows without a label do not count."""
    if y is None:
        raise DataError(
            "a score needs y, the labels of the rows: 0 or 'normal', and anomalies by 1 or a name"
        )
    codes, _ = encode_labels(y, rows=len(scores), normal=normal)
    normals, anomalies = scores[codes == 0], scores[codes > 0]
    if not len(normals) or not len(anomalies):
        raise DataError(
            f"a score needs normal rows and anomalies, and y labels {len(normals)} and "
            f"{len(anomalies)} of these: check the label of normal rows "
            f"({option('normal', normal)}); in cross-validation, have both in each fold "
            "(cv=StratifiedKFold(3, shuffle=True))"
        )
    return auroc(normals, anomalies)

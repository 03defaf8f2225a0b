"""Figures of merit: of one anomaly class against the normal rows, and averaged over classes and
seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from unseen.evaluation.choices import LEAST
from unseen.parts.ranking import auroc

#: Names of the figures that an evaluation reports.
FIGURES = ("auroc", "tpr_at_5_fpr", "tpr_at_1_fpr", "ap_1", "worst_auroc")

Scores = NDArray[np.float64]


def tpr_at_fpr(normal: Scores, anomaly: Scores, fpr: float) -> float:
    """Largest share of anomalies above a threshold that at most `fpr` of the normals exceed.

    Parameters
    ----------
    normal, anomaly : array
        Scores of normal rows (m,), and of anomalies (k,).
    fpr : float
        The share of the normals that may be above the threshold.

    Returns
    -------
    float
        The share of the anomalies, from 0 to 1.

    >>> tpr_at_fpr(np.arange(100.0), np.array([94.5, 94.0, 10.0, 98.5]), fpr=0.05)
    0.5
    """
    allowed = int(np.floor(fpr * len(normal) + 1e-9))
    threshold = np.sort(normal)[len(normal) - 1 - allowed] if allowed < len(normal) else -np.inf
    return float(np.mean(anomaly > threshold))


def average_precision(normal: Scores, anomaly: Scores, prevalence: float) -> float:
    """Average precision with the anomalies weighted to make up `prevalence` of all rows.

    Precision depends on how rare anomalies are; a test set's own share is an accident of its
    making.

    Parameters
    ----------
    normal, anomaly : array
        Scores of normal rows (m,), and of anomalies (k,).
    prevalence : float
        The share of anomalies among all rows, above 0 and below 1.

    Returns
    -------
    float
        From 0 to 1.

    >>> # 1 hit of weight 2 beside 1 alarm
    >>> average_precision(np.array([0.0, 2.0]), np.array([1.0]), prevalence=0.5)
    0.666...
    """
    y, score = _labels_and_scores(normal, anomaly)
    weight = np.where(y == 1, prevalence / (1 - prevalence) * len(normal) / len(anomaly), 1.0)
    return float(average_precision_score(y, score, sample_weight=weight))


def figures(normal: Scores, anomaly: Scores) -> dict[str, Any]:
    """All figures of one class.

    Parameters
    ----------
    normal, anomaly : array
        Scores of normal rows (m,), and of the anomalies of the class (k,).

    Returns
    -------
    dict
        `rows`, how many anomalies there are, and the figures by name.
    """
    return {
        "rows": len(anomaly),
        "auroc": auroc(normal, anomaly),
        "tpr_at_5_fpr": tpr_at_fpr(normal, anomaly, 0.05),
        "tpr_at_1_fpr": tpr_at_fpr(normal, anomaly, 0.01),
        "ap_1": average_precision(normal, anomaly, 0.01),
    }


def over_classes(classes: list[dict[str, Any]], role: str) -> dict[str, float] | None:
    """Means over the classes of one role with enough rows, and the worst AUROC among them.

    Parameters
    ----------
    classes : list of dict
        `figures` of each class, with its `role`.
    role : str
        "seen" or "unseen".

    Returns
    -------
    dict or None
        The figures by name; None where no class counts.
    """
    counted = [c for c in classes if c["role"] == role and c["rows"] >= LEAST]
    if not counted:
        return None
    means = {key: float(np.mean([c[key] for c in counted])) for key in FIGURES[:-1]}
    return {**means, "worst_auroc": min(c["auroc"] for c in counted)}


def over_seeds(runs: list[dict[str, float] | None]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation of each figure over the seeds that have it; None where none
    has.
    """
    counted = [run for run in runs if run is not None]
    if not counted:
        return {key: {"mean": None, "sd": None} for key in FIGURES}
    values = {key: np.array([run[key] for run in counted]) for key in FIGURES}
    return {
        k: {"mean": float(v.mean()), "sd": float(v.std(ddof=1)) if len(v) > 1 else 0.0}
        for k, v in values.items()
    }


def _labels_and_scores(normal: Scores, anomaly: Scores) -> tuple[NDArray[np.int64], Scores]:
    return np.repeat([0, 1], [len(normal), len(anomaly)]), np.concatenate([normal, anomaly])

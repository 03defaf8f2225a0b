"""Figures of merit of one anomaly class against the normal rows: numpy in, floats out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Scores = NDArray[np.float64]


def auroc(normal: Scores, anomaly: Scores) -> float:
    """Chance that an anomaly outscores a normal row, ties counting half: (m,), (k,) -> [0, 1].

    >>> auroc(np.array([0., 1.]), np.array([1., 2.]))
    0.875
    """
    return float(roc_auc_score(*joined(normal, anomaly)))


def tpr_at_fpr(normal: Scores, anomaly: Scores, fpr: float) -> float:
    """Largest share of anomalies above a threshold that at most `fpr` of the normals exceed: (m,), (k,) -> [0, 1].

    >>> tpr_at_fpr(np.arange(100.0), np.array([94.5, 94.0, 10.0, 98.5]), fpr=0.05)
    0.5
    """
    allowed = int(np.floor(fpr * len(normal) + 1e-9))
    threshold = np.sort(normal)[len(normal) - 1 - allowed] if allowed < len(normal) else -np.inf
    return float(np.mean(anomaly > threshold))


def average_precision(normal: Scores, anomaly: Scores, prevalence: float) -> float:
    """Average precision with the anomalies weighted to make up `prevalence` of all rows: (m,), (k,) -> [0, 1].

    Precision depends on how rare anomalies are; a test set's own share is an accident of its making.

    >>> average_precision(np.array([0., 2.]), np.array([1.]), prevalence=0.5)  # 1 hit of weight 2 beside 1 alarm
    0.666...
    """
    y, score = joined(normal, anomaly)
    weight = np.where(y == 1, prevalence / (1 - prevalence) * len(normal) / len(anomaly), 1.0)
    return float(average_precision_score(y, score, sample_weight=weight))


def joined(normal: Scores, anomaly: Scores) -> tuple[NDArray[np.int64], Scores]:
    return np.repeat([0, 1], [len(normal), len(anomaly)]), np.concatenate([normal, anomaly])

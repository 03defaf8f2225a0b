"""How well scores rank anomalies above normal rows."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(normal: Tensor, anomaly: Tensor) -> float:
    """Chance that an anomaly outscores a normal row, ties counting half: (m,), (k,) -> [0, 1].

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomaly) + torch.searchsorted(ordered, anomaly, right=True)
    return float(below.double().mean() / 2 / len(normal))

"""How well scores rank anomalies above normal rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# of the spread of scores: what differs by less counts as equal, as rounding makes up to 2e-6 of it
ALIKE = 1e-5


def auroc(normal: Tensor | NDArray[np.float64], anomaly: Tensor | NDArray[np.float64]) -> float:
    """Chance that an anomaly outscores a normal row, ties counting half: (m,), (k,) -> [0, 1].

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    normal, anomaly = torch.as_tensor(normal), torch.as_tensor(anomaly)
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomaly) + torch.searchsorted(ordered, anomaly, right=True)
    return float(below.double().mean() / 2 / len(normal))

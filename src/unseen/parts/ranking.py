"""How well scores rank anomalies above normal rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# of the spread of scores: what differs by less counts as equal, as rounding makes up to 2e-6 of it
ALIKE = 1e-5


def outranks(normal: Tensor, anomaly: Tensor) -> tuple[Tensor, Tensor]:
    """For each normal row the share of anomalies above it, for each anomaly that of normal rows
    below it, ties counting half: (m,), (k,) -> (m,), (k,).

    The mean of either is the AUROC, and their spread its error (DeLong et al. 1988).

    >>> outranks(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    (tensor([1.0000, 0.7500]), tensor([0.7500, 1.0000]))
    """
    shares = []
    for of, beside in ((-normal, -anomaly), (anomaly, normal)):
        ordered = beside.sort().values
        below = torch.searchsorted(ordered, of) + torch.searchsorted(ordered, of, right=True)
        shares.append(below.float() / 2 / len(beside))
    return shares[0], shares[1]


def auroc(normal: Tensor | NDArray[np.float64], anomaly: Tensor | NDArray[np.float64]) -> float:
    """Chance that an anomaly outscores a normal row, ties counting half: (m,), (k,) -> [0, 1].

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    normal, anomaly = torch.as_tensor(normal), torch.as_tensor(anomaly)
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomaly) + torch.searchsorted(ordered, anomaly, right=True)
    return float(below.double().mean() / 2 / len(normal))

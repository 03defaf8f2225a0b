"""Directions in which anomalies lie far from the normals' centre and normals near it; their
gradients stay finite.
"""

from __future__ import annotations

import torch
from torch import Tensor

# share of the mean eigenvalue between two that tie: their difference divides in the backward pass
APART = 1e-9


def discriminants(*, anomalies: Tensor, within: Tensor, directions: int) -> Tensor:
    """W whose columns solve S_a w = lambda S_n w for the largest lambda, with w' S_n w = 1: (k,
    min(directions, a, k)).

    `anomalies` (a, k), centred at the normals and already scaled, so that S_a = A'A; `within` (k,
    k) is S_n, positive definite. With few anomalies S_a has rank a, and all other eigenvalues tie
    at 0: then the gradient of the problem as it stands is NaN. Its dual A S_n^-1 A' u = lambda u
    has a rows, and w = S_n^-1 A' u / sqrt(lambda). Anomalies that are alike tie there too: a ramp
    on the diagonal, far below any figure that counts, sets them apart.

    >>> discriminants(
    ...     anomalies=torch.tensor([[0.0, 3.0]]),
    ...     within=torch.diag(torch.tensor([1.0, 4.0])),
    ...     directions=2,
    ... )
    tensor([[0.0000],
            [0.5000]])
    """
    a = anomalies.double()
    solved = torch.linalg.solve(within.double(), a.T)  # (k, a)
    dual = a @ solved  # (a, a)
    ramp = torch.arange(1, len(a) + 1, dtype=dual.dtype, device=dual.device)
    apart = APART * dual.detach().diagonal().mean() + 1e-12
    values, vectors = torch.linalg.eigh((dual + dual.T) / 2 + torch.diag(apart * ramp))
    top = min(directions, *anomalies.shape)
    w = solved @ vectors[:, -top:].flip(1) / values[-top:].flip(0).sqrt()
    return w.to(anomalies.dtype)

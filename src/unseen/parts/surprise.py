"""Scores on a common scale: how surprising they are among held-out normals, and how well they set anomalies apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unseen.parts.nets import Resizing


class Surprise(Resizing):
    """-log of the share of normals that score higher, for e kinds of score at once: (e, n) -> (e, n), 0 to `MOST`.

    Up to the 90% quantile of the normals the share is theirs; beyond, few normals are left to count, and an exponential
    tail with their mean excess goes on (the peaks-over-threshold of extreme value theory with shape 0).

    >>> surprise = Surprise(1)
    >>> surprise.fit(torch.arange(100.0)[None])
    >>> surprise(torch.tensor([[49.5, 90.0, 1e9]])).round(decimals=3)
    tensor([[ 0.6930,  2.3540, 20.0000]])
    """

    BODY, MOST = 0.9, 20.0
    normals: Tensor
    scale: Tensor
    in_order = ("normals",)

    def __init__(self, e: int) -> None:
        super().__init__()
        self.register_buffer("normals", torch.zeros(e, 2))
        self.register_buffer("scale", torch.ones(e, 1))

    def fit(self, normals: Tensor) -> None:
        """Learn from the scores of held-out normals (e, m)."""
        self.normals = normals.sort(dim=1).values
        beyond = self.normals[:, self.body :]
        self.scale = (beyond - beyond[:, :1]).mean(dim=1, keepdim=True).clamp_min(1e-6)

    @property
    def body(self) -> int:
        return int(self.BODY * self.normals.shape[1])

    def forward(self, score: Tensor) -> Tensor:
        m, body, score = self.normals.shape[1], self.body, score.contiguous()
        right = torch.searchsorted(self.normals, score).clamp_(1, m - 1)
        low, high = self.normals.gather(1, right - 1), self.normals.gather(1, right)
        part = ((score - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        inside = -torch.log1p(-(right - 0.5 + part) / m)
        start = self.normals[:, body, None]
        beyond = (score - start) / self.scale - math.log1p(-(body + 0.5) / m)
        return torch.where(score > start, beyond.clamp_max(self.MOST), inside)


def auroc(normal: Tensor, anomaly: Tensor) -> float:
    """Chance that an anomaly outscores a normal, ties half: (m,), (k,) -> float."""
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomaly) + torch.searchsorted(ordered, anomaly, right=True)
    return float(below.double().mean() / 2 / len(normal))

"""Scores of different kinds on one scale, so that they can be added."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standard(nn.Module):
    """(score - mean) / sd by the scores of normals, for e kinds of score at once: (e, n) -> (e, n).

    >>> standard = Standard(1)
    >>> standard.fit(torch.tensor([[1.0, 3.0]]))
    >>> standard(torch.tensor([[2.0, 4.0]])).round(decimals=4)
    tensor([[0.0000, 1.4142]])
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, e: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(e, 1))
        self.register_buffer("sd", torch.ones(e, 1))

    def fit(self, normals: Tensor) -> None:
        """Learn from scores of normals (e, m); a score that does not vary keeps its scale."""
        self.mean = normals.mean(dim=1, keepdim=True)
        sd = (
            normals.std(dim=1, keepdim=True) if normals.shape[1] > 1 else torch.ones_like(self.mean)
        )
        self.sd = torch.where(sd > 1e-12, sd, 1.0)

    def forward(self, score: Tensor) -> Tensor:
        return (score - self.mean) / self.sd

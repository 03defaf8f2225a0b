"""Scores on a common scale: their surprisal, -log tail probability, among held-out normals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unseen.parts.exporting import counted_below, drawing
from unseen.parts.nets import Resizing
from unseen.parts.ranking import ALIKE


class Surprisal(Resizing):
    """-log of the share of normals that score higher, for e kinds of score at once: (e, n) -> (e,
    n), beyond `MOST` as its logarithm.

    Up to the 90% quantile of the normals the share is theirs; beyond, few normals are left to
    count, and an exponential tail with their mean excess goes on (the peaks-over-threshold of
    extreme value theory with shape 0). Normals that score alike, up to rounding, stand in the
    middle of the places that they take, so that what a score is worth does not hang on its last
    digits. Beyond `MOST` it grows by log(1 + excess): no piece drowns the others, and what lies
    farther out still ranks higher.

    >>> surprisal = Surprisal(1)
    >>> surprisal.fit(torch.arange(100.0)[None])
    >>> surprisal(torch.tensor([[49.5, 90.0, 1e9]])).round(decimals=3)
    tensor([[ 0.6930,  2.3540, 39.2190]])
    >>> # two values, then one that no normal has
    >>> surprisal.fit(torch.tensor([[0.0] * 50 + [1.0] * 50]))
    >>> surprisal(torch.tensor([[0.0, 1e-9, 1.0, 1.0 + 1e-6, 2.0]])).exp().reciprocal().round(
    ...     decimals=2
    ... )
    tensor([[0.7500, 0.7500, 0.2500, 0.2500, 0.0000]])
    """

    BODY, MOST = 0.9, 20.0
    normals: Tensor
    scale: Tensor
    in_order = ("normals",)
    place: Tensor
    alike: Tensor

    def __init__(self, e: int) -> None:
        super().__init__()
        self.register_buffer("normals", torch.zeros(e, 2))
        self.register_buffer("scale", torch.ones(e, 1))
        self.settle()

    def fit(self, normals: Tensor) -> None:
        """Learn from the scores of held-out normals (e, m)."""
        self.normals = normals.sort(dim=1).values
        beyond = self.normals[:, self.body :]
        self.scale = (beyond - beyond[:, :1]).mean(dim=1, keepdim=True).clamp_min(1e-6)
        self.settle()

    def settle(self) -> None:
        """What follows from the normals: their places, in the middle of those alike, and what
        counts as alike.
        """
        m, middle = self.normals.shape[1], self.normals.median(dim=1, keepdim=True).values
        alike = ALIKE * (self.normals - middle).abs().mean(dim=1, keepdim=True)
        first = torch.searchsorted(self.normals, (self.normals - alike).contiguous())
        last = torch.searchsorted(self.normals, (self.normals + alike).contiguous(), right=True)
        place = (first + last - 1).clamp(0, 2 * m - 2).to(self.normals) / 2
        self.register_buffer("place", place, persistent=False)  # (e, m)
        self.register_buffer("alike", alike, persistent=False)  # (e, 1)

    @property
    def body(self) -> int:
        return int(self.BODY * self.normals.shape[1])

    def forward(self, score: Tensor) -> Tensor:
        m, body, score = self.normals.shape[1], self.body, score.contiguous()
        search = counted_below if drawing() else torch.searchsorted
        right = search(self.normals, score).clamp_(1, m - 1)
        low, high = self.normals.gather(1, right - 1), self.normals.gather(1, right)
        part = ((score - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        before, after = self.place.gather(1, right - 1), self.place.gather(1, right)
        inside = -torch.log1p(-(before + 0.5 + part * (after - before)) / m)
        start = self.normals[:, body, None]
        beyond = (score - start) / torch.maximum(self.scale, self.alike)
        beyond -= torch.log1p(-(self.place[:, body, None] + 0.5) / m)
        far = (beyond - self.MOST).clamp_min(0).log1p()
        beyond = beyond.clamp_max(self.MOST) + far
        return torch.where(score > start + self.alike, beyond, inside)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.settle()

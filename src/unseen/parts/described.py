"""A linear surface on how a row deviates from the normals: what `MultiDirectional` scores with."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.parts import losses
from unseen.parts.bank import NEAR, Bank
from unseen.parts.deviation import CHUNK, Deviation
from unseen.parts.nets import Resizing
from unseen.parts.products import Linear


class DescribedScorer(Resizing):
    """Columns that describe a row, standardised, and a linear head; -log S_0/(1 - S_0): (n, d) ->
    (n,).

    Where a row lies is told from the origin of its kind of normal, (g, d), or of the nearest; zero
    if there is one."""

    origins: Tensor
    centre: Tensor
    scale: Tensor
    trust: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.deviation = Deviation(d)
        self.shown = Bank(d)
        self.register_buffer("origins", torch.zeros(1, d))
        p = self.deviation.width + 2 + 2 * d
        self.register_buffer("centre", torch.zeros(p))
        self.register_buffer("scale", torch.ones(p))
        self.register_buffer("trust", torch.ones(p))
        self.head = Linear(p, 2)

    def columns(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """Description, closeness to shown anomalies, and position: (n, d), (n, width), (m, d) ->
        (n, p).

        The rows x and those shown are relative to the origins of their kinds.
        """
        return torch.cat(
            [described, self.closeness(x, described, shown, skip=skip), x, x.abs()], dim=1
        )

    def closeness(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """log(1 + distance to the nearest normal / to the nearest shown anomaly), raw and whitened:
        (n, 2).

        `skip=1` when the rows x are among those shown (m, d): nobody is close to himself. 0 where
        nothing is shown."""
        whiten = self.deviation.whiten.common
        anomaly = torch.stack(
            [_nearest_distance(x, shown, skip), _nearest_distance(whiten(x), whiten(shown), skip)],
            dim=1,
        )
        return F.softplus(self.deviation.nearest_one(described) - (anomaly + NEAR).log())

    def standardise(self, normals: Tensor, position: float) -> None:
        """Learn the columns' centre and scale from normals (n, p); a column of position counts
        `position` times.
        """
        self.centre, self.scale = normals.mean(dim=0), normals.std(dim=0) + 1e-2
        self.trust[self.deviation.width + 2 :] = position

    def standard(self, columns: Tensor) -> Tensor:
        """Columns on one scale, at most 10 deviations out: (n, p) -> (n, p)."""
        return ((columns - self.centre) / self.scale).clamp(-10, 10) * self.trust

    def logits(self, x: Tensor) -> Tensor:
        """Logits of normal and anomaly: (n, d) -> (n, 2)."""
        relative = x - self.origins[self.deviation.whiten.kind(x)]
        return self.head(self.standard(self.columns(relative, self.deviation(x), self.shown.rows)))

    def moved(self, rows: Tensor) -> DescribedScorer:
        """The same for another kind of normal, shown by rows (m, d): nothing is trained."""
        new = copy.deepcopy(self)
        new.deviation = self.deviation.moved(rows)
        mean = self.deviation.whiten.mean
        new.origins = new.deviation.whiten.mean[None] - (mean if mean.ndim == 1 else 0)
        return new

    def forward(self, x: Tensor) -> Tensor:
        return -losses.normal_logit(self.logits(x))


def _nearest_distance(x: Tensor, rows: Tensor, skip: int) -> Tensor:
    """Distance to the nearest row, or with `skip` to the next but that many; infinite if there is
    none: (n,).
    """
    if len(rows) <= skip:
        return torch.full((len(x),), torch.inf, device=x.device)
    bank = Bank(x.shape[1])
    bank.fill(rows)
    return torch.cat([bank.distances(chunk, k=skip + 1)[:, skip] for chunk in x.split(CHUNK)])

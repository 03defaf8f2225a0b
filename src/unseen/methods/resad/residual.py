"""How a row differs from the references nearest to it, and what that is worth: what ResAD scores
with.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from unseen.parts import losses
from unseen.parts.bank import NEAR, Bank
from unseen.parts.nets import mlp
from unseen.parts.products import Linear
from unseen.parts.standard import Standard
from unseen.parts.surface import decide
from unseen.types import Samples

MEASURED = 64  # references whose residuals to the others are measured


class References(Bank):
    """Normal rows of one kind, and how long the residual of a normal row to them is.

    >>> references = References(1)
    >>> references.remember(torch.tensor([[0.0], [3.0], [7.0]]), k=1)
    >>> references.unit  # root of the mean square of 3, 3 and 4, each to the nearest of the others
    tensor(3.3665)
    """

    unit: Tensor

    def __init__(self, d: int, unit: float = 1.0) -> None:
        super().__init__(d)
        self.fill(torch.zeros(1, d))
        self.register_buffer("unit", torch.tensor(unit))

    def remember(self, rows: Tensor, *, k: int) -> None:
        """Keep rows (m, d) and measure some by the others; a single row leaves the length as it
        was.
        """
        self.fill(rows)
        if len(rows) > 1:
            sample = self.residual(rows[:: (len(rows) - 1) // MEASURED + 1], k=k, skip=1)
            self.unit = sample.square().sum(dim=1).mean().sqrt().clamp_min(NEAR)


class ResidualScorer(nn.Module):
    """Residual to a bank, constraintor, and two scores on one scale, density and head: (n, d) ->
    (n,).
    """

    # of the constrained residuals of normals; their standard deviation; sizes are distances from it
    middle: Tensor
    spread: Tensor
    size: Tensor
    size_spread: Tensor

    def __init__(self, d: int, *, hidden: int, neighbours: int, squared: bool) -> None:
        super().__init__()
        self.neighbours, self.squared = neighbours, squared
        self.references = References(d)
        self.constraintor = mlp([d, hidden, d])
        for parameter in self.constraintor[-1].parameters():  # it starts by changing nothing
            nn.init.zeros_(parameter)
        self.register_buffer("middle", torch.zeros(d))
        for name in ("spread", "size", "size_spread"):
            self.register_buffer(name, torch.ones(d))
        self.head = Linear(2 * d, 2)
        self.standard = Standard(2)

    def residual(self, x: Tensor, references: References) -> Tensor:
        """What references leave of rows; those of normals are about 1 long: (n, d) -> (n, d)."""
        left = references.residual(x, k=self.neighbours) / references.unit
        return left.square() * x.shape[1] ** 0.5 if self.squared else left

    def constrained(self, residual: Tensor) -> Tensor:
        """What the constraintor makes of residuals: (n, d) -> (n, d)."""
        return residual + self.constraintor(residual)

    def columns(self, constrained: Tensor) -> Tensor:
        """Constrained residuals and their sizes, standardised, at most 10 deviations out: (n, d) ->
        (n, 2d).
        """
        apart = constrained - self.middle
        return torch.cat(
            [apart / self.spread, (apart.abs() - self.size) / self.size_spread], dim=1
        ).clamp(-10, 10)

    @torch.no_grad()
    def judge(self, rows: Samples, *, ridge: float) -> None:
        """Learn density and head from residuals (n, d); normals and anomalies weigh the same."""
        constrained, anomaly = self.constrained(rows.x), rows.y > 0
        normals = constrained[~anomaly]
        least = 1e-2 / normals.shape[1] ** 0.5  # beside a residual of length 1
        self.middle, self.spread = normals.mean(dim=0), normals.std(dim=0) + least
        sizes = (normals - self.middle).abs()
        self.size, self.size_spread = sizes.mean(dim=0) + least, sizes.std(dim=0) + least
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if anomaly.any():
            sums = (rows.weight * anomaly).sum(), (rows.weight * ~anomaly).sum()
            weight = rows.weight / torch.where(anomaly, *sums).clamp_min(1e-12)
            with torch.enable_grad():
                decide(
                    self.head,
                    replace(rows, x=self.columns(constrained), weight=weight),
                    ridge=ridge,
                )
        self.standard.fit(self.both(normals))

    def both(self, constrained: Tensor) -> Tensor:
        """Minus the log density of normals, up to a constant, and the head's verdict: (n, d) -> (2,
        n).
        """
        deviation = ((constrained - self.middle) / self.size).square().log1p().mean(dim=1)
        return torch.stack([deviation, -losses.normal_logit(self.head(self.columns(constrained)))])

    def forward(self, x: Tensor) -> Tensor:
        return self.standard(self.both(self.constrained(self.residual(x, self.references)))).mean(
            dim=0
        )

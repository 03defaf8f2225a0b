"""The plain scale of columns that are encoded as logarithms: a second look at the same row."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.nets import Resizing

CLIP = 10.0  # deviations beyond this many standard deviations are all alike, as in the encoding
FAR = 60.0  # logarithms beyond are cut before they are undone: exp(60) is far beyond any clip


class Plain(Resizing):
    """Chosen columns with their signed logarithm undone, standardised on normals, clipped: (n, d)
    -> (n, c).

    Encoded as z = (l - centre) / spread with l = sign(v) log(1 + |v|), a value is v = sign(l) (exp
    |l| - 1). Where a column was no logarithm it stays as it is. No column at all where none of them
    is one: the row has no second look.

    >>> logarithms = torch.tensor([[2.0, 1.0], [torch.nan, torch.nan]])
    >>> view = Plain()
    >>> view.fit(torch.tensor([[-1.0, 0.0], [1.0, 2.0]]), torch.tensor([0, 1]), logarithms)
    >>> # values e - 1, e^3 - 1, e^2 - 1
    >>> view(torch.tensor([[-1.0, 7.0], [1.0, 7.0], [0.0, 7.0]])).round(decimals=3)
    tensor([[-1.0000,  7.0000],
            [ 1.0000,  7.0000],
            [-0.4620,  7.0000]])
    """

    columns: Tensor  # (c,) the columns that this looks at
    logarithms: Tensor  # (c, 2) centre and spread of their logarithms; NaN where a column is none
    standard: Tensor  # (c, 2) mean and standard deviation of the undone values of normals
    may_be_nan = ("logarithms",)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("columns", torch.zeros(0, dtype=torch.int64))
        for name in ("logarithms", "standard"):
            self.register_buffer(name, torch.zeros(0, 2))

    def fit(self, normals: Tensor, columns: Tensor, logarithms: Tensor | None) -> None:
        """Learn from normal rows (n, d) the scale of some of their columns (c,); `logarithms` (d,
        2) as in `Run`.
        """
        if logarithms is None or not len(columns) or logarithms[columns].isnan().all():
            self.columns = columns[:0]
            return
        self.columns, self.logarithms = columns, logarithms[columns].to(normals)
        values = self.undone(normals[:, columns]).double()
        mean, deviation = values.mean(dim=0), values.std(dim=0, correction=0)
        constant = (deviation == 0) & ~self.logarithms[
            :, 0
        ].isnan()  # such a column stays as it is encoded
        self.logarithms[constant] = torch.nan
        kept = self.logarithms[:, 0].isnan()
        self.standard = torch.stack(
            [mean.where(~kept, 0.0), deviation.where(~kept, 1.0)], dim=1
        ).to(normals.dtype)

    def undone(self, z: Tensor) -> Tensor:
        """(v - v0) / (|v0| + 1), v0 the value at z = 0: (n, c) -> (n, c).

        Taken from the difference of logarithms: those of two large values that differ little agree
        in most digits."""
        centre, spread = self.logarithms.nan_to_num(1.0).unbind(dim=1)
        sign = torch.where(centre < 0, -1.0, 1.0)
        centre, step = centre.abs(), sign * z * spread  # all as for a centre >= 0
        same = torch.expm1(step.clamp(max=FAR))
        other = (2 - torch.exp((-(centre + step)).clamp(max=FAR))) * torch.exp(-centre) - 1
        return torch.where(
            self.logarithms[:, 0].isnan(), z, sign * torch.where(centre + step >= 0, same, other)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.standard.unbind(dim=1)
        return ((self.undone(x[:, self.columns]) - mean) / deviation).clamp(-CLIP, CLIP)

"""What is remembered of the normal rows: their mean and covariance, and the rows themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.nets import Resizing

NEAR = 1e-3  # two rows nearer than this count as the same: keeps logarithms of distances finite


class Whitening(Resizing):
    """x -> (x - mean) W with W W' the inverse of the shrunk covariance of the normals: (n, d) -> (n, d).

    The squared norm of the result is the squared Mahalanobis distance. Shrinkage adds `shrinkage` times the mean
    variance to every direction (Ledoit & Wolf 2004 in its simplest form), so that a direction in which the normals do
    not vary at all counts strongly, but not without bound.

    >>> w = Whitening(2)
    >>> w.fit(torch.tensor([[0., 0.], [2., 0.], [0., 4.], [2., 4.]]), shrinkage=0.0)
    >>> w(torch.tensor([[2., 4.]])).square().sum().round(decimals=4)
    tensor(1.5000)
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("matrix", torch.eye(d))

    def fit(self, x: Tensor, *, shrinkage: float) -> None:
        """Learn mean and covariance from normal rows (n, d), in double precision."""
        rows = x.double()
        mean = rows.mean(dim=0)
        centred = rows - mean
        covariance = centred.T @ centred / max(len(rows) - 1, 1)  # (d, d)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(0) + shrinkage * values.clamp_min(0).mean()
        scale = torch.where(values > 1e-12, values, 1.0).rsqrt()
        self.mean = mean.to(x.dtype)
        self.matrix = (
            (vectors * scale).to(x.dtype).contiguous()
        )  # the layout decides the rounding, so also after a reload

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) @ self.matrix


class Bank(Resizing):
    """Reference rows to measure distances to; empty until filled.

    >>> bank = Bank(2)
    >>> bank.fill(torch.tensor([[0., 0.], [3., 4.]]))
    >>> bank.distances(torch.tensor([[0., 1.]]), k=2)
    tensor([[1.0000, 4.2426]])
    """

    rows: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, d))

    def fill(self, rows: Tensor, *, most: int | None = None, generator: torch.Generator | None = None) -> None:
        """Remember these rows (m, d), or a random `most` of them: the cost of a search grows with their number."""
        if most is not None and len(rows) > most:
            rows = rows[torch.randperm(len(rows), generator=generator)[:most].to(rows.device)]
        self.rows = rows.clone()

    def nearest(self, x: Tensor, *, k: int) -> Tensor:
        """Numbers of the k nearest rows, nearest first: (n, d) -> (n, min(k, m))."""
        d2 = torch.addmm(self.rows.square().sum(dim=1), x, self.rows.T, alpha=-2)  # (n, m), less |x|^2: ranks the same
        return d2.topk(min(k, len(self.rows)), dim=1, largest=False).indices

    def distances(self, x: Tensor, *, k: int) -> Tensor:
        """Euclidean distances to the k nearest rows, nearest first: (n, d) -> (n, min(k, m)).

        Taken from the differences: the expanded square would lose small distances to rounding.
        """
        return (x[:, None, :] - self.rows[self.nearest(x, k=k)]).norm(dim=2)

"""What is remembered of the normal rows: their mean and covariance, and the rows themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.nets import Resizing

NEAR = 1e-3  # two rows nearer than this count as the same: keeps logarithms of distances finite
TOGETHER = 256  # rows searched at once: their distances to a bank then stay in the cache
LANES = 32  # of a long row of distances: the k smallest lie in the k lanes with the smallest minima
LONG = 1024  # distances from which on lanes pay
BLOCK = 16_384  # rows whose covariance is summed at once


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
        mean = x.mean(dim=0, dtype=torch.float64)
        covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
        for block in x.split(BLOCK):
            centred = block.double() - mean
            covariance.addmm_(centred.T, centred)  # (d, d)
        covariance /= max(len(x) - 1, 1)
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
        size = self.rows.square().sum(dim=1)  # |r|^2 - 2 x r is the squared distance less |x|^2, which ranks the same
        each = [smallest(torch.addmm(size, some, self.rows.T, alpha=-2), k=k) for some in x.split(TOGETHER)]
        return torch.cat(each)

    def distances(self, x: Tensor, *, k: int) -> Tensor:
        """Euclidean distances to the k nearest rows, nearest first: (n, d) -> (n, min(k, m)).

        Taken from the differences: the expanded square would lose small distances to rounding.
        """
        return (x[:, None, :] - self.rows[self.nearest(x, k=k)]).norm(dim=2)


def smallest(values: Tensor, *, k: int) -> Tensor:
    """Where the k smallest of each row are, smallest first: (n, m) -> (n, min(k, m)).

    Of many values, at first only the minimum of each lane, every `LANES`-th value, is compared: what is left to sort
    is the k best lanes. Any other lane has k values before it.

    >>> smallest(torch.tensor([[3., 1., 2.]]), k=2)
    tensor([[1, 2]])
    """
    n, m = values.shape
    if m < LONG or m % LANES or k > LANES:
        return values.topk(min(k, m), dim=1, largest=False).indices
    laid = values.view(n, -1, LANES)  # (n, m / LANES, lanes)
    lanes = laid.amin(dim=1).topk(k, dim=1, largest=False).indices  # (n, k)
    left = laid.gather(2, lanes[:, None, :].expand(-1, laid.shape[1], -1)).flatten(1)  # (n, m / LANES * k)
    found = left.topk(k, dim=1, largest=False).indices
    return found.div(k, rounding_mode="floor") * LANES + lanes.gather(1, found % k)

"""What is remembered of the normal rows: their mean and covariance, and the rows themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unseen.parts.exporting import drawing, solved
from unseen.parts.nets import Resizing
from unseen.parts.products import NARROW, product
from unseen.parts.threads import one_thread

NEAR = 1e-3  # two rows nearer than this count as the same: keeps logarithms of distances finite
TOGETHER = 512  # rows searched at once: few enough for the cache, enough for each call to pay
LANES = 64  # of a long row of distances: the k smallest lie in the k lanes with the smallest minima
SHORT = 2 * LANES  # distances that are sorted at once
PLACES = 2**29 - 1  # the bits of a double that a float32 leaves empty
LARGEST = torch.finfo(torch.float32).max
MANY, WIDE = 1024, 96  # rows and columns from which on a sketch pays
SHARE = 4  # columns for each direction of a sketch
SPARE = 5  # rows beyond the wanted ones that it lets through to be measured
BLOCK = 16_384  # rows whose covariance is summed at once
# of the largest variance: smaller ones are rounding, where rows are fewer than columns
RANK = 1e-12
# of the mean squared distance of near rows from their middle: how soft the plane through them is
PLANE = 0.1


class Whitening(Resizing):
    """x -> (x - mean) W with W W' the inverse of the shrunk covariance of the normals: (n, d) ->
    (n, d).

    The squared norm of the result is the squared Mahalanobis distance. Shrinkage adds `shrinkage`
    times the mean variance to every direction (Ledoit & Wolf 2004 in its simplest form), so that a
    direction in which the normals do not vary at all counts strongly, but not without bound.

    >>> w = Whitening(2)
    >>> w.fit(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]), shrinkage=0.0)
    >>> w(torch.tensor([[2.0, 4.0]])).square().sum().round(decimals=4)
    tensor(1.5000)

    Several domains have a mean each, (g, d), and a row is taken relative to the nearest.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("matrix", torch.eye(d))

    def fit(self, x: Tensor, *, shrinkage: float, group: Tensor | None = None) -> None:
        """Learn mean and covariance from normal rows (n, d), in double precision.

        With several groups (n,) the covariance is the pooled one, of rows around the mean of their
        own group: it holds for a domain that lies elsewhere, too, and so can be had from a
        few rows of it."""
        means, own = means_of(x, group)
        values, vectors = _principal(x, means, own)
        values = values.clamp_min(0) + shrinkage * values.clamp_min(0).mean()
        scale = torch.where(values > 1e-12, values, 1.0).rsqrt()
        self.mean = (means[0] if len(means) == 1 else means).to(x.dtype)
        # the layout decides the rounding, so also after a reload
        self.matrix = (vectors * scale).to(x.dtype).contiguous()

    def move(self, rows: Tensor) -> None:
        """Keep the covariance, and take the mean from rows of another domain (m, d)."""
        self.mean = rows.mean(dim=0, dtype=torch.float64).to(rows.dtype)

    def domain(self, x: Tensor) -> Tensor:
        """Number of the domain whose mean is nearest, by this covariance: (n, d) ->
        (n,).
        """
        if self.mean.ndim == 1:
            return torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        means = Bank(x.shape[1])
        means.fill(self.mean @ self.matrix)
        return means.nearest(product(x, self.matrix), k=1)[:, 0]

    def common(self, x: Tensor) -> Tensor:
        """Whitened rows relative to one point, whatever their kind, so that they can be compared:
        (n, d) -> (n, d).
        """
        return product(x - (self.mean if self.mean.ndim == 1 else self.mean[0]), self.matrix)

    def forward(self, x: Tensor) -> Tensor:
        return (
            self.common(x)
            if self.mean.ndim == 1
            else product(x - self.mean[self.domain(x)], self.matrix)
        )


class Bank(Resizing):
    """Reference rows to measure distances to; empty until filled.

    Where a `sketched` one has many rows and columns, a search first compares rows along a part of
    its principal directions, and then measures few: the distances that it finds are true ones, if
    not always to the very nearest.

    >>> bank = Bank(2)
    >>> bank.fill(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    >>> bank.distances(torch.tensor([[0.0, 1.0]]), k=2)
    tensor([[1.0000, 4.2426]])
    """

    rows: Tensor

    directions: Tensor  # (d, q) that a search goes along first; none where it compares whole rows
    along: Tensor  # (m, q)
    sizes: Tensor  # (m,) squared norms of what is compared: rows along the directions, or whole

    def __init__(self, d: int, *, sketched: bool = False) -> None:
        super().__init__()
        self.sketched = sketched
        self.register_buffer("rows", torch.zeros(0, d))
        self.settle()

    def settle(self) -> None:
        """What follows from the rows: the directions that a search goes along, and these rows along
        them.
        """
        m, d = self.rows.shape
        with one_thread():  # the same bits in training and after loading
            directions = self.rows.new_zeros(d, 0)
            if self.sketched and m >= MANY and d >= WIDE:
                vectors = _principal(self.rows, *means_of(self.rows))[1]
                directions = vectors[:, -(d // SHARE) :].to(self.rows.dtype).contiguous()
            self.register_buffer("directions", directions, persistent=False)
            along = self.rows @ directions
            self.register_buffer("along", along, persistent=False)
            compared = along if directions.shape[1] else self.rows
            self.register_buffer("sizes", compared.square().sum(dim=1), persistent=False)

    def fill(
        self, rows: Tensor, *, most: int | None = None, generator: torch.Generator | None = None
    ) -> None:
        """Remember these rows (m, d), or a random `most` of them: the cost of a search grows with
        their number.
        """
        if most is not None and len(rows) > most:
            rows = rows[torch.randperm(len(rows), generator=generator)[:most].to(rows.device)]
        self.rows = rows.clone()
        self.settle()

    def nearest(self, x: Tensor, *, k: int) -> Tensor:
        """Numbers of the k nearest rows, nearest first: (n, d) -> (n, min(k, m))."""
        if self.directions.shape[1]:
            return self.search(x, k=k)[0]
        return _nearest(x, self.rows, self.sizes, k)

    def search(self, x: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers of the k nearest rows, nearest first, their distances, and the nearest less x:
        (n, d) -> (n, min(k, m)) twice, (n, d).

        Distances are taken from the differences: the expanded square would lose small ones to
        rounding.
        """
        if not self.directions.shape[1]:
            near = _nearest(x, self.rows, self.sizes, k)
            apart = self.apart(x, near)
            return near, apart.norm(dim=2), apart[:, 0]
        near = _nearest(x @ self.directions, self.along, self.sizes, k + SPARE)
        apart = self.apart(x, near)
        distance = apart.norm(dim=2)
        order = smallest(distance, k=k)
        first = apart.flatten(0, 1).index_select(
            0, order[:, 0] + torch.arange(0, near.numel(), near.shape[1], device=x.device)
        )
        return near.gather(1, order), distance.gather(1, order), first

    def distances(self, x: Tensor, *, k: int) -> Tensor:
        """Euclidean distances to the k nearest rows, nearest first: (n, d) -> (n, min(k, m))."""
        if self.directions.shape[1]:
            return self.search(x, k=k)[1]
        return self.apart(x, self.nearest(x, k=k)).norm(dim=2)

    def apart(self, x: Tensor, near: Tensor) -> Tensor:
        """The rows of these numbers less x: (n, d), (n, k) -> (n, k, d)."""
        rows = self.rows.index_select(0, near.flatten())
        return rows.view(*near.shape, x.shape[1]).sub_(x[:, None, :])

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.settle()

    def residual(self, x: Tensor, *, k: int, skip: int = 0) -> Tensor:
        """What is left of x when its k nearest rows, but for the first `skip`, have explained what
        they can: (n, d).

        x minus the nearest point of the plane through them, found by ridge regression of x - m on
        their p_j - m, with m their mean: along directions in which they differ among themselves,
        little is left.

        >>> bank = Bank(2)
        >>> bank.fill(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
        >>> bank.residual(torch.tensor([[0.0, 3.0], [2.0, 3.0]]), k=2).round(decimals=2)
        tensor([[0.0000, 3.0000],
                [0.1000, 3.0000]])
        """
        near = self.rows[self.nearest(x, k=k + skip)[:, skip:]]  # (n, k, d)
        middle = near.mean(dim=1)
        apart = near - middle[:, None, :]
        products = apart @ apart.mT  # (n, k, k)
        ridge = PLANE * products.diagonal(dim1=1, dim2=2).mean(dim=1) + NEAR**2
        along = apart @ (x - middle)[:, :, None]  # (n, k, 1)
        if drawing():
            softened = products + ridge[:, None, None] * torch.eye(products.shape[1])
            shares = solved(softened, along[:, :, 0])[:, :, None]
        else:
            products.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
            shares = torch.linalg.solve(products, along)
        return x - middle - (apart.mT @ shares)[:, :, 0]


def _nearest(x: Tensor, rows: Tensor, size: Tensor, k: int) -> Tensor:
    """Numbers of the k nearest of the rows with these squared norms, nearest first: (n, d), (m, d),
    (m,) -> (n, min(k, m)).
    """
    # |r|^2 - 2 x r is the squared distance less |x|^2, which ranks the same
    if drawing():
        size = rows.square().sum(dim=1)
    if len(size) < NARROW or drawing():
        return smallest(size - 2 * product(x, rows.T), k=k)
    each = [
        smallest(torch.addmm(size, block, rows.T, alpha=-2), k=k) for block in x.split(TOGETHER)
    ]
    return torch.cat(each)


def _principal(x: Tensor, means: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Variances, ascending, and directions of rows around their means, in double: (n, d), (g, d),
    (n,) -> (d,), (d, d).

    With fewer rows than columns they come from the products of rows, (n, n), and the directions
    without variance are whatever completes them: thousands of columns cost no more than the rows
    there are.

    >>> x = torch.tensor([[0.0, 0.0, 1.0], [0.0, 4.0, 1.0]])
    >>> _principal(x, *means_of(x))[0].round(decimals=4)
    tensor([0., 0., 8.], dtype=torch.float64)
    """
    n, d = x.shape
    freedom = max(n - len(means), 1)
    if n >= d:
        covariance = torch.zeros(d, d, dtype=torch.float64, device=x.device)
        for block, kind in zip(x.split(BLOCK), own.split(BLOCK), strict=True):
            centred = block.double() - (means if len(means) == 1 else means[kind])
            covariance.addmm_(centred.T, centred)
        values, vectors = torch.linalg.eigh(covariance / freedom)
        return values, vectors
    centred = x.double() - means[own]
    values, vectors = torch.linalg.eigh(centred @ centred.T / freedom)
    kept = values > values[-1:] * RANK  # the others are rounding
    # (d, r), orthonormal
    spanning = centred.T @ (vectors[:, kept] / (values[kept] * freedom).sqrt())
    flat = torch.linalg.qr(spanning.to(x.dtype), mode="complete").Q[:, spanning.shape[1] :].double()
    return torch.cat([values.new_zeros(flat.shape[1]), values[kept]]), torch.cat(
        [flat, spanning], dim=1
    )


def means_of(x: Tensor, group: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean of each group in double precision, and each row's group as a row of these: (n, d), (n,)
    -> (g, d), (n,).

    >>> means_of(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([5, 5, 7]))[0].tolist()
    [[1.0], [9.0]]
    """
    own = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    names = own[:1] if group is None else group.unique()
    if group is None or len(names) < 2:
        return x.mean(dim=0, dtype=torch.float64)[None], own
    own = torch.searchsorted(names, group)
    return torch.stack(
        [x[own == k].mean(dim=0, dtype=torch.float64) for k in range(len(names))]
    ), own


def smallest(values: Tensor, *, k: int) -> Tensor:
    """Where the k smallest of each row are, smallest first: (n, m) -> (n, min(k, m)).

    Of many values, at first only the minimum of each lane, every `LANES`-th value, is compared:
    what is left to sort is the k best lanes. Any other lane has k values before it.

    >>> smallest(torch.tensor([[3.0, 1.0, 2.0]]), k=2)
    tensor([[1, 2]])
    """
    n, m = values.shape
    if values.device.type != "cpu" or values.dtype != torch.float32 or 2 * k > LANES or drawing():
        return values.topk(min(k, m), dim=1, largest=False).indices
    if m <= SHORT:
        return _least(values, k)
    whole = m // LANES * LANES
    lanes = _least(values[:, :whole].unflatten(1, (-1, LANES)).amin(dim=1), k)
    place = (lanes[:, None, :] + torch.arange(0, whole, LANES)[:, None]).flatten(1)
    if whole < m:
        place = torch.cat([place, torch.arange(whole, m).expand(n, -1)], dim=1)
    return place.gather(1, smallest(values.gather(1, place), k=k))


def _least(values: Tensor, k: int) -> Tensor:
    """`smallest` of few values, (n, m) -> (n, min(k, m)), by one sort of values that carry their
    places.

    A float32 leaves the last 29 bits of a double empty: a place fits there, and changes no order.
    torch would sort pairs of value and place, which takes several times as long.
    """
    finite = values.detach().nan_to_num(nan=LARGEST)  # infinity would carry no place
    carried = finite.double().view(torch.int64).bitwise_or_(torch.arange(values.shape[1]))
    carried.view(torch.float64).numpy().sort(axis=1)
    return carried[:, :k] & PLACES

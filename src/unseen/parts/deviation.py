"""How a row deviates from the normals, not where it lies: a description that anomalies of any kind
share.

The residual idea of ResAD (Yao et al., NeurIPS 2024), for vectors: what is learned from a few kinds
of anomaly about *deviating* holds for other kinds; what is learned about where those few lie does
not."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unseen.parts.bank import NEAR, Bank, Whitening
from unseen.parts.nets import Resizing
from unseen.parts.plain import Plain
from unseen.types import Run

# without labels
FREE = ("mahalanobis", "nearest", "nearest-whitened", "local", "nearest-numbers", "nearest-plain")
ROWS = 2048  # reference normals: the cost of a description grows with them
NEIGHBOURS = 5
BANDS = 5  # of principal components, from the largest variance to the smallest
CHUNK = 1024


class Neighbours(Resizing):
    """What the k nearest of the reference rows tell about a row: (n, d) -> (n, 6).

    log mean distance, the same relative to the neighbours' own (Breunig et al. 2000: normals may
    lie densely here and sparsely there); the two again for the nearest alone; and of the residual
    to the nearest, log of the largest entry and the number of entries it is spread over (ratio of
    the l1 to the l2 norm).

    >>> near = Neighbours(2)
    >>> near.fill(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    >>> # 3 away, and they 1 from each other
    >>> near(torch.tensor([[0.0, -3.0]])).exp()[0, [2, 3, 4]].round(decimals=2)
    tensor([3., 3., 3.])
    """

    # (m, 2) log distance of each reference row to its own nearest: k on the mean, and one
    own: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.bank = Bank(d, sketched=True)
        self.bank.fill(torch.zeros(1, d))
        self.register_buffer("own", torch.zeros(1, 2))

    def fill(self, rows: Tensor) -> None:
        """Remember reference rows (m, d), and how far they lie from each other."""
        self.bank.fill(rows)
        k = min(NEIGHBOURS + 1, len(rows))
        # the nearest is itself
        each = [self.bank.distances(chunk, k=k)[:, k > 1 :] for chunk in rows.split(CHUNK)]
        self.own = torch.cat([_logs(d.mean(dim=1), d[:, 0]) for d in each])

    def forward(self, x: Tensor) -> Tensor:
        near, distance, residual = self.bank.search(x, k=NEIGHBOURS)  # (n, k), (n, k), (n, d)
        own = self.own[near]  # (n, k, 2)
        all_k, one = _logs(distance.mean(dim=1), distance[:, 0]).unbind(dim=1)
        entries = residual.abs()
        spread = entries.sum(dim=1) / (distance[:, 0] + NEAR)
        largest = (entries.amax(dim=1) + NEAR).log()
        return torch.stack(
            [all_k, all_k - own[:, :, 0].mean(dim=1), one, one - own[:, 0, 1], largest, spread],
            dim=1,
        )


class Deviation(nn.Module):
    """A row's deviation from the normals in numbers that do not name a place: (n, d) -> (n,
    `width`).

    First the columns of `FREE`, each larger for more anomalous rows: log Mahalanobis distance; log
    mean distance to the nearest normals, raw and whitened; the first relative to the neighbours'
    own; and the first twice more: without flags, and without flags and logarithms. A flag that few
    normals raise counts for many standard deviations in any distance, and may drown what numbers
    tell, or tell it all; and what stands out on a logarithmic scale need not on a plain one, nor
    the other way round: so there is evidence of each. Then details that only a judge can weigh: the
    energy in bands of principal components, the nearest alone, and the residual to it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whiten = Whitening(d)
        self.raw, self.whitened = Neighbours(d), Neighbours(d)
        self.numbers, self.plain = Numbers(d), PlainNeighbours(d)
        self.bands = min(BANDS, d)
        self.width = len(FREE) + self.bands + 14

    def fit(
        self,
        normals: Tensor,
        generator: torch.Generator,
        *,
        logarithms: Tensor | None = None,
        columns: Tensor | None = None,
        group: Tensor | None = None,
    ) -> None:
        """Learn from normal rows (n, d): the covariance of all, the neighbourhood of a random
        `ROWS` of them.

        `logarithms` (d, 2): which columns are logarithms, as in `Run`; by default none is.
        `columns`: those that are no flags, where other rows have told; by default these rows tell.
        `group` (n,): which domain each row is."""
        numbers = _no_flags(normals) if columns is None else columns
        self.whiten.fit(normals, shrinkage=1e-3, group=group)
        rows = normals[torch.randperm(len(normals), generator=generator)[:ROWS].to(normals.device)]
        self.raw.fill(rows)
        self.whitened.fill(self.whiten.common(rows))
        self.numbers.fill(rows, numbers)
        self.plain.fit(normals, rows, numbers, logarithms)

    def moved(self, rows: Tensor) -> Deviation:
        """The same for another domain, shown by rows (m, d): its covariance and scales
        stay.
        """
        # shared: it is large, and stays
        new = copy.deepcopy(self, {id(self.whiten.matrix): self.whiten.matrix})
        new.whiten.move(rows)
        new.raw.fill(rows)
        new.whitened.fill(new.whiten.common(rows))
        if len(new.numbers.columns):
            new.numbers.fill(rows, new.numbers.columns)
        if len(new.plain.view.columns):
            new.plain.neighbours.fill(new.plain.view(rows))
        return new

    def forward(self, x: Tensor) -> Tensor:
        return self.described(x)[0]

    def described(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptions, and the whitened rows that they come from: (n, d) -> (n, width), (n, d)."""
        z = self.whiten(x)
        common = z if self.whiten.mean.ndim == 1 else self.whiten.common(x)
        raw, whitened, plain = self.raw(x), self.whitened(common), self.plain(x)
        bands = [
            (band.square().mean(dim=1) + NEAR).log()
            for band in z.flip(1).tensor_split(self.bands, dim=1)
        ]
        free = [
            (z.norm(dim=1) + NEAR).log(),
            raw[:, 0],
            whitened[:, 0],
            raw[:, 1],
            self.numbers(x),
            plain[:, 0],
        ]
        details = [torch.stack(bands, dim=1), raw[:, 2:], plain[:, 1:], whitened[:, 1:]]
        return torch.cat([torch.stack(free, dim=1), *details], dim=1), z

    def nearest_one(self, description: Tensor) -> Tensor:
        """Out of a description, the log distance to the one nearest normal, raw and whitened: (n,
        width) -> (n, 2).
        """
        return description[:, [len(FREE) + self.bands, -4]]

    def tells(self, name: str) -> bool:
        """Whether this base score says anything of its own: numbers alone do where there are flags
        beside them.
        """
        silent = {"nearest-numbers": self.numbers.columns, "nearest-plain": self.plain.view.columns}
        return name not in silent or len(silent[name]) > 0


class Numbers(Resizing):
    """Log mean distance to the nearest in the columns that are no flags: (n, d) -> (n,).

    Zeros where there are flags only, or none: then this tells nothing of its own.
    """

    columns: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.zeros(0, dtype=torch.int64))
        self.bank = Bank(d, sketched=True)

    def fill(self, rows: Tensor, columns: Tensor) -> None:
        """Remember reference rows (m, d) in `columns` alone."""
        self.columns = columns if len(columns) < rows.shape[1] else columns[:0]
        if len(self.columns):
            self.bank.fill(rows[:, columns])

    def forward(self, x: Tensor) -> Tensor:
        if not len(self.columns):
            return x.new_zeros(x.shape[0])
        return _logs(self.bank.distances(x[:, self.columns], k=NEIGHBOURS).mean(dim=1))[:, 0]


class PlainNeighbours(nn.Module):
    """Neighbours in the columns that are no flags, logarithms undone: (n, d) -> (n, 6); zeros where
    none is one.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.view, self.neighbours = Plain(), Neighbours(d)

    def fit(
        self, normals: Tensor, rows: Tensor, columns: Tensor, logarithms: Tensor | None
    ) -> None:
        """Learn the plain scale of normals (n, d), and remember reference rows (m, d)."""
        self.view.fit(normals, columns, logarithms)
        if len(self.view.columns):
            self.neighbours.fill(self.view(rows))

    def forward(self, x: Tensor) -> Tensor:
        if not len(self.view.columns):
            return x.new_zeros(x.shape[0], 6)
        return self.neighbours(self.view(x))


def _no_flags(normals: Tensor) -> Tensor:
    """Columns in which normal rows take more than two values: (n, d) -> (c,).

    >>> _no_flags(torch.tensor([[0.0, 0.0, 5.0], [1.0, 1.0, 5.0], [1.0, 2.0, 5.0]]))
    tensor([1])
    """
    between = (normals > normals.amin(dim=0)) & (normals < normals.amax(dim=0))
    return between.any(dim=0).nonzero()[:, 0]


class Ratio(nn.Module):
    """log(distance to the nearest normal / distance to the nearest labelled anomaly), both
    whitened: (n, d), (n, width) -> (n,).

    The distance to normals comes out of a description, so that nothing is searched twice. Without
    labelled anomalies the second distance is taken to be 1, as in methods/distances.py.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.anomalies = Bank(d)

    def fill(self, anomalies: Tensor, deviation: Deviation, generator: torch.Generator) -> None:
        """Remember labelled anomalies (a, d), at most a random `ROWS` of them."""
        self.anomalies.fill(deviation.whiten(anomalies), most=ROWS, generator=generator)

    def forward(self, whitened: Tensor, deviation: Deviation, description: Tensor) -> Tensor:
        normal = deviation.nearest_one(description)[:, 1]
        if not len(self.anomalies.rows):
            return normal
        return normal - _logs(self.anomalies.distances(whitened, k=1)[:, 0])[:, 0]


def _logs(*distances: Tensor) -> Tensor:
    """Logarithms of distances, side by side: (n,) each -> (n, number)."""
    return (torch.stack(distances, dim=1) + NEAR).log()


@torch.no_grad()
def descriptions(deviation: Deviation, x: Tensor) -> Tensor:
    """Descriptions of many rows: (n, d) -> (n, width)."""
    return (
        torch.cat([deviation(chunk) for chunk in x.split(CHUNK)])
        if len(x)
        else x.new_zeros(0, deviation.width)
    )


@torch.no_grad()
def cross_described(
    x: Tensor,
    fold: Tensor,
    generator: torch.Generator,
    *further: Tensor,
    logarithms: Tensor | None = None,
) -> list[Tensor]:
    """Descriptions of normals (n, d) by those of the other folds (n,), and of rows made from them:
    (n, width) each.
    """
    each = _fold_deviations(x, fold, generator, logarithms=logarithms)
    return [_by_their_folds(each, rows, fold) for rows in (x, *further)]


def _fold_deviations(
    x: Tensor, fold: Tensor, generator: torch.Generator, *, logarithms: Tensor | None = None
) -> list[Deviation]:
    """For each fold (n,) the deviation from the normals (n, d) of the others.

    A row that stands in the reference bank is its own nearest, and would look more normal than any
    new row."""
    columns, found = _no_flags(x), []
    for k in range(int(fold.max()) + 1):
        deviation = Deviation(x.shape[1]).to(x.device)
        deviation.fit(x[fold != k], generator, logarithms=logarithms, columns=columns)
        found.append(deviation)
    return found


def _by_their_folds(deviations: Sequence[Deviation], x: Tensor, fold: Tensor) -> Tensor:
    """Descriptions of rows (n, d), each by the deviation of its fold (n,): (n, width)."""
    found = x.new_zeros(len(x), deviations[0].width)
    for k, deviation in enumerate(deviations):
        found[fold == k] = descriptions(deviation, x[fold == k])
    return found


@torch.no_grad()
def described_alike(
    normals: Tensor, fold: Tensor, anomalies: Tensor, run: Run
) -> tuple[list[Deviation], Tensor]:
    """The deviation from the normals of all folds but one, for each; and descriptions of normals
    and anomalies by them: (m, d), (m,), (a, d) -> (m + a, width).

    Anomalies are described as normals are, by as few of them; the mean over all folds. By all
    normals, where these are few for the columns, they would look nearer than normal rows do.
    """
    each = _fold_deviations(normals, fold, run.generator, logarithms=run.logarithms)
    mean = torch.stack([descriptions(deviation, anomalies) for deviation in each]).mean(dim=0)
    return each, torch.cat([_by_their_folds(each, normals, fold), mean])

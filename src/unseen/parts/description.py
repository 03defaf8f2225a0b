"""How a row deviates from the normal ones, not where it lies: a description that a new kind of anomaly fits as well."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.parts import losses
from unseen.parts.bank import NEAR, Bank, Whitening
from unseen.parts.nets import Resizing

FEW, MANY = 5, 10  # neighbours
TOP = 8  # largest entries of a row
CHUNK = 1024  # rows described at once


class Neighbourhood(Resizing):
    """What the nearest normals say about a row: (n, d) -> (n, 6 + min(d, TOP)).

    Log distances to the nearest, to the FEW and to the MANY nearest on the mean; the log of the last over the same
    distance of these neighbours themselves, which is how much sparser it is here than close by (Breunig et al. 2000);
    of the difference r to the nearest, the log of the largest entry, and |r|_1 / |r|_2, the more the more entries
    differ; and the largest entries |x|, in order.
    """

    spacing: Tensor  # (m,) mean distance of each row of the bank to the MANY rows nearest to it

    def __init__(self, d: int) -> None:
        super().__init__()
        self.bank = Bank(d)
        self.bank.fill(torch.zeros(1, d))
        self.register_buffer("spacing", torch.zeros(1))

    def fill(self, rows: Tensor) -> None:
        """Remember normal rows (m, d), at least 2."""
        self.bank.fill(rows)
        own = [self.bank.distances(chunk, k=MANY + 1)[:, 1:].mean(dim=1) for chunk in rows.split(CHUNK)]
        self.spacing = torch.cat(own)

    def forward(self, x: Tensor) -> Tensor:
        near = self.bank.nearest(x, k=MANY)
        distances = (x[:, None, :] - self.bank.rows[near]).norm(dim=2)  # (n, MANY)
        first = (x - self.bank.rows[near[:, 0]]).abs()
        logs = [distances[:, 0], distances[:, :FEW].mean(dim=1), distances.mean(dim=1), self.spacing[near].mean(dim=1)]
        nearest, few, many, theirs = ((d + NEAR).log() for d in logs)
        spread = first.sum(dim=1) / (distances[:, 0] + NEAR)
        columns = [nearest, few, many, many - theirs, (first.amax(dim=1) + NEAR).log(), spread]
        largest = x.abs().topk(min(TOP, x.shape[1]), dim=1).values
        return torch.cat([torch.stack(columns, dim=1), largest], dim=1)


class Description(nn.Module):
    """The neighbourhoods of a row as it is and whitened: (n, d) -> (n, 2 (6 + min(d, TOP)))."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.whiten = Whitening(d)
        self.raw, self.white = Neighbourhood(d), Neighbourhood(d)
        self.width = 2 * (6 + min(d, TOP))

    def fit(self, normals: Tensor, *, most: int, generator: torch.Generator) -> None:
        """Learn normality: covariance of all normals (n, d), and a random `most` of them as neighbours."""
        self.whiten.fit(normals, shrinkage=1e-3)
        kept = normals[torch.randperm(len(normals), generator=generator)[:most].to(normals.device)]
        self.raw.fill(kept)
        self.white.fill(self.whiten(kept))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.raw(x), self.white(self.whiten(x))], dim=1)

    def closeness(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """log(1 + distance to the nearest normal / to the nearest shown anomaly), raw and whitened: (n, 2).

        `skip=1` when the rows x are among those shown (m, d): nobody is close to himself. 0 where nothing is shown.
        """
        half = described.shape[1] // 2  # the first column of each half is a log distance to the nearest normal
        return torch.stack(
            [
                log_ratio(described[:, 0], distance(x, shown, skip)),
                log_ratio(described[:, half], distance(self.whiten(x), self.whiten(shown), skip)),
            ],
            dim=1,
        )


class DescribedScorer(Resizing):
    """Columns that describe a row, standardised, and a linear head; -log S_0/(1 - S_0): (n, d) -> (n,)."""

    centre: Tensor
    scale: Tensor
    trust: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.description = Description(d)
        self.shown = Bank(d)
        p = self.description.width + 2 + 2 * d
        self.register_buffer("centre", torch.zeros(p))
        self.register_buffer("scale", torch.ones(p))
        self.register_buffer("trust", torch.ones(p))
        self.head = nn.Linear(p, 2)

    def columns(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """Description, closeness to shown anomalies, and position: (n, d), (n, q), (m, d) -> (n, p)."""
        return torch.cat([described, self.description.closeness(x, described, shown, skip=skip), x, x.abs()], dim=1)

    def standardise(self, normals: Tensor, position: float) -> None:
        """Learn the columns' centre and scale from normals (n, p); a column of position counts `position` times."""
        self.centre, self.scale = normals.mean(dim=0), normals.std(dim=0) + 1e-2
        self.trust[self.description.width + 2 :] = position

    def standard(self, columns: Tensor) -> Tensor:
        """Columns on one scale, at most 10 deviations out: (n, p) -> (n, p)."""
        return ((columns - self.centre) / self.scale).clamp(-10, 10) * self.trust

    def logits(self, x: Tensor) -> Tensor:
        """Logits of normal and anomaly: (n, d) -> (n, 2)."""
        return self.head(self.standard(self.columns(x, self.description(x), self.shown.rows)))

    def forward(self, x: Tensor) -> Tensor:
        return -losses.normal_logit(self.logits(x))


def distance(x: Tensor, rows: Tensor, skip: int) -> Tensor:
    """Distance to the nearest row, or with `skip` to the next but that many; infinite if there is none: (n,)."""
    if len(rows) <= skip:
        return torch.full((len(x),), torch.inf, device=x.device)
    bank = Bank(x.shape[1])
    bank.fill(rows)
    return torch.cat([bank.distances(chunk, k=skip + 1)[:, skip] for chunk in x.split(CHUNK)])


def log_ratio(log_normal: Tensor, anomaly: Tensor) -> Tensor:
    """log(1 + normal / anomaly), from the logarithm of the first distance: (n,), (n,) -> (n,)."""
    return F.softplus(log_normal - (anomaly + NEAR).log())


@torch.no_grad()
def cross_described(
    normals: Tensor, others: Tensor, *, folds: int, most: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Descriptions of normals, and of rows made from them, by normals of the other folds: (n, d) twice -> (n, p) twice.

    A row that is its own nearest normal would look more normal than any new one does.
    """
    fold = torch.randperm(len(normals), generator=generator).to(normals.device) % folds
    found = [torch.empty(0), torch.empty(0)]
    for k in range(folds):
        out = fold == k
        description = Description(normals.shape[1]).to(normals.device)
        description.fit(normals[~out], most=most, generator=generator)
        for i, rows in enumerate((normals, others)):
            columns = torch.cat([description(chunk) for chunk in rows[out].split(CHUNK)])
            if not k:
                found[i] = columns.new_empty(len(rows), columns.shape[1])
            found[i][out] = columns
    return found[0], found[1]

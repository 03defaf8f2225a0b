"""Parts of the normal rows that nobody named: clusters, and their centres as prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.exporting import drawing
from unseen.parts.nets import Resizing
from unseen.types import Samples

BLOCK = 8192  # rows assigned at once
ROWS = 20_000  # rows that decide where the clusters of a kind lie


def centres(x: Tensor, k: int, generator: torch.Generator, *, rounds: int = 20) -> Tensor:
    """Centres of k-means (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007): (n, d)
    -> (min(k, n), d).

    A centre that loses all its rows stays where it is.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> centres(x, 2, torch.Generator().manual_seed(0)).sort(dim=0).values.tolist()
    [[0.5], [10.5]]
    """
    found = _started(x, min(k, len(x)), generator)
    for _ in range(rounds):
        owner = nearest_centre(x, found)
        sums = torch.zeros_like(found).index_add_(0, owner, x)
        count = torch.bincount(owner, minlength=len(found))[:, None]
        moved = torch.where(count > 0, sums / count.clamp_min(1), found)
        if torch.equal(moved, found):
            break
        found = moved
    return found


def _started(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k rows, each drawn with a chance that grows with its squared distance to those before it: (k,
    d).
    """
    rows = [int(torch.randint(len(x), (), generator=generator))]
    far = torch.full((len(x),), torch.inf, device=x.device)
    for _ in range(k - 1):
        far = torch.minimum(far, (x - x[rows[-1]]).square().sum(dim=1))
        chance = far.cpu().double() + 1e-12
        rows.append(int(torch.multinomial(chance, 1, generator=generator)))
    return x[rows].clone()


def nearest_centre(x: Tensor, centres: Tensor) -> Tensor:
    """The number of each row's nearest centre: (n, d), (k, d) -> (n,)."""
    if drawing():
        return (centres.square().sum(dim=1) - 2 * x @ centres.T).argmin(dim=1)
    return torch.cat([torch.cdist(block, centres).argmin(dim=1) for block in x.split(BLOCK)])


class Partition(Resizing):
    """Which domain a row is: its group where training showed several, else its nearest
    cluster.

    >>> kinds = Partition(1)
    >>> data = Samples.of(torch.tensor([[0.0], [1.0], [10.0], [11.0]]))
    >>> kinds.fit(data, 2, torch.Generator().manual_seed(0))
    >>> kinds(data).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """

    names: Tensor  # (k,) the groups, ascending; one name says that clusters tell
    centres: Tensor  # (k, d)
    in_order = ("names",)

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("centres", torch.zeros(1, d))

    def __len__(self) -> int:
        return max(len(self.names), len(self.centres))

    def fit(self, normals: Samples, clusters: int, generator: torch.Generator) -> None:
        """Learn the groups of normal rows, or where there is one, the centres of so many
        clusters.
        """
        self.names = normals.group.unique()
        if len(self.names) == 1:
            sample = torch.randperm(len(normals), generator=generator)[:ROWS].to(normals.x.device)
            self.centres = centres(normals.x[sample], clusters, generator)

    def forward(self, data: Samples) -> Tensor:
        """Numbers of kinds, -1 for a group that training did not show: (n,)."""
        if len(self.names) == 1:
            return nearest_centre(data.x, self.centres)
        place = torch.searchsorted(self.names, data.group).clamp_max(len(self.names) - 1)
        return place.where(self.names[place] == data.group, -1)

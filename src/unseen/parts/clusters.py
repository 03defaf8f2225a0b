"""Kinds of row that nobody named: clusters, and their centres as prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 8192  # rows assigned at once


def centres(x: Tensor, k: int, generator: torch.Generator, *, rounds: int = 20) -> Tensor:
    """Centres of k-means (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007): (n, d) -> (min(k, n), d).

    A centre that loses all its rows stays where it is.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> centres(x, 2, torch.Generator().manual_seed(0)).sort(dim=0).values.tolist()
    [[0.5], [10.5]]
    """
    found = started(x, min(k, len(x)), generator)
    for _ in range(rounds):
        owner = nearest_centre(x, found)
        sums = torch.zeros_like(found).index_add_(0, owner, x)
        count = torch.bincount(owner, minlength=len(found))[:, None]
        moved = torch.where(count > 0, sums / count.clamp_min(1), found)
        if torch.equal(moved, found):
            break
        found = moved
    return found


def started(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k rows, each drawn with a chance that grows with its squared distance to those before it: (k, d)."""
    rows = [int(torch.randint(len(x), (), generator=generator))]
    far = torch.full((len(x),), torch.inf, device=x.device)
    for _ in range(k - 1):
        far = torch.minimum(far, (x - x[rows[-1]]).square().sum(dim=1))
        chance = far.cpu().double() + 1e-12
        rows.append(int(torch.multinomial(chance, 1, generator=generator)))
    return x[rows].clone()


def nearest_centre(x: Tensor, centres: Tensor) -> Tensor:
    """The number of each row's nearest centre: (n, d), (k, d) -> (n,)."""
    return torch.cat([torch.cdist(block, centres).argmin(dim=1) for block in x.split(BLOCK)])

"""Few rows that stand for many: greedy k-centres (Sener & Savarese, ICLR 2018; PatchCore, Roth et
al., CVPR 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor

# rows, drawn at random, that centres are chosen from, if so many are not to be kept anyway
CANDIDATES = 20_000
# columns that distances are measured in: a random projection about keeps them (Johnson &
# Lindenstrauss)
WIDTH = 64


def spread_out(rows: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Numbers of rows that are spread over all of them: (n, d) -> (min(n, most),), none twice.

    The first is drawn at random, and each further one is the row that lies furthest from those
    chosen. Among CANDIDATES no row is then further from the nearest of them than twice what the
    best choice of as many could do (Gonzalez 1985).

    >>> rows = torch.tensor([[0.0], [1.0], [10.0]])
    >>> # the far one, whichever came first
    >>> sorted(rows[spread_out(rows, 2, torch.Generator())][:, 0].tolist())[1]
    10.0
    """
    drawn = torch.randperm(len(rows), generator=generator)[: max(most, CANDIDATES)].to(rows.device)
    points = projected(rows[drawn], generator)
    size = points.square().sum(dim=1)
    # drawn[0] is random already
    chosen = torch.zeros(min(len(drawn), most), dtype=torch.int64, device=rows.device)
    distance = torch.full_like(size, torch.inf)
    for i in range(1, len(chosen)):
        last = chosen[i - 1]
        distance = torch.minimum(
            distance, torch.addmv(size, points, points[last], alpha=-2).add_(size[last])
        )
        distance[last] = -torch.inf
        chosen[i] = distance.argmax()
    return drawn[chosen]


def projected(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Rows around 0, in at most WIDTH columns by a random matrix: (n, d) -> (n, min(d, WIDTH))."""
    # the smaller the rows, the less of a distance is lost to rounding
    rows = rows - rows.mean(dim=0)
    d = rows.shape[1]
    if d <= WIDTH:
        return rows
    return rows @ (torch.randn(d, WIDTH, generator=generator) / WIDTH**0.5).to(rows)

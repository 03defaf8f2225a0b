"""Scoring many rows: block by block, each row as if it were alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unseen.parts.threads import spread

CHUNK = 1024  # rows scored at once: the distances to a bank of neighbours then stay in the cache
# rows of a block are a multiple of it: kernels sum the last rows of other blocks in another order
WHOLE = 64


def scores(scorer: Callable[[Tensor], Tensor], x: Tensor, device: torch.device) -> Tensor:
    """Scores of rows, without gradients: (n, d) -> (n,) on the CPU; maps (n, d, h, w) one by one.

    Equal rows get equal scores, to the last bit, whatever rows are scored with them: alone, in any
    batch, at any place, on any number of threads.
    """
    if not len(x):
        return torch.zeros(0)
    rows = x.ndim == 2
    blocks = x.split(CHUNK if rows else 1)
    alone = device.type != "cpu" or len(blocks) == 1

    @torch.no_grad()
    def one(block: Tensor) -> Tensor:
        found: Tensor = scorer((_padded(block) if rows else block).to(device))
        return found[: len(block)].cpu()

    return torch.cat(list(spread(one, blocks, workers=1 if alone else None)))


def _padded(block: Tensor) -> Tensor:
    """The rows and, up to a multiple of WHOLE, copies of the last: (n, d) -> (m, d)."""
    missing = -len(block) % WHOLE
    return torch.cat([block, block[-1:].expand(missing, -1)]) if missing else block

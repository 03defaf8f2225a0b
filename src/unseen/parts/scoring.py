"""Scoring many rows: block by block, on workers that never wait for one another, each row as if it were alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from unseen.parts.loops import one_thread

CHUNK = 1024  # rows scored at once: the distances to a bank of neighbours then stay in the cache
WHOLE = 64  # rows of a block are a multiple of it: kernels sum the last rows of other blocks in another order


def scores(scorer: Callable[[Tensor], Tensor], x: Tensor, device: torch.device) -> Tensor:
    """Scores of rows, without gradients: (n, d) -> (n,) on the CPU; maps (n, d, h, w) one by one.

    Equal rows get equal scores, to the last bit, whatever rows are scored with them: alone, in any batch, at any place,
    on any number of threads. Blocks go to as many workers as torch has threads, each with one: workers that do not wait
    for one another lose nothing when other programs keep the cores busy.
    """
    if not len(x):
        return torch.zeros(0)
    rows = x.ndim == 2
    blocks = x.split(CHUNK if rows else 1)
    workers = min(torch.get_num_threads() if device.type == "cpu" else 1, len(blocks))

    @torch.no_grad()
    def one(block: Tensor) -> Tensor:
        found: Tensor = scorer((_filled(block) if rows else block).to(device))
        return found[: len(block)].cpu()

    with one_thread(), ThreadPoolExecutor(workers) as pool:
        return torch.cat(list(pool.map(one, blocks)))


def _filled(block: Tensor) -> Tensor:
    """The rows and, up to a multiple of WHOLE, copies of the last: (n, d) -> (m, d)."""
    missing = -len(block) % WHOLE
    return torch.cat([block, block[-1:].expand(missing, -1)]) if missing else block

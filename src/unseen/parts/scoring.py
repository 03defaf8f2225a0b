"""Scoring many rows: chunk by chunk, on workers that never wait for one another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from unseen.parts.loops import one_thread

CHUNK = 1024  # rows scored at once: the distances to a bank of neighbours then stay in the cache


def scores(scorer: Callable[[Tensor], Tensor], x: Tensor, device: torch.device) -> Tensor:
    """Scores of rows, without gradients: (n, d) -> (n,) on the CPU; maps (n, d, h, w) one by one.

    Chunks go to as many workers as torch has threads, each with one: workers that do not wait for one another lose
    nothing when other programs keep the cores busy, and a score does not depend on the number of threads.
    """
    if not len(x):
        return torch.zeros(0)
    chunks = x.split(CHUNK if x.ndim == 2 else 1)
    workers = min(torch.get_num_threads() if device.type == "cpu" else 1, len(chunks))

    @torch.no_grad()
    def one(chunk: Tensor) -> Tensor:
        found: Tensor = scorer(chunk.to(device)).cpu()
        return found

    with one_thread(), ThreadPoolExecutor(workers) as pool:
        return torch.cat(list(pool.map(one, chunks)))

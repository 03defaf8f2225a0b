"""A method trained on tensors, without `Detector`: no schema, no calibration."""

from typing import Any

import torch
from torch import Tensor

from unseen import Method, Run, Samples

CHUNK = 4096  # rows scored at once


def trained(
    method: Method,
    data: Samples,
    seed: int,
    *,
    initial: int | None = None,
    logarithms: Tensor | None = None,
) -> Any:
    """A scorer; `initial` is the seed of its initial weights where it is not drawn from `seed`."""
    run = Run(torch.Generator().manual_seed(seed), logarithms=logarithms)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed() if initial is None else initial)
        scorer = method.build(tuple(data.x.shape[1:]))
    method.train(scorer, data, run)
    return scorer.eval()


@torch.no_grad()
def scored(scorer: Any, x: Tensor) -> Tensor:
    """Scores of rows: (n, *f) -> (n,), of maps one by one."""
    return torch.cat([scorer(part) for part in x.split(CHUNK if x.ndim == 2 else 1)])

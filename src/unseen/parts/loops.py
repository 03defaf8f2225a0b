"""Training loops: the only file where an optimiser steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unseen.types import Run, Samples


def minimise(
    loss: Callable[[Samples], Tensor],
    optimiser: torch.optim.Optimizer,
    stream: Iterator[Samples],
    run: Run,
    *,
    steps: int,
    clip: float = 1.0,
) -> None:
    """Descend the weighted mean of `loss` (n,) over batches of the stream; gradients clipped to norm `clip`.

    Divides by the sum of the weights, so that down-weighting rows does not lower the learning rate.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    with one_thread():
        for _ in range(steps):
            batch = next(stream)
            each = loss(batch)  # (n,)
            mean = (batch.weight * each).sum() / batch.weight.sum().clamp_min(1e-12)
            optimiser.zero_grad(set_to_none=True)
            mean.backward()
            nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
    run.log(steps, {"loss": float(mean.detach())})


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside: steps this small gain little from two, and wait long for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Average:
    """Running mean of a module's parameters and float buffers: steadier than its last state (Izmailov et al. 2018)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Tensor] = {}

    def add(self, module: nn.Module) -> None:
        """Take the present state into the mean."""
        self.count += 1
        for name, value in module.state_dict().items():
            seen = self.mean.setdefault(name, value.clone())
            if value.is_floating_point():
                seen += (value - seen) / self.count

    def load(self, module: nn.Module) -> None:
        """Set the module to the mean."""
        module.load_state_dict(self.mean)


def settle(loss: Callable[[], Tensor], parameters: Iterable[nn.Parameter], *, steps: int = 50) -> None:
    """Descend a smooth convex loss () of all rows at once by L-BFGS: one minimum, whatever the seed."""
    optimiser = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def evaluated() -> float:
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        return float(value.detach())

    with one_thread():
        optimiser.step(evaluated)

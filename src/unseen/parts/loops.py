"""Training loops: the only file where an optimiser steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from unseen.parts.threads import one_thread
from unseen.types import Run, Samples, Trainable, silent


class Weighted(Protocol):
    """A mini-batch of whatever a loss reads, with a weight for each row of it."""

    @property
    def weight(self) -> Tensor:
        """(n,)"""


Batch = TypeVar("Batch", bound=Weighted)


def descend(method: Trainable, scorer: nn.Module, data: Samples, run: Run) -> None:
    """Train as a Trainable describes itself: prepare, then its loss over its stream by its
    optimiser.
    """
    method.prepare(scorer, data, run)
    optimiser, stream = method.optimiser(scorer), method.stream(data, run)
    minimise(
        lambda batch: method.loss(scorer, batch, run), optimiser, stream, run, steps=method.steps
    )


def minimise(
    loss: Callable[[Batch], Tensor],
    optimiser: torch.optim.Optimizer,
    stream: Iterator[Batch],
    run: Run,
    *,
    steps: int,
    clip: float = 1.0,
) -> None:
    """Descend the weighted mean of `loss` (n,) over batches of the stream; gradients clipped to
    norm `clip`.

    Divides by the sum of the weights, so that down-weighting rows does not lower the learning rate.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    with one_thread():
        for _ in range(steps):
            batch = next(stream)
            mean = weighted_mean(loss(batch), batch.weight)
            optimiser.zero_grad(set_to_none=True)
            mean.backward()
            nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
    run.log(steps, {"loss": float(mean.detach())})


def weighted_mean(each: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight x value over the sum of weights: (n,), (n,) -> ()."""
    return (weight * each).sum() / weight.sum().clamp_min(1e-12)


class Average:
    """Running mean of a module's parameters and float buffers: steadier than its last state
    (Izmailov et al. 2018).
    """

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


def settle(
    loss: Callable[[], Tensor], parameters: Iterable[nn.Parameter], *, steps: int = 50
) -> None:
    """Descend a smooth convex loss () of all rows at once by L-BFGS: one minimum, whatever the
    seed.
    """
    optimiser = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def evaluated() -> float:
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        return float(value.detach())

    with one_thread():
        optimiser.step(evaluated)


def adapted(
    scorer: nn.Module,
    loss: Callable[[nn.Module, Samples], Tensor],
    support: Iterator[Samples],
    run: Run,
    *,
    rate: float,
    steps: int,
) -> nn.Module:
    """A copy of the scorer after a few steps of plain SGD on the support: the inner loop of MAML
    and Reptile.
    """
    fast = copy.deepcopy(scorer)
    optimiser = torch.optim.SGD([p for p in fast.parameters() if p.requires_grad], lr=rate)
    minimise(lambda batch: loss(fast, batch), optimiser, support, run, steps=steps)
    return fast


def learned(
    method: Trainable, scorer: nn.Module, support: Samples, run: Run, *, rate: float, steps: int
) -> nn.Module:
    """`adapted` to what a Trainable makes of the support: a copy after a few steps on its loss over
    its own stream.
    """
    quiet = replace(run, log=silent)
    stream = method.stream(support, quiet)
    return adapted(
        scorer, lambda m, batch: method.loss(m, batch, quiet), stream, quiet, rate=rate, steps=steps
    )


def mean_loss(method: Trainable, scorer: nn.Module, batch: Samples, run: Run) -> Tensor:
    """Weighted mean of a Trainable's loss on one batch, with its graph: ()."""
    return weighted_mean(method.loss(scorer, batch, run), batch.weight)


@torch.no_grad()
def move_towards(scorer: nn.Module, adapted: Sequence[nn.Module], *, share: float) -> None:
    """Reptile: theta + share * mean(theta' - theta) over adapted copies (Nichol et al. 2018, eq. 3
    and batch form).
    """
    for own, *others in zip(scorer.parameters(), *(m.parameters() for m in adapted), strict=True):
        own += share * (torch.stack(others).mean(dim=0) - own)


def step_by(
    scorer: nn.Module,
    losses: Sequence[tuple[nn.Module, Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    clip: float = 1.0,
) -> None:
    """First-order MAML (Finn et al. 2017): the gradients of query losses at adapted copies step the
    scorer itself.

    `losses`: each adapted copy with its reduced query loss (), already weighted by task; their
    gradients are summed."""
    own = list(scorer.parameters())
    total = [torch.zeros_like(p) for p in own]
    for fast, loss in losses:
        parameters = list(fast.parameters())
        wanted = [p for p in parameters if p.requires_grad]
        found = dict(
            zip(map(id, wanted), torch.autograd.grad(loss, wanted, allow_unused=True), strict=True)
        )
        for sum_, parameter in zip(total, parameters, strict=True):
            gradient = found.get(id(parameter))
            if gradient is not None:
                sum_ += gradient
    optimiser.zero_grad(set_to_none=True)
    for parameter, gradient in zip(own, total, strict=True):
        parameter.grad = gradient if parameter.requires_grad else None
    nn.utils.clip_grad_norm_(own, clip)
    optimiser.step()

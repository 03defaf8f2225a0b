"""MAML: a start from which a few steps on new rows are enough (Finn, Abbeel & Levine, ICML
2017).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from unseen.parts.episodes import at_most, tasks, together
from unseen.parts.loops import learned, mean_loss, step_by
from unseen.parts.nets import Resizing
from unseen.parts.threads import one_thread
from unseen.types import Run, Samples, Trainable


@dataclass(frozen=True)
class MAML:
    """A start from which a few steps of any base method find anomalies it was not shown (Finn et
    al., ICML 2017).

    Each step draws a few tasks. A task's support has normals, of one domain (`groups`) where there
    are several, and the labelled anomalies without one class; its query has other normals of that
    domain, and that class. Inner steps, by the base's own loss on the support, make a copy; the
    copy's loss on the query moves the start, by the base's own optimiser. The scorer that training
    leaves has taken the inner steps on all rows.

    `adapt` takes such steps from the start on its support, beside the anomalies that training saw
    if the support shows none.

    Equation:
        theta_i = theta - a grad L(theta; support_i);
        theta <- theta - b sum_i grad L(theta_i; query_i)

    When: several domains are known and more will come, each with a few rows. With one domain it
    finds about what its base finds, for several times the time; the start alone, not adapted, ranks
    anomalies worse or better by chance.
    Differs: first order, the gradient is taken at theta_i as if it did not depend on theta.
    Gradients of inner steps are clipped to norm 1, so a step's length does not depend on the scale
    of the base's loss.

    Parameters
    ----------
    base : Trainable
        Method that is trained, with a loss and batches of its own, such as DevNet.
    steps : int
        Optimiser steps of the start, by the optimiser of `base`.
    tasks : int
        Tasks in a step.
    size : int
        Most normals, and most anomalies, of a support and of a query. Of the anomalies that
        training saw, so many at most are kept for `adapt`.
    inner_steps : int
        Steps of a copy on a support, and in the end on all rows.
    inner_rate : float
        Learning rate of plain SGD in the inner steps and in `adapt`.
    adapt_steps : int
        Steps of `adapt`: more than inner ones, as a new domain may be far. 0 takes `inner_steps`.

    >>> from unseen import DevNet
    >>> MAML(DevNet()).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    base: Trainable
    steps: int = 300
    tasks: int = 2
    size: int = 256
    inner_steps: int = 5
    inner_rate: float = 0.1
    adapt_steps: int = 20

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return MAMLScorer(self.base.build(shape), *shape)

    def train(self, scorer: MAMLScorer, data: Samples, run: Run) -> None:
        self.base.prepare(scorer.start, data, run)
        optimiser, drawn = self.base.optimiser(scorer.start), tasks(data, self.size, run.generator)
        with one_thread():
            for _ in range(self.steps):
                copies = []
                for task in (next(drawn) for _ in range(self.tasks)):
                    fast = self.inner(scorer.start, task.support, run)
                    batch = next(self.base.stream(task.query, run))
                    copies.append((fast, mean_loss(self.base, fast, batch, run) / self.tasks))
                step_by(scorer.start, copies, optimiser)
        run.log(self.steps, {"query": sum(float(loss.detach()) for _, loss in copies)})
        scorer.remember(at_most(data.anomalies, self.size, run.generator))
        scorer.now.load_state_dict(self.inner(scorer.start, data, run).state_dict())

    def inner(
        self, start: nn.Module, support: Samples, run: Run, steps: int | None = None
    ) -> nn.Module:
        """A copy of the start after `inner_steps` steps on the support, or so many."""
        return learned(
            self.base, start, support, run, rate=self.inner_rate, steps=steps or self.inner_steps
        )

    def adapt(self, scorer: MAMLScorer, support: Samples, run: Run) -> nn.Module:
        moved = copy.deepcopy(scorer)
        rows = support if len(support.anomalies) else together(support, scorer.shown())
        moved.now.load_state_dict(
            self.inner(scorer.start, rows, run, self.adapt_steps).state_dict()
        )
        return moved


class MAMLScorer(Resizing):
    """The start, the scorer adapted from it, and anomalies to adapt with; the adapted one scores:
    (n, d) -> (n,).
    """

    anomalies: Tensor  # (a, d)
    classes: Tensor  # (a,)

    def __init__(self, start: nn.Module, *shape: int) -> None:
        super().__init__()
        self.start, self.now = start, copy.deepcopy(start)
        self.register_buffer("anomalies", torch.zeros(0, *shape))
        self.register_buffer("classes", torch.zeros(0, dtype=torch.int64))

    def remember(self, anomalies: Samples) -> None:
        self.anomalies, self.classes = anomalies.x, anomalies.y

    def shown(self) -> Samples:
        return Samples.of(self.anomalies, self.classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.now(x))

"""AHL: anomaly heterogeneity learning (Zhu, Ding, Tian & Pang, CVPR 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from unseen.parts.clusters import centres, nearest_centre
from unseen.parts.episodes import at_most, draw, hiding, in_two, together
from unseen.parts.loops import learned, mean_loss, step_by
from unseen.parts.pseudo import feature_cut, feature_noise, feature_swap
from unseen.parts.threads import one_thread
from unseen.types import Episode, Run, Samples, Trainable

ROWS = 20_000  # normals that are clustered
KINDS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    lambda x, g: feature_cut(x, x, g),
    feature_swap,
    feature_noise,
)


@dataclass(frozen=True)
class AHL:
    """Any base method trained on many different simulated distributions of anomalies (Zhu et al.,
    CVPR 2024).

    Tasks are made once: a cluster of normals (k-means), the labelled anomalies without one class,
    and one kind of pseudo-anomaly are the support; other rows of the cluster, that class and
    another kind of pseudo-anomaly are the query. Pseudo-anomalies have features cut from other
    normals, moved within the row, or noise on them. At each step copies learn from the supports of
    some tasks by the base's loss, and their losses on the queries move the scorer, first order. A
    task whose copies do well on other tasks' queries weighs more: e_i is a running mean of those
    losses.

    Equation:
        theta <- theta - b sum_i w_i grad L(theta_i; query_i),
            theta_i = theta - a grad L(theta; support_i)
        w_i = 0.5 + 0.5 softmax_i(-e_i)

    When: a few labelled anomalies of two classes or more, and a base that finds these but little
    else. A base that has pseudo-anomalies of its own, as `DevNet(cut=0.5)`, may get as far in a
    fraction of the time: compare.
    Differs: the running mean stands in for the paper's LSTM, which predicts it; first order; fewer
    steps, as time grows with them, though more help; clusters come in turn, as the base never sees
    normals of one that chance leaves out; pseudo-anomalies are the paper's kinds carried over to
    rows of a table, noise in place of its third, and count as much as labelled anomalies.

    Parameters
    ----------
    base : Trainable
        Method that is trained: its network, loss, batches and optimiser.
    steps : int
        Optimiser steps of the scorer; the base's own number is not used.
    distributions : int
        Tasks that are made.
    tasks : int
        Tasks that a step draws from these, none twice.
    clusters : int
        Clusters of the normals; each task has normals of one.
    size : int
        Most normals in a support, and in a query.
    inner_steps : int
        Steps of a copy on its support.
    inner_rate : float
        Learning rate of the copies, a, by plain gradient descent.
    memory : float
        Share of its past that the running mean e_i keeps, 0 to 1.

    >>> from unseen import DevNet
    >>> AHL(DevNet()).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    base: Trainable
    steps: int = 300
    distributions: int = 6
    tasks: int = 3
    clusters: int = 3
    size: int = 256
    inner_steps: int = 3
    inner_rate: float = 0.01
    memory: float = 0.9

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return self.base.build(shape)

    def train(self, scorer: nn.Module, data: Samples, run: Run) -> None:
        self.base.prepare(scorer, data, run)
        episodes, optimiser = self.episodes(data, run.generator), self.base.optimiser(scorer)
        errors = torch.full((len(episodes),), torch.nan)
        with one_thread():
            for _ in range(self.steps):
                drawn = torch.randperm(len(episodes), generator=run.generator)[: self.tasks]
                copies, table = self.copies(scorer, [episodes[i] for i in drawn.tolist()], run)
                errors[drawn] = remembered(errors[drawn], of_others(table), self.memory)
                shares = (_task_weights(errors[drawn]) / len(drawn)).tolist()
                step_by(
                    scorer,
                    [(fast, w * own) for (fast, own), w in zip(copies, shares, strict=True)],
                    optimiser,
                )
        run.log(self.steps, {"query": float(table.diagonal().mean())})

    def episodes(self, data: Samples, generator: torch.Generator) -> list[Episode]:
        """The distributions, each a support and a query that share no row, no labelled class, no
        kind of pseudo.
        """
        normals, anomalies = at_most(data.normals, ROWS, generator), data.anomalies
        owner = nearest_centre(normals.x, centres(normals.x, self.clusters, generator))
        several = [normals[owner == c] for c in owner.unique() if (owner == c).sum() > 1] or [
            normals
        ]
        splits, pseudo = hiding(anomalies, generator), max(data.classes, default=0) + 1
        rounds = math.ceil(self.distributions / len(several))
        order = torch.cat(
            [torch.randperm(len(several), generator=generator) for _ in range(rounds)]
        ).tolist()
        found = []
        for i in range(self.distributions):
            cluster = several[order[i]]
            kinds = torch.randperm(len(KINDS), generator=generator).tolist()
            split, parts = splits[i % len(splits)], []
            rows = next(in_two(cluster, self.size, generator))
            for part, of, kind in zip(rows, (split.inside, split.outside), kinds, strict=False):
                few = (
                    anomalies[of[draw(len(of), len(part), generator).to(of.device)]]
                    if len(of)
                    else anomalies
                )
                pseudo_rows = replace(
                    part, x=KINDS[kind](part.x, generator), y=torch.full_like(part.y, pseudo + kind)
                )
                parts.append(together(part, few, pseudo_rows))
            found.append(Episode(*parts))
        return found

    def copies(
        self, scorer: nn.Module, drawn: list[Episode], run: Run
    ) -> tuple[list[tuple[nn.Module, Tensor]], Tensor]:
        """Each task's copy with its loss on its own query; and of each copy (rows) on each query
        (columns), (t, t).
        """
        queries = [next(self.base.stream(task.query, run)) for task in drawn]
        found, table = [], torch.zeros(len(drawn), len(drawn))
        for i, task in enumerate(drawn):
            fast = learned(
                self.base, scorer, task.support, run, rate=self.inner_rate, steps=self.inner_steps
            )
            own = mean_loss(self.base, fast, queries[i], run)
            with torch.no_grad():
                row = [
                    own if i == j else mean_loss(self.base, fast, query, run)
                    for j, query in enumerate(queries)
                ]
                table[i] = torch.stack(row)
            found.append((fast, own))
        return found, table


def of_others(losses: Tensor) -> Tensor:
    """Mean of each row but for its diagonal entry: (t, t) -> (t,); a single task has only
    itself.
    """
    others = len(losses) - 1
    return (losses.sum(dim=1) - losses.diagonal()) / others if others else losses.diagonal()


def remembered(past: Tensor, now: Tensor, memory: float) -> Tensor:
    """Running mean that starts at the first value, where `past` is NaN: (t,), (t,) -> (t,)."""
    return torch.where(past.isnan(), now.to(past), memory * past + (1 - memory) * now.to(past))


def _task_weights(errors: Tensor) -> Tensor:
    """0.5 + 0.5 softmax(-error): (t,) -> (t,).

    >>> _task_weights(torch.tensor([0.0, torch.log(torch.tensor(3.0))]))
    tensor([0.8750, 0.6250])
    """
    return 0.5 + 0.5 * torch.softmax(-errors, dim=0)

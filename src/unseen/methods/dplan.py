"""DPLAN: reinforcement learning of known and unknown anomalies (Pang et al., arXiv 2009.06847)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from sklearn.ensemble import IsolationForest
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts import terms
from unseen.parts.episodes import at_most, draw, together
from unseen.parts.loops import minimise
from unseen.parts.nets import mlp
from unseen.parts.products import Linear
from unseen.parts.threads import filters_kept
from unseen.types import Run, Samples

ROWS = 20_000  # unlabelled rows that the environment holds
REPLAY = 50_000  # transitions remembered


@dataclass(frozen=True)
class DPLAN:
    """An agent paid for alarms on labelled anomalies and for looking at rows that seem rare.

    The state is a row, the action an alarm or none. With equal chance the next row is a labelled
    anomaly, or of some other rows the nearest in the network's last hidden layer after an alarm,
    else the farthest: so the agent goes on looking near what it took for an anomaly. Beside the pay
    for its verdict it gets i, the row's isolation-forest score in that layer, scaled to [0, 1].

    Equation:
        r = [alarm on a labelled anomaly: 1; no alarm on an unlabelled row: 0; else -1] + i
        loss = (r + discount max_a Q'(s', a) - Q(s, a))^2;  score(x) = Q(x, alarm)

    When: to compare with. In a table of independent rows no verdict changes what comes next: that
    it seems to is the method's construction, and it costs more than methods that learn from each
    row by itself.
    Differs: several rows are walked at once, so that 1,500 steps of the optimiser see 48,000
    transitions where the paper takes 20,000 steps for as many; a row is never its own nearest.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers, at least one.
    steps : int
        Optimiser steps.
    batch : int
        Remembered transitions in a batch.
    environments : int
        Rows that are walked at once: new transitions of each step.
    subset : int
        Normal or unlabelled rows drawn at a step, to look among for the nearest and the farthest.
    discount : float
        Weight of the next row's value, 0 to 1.
    explore : float
        Share of random actions, 0 to 1, from the middle of training on; it falls to this from 1.
    sync : int
        Steps after which the target network Q' and the isolation-forest scores are taken anew.
    rate : float
        Learning rate of RMSprop.

    >>> DPLAN().build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (20,)
    steps: int = 1500
    batch: int = 128
    environments: int = 32
    subset: int = 1000
    discount: float = 0.99
    explore: float = 0.1
    sync: int = 500
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Agent(*shape, hidden=self.hidden)

    def train(self, scorer: Agent, data: Samples, run: Run) -> None:
        if not len(data.normals) or not len(data.anomalies):
            raise DataError(
                "DPLAN needs normal or unlabelled rows and labelled anomalies; it was given "
                f"{len(data.normals)} and {len(data.anomalies)}: label at least one anomaly, or "
                "use a method without labels"
            )

        def loss(seen: Transition) -> Tensor:
            value = scorer.values(seen.x).gather(1, seen.action[:, None])[:, 0]
            return terms.temporal_difference(
                value=value, reward=seen.reward, after=seen.after, discount=self.discount
            )

        optimiser = torch.optim.RMSprop(scorer.parameters(), lr=self.rate)
        minimise(loss, optimiser, self.experience(scorer, data, run), run, steps=self.steps)

    @torch.no_grad()
    def experience(self, scorer: Agent, data: Samples, run: Run) -> Iterator[Transition]:
        """A batch of what is remembered, after every decision on `environments` rows."""
        g, device = run.generator, data.x.device
        unlabelled = at_most(data.normals, ROWS, g)
        rows, first = together(unlabelled, data.anomalies), len(unlabelled)
        replay, state = Replay(REPLAY, device), draw(len(rows), self.environments, g).to(device)
        for step in itertools.count():
            if step % self.sync == 0:
                target, novel = (
                    copy.deepcopy(scorer),
                    novelty(scorer.features(rows.x), first, run),
                )
            epsilon = max(self.explore, 1 - 2 * step / self.steps * (1 - self.explore))
            action = scorer.values(rows.x[state]).argmax(dim=1)
            action = torch.where(
                _chance(epsilon, action, g), draw(2, len(state), g).to(device), action
            )
            near = torch.randperm(first, generator=g)[: self.subset].to(device)
            here, there = scorer.features(rows.x[state]), scorer.features(rows.x[near])
            after = near[following(here, there, action=action, own=state, numbers=near)]
            labelled = first + draw(len(rows) - first, len(state), g).to(device)
            after = torch.where(_chance(0.5, state, g), labelled, after)
            replay.add(
                state,
                action,
                after,
                reward(action=action, labelled=state >= first) + novel[state],
            )
            state = after
            was, action_, then, pay = replay.batch(self.batch, g)
            yield Transition(
                rows.x[was], action_, pay, target.values(rows.x[then]), rows.weight[was]
            )


def _chance(share: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """True with this probability, as many as `like` has rows: (n,) bool."""
    return (torch.rand(len(like), generator=generator) < share).to(like.device)


def novelty(features: Tensor, unlabelled: int, run: Run) -> Tensor:
    """Scores of an isolation forest that the first rows grew, scaled to [0, 1] over all: (n, k) ->
    (n,).
    """
    x, rows = features.cpu().numpy(), min(256, unlabelled)
    with filters_kept():
        forest = IsolationForest(max_samples=rows, random_state=run.seed()).fit(x[:unlabelled])
        score = torch.from_numpy(-forest.score_samples(x)).to(features)
    return (score - score.min()) / (score.max() - score.min()).clamp_min(1e-12)


class Agent(nn.Module):
    """Q of both actions on a hidden layer; the score is Q of an alarm: (n, d) -> (n,)."""

    def __init__(self, d: int, *, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp([d, *hidden]), nn.ReLU())
        self.head = Linear(hidden[-1], 2)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x)

    def values(self, x: Tensor) -> Tensor:
        """Q of no alarm and of an alarm: (n, d) -> (n, 2)."""
        return self.head(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.values(x)[:, 1]


class Transition(NamedTuple):
    """What was decided about rows, and what came of it.

    Parameters
    ----------
    x : Tensor
        Rows (n, d), float32.
    action : Tensor
        Decisions (n,), int64: 1 an alarm, 0 none.
    reward : Tensor
        Pay r (n,), float32.
    after : Tensor
        Q' of no alarm and of an alarm on the rows that came next (n, 2), float32.
    weight : Tensor
        Weights of the rows (n,), float32.
    """

    x: Tensor  # (n, d)
    action: Tensor  # (n,) 1: an alarm
    reward: Tensor  # (n,)
    after: Tensor  # (n, 2)
    weight: Tensor  # (n,)


class Replay:
    """The last `size` decisions: row number, action, number of the next row, pay."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.numbers = torch.zeros(size, 3, dtype=torch.int64, device=device)
        self.pay = torch.zeros(size, device=device)
        self.count = 0

    def add(self, state: Tensor, action: Tensor, after: Tensor, pay: Tensor) -> None:
        """Remember decisions, (n,) each, in place of the oldest."""
        places = (self.count + torch.arange(len(state), device=state.device)) % len(self.pay)
        self.numbers[places], self.pay[places] = torch.stack([state, action, after], dim=1), pay
        self.count += len(state)

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decisions drawn with replacement: state, action, next state, pay, (n,) each."""
        picked = draw(min(self.count, len(self.pay)), n, generator).to(self.pay.device)
        state, action, after = self.numbers[picked].unbind(dim=1)
        return state, action, after, self.pay[picked]


def reward(*, action: Tensor, labelled: Tensor) -> Tensor:
    """1 for an alarm on a labelled anomaly, 0 for none on an unlabelled row, -1 otherwise: (n,),
    (n,) -> (n,).

    >>> reward(action=torch.tensor([1, 0, 1, 0]), labelled=torch.tensor([True, False, False, True]))
    tensor([ 1.,  0., -1., -1.])
    """
    right = torch.where(labelled, 1.0, 0.0)
    return torch.where((action == 1) == labelled, right, -1.0)


def following(
    here: Tensor, there: Tensor, *, action: Tensor, own: Tensor, numbers: Tensor
) -> Tensor:
    """Which row of `there` comes next, the nearest after an alarm, else the farthest: (n, k), (m,
    k), (n,) -> (n,).

    `own` (n,) and `numbers` (m,) are row numbers: a row is not its own nearest.
    """
    distance = torch.cdist(here, there)  # (n, m)
    nearest = distance.masked_fill(own[:, None] == numbers[None, :], torch.inf).argmin(dim=1)
    return torch.where(action == 1, nearest, distance.argmax(dim=1))

"""Rows as the states of a Markov decision process (DPLAN, Pang et al., KDD 2021): verdicts, pay,
what comes next.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unseen.parts.episodes import draw


class Transition(NamedTuple):
    """What was decided about rows, what it brought, and what the target network says of the rows
    that came next.
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

"""What rounding may make of a score: what is alike to the library's own judgement of rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.news import NotedOnce
from unseen.data.split import Rows
from unseen.detector.conformal import outranked
from unseen.detector.domains import pvalues_by_domain
from unseen.detector.members import raised
from unseen.parts.ranking import ALIKE
from unseen.parts.scoring import scores
from unseen.quiet import quiet
from unseen.storage.onnx_graph import encodings
from unseen.storage.onnx_inputs import Inputs

Array = NDArray[np.float64]
Change = Callable[[nn.Module, Tensor], tuple[nn.Module, Tensor]]
# by which share the numbers of a row and of a scorer move, to see how far scores hang on rounding
MOVED, MOVES = (ALIKE / 10, ALIKE), 16
USUAL = 4  # times the 90% quantile of what double precision changes: of one sum, and of another
NOWHERE = "(of no domain)"


@dataclass(frozen=True)
class Bounds:
    """What is alike to the library's judgement of rows: the lowest and the highest score and
    p-value (n,).
    """

    low: Array
    high: Array
    least: Array
    most: Array

    def hold(self, score: Array, pvalue: Array) -> NDArray[np.bool_]:
        """Which of these judgements are alike: (n,)."""
        room = 1e-12 * np.abs(pvalue)
        return (
            (score >= self.low)
            & (score <= self.high)
            & (pvalue >= self.least - room)
            & (pvalue <= self.most + room)
        )


def scores_of_members(
    detector: Any, inputs: Inputs, change: Change = lambda scorer, x: (scorer, x)
) -> list[Array]:
    """The library's scores of encoded rows, by each member; with a `change` of scorers and rows, as
    high as what is unprecedented in the rows raises the others.
    """
    known, device = encodings(detector), detector.torch_device()
    found = []
    for member in detector.members_:
        x = next(inputs[name] for name, encoder in known.items() if encoder == member.encoder)
        amount = member.encoder.beyond(x) + inputs.get("unprecedented", 0.0)
        own = scores(*change(member.scorer, torch.from_numpy(x)), device).double().numpy()
        found.append(raised(own, member.calibration, amount))
    return found


def reached(
    detector: Any, inputs: Inputs, each: Sequence[Array], some: Rows
) -> tuple[list[Array], list[Array]]:
    """The lowest and the highest scores, by each member, that rounding may make of some of the
    rows: twice as far apart as the library's own, those in double precision, and those of slight
    changes; and beyond by as much as double precision usually differs.

    `each`: the library's scores of all the rows, by each member.
    """
    generator = torch.Generator().manual_seed(0)
    fewer = {name: value[some] for name, value in inputs.items()}
    draws, usual = [[scores[some] for scores in each]], [0.0] * len(each)
    with suppress(RuntimeError):  # a method of another package may know single precision alone
        exact = scores_of_members(detector, inputs, _exactly)
        draws.append([scores[some] for scores in exact])
        off = [np.abs(a - b) for a, b in zip(each, exact, strict=True)]
        usual = [USUAL * float(np.quantile(gaps, 0.9)) for gaps in off]
    for size in np.repeat(MOVED, MOVES):
        change = partial(_slightly, size=float(size), generator=generator)
        draws.append(scores_of_members(detector, fewer, change))
    low, high = [], []
    for room, *member in zip(usual, *draws, strict=True):
        least, most = np.min(member, axis=0), np.max(member, axis=0)
        low.append(least - (most - least) / 2 - room)
        high.append(most + (most - least) / 2 + room)
    return low, high


def _exactly(scorer: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    return copy.deepcopy(scorer).double(), x.double()


@torch.no_grad()
def _slightly(
    scorer: nn.Module, x: Tensor, *, size: float, generator: torch.Generator
) -> tuple[nn.Module, Tensor]:
    """A scorer and rows of which each number is larger or smaller by this share of it, those of
    rows by as much of 1 at least.
    """

    def up_or_down(value: Tensor) -> Tensor:
        drawn = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
        return size * drawn.to(value.device)

    moved = copy.deepcopy(scorer)
    for value in (*moved.parameters(), *moved.buffers()):
        if value.is_floating_point():
            value.mul_(1 + up_or_down(value))
    return moved, x + x.abs().clamp_min(1) * up_or_down(x)


def judgement(detector: Any, inputs: Inputs, each: Sequence[Array]) -> tuple[Array, Array]:
    """Scores and p-values of rows, as the detector combines those of its members."""
    members = detector.members_
    score = each[0] if len(each) == 1 else outranked([m.calibration for m in members], each)
    pvalue = detector.conformal_.pvalue(score)
    if "domain" not in inputs:
        return score, pvalue
    names = np.array([*detector.groups_, NOWHERE])[inputs["domain"]]
    with quiet():
        return score, pvalues_by_domain(
            *(members, detector.groups_, list(each), names, pvalue),
            tail=detector.tail,
            once=NotedOnce(),
        )


def bounds_of(
    detector: Any, inputs: Inputs, lowest: Sequence[Array], highest: Sequence[Array]
) -> Bounds:
    """What is alike to scores by each member, from the lowest to the highest."""
    low, high = [], []
    for member, below, above in zip(detector.members_, lowest, highest, strict=True):
        spread = mean_distance(member.calibration)
        low.append(below - ALIKE * np.maximum(np.abs(below), spread))
        high.append(above + ALIKE * np.maximum(np.abs(above), spread))
    below, most = judgement(detector, inputs, low)
    above, least = judgement(detector, inputs, high)
    return Bounds(below, above, least, most)


def mean_distance(calibration: Array) -> float:
    """Mean distance of calibration scores from their median, above 0."""
    return float(np.abs(calibration - np.median(calibration)).mean()) or 1.0

"""Whether an exported graph judges rows as the library does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.news import NotedOnce
from unseen.detector.conformal import outranked
from unseen.detector.detector import Detector
from unseen.detector.domains import pvalues_by_domain
from unseen.detector.members import raised
from unseen.errors import DataError
from unseen.parts.ranking import ALIKE
from unseen.parts.scoring import scores
from unseen.quiet import quiet
from unseen.storage.onnx_graph import encodings
from unseen.storage.onnx_inputs import Inputs, beside, made_up, onnx_inputs

Array = NDArray[np.float64]
Graph = Callable[[Inputs], tuple[Array, Array]]
Change = Callable[[nn.Module, Tensor], tuple[nn.Module, Tensor]]
GENERATED = 512  # rows of no table that are compared
# by which share the numbers of a row and of a scorer move, to see how far scores hang on rounding
MOVED, MOVES = (ALIKE / 10, ALIKE), 16
UNSETTLED = 0.1  # share of rows whose score may
NOWHERE = "(of no domain)"


@dataclass(frozen=True)
class Agreement:
    """How a graph and the library judge the same rows.

    Two scores are alike that differ by at most 1e-5 of the score, or of the mean distance of
    calibration scores from their median where that is more; and their p-values, if they are the
    same, or a calibration score lies as near. A row is unsettled whose score by the library itself
    moves as far when all numbers move by 1e-5 of them or less, or are taken in double precision: it
    lies beside a cut of a tree, or has neighbours that are as near as one another.

    Parameters
    ----------
    rows : int
        Rows that were compared.
    largest : float
        The largest difference of scores, in units of the score or of that distance, among rows
        that are alike and have the same p-value.
    pvalues : int
        Rows whose p-values differ, as they lie beside a calibration score.
    unsettled : int
        Rows whose score hangs on rounding.
    apart : int
        Rows that are neither alike nor unsettled.
    worst : str
        Of these the one that differs most, in words.
    worst_by : float
        By how much, as in `largest`.
    """

    rows: int = 0
    largest: float = 0.0
    pvalues: int = 0
    unsettled: int = 0
    apart: int = 0
    worst: str = ""
    worst_by: float = 0.0

    def in_words(self) -> str:
        """The same as a sentence.

        >>> Agreement(rows=2_000, largest=3e-7, pvalues=1).in_words()
        '2,000 rows are judged as by unseen: scores within 3e-07 of theirs, p-values the same but in
        1 row beside a calibration score'
        """
        words = f"scores within {self.largest:.2g} of theirs, p-values the same"
        if self.pvalues:
            words += f" but in {self.pvalues:,} {_rows(self.pvalues)} beside a calibration score"
        if self.unsettled:
            words += f"; in {self.unsettled:,} {_rows(self.unsettled)} the score hangs on rounding"
        return f"{self.rows:,} rows are judged as by unseen: {words}"

    def check(self) -> None:
        """DataError where rows are apart, or many hang on rounding."""
        if self.apart:
            raise DataError(
                f"the ONNX graph and the library differ in {self.apart:,} of {self.rows:,} rows by "
                f"more than rounding, most in {self.worst}: nothing is written; score with unseen "
                "itself, or take another method"
            )
        if self.unsettled > UNSETTLED * self.rows:
            raise DataError(
                f"the scores of {self.unsettled:,} of {self.rows:,} rows hang on rounding, more "
                f"than {UNSETTLED:.0%}, so that an ONNX graph cannot be told to be right: nothing "
                "is written; score with unseen itself, or take another method"
            )


@dataclass(frozen=True)
class _Bounds:
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


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def generated(detector: Detector) -> Iterator[tuple[str, Inputs]]:
    """Rows to compare on that nobody has to give, and what to call them: those that stay with the
    detector, also with their columns from several, and rows of no table.
    """
    rng = np.random.default_rng(0)
    kept = getattr(detector, "references_", None)
    if kept is not None and detector.schema_.noun == "rows":
        rows = onnx_inputs(detector, kept.rows)
        yield "the rows that stay with the detector", rows | beside(detector, len(kept.rows), rng)
        mixed = {name: rng.permuted(rows[name], axis=0) for name in encodings(detector)}
        yield "rows that mix those", mixed | beside(detector, len(kept.rows), rng)
    yield "rows of no table", made_up(detector, GENERATED, rng)


def compared(
    detector: Detector,
    graph: Graph,
    inputs: Inputs,
    found: Agreement,
    *,
    where: str,
    first: int = 1,
) -> Agreement:
    """What was found so far, and what the graph and the library make of these rows."""
    score, pvalue = graph(inputs)
    each = _scores_of_members(detector, inputs)
    expected, promised = _judgement(detector, inputs, each)
    alike = _bounds(detector, inputs, each, each).hold(score, pvalue)
    difference = np.abs(score - expected) / np.maximum(np.abs(expected), _spread(detector))
    doubtful = np.flatnonzero(~alike)
    unsettled = np.zeros(len(score), dtype=bool)
    if len(doubtful):
        some = {name: value[doubtful] for name, value in inputs.items()}
        moved = _bounds(detector, some, *_reached(detector, some))
        unsettled[doubtful] = moved.hold(score[doubtful], pvalue[doubtful])
    apart = np.flatnonzero(~alike & ~unsettled)
    stays = alike & (np.abs(pvalue / promised - 1) < 1e-12)
    found = replace(
        found,
        rows=found.rows + len(score),
        largest=max(found.largest, float(difference[stays].max(initial=0.0))),
        pvalues=found.pvalues + int((alike & ~stays).sum()),
        unsettled=found.unsettled + int(unsettled.sum()),
        apart=found.apart + len(apart),
    )
    if not len(apart):
        return found
    row = apart[np.argmax(difference[apart])]
    if difference[row] < found.worst_by:
        return found
    words = (
        f"row {first + row:,} of {where}: score {score[row]:.9g} by the graph, {expected[row]:.9g} "
        f"by the library, {difference[row]:.2g} apart where {ALIKE:g} is alike; p-values "
        f"{pvalue[row]:.6g} and {promised[row]:.6g}"
    )
    return replace(found, worst=words, worst_by=float(difference[row]))


def _scores_of_members(
    detector: Detector, inputs: Inputs, change: Change = lambda scorer, x: (scorer, x)
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


def _reached(detector: Detector, inputs: Inputs) -> tuple[list[Array], list[Array]]:
    """The lowest and the highest scores, by each member, that rounding may make of rows: twice as
    far apart as the library's own, those in double precision, and those of slight changes.
    """
    generator = torch.Generator().manual_seed(0)
    draws = [_scores_of_members(detector, inputs)]
    with suppress(RuntimeError):  # a method of another package may know single precision alone
        draws.append(_scores_of_members(detector, inputs, _exactly))
    for size in np.repeat(MOVED, MOVES):
        change = partial(_slightly, size=float(size), generator=generator)
        draws.append(_scores_of_members(detector, inputs, change))
    low, high = [], []
    for member in zip(*draws, strict=True):
        least, most = np.min(member, axis=0), np.max(member, axis=0)
        low.append(least - (most - least) / 2)
        high.append(most + (most - least) / 2)
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


def _judgement(detector: Detector, inputs: Inputs, each: Sequence[Array]) -> tuple[Array, Array]:
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


def _bounds(
    detector: Detector, inputs: Inputs, lowest: Sequence[Array], highest: Sequence[Array]
) -> _Bounds:
    """What is alike to scores by each member, from the lowest to the highest."""
    low, high = [], []
    for member, below, above in zip(detector.members_, lowest, highest, strict=True):
        spread = _distance(member.calibration)
        low.append(below - ALIKE * np.maximum(np.abs(below), spread))
        high.append(above + ALIKE * np.maximum(np.abs(above), spread))
    below, most = _judgement(detector, inputs, low)
    above, least = _judgement(detector, inputs, high)
    return _Bounds(below, above, least, most)


def _spread(detector: Detector) -> float:
    return _distance(detector.conformal_.scores)


def _distance(calibration: Array) -> float:
    """Mean distance of calibration scores from their median, above 0."""
    return float(np.abs(calibration - np.median(calibration)).mean()) or 1.0

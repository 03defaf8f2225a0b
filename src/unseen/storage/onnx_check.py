"""Whether an exported graph judges rows as the library does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unseen.errors import DataError
from unseen.parts.ranking import ALIKE
from unseen.storage.onnx_graph import encodings
from unseen.storage.onnx_inputs import Inputs, beside, made_up, onnx_inputs
from unseen.storage.onnx_rounding import (
    Array,
    bounds_of,
    judgement,
    mean_distance,
    reached,
    scores_of_members,
)

Graph = Callable[[Inputs], tuple[Array, Array]]
ROWS, IMAGES = 1024, 32  # compared at once, and of no table
JUMP, JUMPS = 1e-3, 0.1  # of rows the share whose scores may hang on rounding by more than this


@dataclass(frozen=True)
class Agreement:
    """How a graph and the library judge the same rows.

    Two scores are alike that differ by at most 1e-5 of the score, or of the mean distance of
    calibration scores from their median where that is more; and their p-values, if they are the
    same, or a calibration score lies as near. A row is unsettled whose score by the library itself
    moves as far when all numbers move by 1e-5 of them or less, or are taken in double precision: it
    lies beside a cut of a tree, has neighbours that are as near as one another, or its score is a
    small difference of large numbers.

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
    unsettled_by : float
        Of these the largest difference, as in `largest`.
    jumps : int
        Of these those that differ by more than 1e-3.
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
    unsettled_by: float = 0.0
    jumps: int = 0
    apart: int = 0
    worst: str = ""
    worst_by: float = 0.0

    def in_words(self) -> str:
        """The same as a sentence.

        >>> Agreement(rows=2_000, largest=3e-7, pvalues=1).in_words()
        '2,000 rows are judged as by unseen: scores within 3e-07 of theirs, p-values the same but
        for 1 beside a calibration score'
        """
        words = f"scores within {self.largest:.2g} of theirs, p-values the same"
        if self.pvalues:
            words += f" but for {self.pvalues:,} beside a calibration score"
        if self.unsettled:
            words += (
                f"; of {self.unsettled:,} the score hangs on rounding, by up to "
                f"{self.unsettled_by:.2g}"
            )
        return f"{self.rows:,} rows are judged as by unseen: {words}"

    def check(self) -> None:
        """DataError where rows are apart, or many hang on rounding by much."""
        if self.apart:
            raise DataError(
                f"the ONNX graph and the library differ in {self.apart:,} of {self.rows:,} rows by "
                f"more than rounding, most in {self.worst}: nothing is written; score with unseen "
                "itself, or take another method"
            )
        if self.jumps > JUMPS * self.rows:
            raise DataError(
                f"the scores of {self.jumps:,} of {self.rows:,} rows hang on rounding by more than "
                f"{JUMP:g}, where {JUMPS:.0%} may, so that an ONNX graph cannot be told to be "
                "right: nothing is written; score with unseen itself, or take another method"
            )


def generated(detector: Any) -> Iterator[tuple[str, Inputs]]:
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
    yield f"{detector.schema_.noun} of no table", made_up(detector, at_once(detector), rng)


def at_once(detector: Any) -> int:
    """Rows or images that are compared at once: a map of features is as large as many rows."""
    return ROWS if detector.schema_.noun == "rows" else IMAGES


def compare_rows(
    detector: Any,
    graph: Graph,
    inputs: Inputs,
    found: Agreement,
    *,
    where: str,
    first: int = 1,
) -> Agreement:
    """What was found so far, and what the graph and the library make of these rows."""
    score, pvalue = graph(inputs)
    each = scores_of_members(detector, inputs)
    expected, promised = judgement(detector, inputs, each)
    alike = bounds_of(detector, inputs, each, each).hold(score, pvalue)
    spread = mean_distance(detector.conformal_.scores)
    difference = np.abs(score - expected) / np.maximum(np.abs(expected), spread)
    doubtful = np.flatnonzero(~alike)
    unsettled = np.zeros(len(score), dtype=bool)
    if len(doubtful):
        some = {name: value[doubtful] for name, value in inputs.items()}
        moved = bounds_of(detector, some, *reached(detector, inputs, each, doubtful))
        unsettled[doubtful] = moved.hold(score[doubtful], pvalue[doubtful])
    apart = np.flatnonzero(~alike & ~unsettled)
    stays = alike & (np.abs(pvalue / promised - 1) < 1e-12)
    found = replace(
        found,
        rows=found.rows + len(score),
        largest=max(found.largest, float(difference[stays].max(initial=0.0))),
        pvalues=found.pvalues + int((alike & ~stays).sum()),
        unsettled=found.unsettled + int(unsettled.sum()),
        unsettled_by=max(found.unsettled_by, float(difference[unsettled].max(initial=0.0))),
        jumps=found.jumps + int((difference[unsettled] > JUMP).sum()),
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

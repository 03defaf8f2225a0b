"""What the report says of a detector itself: how blind it is, what its training rows are worth, and
what its figures do not promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unseen.detector.blindspots import BlindSpots
from unseen.detector.conformal import level_of
from unseen.detector.detector import FLAGGED, Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError, Unsupported
from unseen.report.blindspots import Moves
from unseen.report.evaluation import FOREIGN, compared
from unseen.report.gathering import Judged
from unseen.storage.bundle import Bundle
from unseen.storage.facts import Adapted, of_form

DOUBTED = 10  # training rows that are shown
CLASSES = 30  # classes that are listed
METHODS = 12  # methods of an evaluation that are shown
WIDEST = 300  # columns from which on moves take too long for a page


@dataclass(frozen=True)
class Blind:
    """What is known of kinds that nobody has labelled.

    Parameters
    ----------
    level : float
        The share of normal rows that is flagged.
    spots : BlindSpots or None
        What held-out classes tell; None where there were none.
    why : str
        Why there were none.
    moves : Moves or None
        How far normal rows move before they are flagged; None of images, and of very wide tables.
    """

    level: float
    spots: BlindSpots | None
    why: str
    moves: Moves | None

    @classmethod
    def of(cls, detector: Detector, level: float) -> Blind:
        """At a level, or the lowest that there are p-values for."""
        told, moves = cls.of_kinds(detector, level), None
        few = detector.schema_.noun == "rows" and len(detector.schema_.inputs) <= WIDEST
        if few and hasattr(detector, "references_"):
            moves = Moves.of(detector.smallest_moves(told.level))
        return replace(told, moves=moves)

    @classmethod
    def of_kinds(cls, detector: Detector, level: float) -> Blind:
        """The same without moves, which take long."""
        level = max(level, detector.conformal_.finest)
        try:
            every = detector.blind_spots(0.5)
            return cls(level, every.at(max(level, every.finest)), "", None)
        except (DataError, Unsupported) as error:
            return cls(level, None, str(error), None)

    def found(self, level: float) -> float | None:
        """The share of such rows that is found at a level, where that is known."""
        if self.spots is None or level < self.spots.finest:
            return None
        return self.spots.at(level).expected

    @property
    def classes(self) -> list[list[str]]:
        """Of each class that was held out: name, rows, and the share that was found."""
        if self.spots is None:
            return []
        alpha = self.spots.alpha
        return [
            [each.name, f"{len(each.pvalues):,}", f"{each.found(alpha):.0%}"]
            for each in sorted(self.spots.classes, key=lambda each: each.found(alpha))
        ][:CLASSES]

    @property
    def catches(self) -> list[list[str]]:
        """What 1,000 rows bring by level: false alarms, how many of ten are caught, and the
        interval.
        """
        rows = [] if self.spots is None else self.spots.catches()
        return [
            [
                f"{row['alpha']:g}",
                f"{row['false_alarms']:.0f}",
                f"{row['caught']:.1f}",
                f"{row['low']:.1f} to {row['high']:.1f}",
            ]
            for row in rows
        ]


def shown_level(policy: Policy, found: Judged | None) -> float:
    """The share of normal rows that the page speaks of: the policy's; where it has none, what it
    came to for the rows that were scored, or the usual one without alarms.
    """
    if not policy.needs_all:
        return policy.level
    return found.threshold if found is not None and found.flagged else FLAGGED.level


def doubted(bundle: Bundle) -> tuple[str, list[list[str]]]:
    """Where normal rows that calibrate came from, and those that look least normal: their number,
    from 1, or an image's name, and p-value.
    """
    facts, found = bundle.facts, []
    later = of_form(Adapted, facts.get("adapted")) or of_form(Adapted, facts.get("recalibrated"))
    for member in bundle.detector.members_:
        if member.held_out is not None:
            order = np.argsort(-member.calibration, kind="stable")[:DOUBTED]
            n = len(member.calibration)
            found += [
                ((rank + 1) / (n + 1), int(member.held_out[k])) for rank, k in enumerate(order)
            ]
    names = {} if later else _names(bundle.detector)
    source = later.source if later else str(facts.get("source", "the training data"))
    rows = [
        [names.get(number, f"{number + 1:,}"), f"{p:.2g}"] for p, number in sorted(found)[:DOUBTED]
    ]
    return source, rows


def _names(detector: Detector) -> dict[int, str]:
    """Names of training images that stayed with the detector, by their numbers."""
    kept = getattr(detector, "references_", None)
    if kept is None or detector.schema_.noun != "images":
        return {}
    names = kept.rows.column(0).to_pylist()
    return {int(number): str(name) for number, name in zip(kept.numbers, names, strict=True)}


def evaluated(
    bundle: Bundle, reports: Sequence[dict[str, Any]] | None
) -> list[tuple[str, list[list[str]], str]]:
    """The averages of each method of the evaluation that was given, or of the bundle's own."""
    if reports is not None:
        return compared(reports)[:METHODS]
    try:
        return compared(bundle.facts.get("evaluation") or [])[:METHODS]
    except FOREIGN:  # somebody's own
        return []


def caveats(detector: Detector) -> list[str]:
    """What the figures do not promise."""
    noun, m = detector.schema_.noun, len(detector.conformal_.scores)
    lines = [
        f"False alarms are as many as promised for {noun} like those of training. Of another "
        "machine, season or version more are flagged; the command unseen drift says when.",
        f"{m:,} normal {noun} calibrate, so no p-value is below {level_of(1 / (m + 1))}"
        + (", but by a model." if detector.conformal_.tail is not None else "."),
        "A p-value is the chance that a normal one scores as high. It is not the chance of an "
        "anomaly.",
        "Each is judged by itself: a change that shows only over time is not seen.",
    ]
    if noun == "rows":
        lines.append("An anomaly that looks normal in every column that is used cannot be found.")
    else:
        lines.append("A defect much smaller than a cell of the heat map is not seen.")
    if not detector.classes_:
        lines.append(
            "No anomaly was labelled. How blind it is to new kinds is not known: label a few."
        )
    return lines

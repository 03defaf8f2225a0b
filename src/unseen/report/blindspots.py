"""Blind spots, and what changed by answers, as text and tables that fit 80 columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from rich.console import Group, RenderableType
from rich.text import Text

from unseen.detector.blindspots import BlindSpots
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError, Unsupported
from unseen.explain.reasons import as_written
from unseen.names import first_few
from unseen.report.tables import ruled_table

SHOWN = 12  # moves that are listed


class Answered(Protocol):
    """What `scoring.answers.with_answers` tells."""

    @property
    def answers(self) -> dict[str, int]: ...
    @property
    def normals(self) -> int: ...
    @property
    def new(self) -> tuple[str, ...]: ...
    @property
    def flagged(self) -> dict[str, tuple[int, int]]: ...
    @property
    def before(self) -> BlindSpots | None: ...
    @property
    def now(self) -> BlindSpots | None: ...


def told(
    detector: Detector, policy: Policy, share: float
) -> tuple[RenderableType, pa.Table | None]:
    """All that is known of a detector's blind spots, and moves of normal rows; None of images.

    Without a class that could be held out, the reason stands in the text; Unsupported where nothing
    is left to tell: of images, of a policy that such classes tell the level of, and DataError of a
    level at which nothing can be flagged."""
    tabular = detector.schema_.noun == "rows"
    try:
        spots = detector.blind_spots(policy, share)
        first, level = of_unseen(spots, share), spots.alpha
    except (DataError, Unsupported) as error:
        nothing = not policy.needs_all and policy.level < detector.conformal_.finest
        if policy.needs_all or not tabular or nothing:
            raise
        first, level = Text(f"Kinds that nobody has labelled: {error}."), policy.level
    moves = detector.smallest_moves(level) if tabular else None
    return (first if moves is None else Group(first, "", of_moves(moves, level))), moves


def of_unseen(spots: BlindSpots, share: float) -> RenderableType:
    """What is found of classes that were held out, and what 1,000 rows bring."""
    held = ruled_table("held out", "rows", "found")
    for each in spots.classes:
        held.add_row(each.name, f"{len(each.pvalues):,}", f"{each.found(spots.alpha):.0%}")
    there = f"{1000 * share:g}"
    bring = ruled_table("level", "false alarms", f"caught of {there}", "90% interval")
    for row in spots.catches(share):
        ends = f"{row['low']:.1f} to {row['high']:.1f}"
        bring.add_row(
            f"{row['alpha']:g}", f"{row['false_alarms']:.0f}", f"{row['caught']:.1f}", ends
        )
    return Group(
        Text(f"{spots}."),
        "",
        Text("Known classes, each judged by what never saw it", style="bold"),
        held,
        "",
        Text(
            f"In 1,000 rows, {there} of them of kinds that nobody has labelled",
            style="bold",
        ),
        bring,
    )


@dataclass(frozen=True)
class Moves:
    """What moves of normal rows tell, for a reader.

    Parameters
    ----------
    far : list of dict
        Rows of `smallest_moves` along columns: those caught last, farthest first.
    never : list of str
        Moves that are never caught.
    unseen : list of str
        Levels and gaps that most rows may have unnoticed.
    caught : int
        How many others are caught.
    """

    far: list[dict[str, Any]]
    never: list[str]
    unseen: list[str]
    caught: int

    @classmethod
    def of(cls, moves: pa.Table) -> Moves:
        """Of the table of `Detector.smallest_moves`."""
        rows = moves.to_pylist()
        ways = [row for row in rows if row["ranges"] is not None]
        others = [row for row in rows if row["ranges"] is None]
        far = sorted((row for row in ways if row["ranges"] < float("inf")), key=_ranges)
        return cls(
            far[::-1][:SHOWN],
            [row["what"] for row in ways if row["ranges"] == float("inf")],
            [row["what"] for row in others if row["caught"] < 0.5],
            sum(row["caught"] >= 0.5 for row in others),
        )


def of_moves(moves: pa.Table, alpha: float) -> RenderableType:
    """Which moves are never caught, and which take longest."""
    found, table = (
        Moves.of(moves),
        ruled_table("move", "usual range", "caught after", "in usual ranges"),
    )
    for row in found.far:
        figures = (as_written(float(row[key])) for key in ("usual_range", "distance"))
        table.add_row(row["what"], *figures, as_written(float(f"{row['ranges']:.3g}")))
    return Group(
        Text(
            "How far most typical normal rows move, all else as it was, until p <= "
            f"{alpha:.3g}; the longest ways",
            style="bold",
        ),
        table,
        "",
        Text(f"Never caught alone, however far: {first_few(found.never)}."),
        Text(
            f"Levels and gaps that most rows may have unnoticed: "
            f"{first_few(found.unseen)}; others that are caught: {found.caught:,}."
        ),
    )


def what_changed(found: Answered) -> str:
    """What answers taught, line by line."""
    kinds = [
        f"{count:,} {name!r}{' (new)' if name in found.new else ''}"
        for name, count in found.answers.items()
    ]
    lines = [f"Answers: {found.normals:,} normal{''.join(f', {kind}' for kind in kinds)}."]
    counts = {"anomalies": sum(found.answers.values()), "normal rows": found.normals}
    for (what, count), (before, now) in zip(counts.items(), found.flagged.values(), strict=True):
        if count:
            lines.append(
                f"Flagged at 5% of the {count:,} {what} among them: {before:,} before, {now:,} "
                "now that they are learned."
            )
    lines.append(f"Kinds that nobody has labelled, expected to be found: {_beside(found)}.")
    return "\n".join(lines)


def _beside(found: Answered) -> str:
    return f"{_share(found.before)} before, {_share(found.now)} now"


def _share(spots: BlindSpots | None) -> str:
    if spots is None:
        return "not known"
    return f"{spots.expected:.0%} ({spots.low:.0%} to {spots.high:.0%})"


def _ranges(row: dict[str, Any]) -> float:
    return float(row["ranges"])

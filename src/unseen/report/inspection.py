"""What is known of a saved detector, as text and tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unseen.detector.conformal import level_of
from unseen.detector.detector import FLAGGED, Detector
from unseen.detector.simpler import MARGIN, simpler_than
from unseen.errors import DataError
from unseen.methods.catalogue import EVERY, to_json
from unseen.methods.evidence import VIEWS
from unseen.names import first_few
from unseen.report.evaluation import FOREIGN, figure, report
from unseen.report.tables import ruled_table
from unseen.storage.bundle import Bundle
from unseen.storage.facts import (
    Adapted,
    Checked,
    Counts,
    Drawn,
    Origin,
    as_text,
    formless,
    of_form,
)
from unseen.types import ability
from unseen.wording import option


def summary(bundle: Bundle) -> RenderableType:
    """What was learned from which data, in a few lines."""
    lines = [*_method_lines(bundle), *_data(bundle), *_calibration(bundle), *_simpler(bundle)]
    return _grid(lines)


def facts_of(bundle: Bundle) -> list[tuple[str, str]]:
    """What is known of a detector, as names and text."""
    return [
        *_method_lines(bundle),
        *_data(bundle),
        *bundle.detector.schema_.columns_by_kind(),
        *_calibration(bundle),
        *_thresholds(bundle.detector),
        *expected_recall(bundle.detector),
        *_unseen_chance(bundle.detector),
        *_simpler(bundle),
    ]


def contents(bundle: Bundle) -> RenderableType:
    """Everything that is known of a detector."""
    lines = facts_of(bundle)
    rest, evaluation = formless(bundle.facts), bundle.facts.get("evaluation") or []
    reported: list[RenderableType] = []
    if evaluation and "evaluation" not in rest:
        try:
            reported = ["", report(evaluation)]
        except FOREIGN:  # somebody's own
            rest["evaluation"] = as_text(evaluation)
    return Group(_grid([*lines, *rest.items()]), *_evidence(bundle), *reported)


def _method_lines(bundle: Bundle) -> list[tuple[str, str]]:
    fields = to_json(bundle.detector.chosen(), to_read=True)
    name = fields.pop("name")
    several = [
        key
        for key, value in fields.items()
        if key in ("base_scores", *VIEWS) or _lists_methods(value)
    ]
    lists = {key.replace("_", " "): fields.pop(key) for key in several}
    chosen = ", ".join(f"{key} {_in_words(value)}" for key, value in fields.items())
    lines = [("method", f"{name} ({chosen})" if chosen else name)]
    lines += [
        (key, ", ".join(_method_in_words(v) if isinstance(v, dict) else v for v in methods))
        for key, methods in lists.items()
    ]
    if (facts := of_form(Origin, bundle.facts)) is not None:
        lines.append(
            ("trained", f"{facts.created} with unseen {facts.unseen}, torch {facts.torch}")
        )
    return lines


def _lists_methods(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _in_words(value: Any) -> str:
    """A field's value in words: a list without its brackets, a method inside by its name."""
    if isinstance(value, dict):
        return _method_in_words(value)
    return (" and ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _data(bundle: Bundle) -> list[tuple[str, str]]:
    """Rows and columns; of a bundle that the command line made also what their labels said."""
    facts, encoder = bundle.facts, bundle.detector.schema_
    kind = encoder.noun
    lines = []
    if (counts := of_form(Counts, facts)) is not None:
        parts = (
            f"{counts.normals:,} normal, {sum(counts.anomalies.values()):,} "
            f"anomalies{_others(counts)}"
        )
        lines = [
            ("data", f"{counts.source}, {_label_in_words(counts.label, kind)}"),
            (kind, f"{counts.rows:,}: {parts}"),
            (
                "classes",
                first_few(f"{name} ({count:,})" for name, count in counts.anomalies.items()),
            ),
        ]
    if (draw := of_form(Drawn, facts.get("drawn"))) is not None:
        lines.append(("drawn from", _draw_in_words(draw)))
    if (adapted := of_form(Adapted, facts.get("adapted"))) is not None:
        lines.append(
            ("moved to", f"a domain of which {adapted.source} has {adapted.rows:,} {kind}")
        )
    if (recent := of_form(Adapted, facts.get("recalibrated"))) is not None:
        lines.append(("recalibrated", f"on {recent.source} with {recent.rows:,} {kind}"))
    dropped = of_form(list[str], facts.get("drop"))
    return [*lines, *encoder.described(), *([("left out", first_few(dropped))] if dropped else [])]


def _draw_in_words(draw: Drawn) -> str:
    """What rows were drawn from, and how.

    >>> counts = {"rows": 930, "normals": 900, "unlabelled": 0, "anomalies": {"leak": 30}}
    >>> _draw_in_words(Drawn(most=50, most_anomalies=50, seed=3, **counts))
    '930 rows: 900 normal, 30 anomalies; at most 50 of each class (seed 3)'
    """
    unlabelled = f", {draw.unlabelled:,} unlabelled" if draw.unlabelled else ""
    fewer = f", {draw.most_anomalies:,} of each kind of anomaly"
    fewer = fewer if draw.most_anomalies < draw.most else ""
    text = (
        f"{draw.rows:,} rows: {draw.normals:,} normal, {sum(draw.anomalies.values()):,} "
        f"anomalies{unlabelled}; at most {draw.most:,} of each class{fewer} (seed {draw.seed})"
    )
    if not draw.strata or draw.floor is None:
        return text
    floor = f"{draw.floor:,} normal rows each at least" if draw.floor else "too many to keep each"
    return f"{text}; {draw.strata:,} domains or blocks, {floor}"


def _others(counts: Counts) -> str:
    """Rows without a label, and files that could not be used, if there are any."""
    unlabelled = f", {counts.unlabelled:,} unlabelled" if counts.unlabelled else ""
    return unlabelled + (f"; {counts.failed:,} more could not be used" if counts.failed else "")


def _label_in_words(label: str | None, kind: str) -> str:
    """Where labels came from."""
    if label is None:
        return (
            "labels by folder"
            if kind == "images"
            else "no label column: all rows are taken for normal"
        )
    return f"labels in column {label!r}"


def _calibration(bundle: Bundle) -> list[tuple[str, str]]:
    m, folds, kind = (
        len(bundle.detector.conformal_.scores),
        len(bundle.detector.members_),
        bundle.detector.schema_.noun,
    )
    how = (
        f"in {folds} folds, each scored by a detector that did not see it"
        if folds > 1
        else "that training did not see"
    )
    if bundle.detector.members_[0].in_training is not None:
        how = "in one pass, each scored by what did not learn from it"
    if number := getattr(bundle.detector, "blocks_", 0):
        column = of_form(str, bundle.facts.get("block"))
        named = f" (column {column!r})" if column else ""
        how = f"of {number:,} blocks{named}, each scored by what saw no normal one of its block"
    if of_form(Adapted, bundle.facts.get("adapted")) is not None:
        how = "of the new domain, each scored by what adapted on the others"
    if of_form(Adapted, bundle.facts.get("recalibrated")) is not None:
        how = "that came later than training"
    if (checked := of_form(Checked, bundle.facts.get("checked"))) is not None:
        how += f"; {checked.left_out:,} more were left out after {checked.rows:,} were checked"
    if bundle.detector.conformal_.tail is None:
        return [
            (
                "calibration",
                f"{m:,} normal {kind} {how}; the smallest p-value is {level_of(1 / (m + 1))}",
            )
        ]
    return [
        (
            "calibration",
            f"{m:,} normal {kind} {how}; p-values below {level_of(1 / (m + 1))} are those of a "
            "model (tail)",
        )
    ]


def _simpler(bundle: Bundle) -> list[tuple[str, str]]:
    """A method that would do as well alone; nothing where none is known to."""
    name = bundle.facts.get("simpler") or simpler_than(bundle.detector)
    if not (isinstance(name, str) and name in EVERY):
        return []
    text = f"{name} alone finds what was held out as well, within {MARGIN} AUROC, and is faster"
    return [("simpler", f"{text}: {option('method', name)}")]


def _thresholds(detector: Detector) -> list[tuple[str, str]]:
    """Scores from which on a row is flagged, for two levels."""
    levels = {alpha: detector.conformal_.threshold(alpha) for alpha in (0.05, 0.01)}
    scores = {
        alpha: f"score {score:.4g}" if score < inf else "out of reach"
        for alpha, score in levels.items()
    }
    return [("thresholds", ", ".join(f"alpha {alpha}: {score}" for alpha, score in scores.items()))]


def expected_recall(detector: Detector) -> list[tuple[str, str]]:
    """What it is expected to find of kinds without labels, where training told; nothing else is
    trained for it.
    """
    each = [member.hidden for member in detector.members_ if member.hidden is not None]
    if not each:
        return []
    try:
        return [("blind spots", str(detector.blind_spots(FLAGGED.level)))]
    except DataError:  # too few normal rows for such a level
        return []


def _unseen_chance(detector: Detector) -> list[tuple[str, str]]:
    """How likely the next anomaly is of a kind without a label; nothing without labels, or where no
    rows stayed.
    """
    kept = getattr(detector, "references_", None)
    if kept is None or not (kept.codes > 0).any():
        return []
    found = detector.unseen_chance()
    text = (
        "Only if anomalies were labelled as they came, and neither kinds nor their numbers were "
        f"chosen: {found.estimate:.1%} that the next anomaly is of a kind without labels "
        f"({found.level:.0%} interval {found.low:.1%} to {found.high:.1%}), as {found.once} of "
        f"{found.kinds} kinds have one label of {found.labels:,}"
    )
    return [("new kinds", text)]


def _evidence(bundle: Bundle) -> list[RenderableType]:
    """How much each piece of evidence weighs, and why; nothing for other methods. With folds: those
    of the first.
    """
    rows = pieces_of(bundle)
    if not rows:
        return []
    table = ruled_table("evidence", "weight", "AUROC on\nunseen classes", "AUROC on\nseen classes")
    for row in rows:
        table.add_row(*row)
    why = "which grows with how well it found anomalies held out"
    if of_form(Adapted, bundle.facts.get("adapted")) is not None:
        why = "0 for what was left behind; AUROC is that before the detector moved"
    return ["", Text(f"Evidence by weight, {why}"), table]


def pieces_of(bundle: Bundle) -> list[tuple[str, str, str, str]]:
    """Each piece of evidence by weight: name, weight, AUROC on unseen and on seen classes; nothing
    for other methods.
    """
    pieces = ability(bundle.detector.members_[0].scorer, "evidence") or ()
    return [
        (each.name, f"{each.weight:.3f}", figure(each.auroc_unseen), figure(each.auroc_seen))
        for each in sorted(pieces, key=lambda piece: -piece.weight)
    ]


def _method_in_words(method: dict[str, Any]) -> str:
    """The name of a member, with the switches that are on: a stack may hold a method twice."""
    marks = ", ".join(key for key, value in method.items() if value is True)
    own = f"{method['name']} ({marks})" if marks else str(method["name"])
    return (
        f"{_method_in_words(method['base'])} of {own}"
        if isinstance(method.get("base"), dict)
        else own
    )


def _grid(lines: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(name, text)
    return table

"""What the command line shows: a detector and an evaluation as text and tables that fit 80
columns.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.evaluation.choices import LEAST, lacking
from unseen.methods.catalogue import to_json
from unseen.methods.evidence import VIEWS
from unseen.methods.foreign import paths_in
from unseen.names import first_few
from unseen.storage.bundle import Bundle
from unseen.storage.facts import Adapted, Counts, Made, as_text, formless, of_form
from unseen.types import ability
from unseen.wording import option, words

HEADS = {
    "auroc": "AUROC",
    "tpr_at_5_fpr": "TPR at\n5% FPR",
    "tpr_at_1_fpr": "TPR at\n1% FPR",
    "ap_1": "AP at 1%\nprevalence",
    "worst_auroc": "worst\nclass",
}


def summary(bundle: Bundle) -> RenderableType:
    """What was learned from which data, in a few lines."""
    return grid([*_method_lines(bundle), *data(bundle), *calibration(bundle)])


def contents(bundle: Bundle) -> RenderableType:
    """Everything that is known of a detector."""
    detector = bundle.detector
    columns = detector.schema_.columns_by_kind()
    lines = [
        *_method_lines(bundle),
        *data(bundle),
        *columns,
        *calibration(bundle),
        *thresholds(detector),
    ]
    rest, evaluation = formless(bundle.facts), bundle.facts.get("evaluation") or []
    reported: list[RenderableType] = []
    if evaluation and "evaluation" not in rest:
        try:
            reported = ["", report(evaluation)]
        except (
            LookupError,
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
        ):  # somebody's own
            rest["evaluation"] = as_text(evaluation)
    return Group(grid([*lines, *rest.items()]), *evidence(detector), *reported)


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
    if (facts := of_form(Made, bundle.facts)) is not None:
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


def data(bundle: Bundle) -> list[tuple[str, str]]:
    """Rows and columns; of a bundle that the command line made also what their labels said."""
    facts, encoder = bundle.facts, bundle.detector.schema_
    kind = encoder.noun
    lines = []
    if (counts := of_form(Counts, facts)) is not None:
        parts = (
            f"{counts.normals:,} normal, {sum(counts.anomalies.values()):,} "
            f"anomalies{others(counts)}"
        )
        lines = [
            ("data", f"{counts.source}, {label_in_words(counts.label, kind)}"),
            (kind, f"{counts.rows:,}: {parts}"),
            ("classes", first_few(f"{name} {count:,}" for name, count in counts.anomalies.items())),
        ]
    if (adapted := of_form(Adapted, facts.get("adapted"))) is not None:
        lines.append(
            ("moved to", f"a kind of normal of which {adapted.source} has {adapted.rows:,} {kind}")
        )
    dropped = of_form(list[str], facts.get("drop"))
    return [*lines, *encoder.described(), *([("left out", first_few(dropped))] if dropped else [])]


def others(counts: Counts) -> str:
    """Rows without a label, and files that could not be used, if there are any."""
    unlabelled = f", {counts.unlabelled:,} unlabelled" if counts.unlabelled else ""
    return unlabelled + (f"; {counts.failed:,} more could not be used" if counts.failed else "")


def label_in_words(label: str | None, kind: str) -> str:
    """Where labels came from."""
    if label is None:
        return (
            "labels by folder"
            if kind == "images"
            else "no label column: all rows are taken for normal"
        )
    return f"labels in column {label!r}"


def calibration(bundle: Bundle) -> list[tuple[str, str]]:
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
    if of_form(Adapted, bundle.facts.get("adapted")) is not None:
        how = "of the new kind, each scored by what adapted on the others"
    if bundle.detector.conformal_.tail is None:
        return [
            ("calibration", f"{m:,} normal {kind} {how}; the smallest p-value is {1 / (m + 1):.2g}")
        ]
    return [
        (
            "calibration",
            f"{m:,} normal {kind} {how}; p-values below {1 / (m + 1):.2g} are those of a model "
            "(tail)",
        )
    ]


def thresholds(detector: Detector) -> list[tuple[str, str]]:
    """Scores from which on a row is flagged, for two levels."""
    levels = {alpha: detector.conformal_.threshold(alpha) for alpha in (0.05, 0.01)}
    scores = {
        alpha: f"score {score:.4g}" if score < inf else "out of reach"
        for alpha, score in levels.items()
    }
    return [("thresholds", ", ".join(f"alpha {alpha}: {score}" for alpha, score in scores.items()))]


def evidence(detector: Detector) -> list[RenderableType]:
    """How much each piece of evidence weighs, and why; nothing for other methods. With folds: those
    of the first.
    """
    pieces = ability(detector.members_[0].scorer, "evidence") or ()
    if not pieces:
        return []
    table = _lined("evidence", "weight", "AUROC on held-out\nclasses", "AUROC on\nknown classes")
    for piece in pieces:
        table.add_row(
            piece.name, f"{piece.weight:.3f}", figure(piece.auroc_unseen), figure(piece.auroc_seen)
        )
    return [
        "",
        Text("Evidence by weight, which grows with how well it found anomalies held out"),
        table,
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


class Tally(Protocol):
    """What became of judged rows: how many there are, how many alarms, and the largest p-value of
    an alarm.
    """

    @property
    def rows(self) -> int: ...
    @property
    def flagged(self) -> int: ...
    @property
    def threshold(self) -> float: ...


def alarms(found: Tally, noun: str, policy: Policy, finest: float = 0.0) -> str:
    """How many were flagged, and how many false alarms that promises; `finest` is the smallest
    p-value there can be.
    """
    share, none = f"{100 * policy.level:.3g}%", f"0 of {found.rows:,} {noun} flagged"
    if policy.needs_all and not found.flagged:
        return f"{none}: no p-value is small enough for at most {share} of false alarms."
    if not policy.needs_all and policy.level < finest:
        return f"{none}: no p-value is as small as {policy.level:.3g}."
    flagged = f"{found.flagged:,} of {found.rows:,} {noun} flagged at p <= {found.threshold:.3g}."
    if policy.needs_all:
        return f"{flagged} Up to {share} of them are expected to be false alarms."
    return f"{flagged} About {share} of normal {noun} are expected among them."


def suspects_line(table: Any, noun: str) -> str:
    """How many training rows were taken for normal, and how many of them are worth a look."""
    doubted = int((table["weight"].to_numpy() < 1).sum())
    look = (
        f"{doubted:,} have a weight below 1: look at the first ones"
        if doubted
        else "none has a weight below 1"
    )
    return f"{len(table):,} {noun} were taken for normal; {look}"


def next_steps(bundle: Bundle, folder: Path, train: Path, same: Mapping[str, object]) -> str:
    """The command lines that follow a fit; where an evaluation would say nothing, what it needs.

    `same`: flags that change what is learned, by the names that `wording.words` takes.
    """
    facts, noun = bundle.facts, bundle.detector.schema_.noun
    bare = noun == "rows" and facts["label"] is None
    lacks = lacking(facts["anomalies"], facts["unlabelled"], noun)
    needs = (
        [f"a column that says what each row is ({option('label', ...)})"] if bare else []
    ) + list(lacks.values())
    blind = "find out how blind such a detector is to classes without labels"
    heat = ["--overlays", "pictures"] if bundle.detector.members_[0].peaks is not None else []
    extra = [*heat, *trust_words(bundle)]
    lines = [
        f"\nNext: score other {noun}{'' if needs else f'; {blind}'}.",
        f"  {command_line('score', folder, 'DATA', '--out', 'scores.csv', *extra)}",
    ]
    if needs:
        lines.append(f"To {blind}, evaluate needs {', and '.join(needs)}:")
    other = bare or "labels" in lacks  # another file, or this one with more labels
    place = (
        ("LABELLED" if noun == "rows" else "FOLDER")
        if other
        else "TRAIN"
        if str(train) == "-"
        else str(train)
    )
    options = [
        word
        for name, value in same.items()
        if value not in ((), None)
        for word in words(name, value)
    ]
    blank = words("label", ...) if bare else []
    test = ["--test", "TEST"] if lacks and not other else []
    return "\n".join([*lines, f"  {command_line('evaluate', place, *blank, *options, *test)}"])


def trust_words(bundle: Bundle) -> list[str]:
    """The words by which a command lets a saved detector run methods of other packages, if it has
    any.
    """
    return words("trust", tuple(paths_in(to_json(bundle.detector.chosen(), to_read=True))))


def command_line(*parts: object) -> str:
    """A command line as it is typed."""
    return shlex.join(["unseen", *map(str, parts)])


def report(reports: Sequence[dict[str, Any]]) -> RenderableType:
    """An evaluation: unseen and seen classes apart, what it cost, the hardest classes, and how
    blind it still is.
    """
    choices = reports[0]["protocol"]
    shots = f"{choices['shots']} labelled rows of each were in training"
    drawn = (
        "each draws up to {seen} seen classes, {shots} labelled rows of each, and up to "
        "{normals:,} normal rows"
    )
    parts: list[RenderableType] = [
        Text(f"Seeds: {choices['seeds']}; {drawn.format(**choices)} to train on"),
        "",
        *_titled("Unseen classes: no row of them was labelled", averages(reports, "unseen")),
        *_titled(f"Seen classes: {shots}", averages(reports, "seen")),
        *_titled("Normal rows, and time", costs(reports)),
    ]
    for entry in reports:
        title = f"Unseen classes one by one, hardest first: {entry['method']}"
        parts += [*_titled(title, classes(entry, "unseen")), Text(_blindness(entry)), ""]
    return Group(*parts[:-1])


def averages(reports: Sequence[dict[str, Any]], role: str) -> Table:
    """Means over classes, then mean and standard deviation over seeds."""
    table = _lined("method", *HEADS.values())
    for entry in reports:
        table.add_row(
            entry["method"],
            *(
                _mean_and_spread(**entry[role][key], seeds=entry["protocol"]["seeds"])
                for key in HEADS
            ),
        )
    return table


def costs(reports: Sequence[dict[str, Any]]) -> Table:
    table = _lined(
        "method", "normals flagged\nat p <= 0.05", "fit, seconds", "rows scored\na second"
    )
    for entry in reports:
        share = f"{entry['normals_flagged_at_5']:.1%}"
        table.add_row(
            entry["method"],
            share,
            f"{entry['fit_seconds']:.1f}",
            f"{entry['rows_per_second']:,.0f}",
        )
    return table


def classes(entry: dict[str, Any], role: str) -> Table:
    keys = list(HEADS)[:-1]
    table = _lined("class", "rows", "seeds", *(HEADS[key] for key in keys))
    few = False
    for row in (row for row in entry["classes"] if row["role"] == role):
        few = few or not row["averaged"]
        name = row["class"] if row["averaged"] else f"{row['class']} *"
        table.add_row(
            name, f"{row['rows']:,}", str(row["seeds"]), *(figure(row[key]) for key in keys)
        )
    if few:
        table.caption = f"* fewer than {LEAST} test rows: listed, not averaged"
        table.caption_justify = "left"
    return table


def _blindness(entry: dict[str, Any]) -> str:
    """One sentence on the unseen class that is found worst."""
    counted = [row for row in entry["classes"] if row["role"] == "unseen" and row["averaged"]]
    if not counted:
        return (
            f"No unseen class has {LEAST} test rows, so nothing is known of how blind "
            f"{entry['method']} is. Bring more rows of known kinds of anomalies, or others to "
            f"test on ({option('test', ...)})."
        )
    worst = min(counted, key=lambda row: row["auroc"])
    return (
        f"How blind {entry['method']} still is: among the unseen classes {worst['class']!r} is "
        f"found worst, AUROC {worst['auroc']:.3f} (0.5 is chance). A threshold that flags 5% of "
        f"the normal rows misses {1 - worst['tpr_at_5_fpr']:.0%} of its rows."
    )


def _titled(title: str, table: Table) -> list[RenderableType]:
    return [Text(title, style="bold"), table, ""]


def _lined(*heads: str) -> Table:
    """An empty table: names to the left, figures to the right, a line below the heads."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(heads[0], vertical="bottom", overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    return table


def grid(lines: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(name, text)
    return table


def _mean_and_spread(mean: float | None, sd: float | None, *, seeds: int) -> str:
    """Mean and standard deviation over seeds, of which one alone has none."""
    if mean is None or sd is None:
        return "-"
    return f"{mean:.3f}±" + f"{sd:.3f}".removeprefix("0") if seeds > 1 else f"{mean:.3f}"


def figure(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"

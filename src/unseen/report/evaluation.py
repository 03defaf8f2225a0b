"""An evaluation as tables that fit 80 columns, and how blind each method still is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from unseen.errors import DataError
from unseen.evaluation.choices import LEAST
from unseen.evaluation.verdicts import CALLED
from unseen.report.tables import ruled_table
from unseen.wording import option

# what reading a report of another form raises
FOREIGN = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
LARGEST = 1 << 24  # bytes of a file of reports
COMPARED = (
    "unseen classes: AUROC",
    "found at 5% false alarms",
    "seen classes: AUROC",
    "found at 5% false alarms",
    "normal ones flagged at p <= 0.05",
)
HEADS = {
    "auroc": "AUROC",
    "tpr_at_5_fpr": "TPR at\n5% FPR",
    "tpr_at_1_fpr": "TPR at\n1% FPR",
    "ap_1": "AP at 1%\nprevalence",
    "worst_auroc": "worst\nclass",
}


def report(reports: Sequence[dict[str, Any]]) -> RenderableType:
    """An evaluation: unseen and seen classes apart, what it cost, the hardest classes, and how
    blind it still is.
    """
    choices = reports[0]["protocol"]
    drawn = (
        "each draws up to {seen} seen classes, {shots} labelled rows of each, and up to "
        "{normals:,} normal rows"
    )
    parts: list[RenderableType] = [
        Text(f"Seeds: {choices['seeds']}; {drawn.format(**choices)} to train on"),
        "",
        *_titled("Unseen classes: no row of them was labelled", _averages(reports, "unseen")),
        *_seen(reports, choices["shots"]),
        *_verdicts(reports),
        *_titled("Normal rows, and time", _costs(reports)),
    ]
    for entry in reports:
        title = f"Unseen classes one by one, hardest first: {entry['method']}"
        parts += [*_titled(title, _classes(entry, "unseen")), Text(_blindness(entry)), ""]
        parts += _foretold(entry)
    return Group(*parts[:-1])


def read_evaluation(file: Path) -> list[dict[str, Any]]:
    """What `unseen evaluate --json` wrote; DataError for anything else."""
    try:
        with file.open("rb") as stream:
            text = stream.read(LARGEST + 1)
        found: Any = json.loads(text) if len(text) <= LARGEST else None
        reports: list[dict[str, Any]] = found["methods"]
        compared(reports)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; name the file of an evaluation") from error
    except (*FOREIGN, RecursionError) as error:
        raise DataError(
            f"{file}: expected what `unseen evaluate --json FILE` writes, and found something "
            "else: evaluate again, and name that file"
        ) from error
    return reports


def compared(reports: Sequence[dict[str, Any]]) -> list[tuple[str, list[list[str]], str]]:
    """For each method its name, averages over unseen and over seen classes as rows of a name and a
    figure, and a sentence on the class that is found worst.
    """
    found = []
    for entry in reports:
        seeds = entry["protocol"]["seeds"]
        figures = [
            _mean_and_spread(**entry[role][key], seeds=seeds)
            for role in ("unseen", "seen")
            for key in ("auroc", "tpr_at_5_fpr")
        ]
        figures.append(f"{entry['normals_flagged_at_5']:.1%}")
        rows = [[name, shown] for name, shown in zip(COMPARED, figures, strict=True)]
        found.append((str(entry["method"]), rows, _blindness(entry)))
    return found


def _seen(reports: Sequence[dict[str, Any]], shots: int) -> list[RenderableType]:
    """Averages over the seen classes, or that there was none to average."""
    if not any(row["role"] == "seen" for entry in reports for row in entry["classes"]):
        return [Text("Seen classes: none, so no label was used", style="bold"), ""]
    if all(entry["seen"]["auroc"]["mean"] is None for entry in reports):
        return [Text(f"Seen classes: none with at least {LEAST} test rows", style="bold"), ""]
    title = f"Seen classes: {shots} labelled rows of each were in training"
    return _titled(title, _averages(reports, "seen"))


def _averages(reports: Sequence[dict[str, Any]], role: str) -> Table:
    """Means over classes, then mean and standard deviation over seeds."""
    table = ruled_table("method", *HEADS.values())
    for entry in reports:
        table.add_row(
            entry["method"],
            *(
                _mean_and_spread(**entry[role][key], seeds=entry["protocol"]["seeds"])
                for key in HEADS
            ),
        )
    return table


def _verdicts(reports: Sequence[dict[str, Any]]) -> list[RenderableType]:
    """What rows are called at 5% false alarms; nothing where no report tells, as of images."""
    there = [entry for entry in reports if entry.get("verdicts")]
    if not there:
        return []
    table = ruled_table("rows", *(name.replace(" ", "\n") for name in CALLED), "class right")
    for entry in there:
        found = entry["verdicts"]
        for role, shares in found["confusion"].items():
            if shares is not None:
                right = found["accuracy_among_known"] if role == "seen" else None
                cells = [*(shares[name] for name in CALLED), right]
                name = role if len(there) == 1 else f"{entry['method']}: {role}"
                table.add_row(name, *("-" if cell is None else f"{cell:.0%}" for cell in cells))
    return _titled("Verdicts at p <= 0.05: how rows are called", table)


def _costs(reports: Sequence[dict[str, Any]]) -> Table:
    table = ruled_table(
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


def _classes(entry: dict[str, Any], role: str) -> Table:
    keys = list(HEADS)[:-1]
    table = ruled_table("class", "rows", "seeds", *(HEADS[key] for key in keys))
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
            f"test on ({option('test', ...)}). Until then `unseen blindspots` of a fitted detector "
            "tells how it did on kinds that training itself held out."
        )
    worst = min(counted, key=lambda row: row["auroc"])
    missed = 1 - worst["tpr_at_5_fpr"]
    return (
        f"How blind {entry['method']} still is: of the unseen classes with at least {LEAST} rows "
        f"{worst['class']!r} is found worst, AUROC {worst['auroc']:.3f} (0.5 is chance). A "
        f"threshold that flags 5% of the normal rows misses {missed:.0%} of its rows."
    )


def _foretold(entry: dict[str, Any]) -> list[RenderableType]:
    """What was expected of unseen classes, beside what came; nothing where nothing was."""
    told = entry.get("blind_spots")
    if told is None:
        return []
    text = (
        f"What {entry['method']} itself expected to find of unseen classes, by the labelled ones "
        f"alone: {told['expected']:.0%} ({told['low']:.0%} to {told['high']:.0%}, means over "
        f"seeds). It found {told['found']:.0%}, within the interval in {told['covered']:.0f} of "
        f"{told['runs']:.0f}."
    )
    return [Text(text), ""]


def _titled(title: str, table: Table) -> list[RenderableType]:
    return [Text(title, style="bold"), table, ""]


def _mean_and_spread(mean: float | None, sd: float | None, *, seeds: int) -> str:
    """Mean and standard deviation over seeds, of which one alone has none."""
    if mean is None or sd is None:
        return "-"
    return f"{mean:.3f}±" + f"{sd:.3f}".removeprefix("0") if seeds > 1 else f"{mean:.3f}"


def figure(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"

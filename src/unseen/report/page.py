"""The report: one page that says what a detector learned, what it will miss, and what it found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from unseen.detector.conformal import level_of
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.io.atomic import Making
from unseen.report.charts import histogram, pvalue_plot
from unseen.report.inspection import expected_recall, facts_of, pieces_of
from unseen.storage.bundle import Bundle

ALERTS, DOUBTED = 20, 10  # rows that are shown
# positions of the slider, above the smallest p-value that there is
LEVELS = (
    *(1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 0.01, 0.015),
    *(0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2),
)
KEPT = 200_000  # scores of DATA that charts are drawn of


@dataclass(frozen=True)
class Judged:
    """What a report needs of rows that were scored.

    Parameters
    ----------
    name : str
        What the source is called.
    rows : int
        How many rows were judged.
    flagged : int
        Alarms among them.
    score, pvalue : array
        Of the rows, or of as many drawn evenly as charts are drawn of (k,).
    alerts : list of dict
        The alarms that score highest: keys, `score` and `pvalue`.
    places : list of int
        Which rows of the source they are, from 0.
    """

    name: str
    rows: int
    flagged: int
    score: NDArray[np.float64]
    pvalue: NDArray[np.float64]
    alerts: list[dict[str, Any]]
    places: list[int] = field(default_factory=list)

    def with_told(self, told: Sequence[dict[str, Any]]) -> Judged:
        """The same, what is told of the alerts beside them."""
        both = zip(self.alerts, told, strict=True)
        return replace(self, alerts=[alert | more for alert, more in both])


def gathered(parts: Iterable[Any], name: str) -> Judged:
    """What the page shows of rows as the scoring stream yields them (`Scored`)."""
    scores, pvalues, rows, flagged = [np.zeros(0)], [np.zeros(0)], 0, 0
    alerts: list[tuple[int, dict[str, Any]]] = []
    seen = 0
    for part in parts:
        there = ~np.isnan(part.score)
        rows, flagged = rows + int(there.sum()), flagged + int(part.flagged.sum())
        scores.append(part.score[there])
        pvalues.append(part.pvalue[there])
        worst = np.flatnonzero(part.flagged)
        worst = worst[np.argsort(-part.score[worst], kind="stable")][:ALERTS]
        table = part.table().drop_columns(["verdict"]).take(pa.array(worst))
        more = zip((worst + seen).tolist(), table.to_pylist(), strict=True)
        alerts = sorted([*alerts, *more], key=lambda each: -each[1]["score"])[:ALERTS]
        seen += len(part.score)
    every = max(1, -(-rows // KEPT))
    score_of, pvalue_of = (np.concatenate(found)[::every] for found in (scores, pvalues))
    places, shown = [place for place, _ in alerts], [row for _, row in alerts]
    return Judged(name, rows, flagged, score_of, pvalue_of, shown, places)


def report_page(bundle: Bundle, found: Judged | None, policy: Policy) -> str:
    """The page, whole: no request leaves it.

    Parameters
    ----------
    bundle : Bundle
        A saved detector.
    found : Judged or None
        Rows that were scored, if any.
    policy : Policy
        Which p-values are alarms.

    Returns
    -------
    str
        HTML.
    """
    detector = bundle.detector
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = files("unseen.report").joinpath("templates", "report.html").read_text()
    return environment.from_string(template).render(
        first=first_screen(bundle, found, policy),
        facts=facts_of(bundle),
        pieces=pieces_of(bundle),
        noun=detector.schema_.noun,
        slider=slider(detector, found),
        charts=charts(detector, found, policy),
        found=found,
        alerts=[] if found is None else as_cells(found.alerts),
        doubted=doubted(detector),
        limits=caveats(detector),
    )


def write_page(target: Path, page: str) -> None:
    """A file that is whole or not there."""
    with Making() as making:
        making.file(target).write(page.encode())


def first_screen(bundle: Bundle, found: Judged | None, policy: Policy) -> list[str]:
    """What a reader in a hurry must know, in sentences."""
    detector, facts = bundle.detector, bundle.facts
    noun, m = detector.schema_.noun, len(detector.conformal_.scores)
    known = detector.classes_
    kinds = f"{len(known)} kinds of anomalies" if len(known) != 1 else "one kind of anomalies"
    lines = [
        f"It learned what is normal from {facts.get('normals', m):,} {noun}"
        + (f", and {kinds} from labelled examples." if known else ", and from no labelled anomaly.")
    ]
    if not policy.needs_all:
        lines.append(
            f"Of 1,000 normal {noun}, about {1000 * policy.level:.3g} are flagged: the price of "
            "finding the others."
        )
    lines += [f"{text}." for _, text in expected_recall(detector)]
    if found is not None:
        share = found.flagged / max(found.rows, 1)
        lines.append(
            f"In {found.name} it flags {found.flagged:,} of {found.rows:,} {noun} ({share:.1%})."
        )
    return lines


def slider(detector: Detector, found: Judged | None) -> dict[str, Any]:
    """Levels, the scores from which on they flag, and how many rows of DATA they do: for the
    slider, as JSON, and five of them as a table.
    """
    finest = 1 / (len(detector.conformal_.scores) + 1)
    levels = np.array([finest, *(level for level in LEVELS if level > finest)])
    steps = [
        {
            "level": level_of(float(level)),
            "normal": float(f"{1000 * level:.3g}"),
            "flagged": None
            if found is None
            else round(float((found.pvalue <= level).mean()) * found.rows),
        }
        for level in levels
    ]
    start = int(np.abs(levels - 0.05).argmin())
    usual = (finest, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2)
    shown = [k for k, level in enumerate(levels) if level in usual]
    data = json.dumps(steps).replace("<", "\\u003c")
    return {
        "steps": Markup(data),  # noqa: S704  numbers alone
        "start": start,
        "last": len(steps) - 1,
        "shown": [steps[k] for k in shown],
    }


def charts(detector: Detector, found: Judged | None, policy: Policy) -> list[tuple[str, Markup]]:
    """Charts with what they show, in words."""
    calm = np.concatenate([member.calibration for member in detector.members_])
    mark = float(detector.conformal_.threshold(0.05 if policy.needs_all else policy.level))
    single = len(detector.members_) == 1
    series = {"normal, held out": calm} if single else {}
    drawn = []
    if found is not None and len(found.score):
        series |= {found.name: found.score}
    if series and np.isfinite(mark):
        words = "Scores: higher is less normal. The upright line is the threshold."
        drawn.append((words, histogram(series, title="Distribution of scores", mark=mark)))
    if found is not None and len(found.pvalue):
        words = (
            "p-values: of normal rows as many lie below any level as the dashed line says. What "
            "rises above it at the left are anomalies; a curve above it everywhere is drift."
        )
        drawn.append((words, pvalue_plot(found.pvalue, title="p-values")))
    return drawn


def as_cells(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows as text."""
    return [
        {name: f"{v:.4g}" if isinstance(v, float) else str(v) for name, v in row.items()}
        for row in rows
    ]


def doubted(detector: Detector) -> list[tuple[int, str]]:
    """Training rows taken for normal that look least like it: number from 1, and p-value."""
    member = detector.members_[0]
    if member.held_out is None:
        return []
    order = np.argsort(-member.calibration, kind="stable")[:DOUBTED]
    n = len(member.calibration)
    return [
        (int(member.held_out[k]) + 1, f"{(rank + 1) / (n + 1):.2g}") for rank, k in enumerate(order)
    ]


def caveats(detector: Detector) -> list[str]:
    """What the figures do not promise."""
    noun, m = detector.schema_.noun, len(detector.conformal_.scores)
    lines = [
        f"p-values hold for {noun} like those of training: of another machine, season or version "
        "more are flagged than asked for.",
        f"{m:,} normal {noun} calibrate, so no p-value is below {level_of(1 / (m + 1))}.",
        "An anomaly that looks normal in every column that is used cannot be found.",
    ]
    if not detector.classes_:
        lines.append("No anomaly was labelled: how blind it is to new kinds is not known.")
    return lines

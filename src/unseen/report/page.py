"""The report: one page that says what a detector learned, what it will miss, and what it found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import PackageLoader
from markupsafe import Markup, escape
from numpy.typing import NDArray

from unseen.detector.conformal import level_of
from unseen.detector.detector import Detector
from unseen.detector.drift import Drift
from unseen.detector.policy import Policy
from unseen.io.atomic import Making
from unseen.names import first_few
from unseen.report.charts import Chart, axis_of, histogram, pvalue_plot, x_of
from unseen.report.gathering import Judged
from unseen.report.inspection import facts_of, pieces_of
from unseen.report.knowledge import Blind, caveats, doubted, evaluated, shown_level
from unseen.report.templating import cut_short, environment_of, look
from unseen.storage.bundle import Bundle
from unseen.storage.facts import Count, of_form

# positions of the slider, above the smallest p-value that there is
LEVELS = (
    *(1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 0.01, 0.015),
    *(0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2),
)
LONG = 2000  # characters of a fact about the making
USUAL = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2)  # of them, and the smallest, those in the table
ABOVE = ("blind spots", "new kinds")  # facts that have a place of their own
TRAFFIC = 10_000  # rows a day, until a reader says how many


@dataclass(frozen=True)
class Tile:
    """A figure of the first screen.

    Parameters
    ----------
    head : str
        What it is about.
    figure : str
        The figure.
    text : str
        What it means.
    """

    head: str
    figure: str
    text: str


def report_page(
    bundle: Bundle,
    found: Judged | None,
    policy: Policy,
    reports: Sequence[dict[str, Any]] | None = None,
) -> str:
    """The page, whole: no request leaves it.

    Parameters
    ----------
    bundle : Bundle
        A saved detector.
    found : Judged or None
        Rows that were scored, if any.
    policy : Policy
        Which p-values are alarms.
    reports : sequence of dict, optional
        What `evaluate` returned; without it that of the bundle, if it has one.

    Returns
    -------
    str
        HTML.
    """
    detector = bundle.detector
    blind = Blind.of(detector, shown_level(policy, found))
    steps = slider(detector, found, policy, blind)
    environment = environment_of(PackageLoader("unseen.report"))
    environment.filters |= {"first_few": listed, "lengthy": lengthy}
    source, rows = doubted(bundle)
    facts = dict(facts_of(bundle))
    figures = [
        *figures_of_detector(detector, blind, policy),
        *figures_of_rows(found, detector, policy),
    ]
    return environment.get_template("report.html").render(
        look=Markup(look()),  # noqa: S704  of this package
        noun=detector.schema_.noun,
        one=detector.schema_.noun.removesuffix("s"),
        made=[(name, lengthy(text)) for name, text in facts.items() if name not in ABOVE],
        chance=facts.get("new kinds"),
        trained=str(bundle.facts.get("source", "its training data")),
        learned=what_it_learned(bundle),
        tiles=figures,
        steps=steps,
        data=Markup(json.dumps(steps).replace("<", "\\u003c")),  # noqa: S704  numbers alone
        start=int(np.argmin([abs(step["at"] - shown_level(policy, found)) for step in steps])),
        traffic=round(policy.traffic or TRAFFIC),
        scores=score_chart(detector, found, policy),
        pvalues=pvalue_chart(found),
        found=found,
        drift=drift_lines(found),
        blind=blind,
        level=level_of(blind.level),
        pieces=pieces_of(bundle),
        evaluated=evaluated(bundle, reports),
        doubted=rows,
        doubted_in=source,
        limits=caveats(detector),
    )


def write_page(target: Path, page: str) -> None:
    """A file that is whole or not there."""
    with Making() as making:
        # names of files may hold bytes that spell nothing
        making.file(target).write(page.encode("utf-8", "backslashreplace"))


def lengthy(text: str) -> Markup:
    """A fact about the making, which may be a list of columns."""
    return escape(text if len(text) <= LONG else f"{text[:LONG]}... ({len(text):,} characters)")


def listed(names: Sequence[str]) -> Markup:
    """The first names, each cut where it is too long.

    >>> listed(["<a>", "b"])
    Markup('&lt;a&gt;, b')
    """
    return escape(first_few(str(cut_short(name)) for name in names))


def what_it_learned(bundle: Bundle) -> str:
    """What the detector learned from, in a sentence."""
    detector, facts = bundle.detector, bundle.facts
    noun, m, known = detector.schema_.noun, len(detector.conformal_.scores), detector.classes_
    normals = of_form(Count, facts.get("normals"))
    first = f"It learned what is normal from {m if normals is None else normals:,} {noun}"
    if not known:
        return f"{first}; no anomaly was labelled."
    kinds = "1 kind of anomaly" if len(known) == 1 else f"{len(known):,} kinds of anomalies"
    return f"{first}, and {kinds} from labelled examples: {first_few(map(str, known))}."


def figures_of_detector(detector: Detector, blind: Blind, policy: Policy) -> list[Tile]:
    """What a reader in a hurry must know of the detector."""
    noun, level = detector.schema_.noun, policy.level
    if policy.kind == "fdr":
        alarms = Tile("False alarms", f"{100 * level:.3g}%", "of the alarms, at most, are false.")
    elif policy.kind == "cost":
        text = "is the chance to be an anomaly from which on an alarm is worth its cost."
        alarms = Tile("Alarms", f"{100 * (1 - level):.3g}%", text)
    elif level < detector.conformal_.finest:
        text = f"alarms: no p-value is below {level_of(detector.conformal_.finest)}. Ask for that."
        alarms = Tile("False alarms", "no", text)
    else:
        daily = f", {level * policy.traffic:.3g} a day" if policy.traffic else ""
        text = f"normal {noun} raise an alarm{daily}: the price of finding the others."
        alarms = Tile("False alarms", f"{1000 * level:.3g} of 1,000", text)
    if blind.spots is None:
        text = "how much it finds of kinds that nobody has labelled; why is told below."
        return [alarms, Tile("New kinds of anomalies", "not known", text)]
    spots = blind.spots
    text = (
        "of anomalies of a kind that nobody has labelled are expected to be found at "
        f"{100 * spots.alpha:.3g}% false alarms; it may be {spots.low:.0%} to {spots.high:.0%} of "
        "a kind. The others are missed."
    )
    return [alarms, Tile("New kinds of anomalies", f"{spots.expected:.0%}", text)]


def figures_of_rows(found: Judged | None, detector: Detector, policy: Policy) -> list[Tile]:
    """And of the rows that were scored."""
    if found is None:
        return []
    noun = detector.schema_.noun
    failed = f"; {found.failed:,} more could not be read" if found.failed else ""
    text = f"of {found.rows:,} {noun} in {cut_short(found.name)} raise an alarm{failed}."
    if not policy.needs_all:
        due = policy.level * found.rows
        text += f" About {due:,.0f} would, were all of them normal."
    shown = [Tile("Alarms", f"{found.flagged:,}", text)]
    if isinstance(drift := found.drift, Drift):
        moved = drift.scores_moved or drift.moved
        if moved:
            text = (
                f"Normal {noun} no longer come as in training, so the figures here do not hold "
                "for them: recalibrate, or train again."
            )
        elif drift.drifted:
            text = (
                f"More {noun} lie far out than expected: anomalies, or normal ones that have "
                "changed. Look at some."
            )
        else:
            text = (
                f"{noun.capitalize()} that look normal come as in training: the figures on this "
                "page hold for them."
            )
        figure = "yes" if moved else "unclear" if drift.drifted else "none"
        shown.append(Tile("Change since training", figure, text))
    return shown


def slider(
    detector: Detector, found: Judged | None, policy: Policy, blind: Blind
) -> list[dict[str, Any]]:
    """Levels, and for each how many of 1,000 normal rows and of the rows that were scored are
    flagged, what share of new kinds is found, and where its score stands in the chart.
    """
    finest = 1 / (len(detector.conformal_.scores) + 1)
    own, score_of = shown_level(policy, found), detector.conformal_.threshold
    levels = sorted({finest, *(level for level in (*LEVELS, own) if level > 1.05 * finest)})
    series, mark = series_of(detector, found), float(score_of(own))
    ends = axis_of(series, mark) if series and np.isfinite(mark) else None
    return [
        {
            "at": level,
            "shown": level == finest or level in USUAL,
            "level": level_of(float(level)),
            "normal": float(f"{1000 * level:.3g}"),
            "flagged": None if found is None else _share_of(found.pvalue <= level, found.rows),
            "caught": blind.found(level),
            "x": None if ends is None else round(x_of(float(score_of(level)), *ends), 1),
        }
        for level in levels
    ]


def _share_of(flagged: NDArray[np.bool_], rows: int) -> int:
    """Of all rows as many as of those that were drawn evenly (k,); 0 where none was judged."""
    return round(float(flagged.mean()) * rows) if len(flagged) else 0


def series_of(detector: Detector, found: Judged | None) -> dict[str, Any]:
    """Scores that may be drawn beside one another: of folds those of training are not alike."""
    single = len(detector.members_) == 1
    series = {"normal, held out": detector.members_[0].calibration} if single else {}
    if found is not None and len(found.score):
        series[str(cut_short(found.name))] = found.score
    return series


def score_chart(detector: Detector, found: Judged | None, policy: Policy) -> Chart | None:
    """Scores, and the threshold that the slider moves."""
    series = series_of(detector, found)
    mark = float(detector.conformal_.threshold(shown_level(policy, found)))
    if not series or not np.isfinite(mark):
        return None
    words = "Higher scores are less normal. What lies right of the upright line is flagged."
    return histogram(series, title="Distribution of scores", words=words, mark=mark)


def pvalue_chart(found: Judged | None) -> Chart | None:
    """p-values of the rows that were scored."""
    if found is None or not len(found.pvalue):
        return None
    words = (
        "How many rows have at most a p-value: of normal ones as many as the dashed line says. A "
        "steep rise at the left is anomalies; a curve above the line everywhere is drift."
    )
    return pvalue_plot(found.pvalue, title="p-values", words=words)


def drift_lines(found: Judged | None) -> list[str]:
    """What changed since training, in sentences, or why that is not told."""
    if found is None:
        return []
    if isinstance(found.drift, Drift):
        return found.drift.in_words()
    return [f"Not told: {found.drift}."] if found.drift else []

"""The model card: what a saved detector is for, what it was made of, and what it will miss, in
Markdown (Mitchell et al. 2019, "Model Cards for Model Reporting").
"""

from __future__ import annotations

import re
import unicodedata
from importlib.resources import files
from math import isfinite

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from unseen.detector.conformal import level_of
from unseen.detector.detector import FLAGGED, Detector
from unseen.methods.catalogue import to_json
from unseen.methods.foreign import paths_in
from unseen.report.inspection import facts_of, pieces_of
from unseen.report.knowledge import Blind, caveats, evaluated
from unseen.report.page import ABOVE, USUAL, what_it_learned
from unseen.storage.bundle import Bundle
from unseen.storage.facts import formless

LONG = 2000  # characters of any text
_WRITTEN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;"}
_MARKS = re.compile(r"([\\`*_{}\[\]#~!$^]|(?<=:)//|(?<=www)\.)", re.IGNORECASE)


def model_card(bundle: Bundle) -> str:
    """The model card of a detector.

    Parameters
    ----------
    bundle : Bundle
        A saved detector.

    Returns
    -------
    str
        Markdown, the same for the same bundle. What comes from outside, such as names of classes
        and columns, is shown as the text that it is.

    >>> detector = Detector("mahalanobis", random_state=0).fit(
    ...     [[float(i % 7), i % 5] for i in range(100)]
    ... )
    >>> model_card(Bundle(detector, {"source": "<two> counters"})).splitlines()[0]
    '# Model card: detector of &lt;two&gt; counters'
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=as_markdown
    )
    template = files("unseen.report").joinpath("templates", "card.md").read_text()
    detector, facts = bundle.detector, dict(facts_of(bundle))
    blind = _blind(detector)
    paths = tuple(paths_in(to_json(detector.chosen(), to_read=True)))
    return environment.from_string(template).render(
        noun=detector.schema_.noun,
        trained=str(bundle.facts.get("source", "its training data")),
        learned=what_it_learned(bundle),
        limits=caveats(detector),
        normal=_normal(bundle),
        made=[
            *((k, v) for k, v in facts.items() if k not in ABOVE),
            *formless(bundle.facts).items(),
        ],
        pieces=pieces_of(bundle),
        blind=blind,
        chance=facts.get("new kinds"),
        levels=_levels(detector, blind),
        evaluated=evaluated(bundle, None),
        trust=Markup(f", trust={paths!r}" if paths else ""),  # noqa: S704  import paths alone
        digest=bundle.digest if "created" in bundle.facts else None,
    )


def as_markdown(value: object) -> Markup:
    """Any value as one line of text that Markdown, and the HTML in it, takes for text alone.

    >>> as_markdown("a|b_\\n# <b>"), as_markdown(7)
    (Markup('a&#124;b\\\\_ \\\\# &lt;b&gt;'), Markup('7'))
    """
    if isinstance(value, Markup):
        return value
    text = str(value)
    if len(text) > LONG:
        text = f"{text[:LONG]}... ({len(text):,} characters)"
    # line ends, marks of direction, halves of characters
    text = "".join(" " if unicodedata.category(each)[0] == "C" else each for each in text)
    text = _MARKS.sub(r"\\\1", " ".join(text.split()))
    return Markup("".join(_WRITTEN.get(each, each) for each in text))  # noqa: S704  escaped


def _blind(detector: Detector) -> Blind:
    """What is known of kinds without labels, without training for it."""
    held_out = any(member.hidden is not None for member in detector.members_)
    if held_out or not detector.chosen().uses_labels:
        return Blind.of_kinds(detector, FLAGGED.level)
    return Blind(FLAGGED.level, None, "the command unseen blindspots trains anew to tell", None)


def _normal(bundle: Bundle) -> str:
    """How normal was defined."""
    noun = bundle.detector.schema_.noun
    if bundle.facts.get("label", "") is None and noun == "rows":
        return "every row of training, as there was no column of labels"
    name = str(bundle.detector.normal)
    return f"{noun} of training under the label {name!r}, or all of them where none had a label"


def _levels(detector: Detector, blind: Blind) -> list[tuple[str, ...]]:
    """For each of some levels: its name, the score from which on it flags, normal ones that it
    flags, and what is found of new kinds, with the interval.
    """
    finest, found = detector.conformal_.finest, list[tuple[str, ...]]()
    for level in sorted({finest, *(level for level in USUAL if level > finest)}):
        score = detector.conformal_.threshold(level)
        share, ends = "-", "-"
        if blind.spots is not None and level >= blind.spots.finest:
            there = blind.spots.at(level)
            share, ends = f"{there.expected:.0%}", f"{there.low:.0%} to {there.high:.0%}"
        shown = f"{score:.4g}" if isfinite(score) else "-"
        found.append((level_of(level), shown, f"{1000 * level:.3g}", share, ends))
    return found

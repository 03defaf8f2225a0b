"""How pages are filled in: one look for all, and text from outside escaped and bounded."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import BaseLoader, Environment, StrictUndefined
from markupsafe import Markup

from unseen.explain.reasons import as_written

SHORT = 300  # characters of any text from outside


def environment_of(loader: BaseLoader) -> Environment:
    """What fills in pages: all text from outside is escaped, and cut where it is too long."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=cut_short,
    )
    environment.filters["written"] = as_written
    return environment


def look() -> str:
    """The style sheet of all pages."""
    return files("unseen.report").joinpath("templates", "look.css").read_text()


def cut_short(value: object) -> object:
    """Text from outside, cut where it is too long for a page.

    >>> cut_short("x" * 301)[-30:], cut_short(7)
    ('xxxxxxxxxx... (301 characters)', 7)
    """
    if isinstance(value, Markup) or not isinstance(value, str) or len(value) <= SHORT:
        return value
    return f"{value[:SHORT]}... ({len(value):,} characters)"

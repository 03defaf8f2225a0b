"""Pages from templates: everything that is filled in is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader

from unseen.report.templating import environment_of, look
from unseen.service.review.words import chance_in_words, in_utc

MEDIA = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
FILES = ("htmx.min.js", "review.js", "review.css", "icon.svg")


@cache
def templates() -> Environment:
    """The templates of this page, over those that it shares with the report."""
    own = [PackageLoader(f"unseen.{room}") for room in ("service.review", "report")]
    environment = environment_of(ChoiceLoader(own))
    environment.filters |= {"chance": chance_in_words, "utc": in_utc}
    return environment


@cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """The files beside the pages: bytes and type by name."""
    place = files("unseen.service.review").joinpath("static")
    found = {name: place.joinpath(name).read_bytes() for name in FILES}
    found["look.css"] = look().encode()
    return {name: (body, MEDIA[name.rsplit(".")[-1]]) for name, body in found.items()}


def rendered(template: str, what: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page, or a part of one."""
    return HTMLResponse(templates().get_template(template).render(**what), status)

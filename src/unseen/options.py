"""How messages name what a user can set: an argument in Python, a flag on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType

FLAGS = {"kinds": "kind", "groups": "group", "random_state": "seed", "methods": "method"}  # where the names differ
BLANKS = {
    "normal": "NAME",
    "label": "COL",
    "group": "COL",
    "kind": "COL=KIND",
    "test": "DATA",
    "method": "NAME",
    "shots": "N",
}

_typed: ContextVar[bool] = ContextVar("typed", default=False)


@contextmanager
def typed() -> Iterator[None]:
    """Meanwhile, messages are for somebody who types flags."""
    before = _typed.set(True)
    try:
        yield
    finally:
        _typed.reset(before)


def option(name: str, value: object = None) -> str:
    """The words by which a user sets this; without a value its bare name, with ... a blank to fill in.

    >>> option("tail", True), option("kinds", {"port": "category"}), option("alpha")
    ('tail=True', "kinds={'port': 'category'}", 'alpha')
    >>> with typed():
    ...     option("tail", True), option("kinds", {"port": "category"}), option("alpha"), option("normal", ...)
    ('--tail', '--kind port=category', '--alpha', '--normal NAME')
    """
    if not _typed.get():
        return name if value is None else f"{name}={'...' if value is ... else repr(value)}"
    flag = FLAGS.get(name, name)
    if value is False:
        return f"--no-{flag}"
    return " ".join([f"--{flag.replace('_', '-')}", *_words(flag, value)])


def _words(flag: str, value: object) -> list[str]:
    """What stands behind a flag."""
    if value is None or value is True:
        return []
    if isinstance(value, EllipsisType):
        return [BLANKS.get(flag, "...")]
    if isinstance(value, Mapping):
        return [shlex.quote(f"{key}={each}") for key, each in value.items()]
    return [shlex.quote(str(each)) for each in (value if isinstance(value, list | tuple) else [value])]

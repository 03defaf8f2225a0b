"""How messages name what a user can set: an argument in Python, a flag on the command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType

# where the names differ
FLAGS = {"kinds": "kind", "groups": "group", "random_state": "seed", "methods": "method"}
BLANKS = {
    "normal": "NAME",
    "label": "COL",
    "group": "COL",
    "kind": "COL=KIND",
    "test": "DATA",
    "data": "TRAIN",
    "method": "NAME",
    "shots": "N",
    "rows": "N",
}
# flags that stand for one value
SWITCHES = {"tail": (True, "--tail"), "header": (False, "--no-header")}
NUMBER = re.compile(r"-[\d.]+")

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
    """The words by which a user sets this; without a value its bare name, with ... a blank to fill
    in.

    >>> option("tail", True), option("kinds", {"port": "category"}), option("alpha")
    ('tail=True', "kinds={'port': 'category'}", 'alpha')
    >>> with typed():
    ...     (
    ...         option("tail", True),
    ...         option("kinds", {"port": "category"}),
    ...         option("alpha"),
    ...         option("normal", ...),
    ...     )
    ('--tail', '--kind port=category', '--alpha', '--normal NAME')
    """
    if not _typed.get():
        return name if value is None else f"{name}={'...' if value is ... else repr(value)}"
    return shlex.join(words(name, value)) or f"--{FLAGS.get(name, name).replace('_', '-')}"


def words(name: str, value: object) -> list[str]:
    """What is typed on a command line to set this; nothing for what is not set.

    >>> words("drop", ("id", "-x")), words("tail", False), words("normal", -1)
    (['--drop', 'id', '--drop=-x'], [], ['--normal', '-1'])
    """
    flag = FLAGS.get(name, name).replace("_", "-")
    if name in SWITCHES:
        return [SWITCHES[name][1]] if value is SWITCHES[name][0] else []
    if value is None:
        return []
    if isinstance(value, EllipsisType):
        return [f"--{flag}", BLANKS.get(flag, "...")]
    if isinstance(value, Mapping):
        value = [f"{key}={each}" for key, each in value.items()]
    texts = [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
    # else taken for flags
    dashed = [text for text in texts if text.startswith("-") and not NUMBER.fullmatch(text)]
    plain = [text for text in texts if text not in dashed]
    return [*([f"--{flag}", *plain] if plain else []), *(f"--{flag}={text}" for text in dashed)]

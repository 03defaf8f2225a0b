"""Methods made quick for tests of what they keep, not of how good they are: `quick` ones learn what
is plain to see, `brief` ones next to nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from unseen.fields import is_method
from unseen.types import Method

FEWER = {
    **dict.fromkeys(("inner_steps", "outer_steps"), 10),
    **dict.fromkeys(("trees", "tuning_steps"), 20),
    "steps": 80,
    "episodes": 4,
    "batch": 64,
}
FEWEST = {
    **dict.fromkeys(("inner_steps", "outer_steps", "episodes", "tasks"), 2),
    **dict.fromkeys(("trees", "tuning_steps", "adapt_steps"), 5),
    "steps": 10,
    "rounds": 1,
    "batch": 32,
}


def quick(method: Any, most: dict[str, int] = FEWER) -> Any:
    """The method with fewer steps and smaller forests; methods inside likewise."""
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    changes = {name: min(each, values[name]) for name, each in most.items() if name in values}
    for name, value in values.items():
        if is_method(value):
            changes[name] = quick(value, most)
        elif isinstance(value, tuple) and any(map(is_method, value)):
            changes[name] = tuple(quick(each, most) for each in value)
    if "inner_steps" in values and "steps" in changes:
        changes["steps"] = min(changes["steps"], 20)  # each takes inner steps of its own
    return dataclasses.replace(method, **changes)


def brief(method: Any) -> Any:
    """The method with so few steps that nothing is learned, for what has to hold of any scores."""
    return quick(method, FEWEST)


def parametrised(methods: dict[str, Method], made: Callable[[Any], Any] = quick) -> Any:
    return pytest.mark.parametrize("method", list(map(made, methods.values())), ids=list(methods))

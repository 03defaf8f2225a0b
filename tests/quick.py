"""Methods made quick for tests of what they keep, not of how good they are."""

from __future__ import annotations

import dataclasses
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


def quick(method: Any) -> Any:
    """The method with fewer steps and smaller forests; methods inside likewise."""
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    changes = {name: min(most, values[name]) for name, most in FEWER.items() if name in values}
    for name, value in values.items():
        if is_method(value):
            changes[name] = quick(value)
        elif isinstance(value, tuple) and any(map(is_method, value)):
            changes[name] = tuple(map(quick, value))
    if "inner_steps" in values and "steps" in changes:
        changes["steps"] = min(changes["steps"], 20)  # each takes inner steps of its own
    return dataclasses.replace(method, **changes)


def parametrised(methods: dict[str, Method]) -> Any:
    return pytest.mark.parametrize(
        "method", [quick(m) for m in methods.values()], ids=list(methods)
    )

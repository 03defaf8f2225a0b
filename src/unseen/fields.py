"""What the fields of methods may be: one table for Python, the command line and saved detectors.

Checked before anything is built, so that no number makes a scorer that scores NaN, or takes the
memory of a machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from inspect import formatannotation
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from unseen.errors import DataError
from unseen.types import Adaptable, Method, Trainable, Updatable

DEEPEST = 8  # methods inside methods
PARTS = 2_000  # that a method may build, all that is inside it counted: about a second
OWN = 4  # parts of a method without what is counted by its fields
LONGEST = 100  # entries of a list
THOUSAND, HUGE = 1_000, 10_000_000
ABOVE = 1e-12  # stands for "above 0"

COUNT, NUMBER, POSITIVE, SHARE = (1, HUGE), (0, 1e6), (ABOVE, 1e6), (0, 1)
MANY, WIDTH, FEW, RATE = (1, 100_000), (1, 10_000), (1, THOUSAND), (ABOVE, 1)

RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("adapt_steps", "bank", "cells", "inner_steps", "outer_steps", "size", "steps"), COUNT
    ),
    **dict.fromkeys(("subset", "sync", "tuning_steps"), COUNT),
    **dict.fromkeys(
        ("codes", "directions", "embedding", "hidden", "latent", "prototypes", "width"), WIDTH
    ),
    **dict.fromkeys(
        ("clusters", "distributions", "environments", "episodes", "k", "neighbours"), MANY
    ),
    **dict.fromkeys(("couplings", "members", "references", "stride", "tasks"), FEW),
    **dict.fromkeys(("inner_rate", "projection_rate", "rate"), RATE),
    **dict.fromkeys(("cut", "discount", "explore", "memory", "momentum", "most"), SHARE),
    **dict.fromkeys(
        (
            "most_from_labels",
            "quantile",
            "reject",
            "residual",
            "seen_class_weight",
            "share",
            "threshold",
            "top",
        ),
        SHARE,
    ),
    **dict.fromkeys(
        ("alpha", "anchor", "awareness", "bound", "commitment", "contrast", "correlation"), NUMBER
    ),
    **dict.fromkeys(
        ("eta", "gamma", "margin", "noise", "outlier", "pairs", "penalty", "position"), NUMBER
    ),
    **dict.fromkeys(
        ("pushed", "reconstruction", "rho", "ridge", "inverse_temperature", "shrinkage", "spread"),
        NUMBER,
    ),
    **dict.fromkeys(("strength", "variance", "warmup"), NUMBER),
    **dict.fromkeys(("length", "likeness", "power", "refresh", "temperature"), POSITIVE),
    "batch": (2, HUGE),
    "blocks": (0, THOUSAND),
    "folds": (2, THOUSAND),
    "parts": (1, 100),
    "pool": (0, HUGE),
    "rounds": (1, 100),
    "rows": (2, HUGE),
    "kappa": (-0.999, 1e6),
    "trees": (1, 10_000),
    "Features.levels": (0, THOUSAND),
    "Features.size": (32, 10_000),
    "Features.tiles": (1, 100),
    # where a method needs more than others that have a field of this name
    "CSAD.reject": (1e-6, 0.5),
    "DCC.most": (0, 0.999),
    "Logistic.penalty": POSITIVE,
    "MultiDirectional.rows": (5, HUGE),
    "ResAD.bank": (2, HUGE),
    "ResADPlusPlus.bank": (2, HUGE),
}

# protocols of which `isinstance` cannot ask: any method may be one
UNASKED = (Method, Adaptable, Updatable)

# entries of a list, of which there may else be none
SHORTEST = {"DPLAN.hidden": 1, "DUQ.hidden": 1, "Patches.top": 1}


def check_fields(method: object) -> None:
    """DataError where a field of one of our methods has another type, or lies beyond its range;
    those inside, too.

    The fields of methods of others are theirs, but for methods of ours in them.

    >>> from unseen.methods.distances import Nearest
    >>> check_fields(Nearest(k=0))
    Traceback (most recent call last):
    unseen.errors.DataError: Nearest: k must be a whole number from 1 to 100,000, got 0
    """
    _check_each(method, 1)
    check_layers(method)


def _check_each(method: Any, depth: int) -> None:
    check_depth(depth)
    if not dataclasses.is_dataclass(method):
        return
    kind = type(method)
    for name, hint in method_fields(kind).items():
        value = getattr(method, name)
        if holds_methods(hint):
            if ours(kind):
                check_inside(kind, name, value)
            for inside in value if isinstance(value, tuple) else (value,):
                _check_each(inside, depth + 1)
        elif ours(kind):
            check_field(kind, name, value)


def check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise DataError(f"a method may be inside a method, and so on, {DEEPEST} deep at most")


def check_layers(method: object) -> None:
    """DataError for more layers than anybody waits for; each field may be within its range."""
    if (found := _parts(method)) > PARTS:
        raise DataError(
            f"{type(method).__name__}: it would have {found:,} parts, and may have {PARTS:,}: take "
            "fewer"
        )


def check_inside(kind: type, name: str, value: object) -> None:
    """DataError unless the value is a method, or several, of the sort that the field takes."""
    hint = method_fields(kind)[name]
    several = get_origin(hint) is tuple
    given = value if several and isinstance(value, tuple) else (value,)
    fits = all(_is_of_sort(one, hint) for one in given)
    if not fits or several != isinstance(value, tuple) or len(given) > LONGEST:
        what = (
            "a method that is trained by gradient descent, such as DevNet"
            if hint is Trainable
            else "a method"
        )
        what = f"a tuple of at most {LONGEST} methods" if several else what
        raise DataError(f"{kind.__name__}: {name} must be {what}, got {shortened(value)}")


def _is_of_sort(value: object, hint: Any) -> bool:
    """Whether a value is of a sort that a field for methods takes."""
    sorts = [sort for sort in (hint, *get_args(hint)) if isinstance(sort, type)]
    return any(is_method(value) if sort in UNASKED else isinstance(value, sort) for sort in sorts)


def check_field(kind: type, name: str, value: object) -> Any:
    """The value as its field has it, from Python or from JSON; DataError for another type, and
    beyond the range.
    """
    try:
        found = _adapter(kind, name).validate_json(json.dumps(value, default=plain), strict=True)
    except (ValidationError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{kind.__name__}: {name} must be {_wanted(kind, name)}, got {shortened(value)}"
        ) from error
    low, high = range_of(kind, name)
    fits = all(low <= number <= high for number in _numbers_in(found))
    if isinstance(found, tuple) and ours(kind):
        fits = fits and _shortest(kind, name) <= len(found) <= LONGEST
    if not fits:
        raise DataError(
            f"{kind.__name__}: {name} must be {_wanted(kind, name)}, got {shortened(value)}"
        )
    return found


def _adapter(kind: type, name: str) -> TypeAdapter[Any]:
    """What reads the values of a field; any, where a method of others has a type unknown to it."""
    try:
        return TypeAdapter(method_fields(kind)[name])
    except PydanticUserError:
        return TypeAdapter(Any)


def range_of(kind: type, name: str) -> tuple[float, float]:
    """The least and the largest that a number may be; no limits elsewhere, and in methods of
    others.
    """
    if not ours(kind):
        return -np.inf, np.inf
    return RANGES.get(f"{kind.__name__}.{name}", RANGES.get(name, (-np.inf, np.inf)))


def _shortest(kind: type, name: str) -> int:
    return SHORTEST.get(f"{kind.__name__}.{name}", 0)


def _wanted(kind: type, name: str) -> str:
    """What a field takes, in words."""
    hint, (low, high) = method_fields(kind)[name], range_of(kind, name)
    if not ours(kind):
        return f"a value of type {formatannotation(hint)}"
    if hint is bool:
        return "true or false"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    sorts = get_args(hint) or (hint,)
    what = {int: "whole number", float: "number", str: "name"}[sorts[0]]
    if get_origin(hint) is tuple:
        least = f"{_shortest(kind, name)} to" if _shortest(kind, name) else "at most"
        what = f"{least} {LONGEST} {what}s" if Ellipsis in sorts else f"{len(sorts)} {what}s"
    else:
        what = f"a {what}"
    if sorts[0] is str:
        return what
    return (
        f"{what} above 0, at most {high:,.10g}"
        if low == ABOVE
        else f"{what} from {low:,.10g} to {high:,.10g}"
    )


def _parts(method: Any) -> int:
    """How many layers and other parts a method builds, about: what is inside counts as often as it
    is copied.
    """
    if not dataclasses.is_dataclass(method):
        return OWN
    copies, inside = 1, 0
    for name, hint in method_fields(type(method)).items():
        value = getattr(method, name)
        if holds_methods(hint):
            inside += sum(map(_parts, value)) if isinstance(value, tuple) else _parts(value)
        elif not ours(type(method)):
            continue  # what the fields of others mean is theirs to say
        elif name in ("members", "couplings", "blocks"):
            copies *= max(value, 1)
        elif name == "hidden" and isinstance(value, tuple):
            inside += len(value)
        elif name == "rounds":
            inside += value
    return copies * (OWN + inside)


def method_fields(kind: type) -> dict[str, Any]:
    """The fields of a method and their types; of others whose annotations cannot be read, any."""
    try:
        hints = get_type_hints(kind)
    except NameError:  # of what only type checkers import
        hints = {}
    return {
        field.name: hints.get(field.name, Any) for field in dataclasses.fields(kind) if field.init
    }


def needed(kind: type) -> list[str]:
    """The fields of a method that have no default.

    >>> from unseen.methods.ensemble import Ensemble
    >>> needed(Ensemble)
    ['base']
    """
    none = dataclasses.MISSING
    known = [field for field in dataclasses.fields(kind) if field.init]
    return [
        field.name for field in known if field.default is none and field.default_factory is none
    ]


def holds_methods(hint: Any) -> bool:
    return any(is_method(each) for each in (hint, *get_args(hint)))


def is_method(value: object) -> bool:
    return callable(getattr(value, "build", None)) and callable(getattr(value, "train", None))


def ours(kind: type) -> bool:
    """Whether it is a method of this package."""
    return kind.__module__.startswith("unseen.")


def _numbers_in(value: Any) -> Iterator[float]:
    """The numbers in a field."""
    if isinstance(value, tuple):
        for each in value:
            yield from _numbers_in(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def plain(value: object) -> Any:
    """numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

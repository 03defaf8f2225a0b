"""Settings as words of a command line: NAME=VALUE becomes the field of a method, in the field's own type."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from unseen.data.tables import resembling
from unseen.errors import DataError
from unseen.methods import METHODS
from unseen.types import Method


def configured(name: str, settings: Iterable[str]) -> Method:
    """The method of that name, its fields changed as the settings say.

    >>> configured("devnet", ["margin=3", "hidden=[64, 32]"])
    DevNet(hidden=(64, 32), margin=3.0, ...)
    >>> configured("mahalanobis", ["shrinkige=0.1"])
    Traceback (most recent call last):
    unseen.errors.DataError: method 'mahalanobis' has no field 'shrinkige' ...; its fields are shrinkage=0.001
    """
    method: Any = METHODS[name]
    fields = settable(method)
    asked = pairs(settings, what="FIELD=VALUE")
    for field in asked:
        if field not in fields:
            known = ", ".join(f"{key}={json.dumps(value)}" for key, value in fields.items())
            raise DataError(
                f"method {name!r} has no field {field!r}{resembling(field, list(fields))}; its fields are {known}"
            )
    hints = get_type_hints(type(method))
    changes = {field: parsed(field, text, hints[field], fields[field]) for field, text in asked.items()}
    changed: Method = dataclasses.replace(method, **changes)
    return changed


def settable(method: Any) -> dict[str, Any]:
    """Fields that a few words can set, and their values: all but methods inside the method."""
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    return {name: value for name, value in values.items() if not composed(value)}


def composed(value: object) -> bool:
    """Whether this is a method, or several."""
    if isinstance(value, tuple):
        return any(map(composed, value))
    return dataclasses.is_dataclass(value)


def parsed(field: str, text: str, hint: Any, default: object) -> Any:
    try:
        return TypeAdapter(hint).validate_json(text)
    except ValidationError as error:
        raise DataError(f"field {field!r}: expected a value like {json.dumps(default)}, found {text!r}") from error


def pairs(texts: Iterable[str], *, what: str) -> dict[str, str]:
    """Each NAME=VALUE, split at its last "=", as a name of a column may hold one.

    >>> pairs(["a=b=number"], what="COL=KIND")
    {'a=b': 'number'}
    """
    split: Sequence[tuple[str, str, str]] = [text.rpartition("=") for text in texts]
    for text, (name, _, _) in zip(texts, split, strict=True):
        if not name:
            raise DataError(f"expected {what}, found {text!r}")
    return {name: value for name, _, value in split}

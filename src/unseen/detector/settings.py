"""Methods as users name and change them: by name, by NAME=VALUE on a command line, by
scikit-learn's parameters.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from unseen.errors import DataError, Unsupported
from unseen.fields import check_fields, is_method
from unseen.fields import method_fields as known_fields
from unseen.methods.catalogue import EVERY, IMAGES, METHODS, method_named, takes_images, to_json
from unseen.methods.foreign import created, is_path
from unseen.names import resembling
from unseen.types import Adaptable, Method, ability


def configured(name: str, settings: Iterable[str]) -> Method:
    """The method of that name, its fields changed as the settings say.

    >>> configured("devnet", ["margin=3", "hidden=[64, 32]"])
    DevNet(hidden=(64, 32), margin=3.0, ...)
    >>> configured("comet", ["base=devnet", "base.margin=3"]).base.margin
    3.0
    >>> configured("mahalanobis", ["shrinkige=0.1"])
    Traceback (most recent call last):
    unseen.errors.DataError: method 'mahalanobis' has no field 'shrinkige' ...
    """
    method = _changed(method_named(name), name, settings)
    check_fields(method)
    to_json(method)  # refuses now what could not be saved later
    return method


def _changed(method: Any, name: str, settings: Iterable[str]) -> Method:
    """The method with some fields changed; a method inside keeps what nothing is said of, unless
    another is named.
    """
    fields = _settable(method)
    choice = pairs(settings, what="--set FIELD=VALUE")
    inner: dict[str, list[str]] = {}
    for field in list(choice):
        outer, dot, rest = field.partition(".")
        if dot and outer in fields and _composed(getattr(method, outer)):
            inner.setdefault(outer, []).append(f"{rest}={choice.pop(field)}")
        elif field not in fields:
            known = ", ".join(
                f"{key}={json.dumps(value, default=repr)}" for key, value in fields.items()
            )
            raise DataError(
                f"method {name!r} has no field {field!r}{resembling(field, list(fields))}; its "
                f"fields are {known}"
            )
    changes: dict[str, Any] = {}
    hints = known_fields(type(method))
    for field in choice.keys() | inner.keys():
        if _composed(inside := getattr(method, field)):
            base = _inner_method(field, choice[field]) if field in choice else inside
            changes[field] = _changed(base, choice.get(field, fields[field]), inner.get(field, ()))
        else:
            changes[field] = _parsed_field(field, choice[field], hints[field], fields[field])
    return created(type(method), {name: getattr(method, name) for name in hints} | changes)


def method_of(choice: object) -> Method:
    """A method given by its name, by its import path, or as itself.

    >>> method_of("mahalanobis")
    Mahalanobis(shrinkage=0.001)
    """
    if isinstance(choice, str):
        return method_named(choice)
    whole = not isinstance(choice, type) and all(
        callable(getattr(choice, part, None)) for part in ("build", "train")
    )
    if dataclasses.is_dataclass(choice) and whole:
        method: Any = choice
        return cast(Method, method)
    ours = {type(method).__name__: name for name, method in EVERY.items()}
    kind = choice.__name__ if isinstance(choice, type) else type(choice).__name__
    if isinstance(choice, type) and choice in map(type, EVERY.values()):
        raise DataError(
            f"method is the class {kind}: pass an object of it, such as METHODS[{ours[kind]!r}] or "
            f"{kind}(...)"
        )
    meant = f"; the method of unseen with that name is unseen.{kind}()" if kind in ours else ""
    raise DataError(
        "method must be the name of a method of unseen, such as 'mahalanobis', or an object, such "
        f"as Mahalanobis(), got {choice!r:.80}{meant}"
    )


def parameters(method: Any) -> dict[str, Any]:
    """The fields of a method, as scikit-learn names what is nested; those of methods inside
    likewise.

    >>> parameters(METHODS["comet"])["base__steps"]
    1500
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        found[field.name] = value
        if _composed(value):
            found |= {f"{field.name}__{inner}": each for inner, each in parameters(value).items()}
    return found


def with_parameters(method: Any, changes: Mapping[str, Any]) -> Method:
    """The method with some of its `parameters` changed.

    >>> with_parameters(METHODS["comet"], {"base__steps": 20}).base.steps
    20
    """
    fields = {field.name for field in dataclasses.fields(method)}
    plain = {name: value for name, value in changes.items() if name in fields}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        outer, _, rest = name.partition("__")
        if name in plain:
            continue
        if (
            not rest
            or outer not in fields
            or not _composed(plain.get(outer, getattr(method, outer)))
        ):
            known = list(parameters(method))
            raise DataError(
                f"{type(method).__name__} has no field {name!r}{resembling(name, known)}; its "
                f"fields are {', '.join(known)}"
            )
        inner.setdefault(outer, {})[rest] = value
    nested = {
        name: with_parameters(plain.get(name, getattr(method, name)), rest)
        for name, rest in inner.items()
    }
    new: Method = dataclasses.replace(method, **plain | nested)
    return new


def _settable(method: Any) -> dict[str, Any]:
    """Fields that a few words can set, and their values: all but lists of methods; of a single one
    its name.
    """
    values = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    several = {
        name
        for name, value in values.items()
        if isinstance(value, tuple) and any(map(_composed, value))
    }
    return {
        name: to_json(value)["name"] if _composed(value) else value
        for name, value in values.items()
        if name not in several
    }


def _inner_method(field: str, name: str) -> Method:
    """The method of that name or import path, to stand in a field of another."""
    if name not in METHODS and not is_path(name):
        raise DataError(f"field {field!r}: no method {name!r}{resembling(name, list(METHODS))}")
    return method_named(name)


def _composed(value: object) -> bool:
    """Whether a field holds a method, which has fields of its own."""
    return dataclasses.is_dataclass(value) and is_method(value)


def _parsed_field(field: str, text: str, hint: Any, default: object) -> Any:
    try:
        return TypeAdapter(hint).validate_json(
            json.dumps(text) if isinstance(default, str) else text
        )
    except ValidationError as error:
        raise DataError(
            f"field {field!r}: expected a value like {json.dumps(default, default=repr)}, found "
            f"{text!r}"
        ) from error


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


def adaptable(method: Method) -> Adaptable:
    """The method, if it can adapt."""
    if ability(method, "adapt") is None:
        able = _named_able(METHODS)
        if takes_images(method):
            able = f"{_named_able(IMAGES)}, and Patches or Whole of {able}"
        what = " of ".join(
            type(each).__name__
            for each in (method, getattr(method, "base", None))
            if each is not None
        )
        raise Unsupported(
            f"{what} cannot move to another domain; these can: {able}. Fit one of them on "
            "the domains that you have, or fit anew on examples of the new one"
        )
    return cast(Adaptable, method)


def _named_able(prototypes: Mapping[str, Method]) -> str:
    return ", ".join(
        sorted(name for name, prototype in prototypes.items() if ability(prototype, "adapt"))
    )

"""Methods of other packages, by import path: mypackage.mine:Mine is class Mine of mypackage.mine.

Importing a module runs it, so a path that stands in a saved detector is imported only where its
reader named it.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Collection
from functools import reduce
from importlib import import_module
from typing import Any, cast

from unseen.errors import DataError, UnseenError
from unseen.fields import is_method, needed, shortened
from unseen.types import Method
from unseen.wording import option

LONGEST = 200  # characters of a path, which messages show whole
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PATH = re.compile(f"{_DOTTED}:{_DOTTED}")


def is_path(name: object) -> bool:
    """Whether this is spelled as an import path.

    >>> is_path("mypackage.mine:Mine"), is_path("devnet"), is_path("mypackage/mine.py:Mine")
    (True, False, False)
    """
    return isinstance(name, str) and len(name) <= LONGEST and _PATH.fullmatch(name) is not None


def is_importable(kind: type) -> bool:
    """Whether a class stands where its path says, in a module that any program can import."""
    try:
        found = _attribute(sys.modules[kind.__module__], kind.__qualname__)
    except (KeyError, AttributeError):
        return False
    return found is kind and kind.__module__ != "__main__"


def path_of(kind: type) -> str:
    """The path by which any program imports a class; DataError where there is none."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__":
        raise DataError(
            f"{kind.__name__} is defined in the program that runs, from where no other can import "
            "it, so a detector of it cannot be saved: move the class to a module of its own"
        )
    if not is_importable(kind):
        raise DataError(
            f"{kind.__name__} cannot be imported as {path}, so a detector of it cannot be saved: "
            "define the class at the top of a module"
        )
    return path


def imported(path: str) -> type:
    """The class that a path names; DataError where it cannot be imported, or is no method.

    >>> imported("unseen.methods.distances:Nearest")
    <class 'unseen.methods.distances.Nearest'>
    """
    module, _, name = path.partition(":")
    try:
        found = _attribute(import_module(module), name)
    except Exception as error:  # whatever running that module leads to
        raise DataError(
            f"method {path!r} cannot be imported ({type(error).__name__}: {error}): "
            "check the spelling, install its package, or add the folder that holds it to PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and is_method(found)):
        raise DataError(
            f"method {path!r}: expected a dataclass with build and train, found {shortened(found)}"
        )
    return found


def prototype(path: str) -> Method:
    """The method that a path names, its fields at their defaults.

    >>> prototype("unseen.methods.distances:Nearest").k
    5
    """
    kind = imported(path)
    if without := needed(kind):
        raise DataError(
            f"method {path!r}: field {without[0]!r} has no default, and a method that is named "
            "starts from its defaults: give the field one, or pass an object"
        )
    return created(kind, {})


def created(kind: type, fields: dict[str, Any]) -> Method:
    """A method of this class with these fields; what the class itself refuses is a DataError."""
    try:
        return cast(Method, kind(**fields))
    except UnseenError:
        raise
    except Exception as error:  # of a class of whose makers we know nothing
        raise DataError(f"{kind.__name__}: {type(error).__name__}: {error}") from error


def paths_in(spec: object) -> list[str]:
    """The import paths in a saved method, its own and those of methods inside it, each once.

    >>> paths_in({"name": "ensemble", "base": {"name": "mypackage.mine:Mine", "k": 5}})
    ['mypackage.mine:Mine']
    """
    found, level = [], [spec]
    for each in level:  # grows as it goes
        if isinstance(each, dict):
            found += [each["name"]] if is_path(each.get("name")) else []
            level.extend(each.values())
        elif isinstance(each, list):
            level.extend(each)
    return list(dict.fromkeys(found))


def untrusted(spec: object, trust: Collection[str]) -> list[str]:
    """The paths in a saved method that `trust` does not name; DataError for what is no path."""
    if (
        wrong := [trust]
        if isinstance(trust, str)
        else [each for each in trust if not is_path(each)]
    ):
        raise DataError(
            f"expected import paths, such as {option('trust', ('mypackage.mine:Mine',))}, got "
            f"{shortened(wrong[0])}"
        )
    return [path for path in paths_in(spec) if path not in trust]


def _attribute(module: object, name: str) -> Any:
    return reduce(getattr, name.split("."), module)

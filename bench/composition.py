"""What a method is made of, read from its code: parts of this package, methods inside it, fitters of scikit-learn."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PARTS = "unseen.parts"
ROLES = {  # module of parts -> what a part of it does for a method; any other module helps to score
    "episodes": "rows",
    "pseudo": "rows",
    "clusters": "rows",
    "kinds": "rows",
    "coreset": "rows",
    "confidence": "rows",
    "losses": "loss",
    "terms": "loss",
    "loops": "loop",
}
SCORER = "scorer"


class Name(NamedTuple):
    """A class or a function, by the module that defines it."""

    module: str
    name: str

    @property
    def of_parts(self) -> bool:
        return self.module.startswith(f"{PARTS}.")

    @property
    def role(self) -> str:
        return ROLES.get(self.module.removeprefix(f"{PARTS}."), SCORER)

    @property
    def found(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def sentence(self) -> str:
        """The first line of its docstring, without the shapes at its end."""
        line = (inspect.getdoc(self.found) or "").split("\n\n")[0].replace("\n", " ")
        head, _, tail = line.rpartition(": ")
        return f"{head}." if tail.startswith("(") else line


def made_of(kind: type) -> list[Name]:
    """Parts that a method's code calls itself, in the order of the code.

    >>> from unseen import Mahalanobis
    >>> [part.name for part in made_of(Mahalanobis)]
    ['Whitening']
    """
    return [used for used in uses(Name(kind.__module__, kind.__name__)) if used.of_parts]


def fitters(kind: type) -> list[Name]:
    """Classes of scikit-learn that fit a part of the method."""
    return [used for used in uses(Name(kind.__module__, kind.__name__)) if used.module.startswith("sklearn")]


def inside(part: Name) -> list[Name]:
    """All other parts that a part is made of, near and far.

    >>> [inner.name for inner in inside(Name("unseen.parts.bank", "Bank"))]
    ['Resizing', 'product']
    """
    found: list[Name] = []
    queue = [part]
    while queue:
        for used in uses(queue.pop(0)):
            if used.of_parts and used != part and used not in found:
                found.append(used)
                queue.append(used)
    return found


def nested(method: Any) -> list[Any]:
    """Methods that are values of a method's fields, alone or several in one."""
    values = [getattr(method, field.name) for field in dataclasses.fields(method)]
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in flat if dataclasses.is_dataclass(one)]


@cache
def uses(user: Name) -> tuple[Name, ...]:
    """Imported classes and functions of a definition, and of what it calls in its own module, in the code's order."""
    imported, defined = module(user.module)
    order = [user.name]
    for name in order:  # grows while it is walked
        order += [other for other in names(defined[name]) if other in defined and other not in order]
    found = [imported[name] for definition in order for name in names(defined[definition]) if name in imported]
    return tuple(dict.fromkeys(name for name in found if is_code(name)))


@cache
def module(name: str) -> tuple[dict[str, Name], dict[str, ast.AST]]:
    """What names stand for in a module: those imported, `losses.deviation` by its dotted name; those defined there."""
    tree = ast.parse(Path(importlib.import_module(name).__file__ or "").read_text())
    imported: dict[str, Name] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                here = alias.asname or alias.name
                imported |= public(f"{node.module}.{alias.name}", here) or {here: Name(node.module, alias.name)}
    return imported, {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def public(path: str, here: str) -> dict[str, Name]:
    """What an imported module of parts or of scikit-learn holds, by the dotted names that code calls it by."""
    if not path.startswith((f"{PARTS}.", "sklearn.")):
        return {}
    try:
        held = importlib.import_module(path)
    except ModuleNotFoundError:  # a class or a function, not a module
        return {}
    return {f"{here}.{name}": Name(path, name) for name in vars(held) if not name.startswith("_")}


def names(node: ast.AST) -> Iterator[str]:
    """Names in a definition, and dotted ones, in the order of the code; imports inside it count through their names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield f"{node.value.id}.{node.attr}"
    if isinstance(node, ast.Name):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from names(child)


def is_code(name: Name) -> bool:
    """Classes and functions; constants are no parts."""
    if not name.module.startswith((f"{PARTS}.", "sklearn")):
        return False
    return inspect.isclass(name.found) or inspect.isroutine(name.found)

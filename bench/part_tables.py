"""Tables of what methods are made of, for their pages: by method, and by part."""

from __future__ import annotations

from typing import Any

from bench import docstrings
from bench.composition import SCORER, Name, fitters, inside, made_of, nested
from bench.standing import link
from unseen.methods import METHODS

SOURCE = "../../src"
USED = {
    SCORER: "what scores are made of",
    "rows": "which rows it learns from, and rows made from them",
    "loss": "what it minimises",
    "loop": "how it minimises that",
}


def composition(method: Any) -> str:
    """A row for each part, method inside the method, and fitter."""
    kind = type(method)
    rows = [
        [code(part), part.role, part.sentence, ", ".join(f"`{inner.name}`" for inner in inside(part))]
        for part in sorted(made_of(kind), key=lambda part: list(USED).index(part.role))
    ]
    rows += [[link(name), "method", docstrings.read(type(METHODS[name])).headline, ""] for name in members(method)]
    rows += [[f"`{fitter.name}`", "fit", "Of scikit-learn.", ""] for fitter in fitters(kind)]
    return table(["part", "for", "what it is", "itself made of"], rows)


def made() -> list[str]:
    """A row for each method: its parts by what they are for."""
    rows = []
    for name, method in METHODS.items():
        parts = made_of(type(method))
        named = [", ".join(f"`{part.name}`" for part in parts if part.role == role) for role in USED]
        others = [*map(link, members(method)), *(f"`{fitter.name}`" for fitter in fitters(type(method)))]
        rows.append([link(name), *named, ", ".join(others)])
    parts = [part for method in METHODS.values() for part in made_of(type(method))]
    words = f"Read from the code: what each method takes from src/unseen/parts. {said(parts)}"
    return [words, table(["method", *USED, "methods inside, scikit-learn"], rows)]


def users() -> str:
    """A row for each part: the methods that call it themselves."""
    by: dict[Name, list[str]] = {}
    for name, method in METHODS.items():
        for part in made_of(type(method)):
            by.setdefault(part, []).append(name)
    rows = [[code(part), part.role, ", ".join(map(link, by[part]))] for part in sorted(by)]
    return table(["part", "for", "methods"], rows)


def said(parts: list[Name]) -> str:
    """The roles that occur among parts, explained."""
    words = [f"*{role}*: {what}" for role, what in USED.items() if role in {part.role for part in parts}]
    return f"{'; '.join(words)}." if words else ""


def members(method: Any) -> list[str]:
    """Names of the methods inside a method."""
    return list(dict.fromkeys(name_of(one) for one in nested(method)))


def name_of(method: Any) -> str:
    return next(name for name, known in METHODS.items() if type(known) is type(method))


def code(part: Name) -> str:
    return f"[`{part.name}`]({SOURCE}/{part.module.replace('.', '/')}.py)"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown; a bar in a cell is no border."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)

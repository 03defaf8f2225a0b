"""A method's class docstring, taken apart: headline, free paragraphs, Equation, When, Differs, example."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import sys
import textwrap
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import unseen

IMPORTS = (ast.Import, ast.ImportFrom)
HEADS = ("Equation", "When", "Differs")  # in this order
GENERAL = {  # fields that mean the same in every method; what a docstring says of them goes before
    "steps": "Steps of the optimiser.",
    "batch": "Rows in a mini-batch.",
    "rate": "Learning rate of the optimiser.",
    "penalty": "Weight of the L2 penalty on weights.",
    "hidden": "Widths of the hidden layers.",
    "width": "Width of the hidden layers.",
    "blocks": "Residual blocks.",
    "latent": "Width of the latent code.",
    "margin": "Margin of the loss.",
    "episodes": "Episodes of training.",
    "inner_steps": "Steps of the inner level in each episode.",
    "outer_steps": "Steps of the outer level in each episode.",
    "trees": "Trees in all.",
    "k": "Neighbours that count.",
    "bank": "Reference rows that are kept, at most.",
    "folds": "Parts that are held out in turn.",
    "rows": "Rows to learn from, at most.",
    "reconstruction": "Weight of the reconstruction error in the loss.",
    "pairs": "Weight of the margin over pairs in the loss.",
    "anchor": "Weight of the anchor in the loss.",
    "temperature": "Temperature of the loss.",
    "tuning_steps": "Steps of the second phase.",
    "tuning_rate": "Learning rate of the second phase.",
    "embedding": "Width of the embedding.",
    "shrinkage": "Share of the mean variance that is added to the variance in every direction.",
}


@dataclass(frozen=True)
class Doc:
    """The sections of one docstring; `needs` is what its example takes from its module, by name."""

    headline: str
    text: str
    equation: str
    when: str
    differs: str
    example: str
    needs: dict[str, Any]

    def meaning(self, field: str, default: object) -> str:
        """The first sentence that names the field; else, of a number, what it always means, or where it stands.

        A word is one of several choices, which the docstring alone can tell.
        """
        for words in (self.text, self.when, self.differs):
            for sentence in sentences(words):
                if f"`{field}`" in sentence:
                    return sentence
        if isinstance(default, str):
            return ""
        return GENERAL.get(field, "In the equation." if re.search(rf"\b{field}\b", self.equation) else "")


def read(kind: type) -> Doc:
    """The class docstring by its sections.

    >>> read(unseen.AutoEncoder).equation
    'score(x) = mean_j (x_j - f(x)_j)^2,  f minimising the mean score of normal rows'
    """
    prose, mark, example = (inspect.getdoc(kind) or "").partition(">>>")
    pieces = re.split(rf"^({'|'.join(HEADS)}):", prose, flags=re.MULTILINE)
    if tuple(pieces[1::2]) != HEADS or not mark:
        raise SystemExit(
            f"docstring of {kind.__name__}: expected {', '.join(f'{head}:' for head in HEADS)} in this order, each at "
            f"the start of a line, and an example; found {', '.join(pieces[1::2]) or 'none'}, and "
            f"{'an' if mark else 'no'} example; src/unseen/methods/autoencoder.py shows the form"
        )
    headline, _, text = pieces[0].partition("\n\n")
    equation, when, differs = pieces[2::2]
    return Doc(
        headline=headline.replace("\n", " ").strip(),
        text=text.strip(),
        equation=textwrap.dedent(equation).strip(),
        when=capital(when.strip()),
        differs=capital(differs.strip()),
        example=f"{mark}{example}".strip(),
        needs=needs(f"{mark}{example}", sys.modules[kind.__module__]),
    )


def sentences(text: str) -> list[str]:
    """Sentences of all paragraphs, each on one line; what follows a semicolon and starts with a field is one.

    >>> sentences("Two `k` (of 5) count.\\nEach\\nonce; `bank` are kept; no more.")
    ['Two `k` (of 5) count.', 'Each once.', '`bank` are kept; no more.']
    """
    parts = re.split(r"(?<=\.)\s+(?=[A-Z`])|;\s+(?=`)", " ".join(text.split()))
    return [part if part.endswith(".") else f"{part}." for part in parts if part]


def capital(text: str) -> str:
    """The first letter a capital; `names` stay as they are."""
    return text[:1].upper() + text[1:]


def needs(example: str, home: ModuleType) -> dict[str, Any]:
    """What an example takes from the module of its docstring."""
    tree = ast.parse("".join(part.source for part in doctest.DocTestParser().get_examples(example)))
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    brought = [alias for node in ast.walk(tree) if isinstance(node, IMPORTS) for alias in node.names]
    taken -= {alias.asname or alias.name for alias in brought}
    return {name: vars(home)[name] for name in sorted(taken) if name in vars(home)}


def imports(needed: dict[str, Any]) -> list[str]:
    """Import lines for these values, those of the public names in one.

    >>> imports({"DevNet": unseen.DevNet, "doctest": doctest, "Run": unseen.Run})
    ['import doctest', 'from unseen import DevNet, Run']
    """
    public = sorted(name for name in needed if name in unseen.__all__)
    lines = [line(name, value) for name, value in needed.items() if name not in public]
    lines += [f"from unseen import {', '.join(public)}"] if public else []
    return sorted(lines, key=lambda text: (text.startswith("from"), text))


def line(name: str, value: Any) -> str:
    """The import of one name."""
    if not isinstance(value, ModuleType):
        return f"from {value.__module__} import {name}"
    above, _, last = value.__name__.rpartition(".")
    if last != name:
        return f"import {value.__name__} as {name}"
    return f"from {above} import {name}" if above else f"import {name}"

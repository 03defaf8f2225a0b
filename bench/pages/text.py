"""Numbers, tables and pages as text."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent


def fill(name: str, **parts: Any) -> str:
    """The Markdown file beside this one, each `$part` in it replaced; empty parts leave no gap."""
    text = Template((FOLDER / f"{name}.md").read_text()).substitute(parts)
    pieces = text.split("```")  # code keeps its lines as they are
    pieces[::2] = [re.sub(r"\n{3,}", "\n\n", piece) for piece in pieces[::2]]
    return "```".join(pieces).rstrip() + "\n"


def number(value: float, digits: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:,.{digits}f}"


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Mean and standard deviation over repetitions.

    >>> spread([0.5, 0.7]), spread([0.5]), spread([])
    ('0.600 ± 0.141', '0.500', '-')
    """
    known = np.array([value for value in values if value == value], dtype=float)
    return number(known.mean(), digits) + deviation(known, digits) if len(known) else "-"


def gain(values: Iterable[float], digits: int = 3) -> str:
    """Mean difference with its sign, its standard error, and how many are above 0.

    >>> gain([0.1, 0.3])
    '+0.200 ± 0.100, 2 of 2'
    """
    known = np.array([value for value in values if value == value], dtype=float)
    if not len(known):
        return "-"
    error = deviation(known, digits, len(known) ** 0.5)
    return f"{known.mean():+.{digits}f}{error}, {(known > 0).sum()} of {len(known)}"


def deviation(known: Any, digits: int, divisor: float = 1.0) -> str:
    return f" ± {known.std(ddof=1) / divisor:.{digits}f}" if len(known) > 1 else ""


def markdown(table: pd.DataFrame, corner: str) -> str:
    """A table of text as Markdown; names of methods in code type, a bar in a cell is no border."""
    names = [f"`{name}`" if corner == "method" else str(name) for name in table.index]
    head = [corner, *map(str, table.columns)]
    rows = [[name, *map(str, row)] for name, row in zip(names, table.to_numpy(), strict=True)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join([lines[0], "|---" * len(escaped[0]) + "|", *lines[1:]])


def table(rows: dict[str, Any], corner: str, columns: Sequence[str] | None = None) -> str:
    """The same, from its rows by name."""
    return markdown(pd.DataFrame.from_dict(rows, orient="index", columns=columns), corner)


def sections(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    found = pd.DataFrame([row[1:] for row in rows], [row[0] for row in rows], columns[1:])
    print(title, markdown(found, columns[0]), sep="\n\n")

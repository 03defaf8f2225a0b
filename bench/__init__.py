"""Benchmarks: each module runs as `python -m bench.NAME`, prints its figures beside what they should be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table


def data_folder() -> Path:
    """The folder that the environment variable UNSEEN_DATA names."""
    folder = os.environ.get("UNSEEN_DATA")
    if not folder:
        raise SystemExit("set UNSEEN_DATA to the folder with the data sets, for example: export UNSEEN_DATA=~/data")
    return Path(folder).expanduser()


def data_file(name: str) -> Path:
    """A file of the data folder."""
    path = data_folder() / name
    if not path.is_file():
        raise SystemExit(
            f"{path}: no such file; UNSEEN_DATA is {str(data_folder())!r}, and this benchmark needs {name} in it"
        )
    return path


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over repetitions.

    >>> spread([0.5, 0.7])
    '0.600 ± 0.141'
    """
    sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {sd:.{digits}f}"


def verdict(hit: bool) -> str:
    return "yes" if hit else "NO"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as it needs to be, in a terminal or in a file."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)

"""The flags that commands share: their types, and what `--help` says of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from unseen.detector.settings import configured
from unseen.errors import DataError
from unseen.io.text import STANDARD
from unseen.methods import IMAGES, METHODS
from unseen.scoring.folder import Seeing
from unseen.types import Method

STACK, IMAGE_STACK = "evidence-stack", "image-stack"
METHOD = f"what learns; without it {STACK}, of images {IMAGE_STACK}"
NAMES = (*METHODS, *IMAGES)

Saved = Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")]
Train = Annotated[
    Path,
    Parameter(
        help="CSV, JSON Lines or Parquet file: normal rows, a few labelled anomalies; or a folder of images by class"
    ),
]
Label = Annotated[str | None, Parameter(metavar="COL", help="column of a file that says what each row is")]
Normal = Annotated[str, Parameter(metavar="NAME", help="what that column, or a sub-folder, calls normal")]
Drop = Annotated[tuple[str, ...], Parameter(metavar="COL ...", help="columns to leave out")]
Group = Annotated[str | None, Parameter(metavar="COL", help="column that says which kind of normal a row is")]
NoHeader = Annotated[
    bool,
    Parameter(name="--no-header", help="the first line of a CSV file is a row; the columns are x0, x1, ..."),
]
Kind = Annotated[
    tuple[str, ...],
    Parameter(metavar="COL=KIND ...", help="number, boolean, category or text, where inferred wrongly"),
]
Repeats = Annotated[
    Literal["keep", "once"] | None,
    Parameter(help="rows that occur several times count each time, or once; without it as chance would have them"),
]
Device = Annotated[
    str, Parameter(metavar="NAME", help="what to train on: cpu, cuda, one of several as cuda:1, or auto")
]
Settings = Annotated[
    tuple[str, ...],
    Parameter(name="--set", metavar="FIELD=VALUE ...", help="fields of the method; a wrong one lists them"),
]
One = Annotated[str | None, Parameter(metavar="NAME", choices=NAMES, help=METHOD)]
Several = Annotated[
    tuple[str, ...], Parameter(metavar="NAME ...", choices=NAMES, help=f"{METHOD}; several are compared")
]
Tail = Annotated[
    bool, Parameter(help="let a model give p-values below 1 / (calibration rows + 1), which data alone cannot")
]
Seen = Annotated[Seeing | None, Parameter(name="*")]
Cache = Annotated[
    Path | None, Parameter(metavar="DIR", help="folder that keeps what the backbone made of each image, for next time")
]
Overlays = Annotated[
    Path | None, Parameter(metavar="DIR", help="folder to make: a heat map of each image flagged, and report.html")
]


def shown(default: object) -> str | None:
    """A default as it would be typed."""
    words = default if isinstance(default, tuple) else () if default is None else (str(default),)
    return " ".join(words) or None


def usual(data: Path) -> str:
    """The name of the method that learns where none is asked for."""
    return IMAGE_STACK if os.path.isdir(data) else STACK


def chosen(name: str, settings: tuple[str, ...], data: Path) -> Method:
    """The method of that name, if it can learn from what is there."""
    if name in IMAGES and not os.path.isdir(data):
        raise DataError(f"--method {name} is for a folder of images, and {data} is none: leave it out for {STACK}")
    return configured(name, settings)


def check(data: Path, *, rows: Mapping[str, object], images: Mapping[str, object]) -> None:
    """DataError for flags that mean nothing for what is there: those for rows of files, or those for images."""
    if str(data) != STANDARD and not os.path.exists(data):
        raise DataError(f"{data}: no such file or folder; check the spelling")
    wrong = rows if os.path.isdir(data) else images
    given = [f"--{name}" for name, value in wrong.items() if value not in (None, (), False)]
    if given:
        what = (
            "a folder of images, without columns, a class a sub-folder"
            if os.path.isdir(data)
            else "no folder of images"
        )
        raise DataError(f"{data} is {what}: leave out {', '.join(given)}")

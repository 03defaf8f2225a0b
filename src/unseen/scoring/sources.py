"""Sources by their path: the one place that asks whether something is a file or a folder of
images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unseen.errors import DataError
from unseen.io.text import STANDARD
from unseen.scoring.folders import ImageFolder
from unseen.scoring.tables import TableFile
from unseen.storage.facts import headed, of_data
from unseen.types import Encoder
from unseen.vision.features import Features

# flags that mean nothing for images
_ROWS = ("label", "drop", "group", "kind", "keep", "no-header")
_IMAGES = ("backbone", "size", "tiles", "cache", "overlays")  # and for rows


def _is_folder(path: Path) -> bool:
    """Whether there is a folder, of images, there; DataError for nothing at all."""
    if str(path) != STANDARD and not os.path.exists(path):
        raise DataError(f"{path}: no such file or folder; check the spelling")
    return os.path.isdir(path)


def check_flags(path: Path, given: Mapping[str, object]) -> None:
    """DataError for flags, by name, that mean nothing for what is there: those for rows, or those
    for images.
    """
    folder = _is_folder(path)
    wrong = [
        f"--{name}"
        for name in (_ROWS if folder else _IMAGES)
        if given.get(name) not in (None, (), False)
    ]
    if wrong:
        what = (
            "a folder of images, without columns, a class a sub-folder"
            if folder
            else "no folder of images"
        )
        raise DataError(f"{path} is {what}: leave out {', '.join(wrong)}")


def source_of(
    path: Path,
    *,
    label: str | None = None,
    normal: str = "normal",
    drop: tuple[str, ...] = (),
    group: str | None = None,
    header: bool = True,
    features: Features | None = None,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> TableFile | ImageFolder:
    """What to learn from: a file of rows, or a folder of images."""
    if _is_folder(path):
        return ImageFolder(path, normal, features, cache, progress=progress)
    return TableFile(path, label, normal, drop, group, header)


def source_like(
    path: Path,
    encoder: Encoder,
    known: Mapping[str, Any],
    *,
    normal: str = "normal",
    features: Features | None = None,
    header: bool = True,
    keep: tuple[str, ...] = (),
    cache: Path | None = None,
) -> TableFile | ImageFolder:
    """More of what a detector was trained on: rows of a file with its columns, or images seen as it
    sees them.

    `encoder`: the detector's; `known`: what its bundle tells of its data. DataError for the other
    sort."""
    facts, noun, folder = of_data(known), encoder.noun, _is_folder(path)
    if folder != (noun == ImageFolder.noun):
        expected, found = ("a folder of images", "a file") if not folder else ("a file", "a folder")
        what = "images" if noun == ImageFolder.noun else "rows of tables"
        raise DataError(
            f"{path}: expected {expected}, as this detector judges {what}, found {found}"
        )
    if folder:
        resaved = bool(getattr(encoder, "resaved", False))
        return ImageFolder(path, normal, features, cache, resaved)
    return TableFile(
        path,
        facts.get("label"),
        normal,
        tuple(facts.get("drop", ())),
        facts.get("group"),
        header and headed(known),
        keep,
    )

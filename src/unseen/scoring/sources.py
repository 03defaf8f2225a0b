"""Sources by their path: the one place that asks whether something is a file or a folder of
images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from unseen.errors import DataError
from unseen.io.text import STANDARD, shown
from unseen.scoring.folders import ImageFolder
from unseen.scoring.rows import FileRows
from unseen.scoring.tables import TableSource
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed, of_data
from unseen.vision.features import Features

# flags that mean nothing for images
_ROWS = ("label", "drop", "group", "block", "kind", "keep", "no-header")
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


def check_alike(train: Path, test: Path | None) -> None:
    """DataError where one is a folder of images and the other is a file."""
    if test is None or _is_folder(train) == _is_folder(test):
        return
    folder, file = (train, test) if _is_folder(train) else (test, train)
    raise DataError(
        f"{folder} is a folder of images, and {file} is a file: expected two of one sort to train "
        "and to test on"
    )


def source_of(
    path: Path,
    *,
    label: str | None = None,
    normal: str = "normal",
    drop: tuple[str, ...] = (),
    group: str | None = None,
    block: str | None = None,
    header: bool = True,
    features: Features | None = None,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> TableSource | ImageFolder:
    """What to learn from: a file of rows, or a folder of images."""
    if _is_folder(path):
        return ImageFolder(path, normal, features, cache, progress=progress)
    return TableSource(FileRows(path, header), label, normal, drop, group, block=block)


def reopened(
    folder: Path,
    data: Path,
    *,
    trust: Collection[str] = (),
    keep: tuple[str, ...] = (),
    no_header: bool = False,
    cache: Path | None = None,
    overlays: Path | None = None,
) -> tuple[Bundle, TableSource | ImageFolder]:
    """A saved detector, and more of what it was trained on: rows of a file with its columns, or
    images seen as it sees them.

    DataError for flags that mean nothing there, and for data of the other sort."""
    check_flags(data, {"keep": keep, "no-header": no_header, "cache": cache, "overlays": overlays})
    bundle = Bundle.load(folder, trust=trust)
    return bundle, data_again(bundle, data, keep=keep, no_header=no_header, cache=cache)


def data_again(
    bundle: Bundle,
    data: Path,
    *,
    keep: tuple[str, ...] = (),
    no_header: bool = False,
    cache: Path | None = None,
) -> TableSource | ImageFolder:
    """More of what a detector was trained on, as `reopened` has it."""
    check_flags(data, {"no-header": no_header, "cache": cache})
    detector = bundle.detector
    noun, is_folder = detector.schema_.noun, _is_folder(data)
    if is_folder != (noun == ImageFolder.noun):
        expected, found = ("a file", "a folder") if is_folder else ("a folder of images", "a file")
        what = "images" if noun == ImageFolder.noun else "rows of tables"
        raise DataError(
            f"{shown(data)}: expected {expected}, as this detector judges {what}, found {found}"
        )
    if is_folder:
        resaved = bool(getattr(detector.schema_, "resaved", False))
        return ImageFolder(data, str(detector.normal), detector.features, cache, resaved)
    return table_again(bundle, data, no_header=no_header, keep=keep)


def table_again(
    bundle: Bundle, file: Path, *, no_header: bool = False, keep: tuple[str, ...] = ()
) -> TableSource:
    """Rows of a file like the one that a detector was trained on, or answers about them or about
    images.
    """
    facts = of_data(bundle.facts)
    return TableSource(
        FileRows(file, not no_header and headed(bundle.facts)),
        facts.get("label"),
        str(bundle.detector.normal),
        tuple(facts.get("drop", ())),
        facts.get("group"),
        keep,
        facts.get("block"),
    )

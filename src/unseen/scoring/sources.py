"""Sources by their path: the one place that asks whether something is a file, several, or a folder
of images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from unseen.errors import DataError
from unseen.io.places import MAGIC, files_of_rows
from unseen.io.text import PARQUET, STANDARD, shown
from unseen.scoring.drawing import Drawing
from unseen.scoring.folders import ImageFolder
from unseen.scoring.rows import FileRows, FilesRows
from unseen.scoring.tables import TableSource
from unseen.storage.bundle import Bundle
from unseen.storage.facts import Drawn as DrawFacts
from unseen.storage.facts import headed, of_data, of_form
from unseen.vision.features import Features
from unseen.vision.layout import ENDINGS

# a file, a folder, a pattern such as "days/*.parquet", an address such as "s3://bucket/days", or
# several of them
Data = str | Path | Sequence[str | Path]
_SLASHES = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])")  # of an address: one is left

# flags that mean nothing for images
_ROWS = ("label", "drop", "group", "block", "kind", "keep", "no-header", "rows", "engine")
_IMAGES = ("backbone", "size", "tiles", "cache", "overlays")  # and for rows


def _is_folder(data: Data) -> bool:
    """Whether a folder of images is meant, and not files of rows; DataError for nothing at all, and
    for such a folder beside others.
    """
    texts = texts_of(data)
    for text in texts:
        if text != STANDARD and not os.path.exists(text) and not _several(text):
            raise DataError(f"{text}: no such file or folder; check the spelling")
    images = [text for text in texts if os.path.isdir(text) and not _holds_rows(text)]
    if images and len(texts) > 1:
        raise DataError(
            f"{images[0]}: is a folder of images, of which one is read at a time; found "
            f"{len(texts) - 1:,} more beside it: name it alone, or files of rows"
        )
    return bool(images)


def texts_of(data: Data) -> list[str]:
    """What was typed, as texts; an address has back the slashes that `Path` takes from it.

    >>> texts_of(Path("s3://bucket/days")), texts_of(["file:///days", "./-"])
    (['s3://bucket/days'], ['file:///days', '-'])
    """
    each = [data] if isinstance(data, str | Path) else list(data)
    if not each:
        raise DataError("expected files or folders to read, found none: name some")
    plain = [str(text) if "://" in str(text) else str(Path(text)) for text in each]
    return [
        f"{found[1]}:{'///' if found[1] == 'file' else '//'}{text[found.end() :]}"
        if (found := _SLASHES.match(text))
        else text
        for text in plain
    ]


def _several(text: str) -> bool:
    """Whether it stands for several files: a folder, an address, or a pattern for names."""
    if os.path.exists(text):
        return os.path.isdir(text)
    return "://" in text or bool(MAGIC & set(text))


def _holds_rows(folder: str) -> bool:
    """Whether there are Parquet files in a folder, or below, and no images."""
    found = False
    for _, _, names in os.walk(folder):
        lower = [name.lower() for name in names if name[0] not in "._"]
        if any(name.endswith(ENDINGS) for name in lower):
            return False
        found |= any(name.endswith(PARQUET) for name in lower)
    return found


def place_of(data: Data, header: bool = True) -> FileRows | FilesRows:
    """Where rows of tables are: in a file, or in several."""
    texts = texts_of(data)
    if len(texts) == 1 and not _several(texts[0]):
        return FileRows(Path(texts[0]), header)
    return files_of(data, header)


def files_of(data: Data, header: bool = True) -> FilesRows:
    """Several files of rows, by what names them."""
    texts = texts_of(data)
    names = [re.sub(r"//[^/@]*@", "//", text).partition("?")[0] for text in texts]
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return FilesRows(tuple(files_of_rows(texts)), names[0] + more, header)


def check_flags(path: Data, given: Mapping[str, object]) -> None:
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
        raise DataError(f"{texts_of(path)[0]} is {what}: leave out {', '.join(wrong)}")


def check_alike(train: Data, test: Data | None) -> None:
    """DataError where one is a folder of images and the other is a file."""
    if test is None or _is_folder(train) == _is_folder(test):
        return
    folder, file = (train, test) if _is_folder(train) else (test, train)
    raise DataError(
        f"{texts_of(folder)[0]} is a folder of images, and {texts_of(file)[0]} is a file: expected "
        "two of one sort to train and to test on"
    )


def source_of(
    path: Data,
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
    drawing: Drawing | None = None,
) -> TableSource | ImageFolder:
    """What to learn from: rows of files, or a folder of images."""
    if _is_folder(path):
        return ImageFolder(Path(texts_of(path)[0]), normal, features, cache, progress=progress)
    place = place_of(path, header)
    return TableSource(place, label, normal, drop, group, block=block, drawing=drawing)


def reopened(
    folder: Path,
    data: Data,
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
    data: Data,
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
            f"{shown(Path(texts_of(data)[0]))}: expected {expected}, as this detector judges "
            f"{what}, found {found}"
        )
    if is_folder:
        resaved = bool(getattr(detector.schema_, "resaved", False))
        folder = Path(texts_of(data)[0])
        return ImageFolder(folder, str(detector.normal), detector.features, cache, resaved)
    return table_again(bundle, data, no_header=no_header, keep=keep)


def table_again(
    bundle: Bundle, file: Data, *, no_header: bool = False, keep: tuple[str, ...] = ()
) -> TableSource:
    """Rows like those that a detector was trained on, or answers about them or about images; where
    it was trained on a draw, they are drawn likewise.
    """
    facts, draw = of_data(bundle.facts), of_form(DrawFacts, bundle.facts.get("drawn"))
    return TableSource(
        place_of(file, not no_header and headed(bundle.facts)),
        facts.get("label"),
        str(bundle.detector.normal),
        tuple(facts.get("drop", ())),
        facts.get("group"),
        keep,
        facts.get("block"),
        drawing=(
            None if draw is None else Drawing(draw.most, draw.seed, draw.most_anomalies, keys=True)
        ),
    )

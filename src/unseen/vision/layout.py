"""How files lie in a folder of images: which are images, what each shows, which are masks, and what
is left out.

A class is a sub-folder. The layout of MVTec AD (Bergmann et al. 2019: train/good, test/<class>,
ground_truth/<class>) is known by its names. No file is opened. Nothing is left out in silence:
`_Layout` says what, and why."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from unseen.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
# photos, drawings and videos: somebody may think that they were looked at
_NOT_READ = (
    ".gif .apng .heic .heif .avif .svg .jp2 .jxl .psd .ico .tga .pgm .ppm .raw .dng .cr2 .cr3 .nef "
    ".arw .orf .raf .rw2 .exr .hdr .dcm .mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv"
)
UNREAD = tuple(_NOT_READ.split())
MASKS = ("mask", "masks", "ground_truth", "groundtruth")  # folders that hold masks
# folders that say nothing of what is in them
PHOTOS = ("image", "images", "img", "imgs", "photo", "photos")
MARK = "_mask"  # ends the name of a mask, wherever it is
MARKS = re.compile(r"[-_.](mask|gt|label)$", re.IGNORECASE)  # may end it in a folder of masks

# a folder, and the folders and the name of an image below it
Key = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class _Layout:
    """The images and what they show, in the order of the rows; masks; pictures of types that are
    not read; notes.
    """

    labels: dict[Path, str | None]
    masks: dict[Path, Path]
    unread: tuple[Path, ...]
    notes: tuple[str, ...]


def visible_files(root: Path) -> tuple[list[Path], list[Path]]:
    """Files below a folder that are not hidden, and links to folders, which are not followed;
    relative, by name.
    """
    if not os.path.exists(root):
        raise DataError(f"{root}: no such folder; check the spelling")
    if not os.path.isdir(root):
        raise DataError(
            f"{root}: expected a folder of images, found a file; name the folder that it is in"
        )

    def fail(error: OSError) -> NoReturn:
        raise DataError(
            f"{error.filename}: the folder cannot be read ({error.strerror}); allow it, or move it "
            "away"
        )

    files, links = [], []
    for here, folders, names in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [
            Path(here, name).relative_to(root) for name in folders if Path(here, name).is_symlink()
        ]
        files += [Path(here, name).relative_to(root) for name in names if not name.startswith(".")]
    return sorted(files, key=Path.as_posix), sorted(links, key=Path.as_posix)


def arranged(files: list[Path], links: list[Path], normal: str) -> _Layout:
    """What the files are, by their names alone; a folder called `normal` is never one of masks.

    >>> files = [
    ...     Path("crack/1.jpg"),
    ...     Path("masks/crack/1.jpg"),
    ...     Path("normal/1.jpg"),
    ...     Path("normal/2.gif"),
    ... ]
    >>> layout = arranged(files, [], "normal")
    >>> [(file.as_posix(), label) for file, label in layout.labels.items()]
    [('crack/1.jpg', 'crack'), ('normal/1.jpg', 'normal')]
    >>> [(image.as_posix(), mask.as_posix()) for image, mask in layout.masks.items()]
    [('crack/1.jpg', 'masks/crack/1.jpg')]
    >>> layout.notes
    ('skipped files of types that are not read: 1 .gif',)
    """
    readable = [file for file in files if _is_readable(file)]
    marked = [
        file
        for file in readable
        if file.stem.lower().endswith(MARK) or _depth(file, normal) is not None
    ]
    photos = sorted(set(readable) - set(marked), key=Path.as_posix)
    apart = any(_depth(file, normal) == 0 for file in marked)
    labels = _folder_labels(photos, normal, mvtec=_is_mvtec(readable), apart=apart)
    outside = [file for file in photos if file not in labels]
    masks, lost = _paired([*labels], marked, normal)
    masks |= _same_name([*labels], masks)
    taken = set(masks.values())
    others = [file for file in files if not _is_readable(file)]
    return _Layout(
        labels={file: label for file, label in labels.items() if file not in taken},
        masks=masks,
        unread=tuple(
            file
            for file in others
            if file.suffix.lower() in UNREAD and _depth(file, normal) is None
        ),
        notes=tuple(notes(others, outside, lost, links)),
    )


def _is_readable(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS


def _depth(file: Path, normal: str) -> int | None:
    """How many folders lie above the first folder of masks that a file is in; None where it is in
    none.

    >>> _depth(Path("crack/Ground Truth/1.png"), "normal"), _depth(Path("crack/1.png"), "normal")
    (1, None)
    """
    folders = enumerate(file.parts[:-1])
    return next((k for k, part in folders if _folder_word(part) in MASKS and part != normal), None)


def _folder_word(folder: str) -> str:
    return folder.lower().replace(" ", "_").replace("-", "_")


def _is_mvtec(files: list[Path]) -> bool:
    tops = {file.parts[0] for file in files}
    return tops >= {"test", "ground_truth"} or any(
        file.parts[:2] == ("train", "good") for file in files
    )


def _folder_labels(
    files: list[Path], normal: str, *, mvtec: bool, apart: bool
) -> dict[Path, str | None]:
    """What each image shows by the folder that it is in, in the order of the rows.

    `apart`: masks lie in a folder of their own at the top; beside it, a folder `images` is no
    class."""
    if mvtec:
        inside = [
            file
            for part in ("train", "test")
            for file in files
            if file.parts[0] == part and len(file.parts) > 2
        ]
        return {file: normal if file.parts[1] == "good" else file.parts[1] for file in inside}
    above = {
        file: file.parts[1:] if apart and _folder_word(file.parts[0]) in PHOTOS else file.parts
        for file in files
    }
    return {file: parts[0] if len(parts) > 1 else None for file, parts in above.items()}


def _paired(
    images: list[Path], marked: list[Path], normal: str
) -> tuple[dict[Path, Path], dict[Path, str]]:
    """The masks of images, and why the masks that belong to none do not."""
    places = _by_place(images)
    masks: dict[Path, Path] = {}
    lost: dict[Path, str] = {}
    for mask in sorted(
        marked,
        key=lambda mask: (_depth(mask, normal) is not None, -len(mask.parts), mask.as_posix()),
    ):
        found = _owners(mask, places, _depth(mask, normal))
        free = [image for image in found if image not in masks]
        if free and _differ_by_suffix(found):
            masks |= dict.fromkeys(free, mask)
        else:
            lost[mask] = _reason(mask, found, masks, _depth(mask, normal))
    return masks, dict(sorted(lost.items(), key=lambda each: each[0].as_posix()))


def _by_place(images: list[Path]) -> dict[Key, list[Path]]:
    """Images by each folder above them, and by each end of their path below it: masks are looked up
    so.

    >>> [*_by_place([Path("test/hole/1.jpg")])]
    [((), ('test', 'hole', '1')), ((), ('hole', '1')), ((), ('1',)), (('test',), ...), ...]
    """
    places: dict[Key, list[Path]] = defaultdict(list)
    for image in images:
        for k in range(len(image.parts)):
            below = _class_folders(image.parts[k:-1], image.stem)
            for j in range(len(below)):
                places[image.parts[:k], below[j:]].append(image)
    return places


def _class_folders(folders: Iterable[str], name: str) -> tuple[str, ...]:
    return (*(part for part in folders if _folder_word(part) not in PHOTOS), name)


def _owners(mask: Path, places: dict[Key, list[Path]], depth: int | None) -> list[Path]:
    """The images that a mask may belong to; those of one name differ by their endings alone."""
    if depth is None:
        name = mask.stem[: -len(MARK)]
        return [
            image
            for image in places.get((mask.parts[:-1], (name,)), [])
            if image.parent == mask.parent
        ]
    scope, below = mask.parts[:depth], mask.parts[depth + 1 : -1]
    for name in dict.fromkeys((mask.stem, MARKS.sub("", mask.stem))):
        end = _class_folders(below, name)
        if found := places.get((scope, end), []):
            exact = [
                image for image in found if _class_folders(image.parts[depth:-1], image.stem) == end
            ]
            tested = [image for image in found if image.parts[0] == "test"]
            return exact or tested or found
    return []


def _differ_by_suffix(images: list[Path]) -> bool:
    """Whether they differ by their endings at most."""
    return len({image.with_suffix("") for image in images}) < 2


def _reason(mask: Path, found: list[Path], masks: dict[Path, Path], depth: int | None) -> str:
    """Why a mask belongs to no image."""
    if not _differ_by_suffix(found):
        return (
            f"it may belong to {found[0].as_posix()} or to {found[1].as_posix()}: give it the "
            "same sub-folder"
        )
    if found:
        return f"{found[0].as_posix()} has another mask, {masks[found[0]].as_posix()}"
    photos = (
        ""
        if depth is None
        else f"; if the folder {mask.parts[depth]!r} holds photos, give it another name"
    )
    return f"no image has its name{photos}"


def _same_name(images: list[Path], masks: dict[Path, Path]) -> dict[Path, Path]:
    """PNG files of the same name beside images of other types, which are their masks where there is
    no other.
    """
    pngs = {file.with_suffix(""): file for file in images if _is_png(file) and file not in masks}
    bare = [file for file in images if not _is_png(file) and file not in masks]
    return {file: pngs[file.with_suffix("")] for file in bare if file.with_suffix("") in pngs}


def _is_png(file: Path) -> bool:
    return file.suffix.lower() == ".png"


def notes(
    others: list[Path], outside: list[Path], lost: dict[Path, str], links: list[Path]
) -> Iterator[str]:
    """A sentence for each kind of thing that is left out."""
    if others:
        kinds = Counter(file.suffix.lower() or "without ending" for file in others)
        yield (
            "skipped files of types that are not read: "
            f"{', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}"
        )
    if outside:
        yield (
            f"left out {len(outside)} images outside of train/CLASS and test/CLASS, first "
            f"{outside[0].as_posix()}"
        )
    if lost:
        first, why = next(iter(lost.items()))
        yield f"left out {len(lost)} masks, first {first.as_posix()}: {why}"
    if links:
        yield f"did not follow {len(links)} links to folders, first {links[0].as_posix()}"


def imageless(root: Path, found: list[Path]) -> DataError:
    kinds = sorted({file.suffix.lower() or file.name for file in found})
    what = f"{len(found)} files ({', '.join(kinds[:5])})" if found else "no file"
    return DataError(
        f"{root}: no image in it; expected files that end in {', '.join(ENDINGS)}, found {what}; "
        "name another folder (masks are no images, hidden files are skipped, links to folders are "
        "not followed)"
    )

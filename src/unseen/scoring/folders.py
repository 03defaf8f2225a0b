"""Folders of images as sources: what one teaches, and which files cannot be used."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.labels import encode_labels
from unseen.errors import DataError
from unseen.names import first_few, resembling
from unseen.scoring.tables import count_classes, spell_counts
from unseen.types import Batch, Encoder, Labelled
from unseen.vision.features import Features
from unseen.vision.images import Images, writable
from unseen.vision.maps import Maps
from unseen.wording import option

log = logging.getLogger("unseen")
# words in the name of a folder of normal images, and those that make it another
_NORMAL, _NOT = {"normal", "good", "ok", "healthy"}, {"not", "non", "no"}
_NAMED = 3  # files that a note names before it says how many more there are
_BLOCK = 64  # images whose maps are in memory at once


@dataclass(frozen=True)
class ImageFolder:
    """Images below a folder, whose sub-folders are classes.

    Parameters
    ----------
    folder : Path
        The folder.
    normal : str
        The sub-folder of normal images.
    features : Features, optional
        How they are seen.
    cache : Path, optional
        A folder that keeps what the backbone made of each image.
    resaved : bool
        Whether images to learn from are seen a second time, as another program saves them.
    progress : callable
        Is told the number of images to learn from that were seen.
    """

    folder: Path
    normal: str = "normal"
    features: Features | None = None
    cache: Path | None = None
    resaved: bool = True
    progress: Callable[[int], None] = field(default=lambda done: None, compare=False)

    noun: ClassVar[str] = "images"

    @property
    def name(self) -> str:
        return str(self.folder)

    def count(self) -> int:
        """How many images there are."""
        return len(self.images)

    @cached_property
    def images(self) -> Images:
        """The files, with what their folders tell; listed once, so that row numbers keep their
        meaning while the folder changes.
        """
        return Images.read(self.folder, normal=self.normal)

    def maps(self, rows: NDArray[np.int64]) -> Maps:
        """Maps of the images with these row numbers, to look at again."""
        return Maps.of(self.images.take(rows), self.features, cache=self.cache)

    def labelled(self) -> Labelled:
        """All images that can be used, and how many there are of each class."""
        images = self.images
        self._counts(images)  # before minutes are spent on them
        _note_unlabelled(images)
        _note_like_normal(images, self.normal)
        maps, failed = self._seen(images)
        facts: dict[str, Any] = {
            "source": self.folder.absolute().name,
            "label": None,
            "drop": [],
            "group": None,
        }
        counts = self._counts(maps.images, failed=len(failed))
        return Labelled(maps, maps.labels, None, _files(maps.images.names), facts | counts)

    def normals(self) -> Labelled:
        """Images of another domain to move to: those in sub-folders of other classes are left
        out.
        """
        images = self.images
        if any(label is not None for label in images.labels):
            self._counts(
                images, advice="name the folder that has normal images in it, and nothing else"
            )
            codes, _ = encode_labels(images.labels, rows=len(images), normal=self.normal)
            images = images.take(np.flatnonzero(codes == 0))
        maps, failed = self._seen(images)
        if not len(maps):
            raise DataError(
                f"{images.root}: none of its {len(failed):,} images can be used; expected a few "
                "normal ones"
            )
        return Labelled(maps, None, None, None, {"source": self.folder.absolute().name})

    def _seen(self, images: Images) -> tuple[Maps, dict[str, str]]:
        """Maps of the images that can be used, to learn from, and why the others cannot, by
        name.
        """
        failed: dict[str, str] = {}
        maps = Maps.of(
            images,
            self.features,
            resaved=self.resaved,
            cache=self.cache,
            failed=failed,
            progress=self.progress,
        )
        _note_failed(len(images), failed)
        return maps, failed

    def to_evaluate(self, *, tests: bool = False) -> Labelled:
        """All images with the labels of their folders."""
        return self.labelled()

    def places(self, keys: pa.Table, rows: pa.Array) -> dict[str, Any]:
        """Their files."""
        return {"file": keys["file"]}

    def batches(self, encoder: Encoder) -> Iterator[Batch]:
        """The images, a block at a time, then files of types that are not read; `problem` tells why
        one has no row.
        """
        images, failed = self.images, dict[str, str]()
        for start in range(0, len(images), _BLOCK):
            part = images.take(np.arange(start, min(start + _BLOCK, len(images))))
            here: dict[str, str] = {}
            maps = Maps.of(part, self.features, cache=self.cache, failed=here)
            used = np.array(
                [k for k, name in enumerate(part.names) if name not in here], dtype=np.int64
            )
            why = {
                name: text.removeprefix(f"{images.root / name}: ") for name, text in here.items()
            }
            yield Batch(maps, _files(part.names, why), used, self.name)
            failed |= here
        _note_failed(len(images), failed)
        if images.unread:
            names = [file.relative_to(images.root).as_posix() for file in images.unread]
            kinds = [file.suffix.lower() for file in images.unread]
            why = {
                name: f"files of type {kind} are not read; save it as PNG or JPEG"
                for name, kind in zip(names, kinds, strict=True)
            }
            yield Batch(None, _files(names, why), np.zeros(0, dtype=np.int64), self.name)

    def _counts(
        self, images: Images, *, failed: int = 0, advice: str | None = None
    ) -> dict[str, Any]:
        """How many images are normal, unlabelled, and of each class, most frequent first; DataError
        without normals.
        """
        labels = images.labels if any(label is not None for label in images.labels) else None
        codes, names = encode_labels(labels, rows=len(images), normal=self.normal)
        counts = count_classes(codes, names)
        if not counts["normals"]:
            advice = advice or (
                f"say which are normal ({option('normal', ...)}), or put normal ones into a "
                "sub-folder of that name"
            )
            raise DataError(
                f"{images.root}: no usable image is in a sub-folder "
                f"{self.normal!r}{resembling(self.normal, names)}; of its "
                f"{len(images) + failed:,} images {failed:,} cannot be used, "
                f"{counts['unlabelled']:,} are in no sub-folder, the others are in "
                f"{spell_counts(counts['anomalies'])}: {advice}"
            )
        return {**counts, "failed": failed}


def _files(names: list[str], problems: Mapping[str, str] | None = None) -> pa.Table:
    """A table of names and, where some cannot be used, why."""
    table = pa.table({"file": pa.array(map(writable, names), pa.string())})
    if problems is None:
        return table
    return table.append_column(
        "problem", pa.array([problems.get(name) for name in names], pa.string())
    )


def _note_failed(count: int, failed: Mapping[str, str]) -> None:
    """Log which files cannot be used."""
    if failed:
        first, more = [*failed.values()][:_NAMED], len(failed) - _NAMED
        text = "; ".join(first) + (f"; and {more:,} more" if more > 0 else "")
        log.warning(
            "%d of %d images cannot be used, the others go on: %s", len(failed), count, text
        )


def _note_like_normal(images: Images, normal: str) -> None:
    """Log folders that seem to hold normal images, and are taken for classes of anomalies."""
    names = {label for label in images.labels if label not in (None, normal)}
    likely = [n for n in sorted(names) if _NORMAL & (parts := _words_of(n)) and not _NOT & parts]
    if likely:
        log.warning(
            "sub-folder %s is taken for a class of anomalies: if its images are normal, move them "
            "into %r, or leave them out",
            *(first_few(map(repr, likely)), normal),
        )


def _words_of(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.casefold()))


def _note_unlabelled(images: Images) -> None:
    """Log that no folder names a class, or which images have a mask, but no folder that says what
    they show.
    """
    if all(label is None for label in images.labels):
        log.warning(
            "%s: no sub-folder names a class: all %d images are taken for normal",
            images.root,
            len(images),
        )
    each = zip(images.names, images.labels, images.masks, strict=True)
    found = [name for name, label, spot in each if label is None and spot is not None]
    if found:
        log.warning(
            "%d images with a mask are in no folder of a class, first %s: they are taken for "
            "normal; put those that show a defect into a sub-folder that names it",
            *(len(found), found[0]),
        )

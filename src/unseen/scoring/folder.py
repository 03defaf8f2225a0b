"""Folders of images on the command line: what one teaches, which images are good, which only seem so."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unseen.cli.terminal import progressing
from unseen.data.labels import encode_labels
from unseen.errors import DataError
from unseen.names import resembling
from unseen.scoring.files import counted, spelled
from unseen.storage.bundle import Bundle
from unseen.storage.facts import of_data
from unseen.vision.encoder import Maps, Pictures
from unseen.vision.features import Features
from unseen.vision.images import Images
from unseen.wording import option

NAMED = 3  # files that a note names before it says how many more there are

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Seeing:
    """How images are seen."""

    backbone: str = "lite0"
    """lite0, or the folder of a vision model of Hugging Face"""
    size: int = 224
    """pixels of the square that it sees of an image"""
    tiles: int = 1
    """how many such squares in a row see a large image"""

    def told(self) -> dict[str, object]:
        """What is not as usual."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def features(self) -> Features:
        place = self.backbone if self.backbone == "lite0" else str(Path(self.backbone).resolve())
        return Features(backbone=place, size=self.size, tiles=self.tiles)


def labelled_images(
    folder: Path, normal: str, features: Features, cache: Path | None
) -> tuple[Maps, Any, Any, dict[str, Any]]:
    """Maps of the images in a folder, whose sub-folders are classes, and how many of each there are.

    What `files.labelled_rows` is for files: labels and groups are None, as maps bring their labels along.
    """
    images = Images.read(folder, normal=normal)
    class_counts(images, normal)  # before minutes are spent on them
    note_unlabelled(images)
    maps, failed = seen(images, features, cache, resaved=True)
    counts = class_counts(maps.images, normal, failed=len(failed))
    return maps, None, None, {"source": folder.absolute().name, "label": None, "drop": [], "group": None, **counts}


def class_counts(images: Images, normal: str, *, failed: int = 0, advice: str | None = None) -> dict[str, Any]:
    """How many images are normal, unlabelled, and of each class, most frequent first; DataError when none is normal."""
    labels = images.labels if any(label is not None for label in images.labels) else None
    codes, names = encode_labels(labels, rows=len(images), normal=normal)
    counts = counted(codes, names)
    if not counts["normals"]:
        raise DataError(
            f"{images.root}: no usable image is in a sub-folder {normal!r}{resembling(normal, names)}; of its "
            f"{len(images) + failed:,} images {failed:,} cannot be used, {counts['unlabelled']:,} are in no "
            f"sub-folder, the others are in {spelled(counts['anomalies'])}: "
            + (
                advice
                or f"say which are normal ({option('normal', ...)}), or put good ones into a sub-folder of that name"
            )
        )
    return {**counts, "failed": failed}


def train_and_test(
    folder: Path, test: Path | None, normal: str, seeing: Seeing, cache: Path | None
) -> tuple[Maps, Any]:
    """Maps of the images to train on, and of those to test on, if there is another folder."""
    each = [labelled_images(one, normal, seeing.features(), cache)[0] for one in (folder, test) if one is not None]
    return each[0], each[1] if test is not None else None


def good_images(folder: Path, bundle: Bundle, cache: Path | None) -> tuple[Maps, None]:
    """Maps of the images in a folder; where it has sub-folders, of those called normal."""
    normal = str(bundle.detector.normal)
    images = Images.read(folder, normal=normal)
    if any(label is not None for label in images.labels):
        class_counts(images, normal, advice="name the folder that has good images in it, and nothing else")
        codes, _ = encode_labels(images.labels, rows=len(images), normal=normal)
        images = images.take(np.flatnonzero(codes == 0))
    return seen(images, bundle.detector.features, cache, resaved=twice(bundle))[0], None


def odd_images(bundle: Bundle, folder: Path, cache: Path | None) -> pa.Table:
    """File, weight and score of the images that training took for normal, lowest weight first."""
    detector, facts = bundle.detector, of_data(bundle.facts)
    images = Images.read(folder, normal=str(detector.normal))
    maps, _ = seen(images, detector.features, cache, resaved=twice(bundle))
    if len(maps) != facts.get("rows", len(maps)):
        raise DataError(
            f"{folder}: expected the {facts['rows']:,} usable images of {facts['source']} that the detector was "
            f"trained on, found {len(maps):,}: name that very folder"
        )
    try:
        found = detector.audit(maps, maps.labels)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    names = pa.array(map(writable, maps.images.names), pa.string())
    return pa.table({"file": names.take(found["row"]), "weight": found["weight"], "score": found["score"]})


def twice(bundle: Bundle) -> bool:
    """Whether the detector learned from each image as it is and as it is re-saved."""
    schema = bundle.detector.schema_
    return isinstance(schema, Pictures) and schema.resaved


def seen(
    images: Images, features: Features | None, cache: Path | None, *, resaved: bool
) -> tuple[Maps, dict[str, str]]:
    """Maps of the images that can be used, to train on with `resaved`, and why the others cannot, by name."""
    failed: dict[str, str] = {}
    with progressing("images seen", total=len(images)) as bar:
        maps = Maps.of(images, features, resaved=resaved, cache=cache, failed=failed, progress=bar)
    note(images, failed)
    return maps, failed


def note(images: Images, failed: dict[str, str]) -> None:
    """Say which files cannot be used."""
    if failed:
        first, more = [*failed.values()][:NAMED], len(failed) - NAMED
        said = "; ".join(first) + (f"; and {more:,} more" if more > 0 else "")
        log.warning("%d of %d images cannot be used, the others go on: %s", len(failed), len(images), said)


def note_unlabelled(images: Images) -> None:
    """Say that no folder names a class, or which images have a mask, but no folder that says what they show."""
    if all(label is None for label in images.labels):
        log.warning("%s: no sub-folder names a class: all %d images are taken for normal", images.root, len(images))
    each = zip(images.names, images.labels, images.masks, strict=True)
    found = [name for name, label, spot in each if label is None and spot is not None]
    if found:
        log.warning(
            "%d images with a mask are in no folder of a class, first %s: they are taken for normal; put those that "
            "show a defect into a sub-folder that names it",
            *(len(found), found[0]),
        )


def writable(name: str) -> str:
    """A file's name as text of which UTF-8 can be made: bytes that spell nothing stand as their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

"""Folders of random images: types, modes, sizes, names, masks, and files that only seem to be
images.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from fuzz.commands import check_command
from fuzz.trial import Limits, Wrong
from unseen import UnseenError
from unseen.vision.images import Images
from unseen.vision.pixels import mask_of, pixels_of

LIMITS = Limits(seconds=90, megabytes=2048)
Rng = np.random.Generator

MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
ENDS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".PNG",
    ".ppm",
    ".ico",
    ".txt",
    "",
)
STEMS = (
    "1",
    "a b",
    "é",
    "漢字",
    "x" * 200,
    "-o",
    "'q\"",
    "line\nbreak",
    "\x1b[31m",
    "<b>&",
    "%s",
    "CON",
    ".hidden",
)
BYTES = (b"\xff\xfe", b"a\x80b", b"\xe9t\xe9")  # names that are no UTF-8
CLASSES = (
    "good",
    "normal",
    "scratch",
    "",
    "train/good",
    "test/hole",
    "ground_truth/hole",
    "masks",
    "a\nb",
    "_x",
)
SIZES = (1, 2, 3, 8, 31, 64, 65, 200)


def ready(seed: int) -> None:
    """Nothing: each folder is made anew."""


def case(rng: Rng, folder: Path) -> None:
    """Each file is read or refused; sometimes a detector is trained on the folder, and scores
    it.
    """
    warnings.simplefilter("ignore")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    (root := folder / "images").mkdir()
    whole = rng.random() < 0.25
    for k in range(int(rng.integers(0, 12))):
        put(root, k, rng)
    if whole:
        trained(root, rng)
    else:
        decoded(root)


def put(root: Path, k: int, rng: Rng) -> None:
    """One file, in a folder of a class, where the system allows its name."""
    place = root / str(rng.choice(CLASSES))
    stem = os.fsencode(
        str(rng.choice(STEMS))
        if rng.random() < 0.5
        else f"{k}{'_mask' if rng.random() < 0.1 else ''}"
    )
    if rng.random() < 0.05:
        stem = BYTES[int(rng.integers(len(BYTES)))]
    file = Path(
        os.fsdecode(os.path.join(os.fsencode(place), stem + str(rng.choice(ENDS)).encode()))
    )
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(file):
            drawn(file, rng)
    except (OSError, ValueError, KeyError, SystemError):  # what Pillow cannot save in that type
        file.unlink(missing_ok=True)
    if rng.random() < 0.3 and file.is_file():
        damage(file, rng)


def drawn(file: Path, rng: Rng) -> None:
    """A picture of noise in a random mode and size, or what is no picture."""
    kind = rng.random()
    if kind < 0.05:
        file.symlink_to("/dev/zero" if rng.random() < 0.5 else file)
    elif kind < 0.08:
        os.mkfifo(file)
    elif kind < 0.11:
        file.mkdir()
    elif kind < 0.14:
        file.write_bytes(rng.bytes(int(rng.integers(0, 400))))
    else:
        side = [int(i) for i in rng.choice(SIZES, 2)]
        grey = rng.integers(0, 256, (*side, 3), dtype=np.uint8)
        picture = Image.fromarray(
            grey if rng.random() < 0.7 else np.where(grey > 127, 255, 0).astype(np.uint8)
        )
        mode = str(rng.choice(MODES))
        picture = picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
        formats = {"": "PNG", ".txt": "PNG"}
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(0, 12))
        picture.save(
            file, format=formats.get(file.suffix), exif=exif
        ) if rng.random() < 0.3 else picture.save(file, format=formats.get(file.suffix))


def damage(file: Path, rng: Rng) -> None:
    """The file ends early, or some of its bytes are others."""
    data = bytearray(file.read_bytes())
    if rng.random() < 0.5:
        data = data[: int(rng.integers(len(data) + 1))]
    for at in rng.integers(max(len(data), 1), size=int(rng.integers(0, 5))):
        if at < len(data):
            data[at] = int(rng.integers(256))
    file.write_bytes(data)


def decoded(root: Path) -> None:
    """Pixels (h, w, 3) of 8 bits, masks (h, w), or an UnseenError."""
    try:
        images = Images.read(root)
    except UnseenError:
        return
    for file, spot in zip(images.files, images.masks, strict=True):
        try:
            values = pixels_of(file)
            if values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] != 3:
                raise Wrong(
                    f"pixels have another shape: {values.dtype} {values.shape} of {file.name!r}"
                )
            if spot is not None and mask_of(spot, values.shape[:2]).shape != values.shape[:2]:
                raise Wrong(f"a mask has another shape: {spot.name!r}")
        except UnseenError:
            continue


def trained(root: Path, rng: Rng) -> None:
    """fit, score, audit: exit codes 0 or 2, and a row for each file."""
    for k in range(14):
        (root / "good").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(
            root / "good" / f"sure{k}.png"
        )
    normal = ["--normal", "good"]
    method = str(rng.choice(["patchcore", "patches", "mahalanobis"]))
    size = ["--size", "64", "--tiles", str(rng.choice([1, 1, 2]))]
    if check_command(
        rng, ["fit", str(root), *normal, *size, "--method", method, "--out", "model"], "model"
    ):
        return
    overlays = ["--overlays", "pictures"] if rng.random() < 0.5 else []
    if check_command(
        rng, ["score", "model", str(root), "--out", "scores.csv", *overlays], "scores.csv"
    ):
        return
    check_command(rng, ["audit", "model", str(root), "--out", "suspects.csv"], "suspects.csv")

"""Images on disk: the files of a folder, what each shows, where its defect is, and their pixels.

Reading pixels needs Pillow, the extra `images`; looking through a folder does not.
"""

from __future__ import annotations

import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, Unsupported
from unseen.vision.layout import arranged, imageless, visible_files

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")  # no other parser of Pillow gets to see a file
LEAST = 16  # pixels on a side
MOST = 100_000_000  # pixels in all
BLACK = 32  # values below are the black of a mask, those as far from 255 its white
RANGES = (255, 4095, 65535)  # largest grey values of 8, 12 and 16 bits

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Images:
    """Image files, what each shows, and where its defect is.

    Parameters
    ----------
    files : tuple of Path
        The files (n).
    labels : tuple of str or None
        What each shows (n), None where nobody said.
    masks : tuple of Path or None
        The mask file of each (n), which tells where its defect is; None where there is none.
    root : Path
        The folder that names in tables of results are relative to.
    unread : tuple of Path
        Files of the folder that are pictures, too, but of a type that is not read.
    """

    files: tuple[Path, ...]
    labels: tuple[str | None, ...]
    masks: tuple[Path | None, ...]
    root: Path
    unread: tuple[Path, ...] = ()

    @classmethod
    def read(cls, folder: str | Path, *, normal: str = "normal") -> Images:
        """The images below a folder in the order of their names, those of train first: hidden ones
        are left out.

        A file directly in the folder has no label; any other that of the first folder below. Where
        there is train/good, or test and ground_truth, the labels are the folders in train and test,
        `good` being called `normal`. A file called x_mask, or in a folder `mask`, `masks` or
        `ground_truth`, is no image but the mask of the one that has its name. So is x.png beside
        x.jpg. What is left out is logged. Links to folders are not followed.

        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("normal/1.jpg", "scratch/2.jpg", "scratch/2.png", "3.jpg"):
        ...     (folder / name).parent.mkdir(exist_ok=True)
        ...     (folder / name).touch()
        >>> images = Images.read(folder)
        >>> images.names, images.labels
        (['3.jpg', 'normal/1.jpg', 'scratch/2.jpg'], (None, 'normal', 'scratch'))
        >>> [mask and mask.name for mask in images.masks]
        [None, None, '2.png']
        """
        root = Path(folder)
        files, links = visible_files(root)
        layout = arranged(files, links, normal)
        if not layout.labels:
            raise imageless(root, files)
        for note in layout.notes:
            log.warning("%s: %s", root, note)
        spots = map(layout.masks.get, layout.labels)
        return cls(
            files=tuple(root / name for name in layout.labels),
            labels=tuple(layout.labels.values()),
            masks=tuple(None if spot is None else root / spot for spot in spots),
            root=root,
            unread=tuple(root / name for name in layout.unread),
        )

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.int64]) -> Images:
        """The images with these row numbers, in their order.

        >>> images = Images(
        ...     files=(Path("a.png"), Path("b.png")),
        ...     labels=("x", "y"),
        ...     masks=(None, None),
        ...     root=Path(),
        ... )
        >>> images.take(np.array([1])).labels
        ('y',)
        """
        chosen = np.arange(len(self))[rows]
        return Images(
            files=tuple(self.files[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            masks=tuple(self.masks[i] for i in chosen),
            root=self.root,
        )

    @property
    def names(self) -> list[str]:
        """Paths relative to the root, with forward slashes on every system."""
        return [file.relative_to(self.root).as_posix() for file in self.files]


def writable(name: str) -> str:
    """A file's name as text of which UTF-8 can be made: bytes that spell nothing stand as their
    numbers.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def pixels(file: str | Path) -> NDArray[np.uint8]:
    """The first frame of an image, upright as its EXIF data says, in RGB.

    Transparency is dropped and the colours below it shown, since any backdrop would add edges that
    no camera saw. Grey values of more than 8 bits are scaled as `eight_bits` says. Shape (h, w, 3).

    >>> pixels("nowhere.png")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    path = Path(file)
    _check_file(path)
    values = decoded(path)
    if values.ndim == 2:
        return np.repeat(eight_bits(values, path)[:, :, None], 3, axis=2)
    return values


def mask(file: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask marks a defect: the brightest channel is above half of its range, or is 1 and
    nowhere more: (h, w).

    JPEG leaves greys around an edge; where most of a mask is grey, it is a photo.

    >>> mask("nowhere.png", (64, 64))
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    values = pixels(file).max(axis=2)  # (h, w): a defect may be marked in any colour
    if values.shape != shape:
        raise DataError(
            f"{file}: the mask must have the height and width of its image, {shape}, got "
            f"{values.shape}; save it in that size, or remove it"
        )
    highest = int(values.max())
    if 1 < highest <= 127:
        raise DataError(
            f"{file}: expected a mask of 0 and 255, or of 0 and 1, found values up to {highest}; "
            "save it with 255 wherever there is a defect"
        )
    between = float(np.mean((values >= BLACK) & (values <= 255 - BLACK)))
    if between > 0.5:
        raise DataError(
            f"{file}: expected a mask, black and white, but {between:.0%} of its pixels are "
            "neither; if it is a photo, give it a name or a folder that is not that of a mask; if "
            "it is a mask, save it as 0 and 255"
        )
    return values > (0 if highest == 1 else 127)


def _check_file(file: Path) -> None:
    try:
        size = file.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; check the spelling and the folder") from error
    except OSError as error:
        raise DataError(
            f"{file}: it cannot be read ({error.strerror}); allow it, or remove it"
        ) from error
    if size == 0:
        raise DataError(f"{file}: the file is empty; expected an image; copy it anew, or remove it")


def image_bytes(file: Path) -> bytes:
    """All bytes of an image file."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: it cannot be read ({error.strerror}); copy it anew, or remove it"
        ) from error


def decoded(file: Path) -> NDArray[Any]:
    """The first frame, upright: (h, w, 3) uint8, or (h, w) where it is grey of more than 8 bits."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "unseen[images]"') from error
    try:
        with Image.open(file, formats=FORMATS) as image:
            _check_pixels(file, *image.size)
            upright = ImageOps.exif_transpose(image)
            upright.info.pop("transparency", None)
            return np.array(upright if upright.mode[0] in "IF" else upright.convert("RGB"))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{file}: expected at most {MOST} pixels, found far more ({error}); scale it down"
        ) from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        struct.error,
    ) as error:
        raise DataError(
            f"{file}: expected an image ({', '.join(FORMATS)}), but it cannot be read as one "
            f"({error}); copy it anew, or remove it"
        ) from error


def _check_pixels(file: Path, width: int, height: int) -> None:
    if min(width, height) < LEAST or width * height > MOST:
        raise DataError(
            f"{file}: expected at least {LEAST} pixels a side and at most {MOST} in all, found "
            f"{width} x {height}; scale it, or remove it"
        )


def eight_bits(values: NDArray[Any], file: Path) -> NDArray[np.uint8]:
    """Grey values as 8 bits: divided by 257 where they use 16 bits, but by 4095/255 where all fit
    into 12, by 1 into 8.

    The largest value of the image decides, as cameras of 12 bits save files of 16: (h, w) -> (h,
    w).

    >>> eight_bits(np.array([[0, 2570, 65535]]), Path("x.tif"))
    array([[  0,  10, 255]], dtype=uint8)
    """
    low, high = values.min(), values.max()
    if not np.issubdtype(values.dtype, np.integer) or low < 0 or high > RANGES[-1]:
        raise DataError(
            f"{file}: expected grey values of 8 or 16 bits, found {values.dtype} from {low} to "
            f"{high}, of which black and white are not known; scale it to 0..65535 and save it as "
            "a 16-bit PNG"
        )
    full = next(top for top in RANGES if high <= top)
    return np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)[values]

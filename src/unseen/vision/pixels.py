"""Pixels of image files, and masks; needs Pillow, the extra `images`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, Unsupported

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")  # no other parser of Pillow gets to see a file
_LEAST = 16  # pixels on a side
_MOST = 100_000_000  # pixels in all
_BLACK = 32  # values below are the black of a mask, those as far from 255 its white
_RANGES = (255, 4095, 65535)  # largest grey values of 8, 12 and 16 bits


def pixels_of(file: str | Path) -> NDArray[np.uint8]:
    """The first frame of an image, upright as its EXIF data says, in RGB.

    Transparency is dropped and the colours below it shown, since any backdrop would add edges that
    no camera saw. Grey values of more than 8 bits are scaled as `eight_bits` says.

    Parameters
    ----------
    file : str or Path
        A JPEG, PNG, BMP, TIFF or WebP file.

    Returns
    -------
    array
        Values of red, green and blue (h, w, 3), uint8.

    Raises
    ------
    DataError
        For a file that is not there, is no image, is too small or too large.
    Unsupported
        Without the extra `images`.

    >>> pixels_of("nowhere.png")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    path = Path(file)
    _check_file(path)
    values = _decoded(path)
    if values.ndim == 2:
        return np.repeat(eight_bits(values, path)[:, :, None], 3, axis=2)
    return values


def mask_of(file: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask marks a defect: the brightest channel is above half of its range, or is 1 and
    nowhere more.

    JPEG leaves greys around an edge; where most of a mask is grey, it is a photo.

    Parameters
    ----------
    file : str or Path
        The mask.
    shape : tuple of int
        Height and width of its image.

    Returns
    -------
    array
        Where the defect is (h, w), bool.

    Raises
    ------
    DataError
        For a file that is no mask of that size; for files as in `pixels_of`.

    >>> mask_of("nowhere.png", (64, 64))
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    values = pixels_of(file).max(axis=2)  # (h, w): a defect may be marked in any colour
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
    between = float(np.mean((values >= _BLACK) & (values <= 255 - _BLACK)))
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


def size_of(file: str | Path) -> tuple[int, int]:
    """Width and height of an image as its head says: nothing of it is unpacked.

    >>> size_of("nowhere.png")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    path = Path(file)
    _check_file(path)
    with _opened_image(path) as image:
        width, height = image.size
        return int(width), int(height)


def _decoded(file: Path) -> NDArray[Any]:
    """The first frame, upright: (h, w, 3) uint8, or (h, w) where it is grey of more than 8 bits."""
    with _opened_image(file) as image:
        from PIL import ImageOps

        _check_pixels(file, *image.size)
        upright = ImageOps.exif_transpose(image)
        upright.info.pop("transparency", None)
        return np.array(upright if upright.mode[0] in "IF" else upright.convert("RGB"))


@contextmanager
def _opened_image(file: Path) -> Iterator[Any]:
    """An image as Pillow has it; whatever goes wrong meanwhile is a DataError."""
    try:
        from PIL import Image
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "unseen[images]"') from error
    try:
        with Image.open(file, formats=_FORMATS) as image:
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{file}: expected at most {_MOST} pixels, found far more ({error}); scale it down"
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
            f"{file}: expected an image ({', '.join(_FORMATS)}), but it cannot be read as one "
            f"({error}); copy it anew, or remove it"
        ) from error


def _check_pixels(file: Path, width: int, height: int) -> None:
    if min(width, height) < _LEAST or width * height > _MOST:
        raise DataError(
            f"{file}: expected at least {_LEAST} pixels a side and at most {_MOST} in all, found "
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
    if not np.issubdtype(values.dtype, np.integer) or low < 0 or high > _RANGES[-1]:
        raise DataError(
            f"{file}: expected grey values of 8 or 16 bits, found {values.dtype} from {low} to "
            f"{high}, of which black and white are not known; scale it to 0..65535 and save it as "
            "a 16-bit PNG"
        )
    full = next(top for top in _RANGES if high <= top)
    return np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)[values]

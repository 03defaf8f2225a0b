"""Images on disk: which files a folder holds, what each shows, where its defect is, and their pixels.

A class is a sub-folder. The layout of MVTec AD (Bergmann et al. 2019: train/good, test/<class>, ground_truth/<class>)
is known by its names. Reading pixels needs Pillow, the extra `images`; looking through a folder does not.
"""

from __future__ import annotations

import logging
import os
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, Unsupported

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")  # no other parser of Pillow gets to see a file
LEAST = 16  # pixels on a side
MOST = 100_000_000  # pixels in all
RANGES = (255, 4095, 65535)  # largest grey values of 8, 12 and 16 bits

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Images:
    """Image files, what each shows (None where nobody said), and where its defect is (a mask file, or None).

    Names in tables of results are relative to `root`.
    """

    files: tuple[Path, ...]
    labels: tuple[str | None, ...]
    masks: tuple[Path | None, ...]
    root: Path

    @classmethod
    def read(cls, folder: str | Path, *, normal: str = "normal") -> Images:
        """The images below a folder in the order of their names, those of train first: hidden ones are left out.

        A file directly in the folder has no label; any other that of the first folder below. Where there is train/good,
        or test and ground_truth, the labels are the folders in train and test, `good` being called `normal`.
        The mask of x.jpg is the PNG file x_mask.png or x.png beside it, or of that name in ground_truth for test.
        Links to folders are not followed.

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
        found = listed(root)
        files = [file for file in found if file.suffix.lower() in ENDINGS]
        labels = labelled(files, normal)
        masks, orphans = paired(files)
        names = [file for file in labels if file in masks]
        if not names:
            raise imageless(root, found)
        if orphans:
            log.warning("%s: left out masks without an image: %d, first %s", root, len(orphans), orphans[0].as_posix())
        spots = [masks[name] for name in names]
        return cls(
            files=tuple(root / name for name in names),
            labels=tuple(labels[name] for name in names),
            masks=tuple(None if spot is None else root / spot for spot in spots),
            root=root,
        )

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.int64]) -> Images:
        """The images with these row numbers, in their order.

        >>> images = Images(files=(Path("a.png"), Path("b.png")), labels=("x", "y"), masks=(None, None), root=Path())
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


def pixels(file: str | Path) -> NDArray[np.uint8]:
    """The first frame of an image, upright as its EXIF data says, in RGB.

    Transparency is dropped and the colours below it shown, since any backdrop would add edges that no camera saw.
    Grey values of more than 8 bits are scaled as `eight_bits` says. Shape (h, w, 3).

    >>> pixels("nowhere.png")
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    path = Path(file)
    check_file(path)
    values = decoded(path)
    if values.ndim == 2:
        return np.repeat(eight_bits(values, path)[:, :, None], 3, axis=2)
    return values


def mask(file: str | Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask marks a defect: the brightest channel is above half of its range, or is 1 and nowhere more: (h, w).

    >>> mask("nowhere.png", (64, 64))
    Traceback (most recent call last):
    unseen.errors.DataError: nowhere.png: no such file; check the spelling and the folder
    """
    values = pixels(file).max(axis=2)  # (h, w): a defect may be marked in any colour
    if values.shape != shape:
        raise DataError(
            f"{file}: the mask must have the height and width of its image, {shape}, got {values.shape}; "
            "save it in that size, or remove it"
        )
    highest = int(values.max())
    if 1 < highest <= 127:
        raise DataError(
            f"{file}: expected a mask of 0 and 255, or of 0 and 1, found values up to {highest}; "
            "save it with 255 wherever there is a defect"
        )
    return values > (0 if highest == 1 else 127)


def listed(root: Path) -> list[Path]:
    """Every file below a folder that is not hidden, relative to it, sorted by name."""
    if not root.exists():
        raise DataError(f"{root}: no such folder; check the spelling")
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder of images, found a file; name the folder that it is in")

    def fail(error: OSError) -> NoReturn:
        raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror}); allow it, or move it away")

    files = []
    for here, folders, names in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(here, name).relative_to(root) for name in names if not name.startswith(".")]
    return sorted(files, key=Path.as_posix)


def labelled(files: list[Path], normal: str) -> dict[Path, str | None]:
    """What each file shows by the folder that it is in, in the order of the rows; masks are among them."""
    if not is_mvtec(files):
        return {file: file.parts[0] if len(file.parts) > 1 else None for file in files}
    inside = [file for part in ("train", "test") for file in files if file.parts[0] == part and len(file.parts) > 2]
    return {file: normal if file.parts[1] == "good" else file.parts[1] for file in inside}


def is_mvtec(files: list[Path]) -> bool:
    tops = {file.parts[0] for file in files}
    return tops >= {"test", "ground_truth"} or any(file.parts[:2] == ("train", "good") for file in files)


def paired(files: list[Path]) -> tuple[dict[Path, Path | None], list[Path]]:
    """The images with their masks, and the masks that belong to none."""
    known = {file.with_suffix(""): file for file in files if is_png(file)}
    truth = "ground_truth" if is_mvtec(files) else None
    only = {file for file in files if file.parts[0] == truth or (is_png(file) and file.stem.endswith("_mask"))}
    masks = {file: next(filter(None, map(known.get, places(file))), None) for file in files if file not in only}
    taken = set(masks.values())
    images = {file: spot for file, spot in masks.items() if file not in taken}
    return images, sorted(only - taken, key=Path.as_posix)


def places(image: Path) -> list[Path]:
    """Where the mask of an image may be, best first, without the ending.

    >>> [place.as_posix() for place in places(Path("test/hole/1.jpg"))]
    ['test/hole/1_mask', 'test/hole/1', 'ground_truth/hole/1_mask', 'ground_truth/hole/1']
    """
    same = image.with_suffix("")
    marked = same.with_name(same.name + "_mask")
    beside = [marked] if is_png(image) else [marked, same]
    if image.parts[0] != "test":
        return beside
    return beside + [Path("ground_truth", *place.parts[1:]) for place in (marked, same)]


def is_png(file: Path) -> bool:
    return file.suffix.lower() == ".png"


def imageless(root: Path, found: list[Path]) -> DataError:
    kinds = sorted({file.suffix.lower() or file.name for file in found})
    what = f"{len(found)} files ({', '.join(kinds[:5])})" if found else "no file"
    return DataError(
        f"{root}: no image in it; expected files that end in {', '.join(ENDINGS)}, found {what}; name another folder "
        "(masks are no images, hidden files are skipped, links to folders are not followed)"
    )


def check_file(file: Path) -> None:
    if not file.exists():
        raise DataError(f"{file}: no such file; check the spelling and the folder")
    if file.stat().st_size == 0:
        raise DataError(f"{file}: the file is empty; expected an image; copy it anew, or remove it")


def decoded(file: Path) -> NDArray[Any]:
    """The first frame, upright: (h, w, 3) uint8, or (h, w) where it is grey of more than 8 bits."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "unseen[images]"') from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            with Image.open(file, formats=FORMATS) as image:
                check_size(file, *image.size)
                upright = ImageOps.exif_transpose(image)
                upright.info.pop("transparency", None)
                return np.array(upright if upright.mode[0] in "IF" else upright.convert("RGB"))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{file}: expected at most {MOST} pixels, found far more ({error}); scale it down") from error
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error) as error:
        raise DataError(
            f"{file}: expected an image ({', '.join(FORMATS)}), but it cannot be read as one ({error}); copy it anew, "
            "or remove it"
        ) from error


def check_size(file: Path, width: int, height: int) -> None:
    if min(width, height) < LEAST or width * height > MOST:
        raise DataError(
            f"{file}: expected at least {LEAST} pixels a side and at most {MOST} in all, found {width} x {height}; "
            "scale it, or remove it"
        )


def eight_bits(values: NDArray[Any], file: Path) -> NDArray[np.uint8]:
    """Grey values as 8 bits: divided by 257 where they use 16 bits, but by 4095/255 where all fit into 12, by 1 into 8.

    The largest value of the image decides, as cameras of 12 bits save files of 16: (h, w) -> (h, w).

    >>> eight_bits(np.array([[0, 2570, 65535]]), Path("x.tif"))
    array([[  0,  10, 255]], dtype=uint8)
    """
    low, high = values.min(), values.max()
    if not np.issubdtype(values.dtype, np.integer) or low < 0 or high > RANGES[-1]:
        raise DataError(
            f"{file}: expected grey values of 8 or 16 bits, found {values.dtype} from {low} to {high}, of which black "
            "and white are not known; scale it to 0..65535 and save it as a 16-bit PNG"
        )
    full = next(top for top in RANGES if high <= top)
    return np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)[values]

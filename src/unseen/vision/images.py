"""Images on disk: the files of a folder, what each shows, and where its defect is."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.vision.layout import arranged, imageless, visible_files

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

    @classmethod
    def joined(cls, parts: Sequence[Images]) -> Images:
        """Images of several, at least one, one behind the other, under the root of the first."""
        files, labels, masks = (
            sum((getattr(part, name) for part in parts), start=())
            for name in ("files", "labels", "masks")
        )
        return cls(files, labels, masks, parts[0].root)

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
        """Paths relative to the root, with forward slashes on every system; whole ones of files
        elsewhere.
        """
        return [
            (file.relative_to(self.root) if file.is_relative_to(self.root) else file).as_posix()
            for file in self.files
        ]


def writable(name: str) -> str:
    """A file's name as text of which UTF-8 can be made: bytes that spell nothing stand as their
    numbers.
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")

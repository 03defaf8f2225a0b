"""Reasons of images: which places raise the score, and what in training is most alike."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the image, half-open


@dataclass(frozen=True)
class Alike:
    """An image of training, or a place of it.

    Parameters
    ----------
    file : str
        Its name below the folder of training.
    label : str
        Its class.
    box : tuple of int or None
        The place: left, top, right, bottom in pixels; of a whole image its hottest cell, None where
        there is no map.
    distance : float
        How far it lies, in standard deviations of normal cells or images, the root of the mean
        square over all that is compared.
    """

    file: str
    label: str
    box: Box | None
    distance: float

    def __str__(self) -> str:
        return self.file if self.box is None else f"{self.file} at {spelled(self.box)}"


@dataclass(frozen=True)
class Place:
    """A hot place of an image.

    Parameters
    ----------
    box : tuple of int
        Its cell: left, top, right, bottom in pixels of the image, half-open.
    heat : float
        Its score.
    most_alike : Alike
        The most alike cell of the normal images that stay with the detector.
    """

    box: Box
    heat: float
    most_alike: Alike

    def __str__(self) -> str:
        return f"{spelled(self.box)} (heat {self.heat:.3g})"


@dataclass(frozen=True)
class ImageReasons:
    """Why an image has its score.

    Parameters
    ----------
    score : float
        The anomaly score.
    pvalue : float
        The p-value of the image.
    places : tuple of Place
        The hottest place, and others that are above `unusual`, the hottest first; none where the
        method has no map.
    unusual : float
        The heat that the hottest cell of a normal image exceeds with a chance of about alpha; NaN
        without a map.
    nearest_normal : Alike
        That of the hottest place; without a map the normal image that looks most alike.
    nearest_anomaly : Alike or None
        The labelled image whose hottest cells look most alike, or which does as a whole; None
        without any.
    evidence : tuple
        Each piece of evidence by its name, and what it adds to the score; empty where a method has
        no pieces.
    heat : array
        The heat map, a score a cell of the square that the backbone sees, -infinity beside the
        image (h, w); (0, 0) without a map. `Detector.heat` has it in pixels.

    >>> like = Alike("good/3.png", "normal", (0, 0, 8, 8), 1.5)
    >>> str(Place((8, 0, 16, 8), 4.25, like)), str(like)
    ('x 8-16, y 0-8 (heat 4.25)', 'good/3.png at x 0-8, y 0-8')
    """

    score: float
    pvalue: float
    places: tuple[Place, ...]
    unusual: float
    nearest_normal: Alike
    nearest_anomaly: Alike | None
    evidence: tuple[tuple[str, float], ...]
    heat: NDArray[np.float32] = field(repr=False, compare=False)

    def __str__(self) -> str:
        if not self.places:
            return "judged as a whole: this method looks at no places"
        where = "; ".join(map(str, self.places))
        few = self.places[0].heat <= self.unusual
        return f"{where}: no place alone is unusual" if few else where

    def to_json(self) -> dict[str, Any]:
        """All of it but the heat map as plain values: numbers, texts, lists, None."""
        plain = asdict(self)
        del plain["heat"]
        plain["unusual"] = None if np.isnan(self.unusual) else self.unusual
        found: dict[str, Any] = json.loads(json.dumps(plain, allow_nan=False))
        return found


def spelled(box: Box) -> str:
    """A box as a reader finds it.

    >>> spelled((1, 2, 30, 40))
    'x 1-30, y 2-40'
    """
    left, top, right, bottom = box
    return f"x {left}-{right}, y {top}-{bottom}"

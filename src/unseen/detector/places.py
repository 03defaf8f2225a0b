"""Where a detector finds an image anomalous, and what in training is most like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from unseen.detector.heat import heat_threshold
from unseen.detector.looks import BLOCK, Kept, Looks, Seeing, kept_images, looks_of
from unseen.detector.policy import check_level
from unseen.detector.references import References
from unseen.errors import DataError
from unseen.explain.places import Alike, Box, ImageReasons, Place
from unseen.explain.reasons import check_top

Array = NDArray[np.float64]


class Judging(Protocol):
    """What judges images: see `explaining.Judge`."""

    @property
    def members(self) -> Sequence[Seeing]: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def pieces(self) -> tuple[tuple[int, str], ...]: ...
    def judged(
        self, each: Sequence[NDArray[np.float32]], new: Array
    ) -> tuple[Array, Array, Array]: ...


def explained_images(
    judge: Judging, known: References, names: Sequence[str], X: Any, *, top: int, alpha: float
) -> list[ImageReasons]:
    """Reasons of images, a block at a time; `names` are those of the codes: normal, each class."""
    check_level("alpha", alpha)
    check_top(top)
    kept, maps = kept_images(known, names), judge.members[0].encoder.admit(X)
    if not len(maps):
        raise DataError("expected at least one image to explain, got none")
    names_of, found = [name for _, name in judge.pieces], list[ImageReasons]()
    for start in range(0, len(maps), BLOCK):
        part = maps.take(np.arange(start, min(start + BLOCK, len(maps))))
        each = [member.encoder.encode(part) for member in judge.members]
        scores, pvalues, pieces = judge.judged(each, np.zeros(len(part)))
        looks = looks_of(judge.members, part, judge.device)
        mapped = looks.heat is not None
        unusual = heat_threshold(judge.members, alpha) if mapped else float("nan")
        normals, anomalies = (_nearest_images(kept, looks, side) for side in (False, True))
        for k in range(len(part)):
            places = _places(kept, looks, k, top, unusual) if mapped else ()
            found.append(
                ImageReasons(
                    float(scores[k]),
                    float(pvalues[k]),
                    places,
                    unusual,
                    places[0].most_alike if places else cast(Alike, normals[k]),
                    anomalies[k],
                    tuple(zip(names_of, pieces[k].tolist(), strict=True)),
                    looks.heat[k] if looks.heat is not None else np.zeros((0, 0), np.float32),
                )
            )
    return found


def _nearest_images(kept: Kept, looks: Looks, labelled: bool) -> list[Alike | None]:
    """The normal, or labelled, images that look most like each (n); None without any."""
    side = np.flatnonzero((kept.codes > 0) == labelled)
    if not len(side):
        return [None] * len(looks)
    apart = cdist(kept.in_units(looks.look), kept.look[side]) / np.sqrt(kept.look.shape[1])
    best = side[apart.argmin(axis=1)]
    boxes = [kept.hottest[k] for k in best]
    return [
        Alike(kept.files[k], kept.names[kept.codes[k]], box and _box(box), distance)
        for k, box, distance in zip(best, boxes, apart.min(axis=1).tolist(), strict=True)
    ]


def _places(kept: Kept, looks: Looks, k: int, top: int, unusual: float) -> tuple[Place, ...]:
    """The hottest cell of an image, then others that are above what is unusual and beside none of
    those.
    """
    assert looks.heat is not None
    assert looks.cells is not None
    assert looks.boxes is not None
    left, places = looks.heat[k].copy(), list[Place]()
    while len(places) < top and (not places or left.max() > unusual):
        row, column = np.unravel_index(left.argmax(), left.shape)
        cell = int(row) * left.shape[1] + int(column)
        left[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = -np.inf
        features = (looks.cells[k, cell].astype(np.float32) - kept.cell_units[0]) / kept.cell_units[
            1
        ]
        apart = cdist(features[None], kept.cells)[0] / np.sqrt(len(features))
        best = int(apart.argmin())
        image = int(kept.owner[best])
        like = Alike(kept.files[image], kept.names[0], _box(kept.boxes[best]), float(apart[best]))
        heat = float(looks.heat[k].ravel()[cell])
        places.append(Place(_box(looks.boxes[k, cell]), heat, like))
    return tuple(places)


def _box(of: Sequence[int] | NDArray[Any]) -> Box:
    left, top, right, bottom = (int(value) for value in of)
    return left, top, right, bottom

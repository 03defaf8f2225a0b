"""Figures of merit of score maps against defect masks: where in an image the anomaly is, not only
in which image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, roc_auc_score

from unseen.errors import DataError

Maps = Sequence[NDArray[np.floating[Any]]]
Masks = Sequence[NDArray[np.bool_]]


def pixel_auroc(maps: Maps, masks: Masks) -> float:
    """Chance that a defect pixel outscores a defect-free one of any image, ties counting half.

    Parameters
    ----------
    maps : sequence of array
        Scores of the pixels of each image (h, w).
    masks : sequence of array
        Where its defect is (h, w), bool.

    Returns
    -------
    float
        From 0 to 1; .5 is chance.

    >>> pixel_auroc([np.array([[0.0, 1.0, 2.0]])], [np.array([[False, True, False]])])
    0.5
    """
    score, region = _pooled(maps, masks)
    return float(roc_auc_score(region > 0, score))


def pixel_average_precision(maps: Maps, masks: Masks) -> float:
    """Average precision over the pixels of all images, at the share of defect pixels they have.

    Parameters
    ----------
    maps : sequence of array
        Scores of the pixels of each image (h, w).
    masks : sequence of array
        Where its defect is (h, w), bool.

    Returns
    -------
    float
        From 0 to 1.

    >>> pixel_average_precision([np.array([[0.0, 1.0, 2.0]])], [np.array([[False, True, False]])])
    0.5
    """
    score, region = _pooled(maps, masks)
    return float(average_precision_score(region > 0, score))


def pro(maps: Maps, masks: Masks, limit: float = 0.3) -> float:
    """Per-region overlap, averaged over false positive rates from 0 to `limit`.

    The mean over regions of the share of a region's pixels that score at least a threshold, against
    the share of defect-free pixels that do (Bergmann et al. 2020, "Uninformed Students", section
    4). A small defect counts as much as a large one. Every distinct score is a threshold; between
    two, the curve is straight.

    Parameters
    ----------
    maps : sequence of array
        Scores of the pixels of each image (h, w).
    masks : sequence of array
        Where its defect is (h, w), bool.
    limit : float
        The largest false positive rate, above 0 and at most 1.

    Returns
    -------
    float
        From 0 to 1; limit / 2 is chance.

    Raises
    ------
    DataError
        For another limit, for maps and masks of other shapes, and for masks without a defect.

    >>> pro([np.array([[0.0, 1.0, 2.0]])], [np.array([[False, True, False]])], limit=1.0)
    0.5
    """
    if not 0 < limit <= 1:
        raise DataError(f"limit is a false positive rate in (0, 1], got {limit}")
    rate, overlap = _pro_curve(*_pooled(maps, masks))
    # of points with the same rate, the last has the most
    inside = int(np.searchsorted(rate, limit, side="right"))
    if inside < len(rate):
        (r0, r1), (o0, o1) = rate[inside - 1 : inside + 1], overlap[inside - 1 : inside + 1]
        rate[inside], overlap[inside] = limit, o0 + (o1 - o0) * (limit - r0) / (r1 - r0)
    return float(trapezoid(overlap[: inside + 1], rate[: inside + 1]) / limit)


def _pro_curve(
    score: NDArray[np.float32], region: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the curve of mean overlap against false positive rate, from (0, 0) to (1, 1):
    (p,), (p,) -> 2 x (t,).

    Overlap grows at scores of defect pixels only: a corner just above each of them, and one at it.
    """
    defect = region > 0
    size = np.bincount(region[defect])[1:]  # (regions,)
    value, step = np.unique(score[defect], return_inverse=True)  # rising
    gain = np.bincount(step, weights=1 / (size * len(size))[region[defect] - 1])
    overlap = np.append(0.0, np.cumsum(gain[::-1]))
    normal = np.sort(score[~defect])
    # above it, at it
    below = np.stack([np.searchsorted(normal, value, side) for side in ("right", "left")], axis=1)
    rate = 1 - below[::-1].ravel() / len(normal)
    pairs = np.stack([overlap[:-1], overlap[1:]], axis=1).ravel()
    return np.concatenate([[0.0], rate, [1.0]]), np.concatenate([[0.0], pairs, overlap[-1:]])


def _pooled(maps: Maps, masks: Masks) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Score of each pixel of all images, and its region's number, 0 where defect-free: n x (h, w)
    -> (p,), (p,).
    """
    if len(maps) != len(masks):
        raise DataError(
            f"there must be one mask for each map, got {len(maps)} maps and {len(masks)} masks"
        )
    scores, parts, regions = [], [], 0
    for i, (heat, mask) in enumerate(zip(maps, masks, strict=True)):
        if heat.shape != mask.shape or heat.ndim != 2:
            raise DataError(
                f"image {i}: map and mask must share one shape (h, w), got {heat.shape} and "
                f"{mask.shape}"
            )
        scores.append(heat.astype(np.float32).ravel())
        if not np.isfinite(scores[-1]).all():
            raise DataError(
                f"image {i}: the map has scores that are not finite numbers of single precision"
            )
        part, found = numbered(mask)
        parts.append(np.where(part > 0, part + regions, 0).astype(np.int32).ravel())
        regions += found
    if regions == 0:
        raise DataError(
            f"none of the {len(masks)} masks has a defect pixel, so there is nothing to find"
        )
    region = np.concatenate(parts)
    if region.all():
        raise DataError(
            "every pixel of every mask is a defect, so there is no normal pixel to compare with"
        )
    return np.concatenate(scores), region


def numbered(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Connected regions numbered from 1, corners connecting, and how many there are: (h, w) -> (h,
    w), int.
    """
    return label(mask, structure=np.ones((3, 3)))

"""Which normal rows calibrate: a part of them held out from training, or each in its turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.data.labels import calibrators
from unseen.data.split import Rows, hold_out, spread_over
from unseen.detector.policy import check_level
from unseen.errors import DataError

# normals from which on one split is enough: a fifth of them, 200, resolves p-values to 0.005
ENOUGH = 1000
# the same for images, of which nobody has thousands, and which take long to score five times
ENOUGH_IMAGES = 200
# of the normals that a split holds out; cuts of them where one split is not enough
SHARE, FOLDS = (0.2, 5)


def few(codes: NDArray[np.int64], *, images: bool = False) -> bool:
    """Whether so few rows are taken for normal that none should be lost to a split."""
    return int((codes <= 0).sum()) < (ENOUGH_IMAGES if images else ENOUGH)


def held_out(
    codes: NDArray[np.int64],
    group: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    calibration: float | int | None,
    parts: int | None = None,
    images: bool = False,
) -> list[Rows]:
    """Row numbers of the calibration normals: one array for a split, K for K folds.

    `calibration`: a share, a number of folds, or None for what suits their number, in as many
    `parts` as are given."""
    normals = calibrators(codes)
    if calibration is None:
        split = (
            len(normals) >= (ENOUGH_IMAGES if images else ENOUGH) if parts is None else parts == 1
        )
        calibration = SHARE if split else FOLDS
    if isinstance(calibration, float | np.floating):
        check_level("calibration", calibration)
        return [hold_out(normals, group, float(calibration), rng)]
    if not isinstance(calibration, int | np.integer) or calibration < 2:
        raise DataError(
            "calibration must be a share between 0 and 1 or a number of folds >= 2, got "
            f"{calibration!r}"
        )
    folds = min(int(calibration), len(normals))
    part = spread_over(group[normals], folds, rng)
    return [normals[part == k] for k in range(folds)]

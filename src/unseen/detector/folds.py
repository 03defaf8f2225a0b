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


def held_out(
    codes: NDArray[np.int64],
    group: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    asked: float | int | None,
    parts: int | None = None,
    images: bool = False,
) -> list[Rows]:
    """Row numbers of the calibration normals: one array for a split, K for K folds.

    `asked`: a share, a number of folds, or None for what suits their number, in as many `parts` as
    are said."""
    normals = calibrators(codes)
    if asked is None:
        split = (
            len(normals) >= (ENOUGH_IMAGES if images else ENOUGH) if parts is None else parts == 1
        )
        asked = SHARE if split else FOLDS
    if isinstance(asked, float | np.floating):
        check_level("calibration", asked)
        return [hold_out(normals, group, float(asked), rng)]
    if not isinstance(asked, int | np.integer) or asked < 2:
        raise DataError(
            f"calibration must be a share between 0 and 1 or a number of folds >= 2, got {asked!r}"
        )
    folds = min(int(asked), len(normals))
    part = spread_over(group[normals], folds, rng)
    return [normals[part == k] for k in range(folds)]

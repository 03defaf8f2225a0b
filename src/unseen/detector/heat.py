"""Where an image is anomalous, and from which heat on: scores of cells, and the scale on which they
are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.detector.policy import check_level
from unseen.errors import Unsupported
from unseen.types import Encoder


class Member(Protocol):
    """A member of a detector, as far as heat goes."""

    @property
    def peaks(self) -> NDArray[np.float64] | None: ...
    def heat(self, rows: Any, device: torch.device) -> NDArray[np.float32]: ...


def heat_maps(
    members: Sequence[Member], encoder: Encoder, rows: Any, device: torch.device
) -> list[NDArray[np.float32]]:
    """The mean heat map of the members, of every image one of its size: n times (height, width)."""
    placed = encoder.placer(rows)
    return placed(np.mean([member.heat(rows, device) for member in members], axis=0))


def heat_threshold(members: Sequence[Member], alpha: float) -> float:
    """The heat that the hottest cell of a normal image exceeds with a chance of about alpha."""
    check_level("alpha", alpha)
    return float(
        np.mean([np.quantile(found, 1 - alpha, method="higher") for found in _peaks(members)])
    )


def heat_range(members: Sequence[Member], alpha: float) -> tuple[float, float, float]:
    """Low, threshold and top of a scale: the usual peak of a normal image, and thrice as far beyond
    the threshold.

    `threshold` is always above `low`; where all peaks are alike, by a hundredth.
    """
    threshold = heat_threshold(members, alpha)
    above = threshold - float(np.mean([np.median(found) for found in _peaks(members)]))
    step = above if above > 0 else max(abs(threshold), 1e-6) / 100
    return threshold - step, threshold, threshold + 3 * step


def _peaks(members: Sequence[Member]) -> list[NDArray[np.float64]]:
    found = [member.peaks for member in members if member.peaks is not None]
    if not found:
        raise Unsupported("there is no heat map: this detector judges no single cells of images")
    return found

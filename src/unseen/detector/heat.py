"""Where in an image it is odd, and from which heat on: the part of a detector that is for images alone."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.schema import Schema
from unseen.detector.conformal import check_level
from unseen.detector.members import Member
from unseen.errors import Unsupported
from unseen.vision.encoder import Maps, Pictures


class Judge(Protocol):
    """What heat maps are made by: a detector."""

    members_: tuple[Member, ...]
    schema_: Schema | Pictures

    def admitted(self, X: Any) -> Any: ...
    def check_fitted(self) -> None: ...
    def torch_device(self) -> torch.device: ...
    def heat_threshold(self, alpha: float) -> float: ...


class HeatMaps:
    """`heat`, `heat_threshold` and `heat_range` of a detector."""

    def heat(self: Judge, X: Any) -> list[NDArray[np.float32]]:
        """How anomalous each place of an image is, higher = worse: of every image a map of its size (height, width).

        For images, by a method that looks at cells, as the default does. Members are averaged. Maps have a scale of
        their own, the same for all images: see `heat_threshold`.
        """
        self.check_fitted()
        table = self.admitted(X)
        if not isinstance(table, Maps) or not isinstance(self.schema_, Pictures):
            raise Unsupported("heat maps are for images: fit on Images.read(folder), and ask for the heat of images")
        each = [member.heat(table, self.torch_device()) for member in self.members_]
        return self.schema_.on_images(np.mean(each, axis=0), table.sizes)

    def heat_threshold(self: Judge, alpha: float = 0.05) -> float:
        """The heat that the hottest cell of an image of a good part exceeds with a chance of about alpha."""
        check_level("alpha", alpha)
        peaks = [member.peaks for member in self.members_ if member.peaks is not None]
        if not peaks:
            raise Unsupported("there is no heat map: this detector judges no single cells of images")
        return float(np.mean([np.quantile(found, 1 - alpha, method="higher") for found in peaks]))

    def heat_range(self: Judge, alpha: float = 0.05) -> tuple[float, float, float]:
        """Low, threshold and top of a scale for all heat maps: the usual peak of a good part, and thrice as far beyond.

        `threshold` is `heat_threshold`, and always above `low`; where all peaks are alike, by a hundredth.
        """
        threshold = self.heat_threshold(alpha)
        peaks = [member.peaks for member in self.members_ if member.peaks is not None]
        above = threshold - float(np.mean([np.median(found) for found in peaks]))
        step = above if above > 0 else max(abs(threshold), 1e-6) / 100
        return threshold - step, threshold, threshold + 3 * step

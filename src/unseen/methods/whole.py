"""Whole images as rows: any method for rows judges the mean and the spread of each channel of a
feature map.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from unseen.parts.cells import Scaling, cell_moments
from unseen.types import Method, Run, Samples, ability


@dataclass(frozen=True)
class Whole:
    """A method for rows on whole images: a row is the mean and the standard deviation of each
    channel over the image.

    Columns are standardised by the normals. Samples are maps (n, d, h, w) of a frozen backbone; the
    base method sees rows of 2d columns. `adapt` is that of the base.

    Equation:
        score(x) = base([mean_c(x), sd_c(x)] over the cells, for each channel c)

    When: a defect changes the look of much of the image, such as its lighting or its texture, or
    many places of it. It cannot say where the defect is, and a small one drowns in the rest:
    `Patches` has the closer look.
    Differs: pooling of a backbone's maps is common; the standard deviation beside the mean is ours,
    and tells as much.

    Parameters
    ----------
    base : Method
        Method for rows that scores the images' summaries.

    >>> import torch
    >>> from unseen.methods.distances import Mahalanobis
    >>> Whole(Mahalanobis()).build((5, 4, 4))(torch.zeros(3, 5, 4, 4)).shape
    torch.Size([3])
    """

    base: Method

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return WholeScorer(2 * shape[0], self.base)

    def train(self, scorer: WholeScorer, data: Samples, run: Run) -> None:
        rows = cell_moments(data.x)
        scorer.scaling.fit(rows[data.y <= 0])
        plain = replace(data, x=scorer.scaling(rows), mask=None, resaved=None)
        self.base.train(scorer.inner, plain, replace(run, logarithms=None))

    @property
    def adapt(self) -> Any:
        """`adapted`, of a base that can adapt, else None."""
        return self.adapted if ability(self.base, "adapt") else None

    @property
    def adapts_anew(self) -> bool:
        """Whether the base keeps nothing in `adapt`."""
        return bool(ability(self.base, "adapts_anew"))

    def adapted(self, scorer: WholeScorer, support: Samples, run: Run) -> WholeScorer:
        """A new scorer for the domain that `support` shows."""
        rows = replace(support, x=scorer.scaling(cell_moments(support.x)), mask=None, resaved=None)
        moved = copy.copy(scorer)
        moved._modules = dict(scorer._modules)
        moved.inner = ability(self.base, "adapt")(scorer.inner, rows, run)
        return moved


class WholeScorer(nn.Module):
    """What the base says of an image's summary: (n, d, h, w) -> (n,)."""

    def __init__(self, width: int, base: Method) -> None:
        super().__init__()
        self.scaling = Scaling(width)
        self.inner = base.build((width,))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.scaling(cell_moments(x)))

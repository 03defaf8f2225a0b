"""Maps of features as rows: every cell of an image a row, or the whole image one row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 1e-6  # of a standard deviation: a channel that does not vary keeps its scale


def cells(x: Tensor) -> Tensor:
    """Every cell a row, image by image, line by line: (n, d, h, w) -> (n h w, d).

    >>> cells(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def coarser(x: Tensor, stride: int) -> Tensor:
    """Cells of `stride` x `stride` averaged into one; what is left over at the edge counts less:
    (n, d, h, w).
    """
    return x if stride == 1 else F.avg_pool2d(x, stride, ceil_mode=True, count_include_pad=False)


def in_context(x: Tensor) -> Tensor:
    """Each cell and, behind it, how it differs from the mean of its image: (n, d, h, w) -> (n, 2d,
    h, w).

    >>> in_context(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[[[1.0, 3.0]], [[-1.0, 1.0]]]]
    """
    return torch.cat([x, x - x.mean(dim=(2, 3), keepdim=True)], dim=1)


def cell_moments(x: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the image: (n, d, h, w) -> (n, 2d).

    >>> cell_moments(torch.tensor([[[[1.0, 3.0]]]])).tolist()
    [[2.0, 1.0]]
    """
    if not len(x):  # torch would warn of the spread of nothing
        return x.new_zeros(0, 2 * x.shape[1])
    return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)], dim=1)


def highest(score: Tensor, share: float) -> Tensor:
    """Mean of the highest `share` of each image's cells, one at least: (n, h, w) -> (n,).

    >>> highest(torch.tensor([[[1.0, 4.0], [0.0, 2.0]]]), 0.5)
    tensor([3.])
    """
    flat = score.flatten(1)
    return flat.topk(max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)


class Scaling(nn.Module):
    """Columns in units of the normals: (n, d) -> (n, d). Methods for rows expect such; a backbone's
    channels are not.

    >>> scaling = Scaling(1)
    >>> scaling.fit(torch.tensor([[1.0], [3.0]]))
    >>> scaling(torch.tensor([[4.0]]))
    tensor([[2.]])
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("sd", torch.ones(d))

    def fit(self, normals: Tensor) -> None:
        """Learn from normal rows (n, d)."""
        self.mean, sd = normals.mean(dim=0), normals.std(dim=0, correction=0)
        self.sd = torch.where(sd > LEAST, sd, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd

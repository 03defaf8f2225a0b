"""Covariance of several kinds of row: within each or pooled, shrunk, normalised, and less a row's
own direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.exporting import drawing
from unseen.parts.products import product

BLOCK = 16_384  # rows whose covariance is summed at once


def means(x: Tensor, kind: Tensor, count: int) -> Tensor:
    """Mean of each of `count` kinds in double precision; 0 of a kind without rows: (n, d), (n,) ->
    (count, d).
    """
    sums = torch.zeros(count, x.shape[1], dtype=torch.float64, device=x.device).index_add_(
        0, kind, x.double()
    )
    return sums / torch.bincount(kind, minlength=count)[:, None].clamp_min(1)


def pooled_covariance(x: Tensor, kind: Tensor, mean: Tensor) -> Tensor:
    """Pooled covariance of rows around the mean (k, d) of their own kind, in double: (n, d), (n,)
    -> (d, d).

    >>> x = torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    >>> kind = torch.tensor([0, 0, 1, 1])
    >>> pooled_covariance(x, kind, means(x, kind, 2)).item()  # (1 + 1 + 4 + 4) / (4 rows - 2 means)
    5.0
    """
    total = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for block, own in zip(x.split(BLOCK), kind.split(BLOCK), strict=True):
        centred = block.double() - mean[own]
        total.addmm_(centred.T, centred)  # (d, d)
    return total / max(len(x) - len(mean), 1)


def shrunk(covariance: Tensor, *, variance: float, correlation: float) -> Tensor:
    """C + a1 mean(diagonal) I + a2 mean(off the diagonal) (1 - I), Goswami et al. 2023, eq. 6: (d,
    d) -> (d, d).

    `variance` is a1, `correlation` a2. Positive definite for a1 > a2 >= 0, and semidefinite for a1
    = a2.

    >>> shrunk(torch.tensor([[1.0, 0.5], [0.5, 3.0]]), variance=1.0, correlation=1.0)
    tensor([[3., 1.],
            [1., 5.]])
    """
    d = len(covariance)
    diagonal, one = (
        covariance.diagonal(),
        torch.eye(d, dtype=covariance.dtype, device=covariance.device),
    )
    off = (covariance.sum() - diagonal.sum()) / max(d * (d - 1), 1)
    return covariance + variance * diagonal.mean() * one + correlation * off * (1 - one)


def normalised(covariance: Tensor) -> Tensor:
    """The correlation matrix, C_ij / sqrt(C_ii C_jj), 1 on the diagonal also without variance: (d,
    d) -> (d, d).
    """
    variance = covariance.diagonal()
    scale = torch.where(variance > 0, variance, 1.0).rsqrt()
    found = covariance * scale[:, None] * scale
    return found.where(~torch.eye(len(found), dtype=torch.bool, device=found.device), 1.0)


def inverse_root(matrix: Tensor) -> Tensor:
    """W with W W' = C^-1, so that the norm of z W is a Mahalanobis distance: (d, d) -> (d, d).

    A direction with (nearly) no variance is left as it is: the matrix is to be shrunk first.
    """
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * torch.where(values > 1e-12, values, 1.0).rsqrt()


def tukey(x: Tensor, *, low: Tensor, power: float) -> Tensor:
    """Tukey's ladder of powers, (x - low)^power, continued below `low` as an odd function: (n, d),
    (d,) -> (n, d).

    >>> tukey(torch.tensor([[4.0], [0.0], [-9.0]]), low=torch.zeros(1), power=0.5)[:, 0]
    tensor([ 2.,  0., -3.])
    """
    shifted = x - low
    return shifted.sign() * shifted.abs() ** power


def downdated(z: Tensor, u: Tensor, centres: Tensor, *, most: float) -> Tensor:
    """Squared distances to centres under (C - s u u')^-1, from whitened rows: (n, d), (n, d), (k,
    d) -> (n, k).

    Sherman & Morrison 1950: (C - u u')^-1 = C^-1 + C^-1 u u' C^-1 / (1 - u' C^-1 u). `z`, `u` and
    `centres` come multiplied by a W with W W' = C^-1, so that all inner products are by C^-1, and a
    row costs O(k d). C - u u' is positive definite only while u' C^-1 u < 1. s is 1 up to u' C^-1 u
    = `most`, and beyond so small that s u' C^-1 u = `most`: the variance along C^-1 u never shrinks
    by more than this share.

    >>> one = torch.tensor([[1.0, 0.0]])
    >>> # C = I, u u' = 1/4: 4 / (1 - 1/4)
    >>> downdated(2 * one, 0.5 * one, torch.zeros(1, 2), most=0.5)
    tensor([[5.3333]])
    """
    own = u.square().sum(dim=1, keepdim=True)  # (n, 1), u' C^-1 u
    share = (most / own.clamp_min(1e-12)).clamp_max(1.0)
    along = (z * u).sum(dim=1, keepdim=True) - product(u, centres.T)  # (n, k)
    if drawing():
        gap = (z[:, None] - centres).square().sum(dim=2)
    else:
        gap = torch.cdist(z, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
    return gap + share * along.square() / (1 - share * own)

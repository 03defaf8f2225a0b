"""Dynamic covariance calibration: a covariance that gives way to the row that is scored (arXiv
2506.09399, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.errors import DataError
from unseen.parts.clusters import Partition
from unseen.parts.covariance import downdated, inverse_root, means, pooled_covariance, shrunk
from unseen.parts.nets import Resizing
from unseen.parts.products import product
from unseen.types import Run, Samples

# of the mean variance: directions in which no normal varies count strongly, but not without bound
RIDGE = 1e-3


@dataclass(frozen=True)
class DCC:
    """Mahalanobis distance by a covariance less the row's own residual direction (DCC, arXiv
    2506.09399, 2025).

    Rows are scaled to length 1. The covariance C is that within domains: groups, or clusters where
    there is one group. Its eigenvectors with the smallest eigenvalues span what normals hardly use;
    the part u of a row that lies there is taken out of C, so that a row counts as the farther, the
    more of it lies where normals do not. Nothing is trained, and no label is used.

    Equation:
        score(x) = min_c sqrt((f - m_c)' (C - u u')^-1 (f - m_c)),
            f = (x, sqrt d) / |(x, sqrt d)|,  u = U U' f
        (C - u u')^-1 = C^-1 + C^-1 u u' C^-1 / (1 - u' C^-1 u)

    When: many dependent columns, such as embeddings; normals near a subspace. Not with few columns.
    Differs: a row is scaled to length 1 together with one more coordinate, sqrt d, as standardised
    rows lie around 0 and would lose how far out they are. C - u u' is no covariance where u' C^-1 u
    >= 1, which the public code does not ask, and which held for every row of four tables tried:
    here u is shortened.

    Parameters
    ----------
    residual : float
        Share of the eigenvectors that span what normals hardly use, 0 to 1; at least one does.
    most : float
        Most that u' C^-1 u may be, 0 to 0.999: where it is more, u is shortened. With 1/2, the
        squared distance along C^-1 u then counts twice.
    clusters : int
        Clusters that stand for domains where the normals have one group.

    >>> scorer = DCC(clusters=1).build((4,))
    >>> x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor(
    ...     [1.0, 1.0, 1.0, 0.1]
    ... )
    >>> DCC(clusters=1).train(scorer, Samples.of(x), Run(torch.Generator()))
    >>> bool(scorer(torch.tensor([[0.0, 0.0, 0.0, 2.0]])) > scorer(x).max())
    True
    """

    residual: float = 0.5
    most: float = 0.5
    clusters: int = 5
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DCCScorer(*shape, most=self.most)

    def train(self, scorer: DCCScorer, data: Samples, run: Run) -> None:
        normals = data.normals
        if not len(normals):
            raise DataError("DCC needs normal rows, and was given none: add some")
        kinds = Partition(normals.x.shape[1]).to(normals.x.device)
        kinds.fit(normals, self.clusters, run.generator)
        kind, f = kinds(normals), lifted(normals.x)
        mean = means(f, kind, len(kinds))
        covariance = shrunk(pooled_covariance(f, kind, mean), variance=RIDGE, correlation=0.0)
        root = inverse_root(covariance)
        least = torch.linalg.eigh(covariance).eigenvectors[
            :, : max(1, round(self.residual * len(covariance)))
        ]
        scorer.root = root.to(f.dtype).contiguous()
        scorer.residual = (least @ least.T @ root).to(f.dtype).contiguous()
        scorer.mean = (mean @ root).to(f.dtype)


class DCCScorer(Resizing):
    """Distance to the nearest of k means by a covariance of the row's own: (n, d) -> (n,)."""

    mean: Tensor  # (k, d + 1) whitened
    root: Tensor  # (d + 1, d + 1) W with W W' = C^-1
    residual: Tensor  # (d + 1, d + 1) U U' W: a row times it is its u, whitened

    def __init__(self, d: int, *, most: float) -> None:
        super().__init__()
        self.most = most
        self.register_buffer("mean", torch.zeros(1, d + 1))
        self.register_buffer("root", torch.eye(d + 1))
        self.register_buffer("residual", torch.zeros(d + 1, d + 1))

    def forward(self, x: Tensor) -> Tensor:
        f = lifted(x)
        # (n, k)
        each = downdated(
            product(f, self.root), product(f, self.residual), self.mean, most=self.most
        )
        return each.amin(dim=1).clamp_min(0).sqrt()


def lifted(x: Tensor) -> Tensor:
    """(x, sqrt d) scaled to length 1: of a row's length, too, something is left: (n, d) -> (n, d +
    1).
    """
    return F.normalize(F.pad(x, (0, 1), value=x.shape[1] ** 0.5), dim=1)

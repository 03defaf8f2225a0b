"""FeCAM: a covariance for each domain (Goswami et al., NeurIPS 2023)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.clusters import Partition
from unseen.parts.covariance import (
    inverse_root,
    means,
    normalised,
    pooled_covariance,
    shrunk,
    tukey,
)
from unseen.parts.nets import Resizing
from unseen.parts.products import product
from unseen.types import Run, Samples


@dataclass(frozen=True)
class FeCAM:
    """Distance to the nearest domain, each with a covariance of its own (Goswami et al., NeurIPS
    2023).

    A domain is a group of the normals, or a cluster where there is one group. Nothing is trained:
    the covariance of each domain is shrunk and normalised to correlations, so that domains can be
    compared. No label is used. `adapt` takes a new domain from a few rows: its mean is theirs, its
    covariance that within all known domains.

    Equation:
        score(x) = min_c sqrt((f - m_c)' N(S_c)^-1 (f - m_c)),  f = (x - low)^power
        S = C + variance mean(C_ii) I + correlation mean(C_ij, i != j) (1 - I),
            N(S)_ij = S_ij / sqrt(S_ii S_jj)

    When: a strong first look at several domains, without labels and in a moment. Not where normals
    of one domain lie on a curve.
    Differs: rows take the place of a frozen network's features. Those are not negative; here `low`
    is the smallest value of each column among the normals, and below it the power goes on as an odd
    function, so that small values stay apart. The score is the distance to the nearest domain,
    where the paper classifies by it.

    Parameters
    ----------
    power : float
        Power to which each column is raised, above 0; below 1 it takes out skewness to the right.
    variance : float
        How much of the mean variance is added to each variance; the more, the rounder a domain.
    correlation : float
        How much of the mean covariance of two columns is added to each; above `variance`, S may
        have negative eigenvalues.
    clusters : int
        Clusters that stand for domains where the normals have one group.

    >>> scorer = FeCAM(clusters=1).build((2,))
    >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> FeCAM(clusters=1).train(scorer, Samples.of(x), Run(torch.Generator()))
    >>> bool(scorer(torch.full((1, 2), 9.0)) > scorer(x).max())
    True
    """

    power: float = 0.5
    variance: float = 1.0
    correlation: float = 1.0
    clusters: int = 5
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return FeCAMScorer(*shape, power=self.power)

    def train(self, scorer: FeCAMScorer, data: Samples, run: Run) -> None:
        normals = data.normals
        if not len(normals):
            raise DataError("FeCAM needs normal rows, and was given none: add some")
        kinds = Partition(normals.x.shape[1]).to(normals.x.device)
        kinds.fit(normals, self.clusters, run.generator)
        kind = kinds(normals)
        scorer.low = normals.x.amin(dim=0)
        f = scorer.features(normals.x)
        mean = means(f, kind, len(kinds))
        own = [f[kind == c] for c in range(len(kinds))]
        pooled = pooled_covariance(f, kind, mean)
        alone = [
            pooled_covariance(rows, torch.zeros_like(kind[: len(rows)]), mean[c, None])
            if len(rows) > 1
            else pooled
            for c, rows in enumerate(own)
        ]
        scorer.mean = mean.to(f.dtype)
        scorer.root = torch.stack([self.root(each) for each in alone]).to(f.dtype).contiguous()
        scorer.pooled = self.root(pooled).to(f.dtype).contiguous()

    def root(self, covariance: Tensor) -> Tensor:
        """W with W W' = N(S)^-1: (d, d) -> (d, d)."""
        return inverse_root(
            normalised(shrunk(covariance, variance=self.variance, correlation=self.correlation))
        )

    def adapt(self, scorer: FeCAMScorer, support: Samples, run: Run) -> FeCAMScorer:
        """The domain that the support shows, and no other."""
        if not len(support.normals):
            raise DataError(
                "FeCAM adapts to a domain by its normal rows, and was given none: add some"
            )
        moved = copy.deepcopy(scorer)
        moved.mean = moved.features(support.normals.x).mean(dim=0, keepdim=True)
        moved.root = moved.pooled[None].clone()
        return moved


class FeCAMScorer(Resizing):
    """Distance to the nearest of k means, each by its own correlations: (n, d) -> (n,)."""

    low: Tensor  # (d,)
    mean: Tensor  # (k, d)
    root: Tensor  # (k, d, d)
    pooled: Tensor  # (d, d)

    def __init__(self, d: int, *, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("low", torch.zeros(d))
        self.register_buffer("mean", torch.zeros(1, d))
        self.register_buffer("root", torch.eye(d)[None])
        self.register_buffer("pooled", torch.eye(d))

    def features(self, x: Tensor) -> Tensor:
        return tukey(x, low=self.low, power=self.power)

    def forward(self, x: Tensor) -> Tensor:
        f = self.features(x)
        each = [
            product(f - mean, root).norm(dim=1)
            for mean, root in zip(self.mean, self.root, strict=True)
        ]
        return torch.stack(each).amin(dim=0)

"""Pseudo-anomalies: rows made from normal ones so that they are normal no more."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.episodes import together
from unseen.types import Samples


def feature_cut(
    x: Tensor, donors: Tensor, generator: torch.Generator, *, least: float = 0.1, most: float = 0.5
) -> Tensor:
    """Rows of x with some features cut from random donor rows: (n, d), (m, d) -> (n, d).

    Each value stays plausible on its own; what breaks is the dependence between features. The share of features
    cut is drawn per row between `least` and `most`, and at least one is cut. Tabular CutMix (Yun et al. 2019).
    """
    n, d = x.shape
    share = least + (most - least) * torch.rand(n, 1, generator=generator)
    draw = torch.rand(n, d, generator=generator)
    cut = draw <= torch.maximum(share, draw.amin(dim=1, keepdim=True))  # (n, d), at least one
    rows = torch.randint(len(donors), (n,), generator=generator)
    return torch.where(cut.to(x.device), donors[rows.to(x.device)], x)


def with_cut(batch: Samples, donors: Tensor, share: float, generator: torch.Generator) -> Samples:
    """The batch and, behind it, pseudo-anomalies made from `share` of its normals, labelled as anomalies."""
    normals = batch.normals
    made = normals[: int(share * len(normals))]
    x = feature_cut(made.x, donors, generator)
    return together(batch, Samples(x, torch.ones_like(made.y), made.group, made.weight))

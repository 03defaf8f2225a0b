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
    cut = chosen(x, generator, least=least, most=most)
    rows = torch.randint(len(donors), (len(x),), generator=generator)
    return torch.where(cut, donors[rows.to(x.device)], x)


def feature_swap(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of x with some features overwritten by others of the same row: (n, d) -> (n, d).

    For columns on one scale. CutPaste (Li et al. 2021) moves a piece of an image within it; this moves values of a row.
    """
    moved = x.gather(1, torch.rand(x.shape, generator=generator).argsort(dim=1).to(x.device))
    return torch.where(chosen(x, generator), moved, x)


def feature_noise(x: Tensor, generator: torch.Generator, *, scale: float = 2.0) -> Tensor:
    """Rows of x with Gaussian noise of `scale` on some features: (n, d) -> (n, d)."""
    noise = scale * torch.randn(x.shape, generator=generator).to(x)
    return torch.where(chosen(x, generator), x + noise, x)


def chosen(x: Tensor, generator: torch.Generator, *, least: float = 0.1, most: float = 0.5) -> Tensor:
    """Which features of each row to change, a share between `least` and `most`, and at least one: (n, d) bool."""
    share = least + (most - least) * torch.rand(len(x), 1, generator=generator)
    draw = torch.rand(x.shape, generator=generator)
    return (draw <= torch.maximum(share, draw.amin(dim=1, keepdim=True))).to(x.device)


def with_cut(batch: Samples, donors: Tensor, share: float, generator: torch.Generator) -> Samples:
    """The batch and, behind it, pseudo-anomalies made from `share` of its normals, labelled as anomalies."""
    normals = batch.normals
    made = normals[: int(share * len(normals))]
    x = feature_cut(made.x, donors, generator)
    return together(batch, Samples(x, torch.ones_like(made.y), made.group, made.weight))

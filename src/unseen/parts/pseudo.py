"""Pseudo-anomalies: rows made from normal ones so that they are normal no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unseen.parts.episodes import together
from unseen.types import Samples


def feature_cut(
    x: Tensor, donors: Tensor, generator: torch.Generator, *, least: float = 0.1, most: float = 0.5
) -> Tensor:
    """Rows of x with some features cut from random donor rows: (n, d), (m, d) -> (n, d).

    Each value stays plausible on its own; what breaks is the dependence between features. The share
    of features cut is drawn per row between `least` and `most`, and at least one is cut. Tabular
    CutMix (Yun et al. 2019)."""
    cut = _chosen(x, generator, least=least, most=most)
    rows = torch.randint(len(donors), (len(x),), generator=generator)
    return torch.where(cut, donors[rows.to(x.device)], x)


def feature_swap(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of x with some features overwritten by others of the same row: (n, d) -> (n, d).

    For columns on one scale. CutPaste (Li et al. 2021) moves a piece of an image within it; this
    moves values of a row."""
    moved = x.gather(1, torch.rand(x.shape, generator=generator).argsort(dim=1).to(x.device))
    return torch.where(_chosen(x, generator), moved, x)


def feature_noise(x: Tensor, generator: torch.Generator, *, scale: float = 2.0) -> Tensor:
    """Rows of x with Gaussian noise of `scale` on some features: (n, d) -> (n, d)."""
    noise = scale * torch.randn(x.shape, generator=generator).to(x)
    return torch.where(_chosen(x, generator), x + noise, x)


def _chosen(
    x: Tensor, generator: torch.Generator, *, least: float = 0.1, most: float = 0.5
) -> Tensor:
    """Which features of each row to change, a share between `least` and `most`, and at least one:
    (n, d) bool.
    """
    share = least + (most - least) * torch.rand(len(x), 1, generator=generator)
    draw = torch.rand(x.shape, generator=generator)
    return (draw <= torch.maximum(share, draw.amin(dim=1, keepdim=True))).to(x.device)


def scattered(
    x: Tensor,
    generator: torch.Generator,
    *,
    least: float = 0.5,
    most: float = 4.0,
    share: float = 0.5,
) -> Tensor:
    """Rows of x with normal noise in a random `share` of their features: (n, d) -> (n, d).

    The noise of a row has one standard deviation, drawn between `least` and `most`: columns are
    about standardised, so some rows leave the range of the normals by little, others by far.
    """
    n, d = x.shape
    size = least + (most - least) * torch.rand(n, 1, generator=generator)
    draw = torch.rand(n, d, generator=generator)
    hit = draw <= draw.amin(dim=1, keepdim=True).clamp_min(share)  # (n, d), at least one
    return x + (size * hit * torch.randn(n, d, generator=generator)).to(x.device)


def saliency(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """How much the score hangs on each feature, |d score / dx|: (n, d) -> (n, d).

    >>> saliency(lambda x: x @ torch.tensor([2.0, -3.0]), torch.zeros(1, 2))
    tensor([[2., 3.]])
    """
    x = x.detach().requires_grad_()
    return torch.autograd.grad(score(x).sum(), x)[0].abs()


def saliency_cut(x: Tensor, donors: Tensor, saliency: Tensor, *, most: float) -> Tensor:
    """Each row of x with the features cut in that matter little in its donor: (n, d) x 3 -> (n, d).

    As in SaliencyCut (arXiv 2306.08366): a donor's saliency is scaled to [0, 1], and what is at
    most `most` is cut.

    >>> zeros, salient = torch.zeros(1, 3), torch.tensor([[5.0, 1.0, 3.0]])
    >>> saliency_cut(zeros, zeros + 9, salient, most=0.5)
    tensor([[0., 9., 9.]])
    """
    low, high = saliency.aminmax(dim=1, keepdim=True)
    return torch.where(saliency - low <= most * (high - low), donors, x)


def anomalous(hosts: Samples, x: Tensor) -> Samples:
    """What was made of these rows, labelled as anomalies: (n, d) with the hosts' groups and
    weights.
    """
    return Samples(x, torch.ones_like(hosts.y), hosts.group, hosts.weight)


def with_cut(batch: Samples, donors: Tensor, share: float, generator: torch.Generator) -> Samples:
    """The batch and, behind it, pseudo-anomalies made from `share` of its normals, labelled as
    anomalies.
    """
    normals = batch.normals
    pseudo = normals[: int(share * len(normals))]
    return together(batch, anomalous(pseudo, feature_cut(pseudo.x, donors, generator)))


def pushed_residuals(
    residual: Tensor, generator: torch.Generator, *, least: float = 2.0, most: float = 8.0
) -> Tensor:
    """Residuals of normals, about 1 long, pushed out in some columns: (n, d) -> (n, d).

    A tenth to a half of the columns, in any direction, by `least` to `most`: a short push is as
    likely as a long one."""
    n, d = residual.shape
    share = 0.1 + 0.4 * torch.rand(n, 1, generator=generator)
    draw = torch.rand(n, d, generator=generator)
    direction = torch.randn(n, d, generator=generator) * (
        draw <= torch.maximum(share, draw.amin(dim=1, keepdim=True))
    )
    length = least * (most / least) ** torch.rand(n, 1, generator=generator)
    return residual + (length * direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-6)).to(
        residual.device
    )


def with_pushed(
    batch: Samples, weight: float, generator: torch.Generator, *, positive: bool
) -> Samples:
    """A batch of residuals and, behind it, its normals pushed out, labelled as anomalies, that
    count `weight`.
    """
    normals = batch.normals
    x = pushed_residuals(normals.x, generator)
    pseudo = anomalous(normals, x.abs() if positive else x)
    return together(batch, replace(pseudo, weight=weight * pseudo.weight))

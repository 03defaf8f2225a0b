"""Losses as pure functions of keyword-only tensors: one value per row or per pair, never reduced."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.errors import DataError


def check_rows(**tensors: Tensor) -> None:
    """All of shape (n,): a (n, 1) score against (n,) labels would broadcast to (n, n) and silence the labels."""
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    if any(len(s) != 1 for s in shapes.values()) or len(set(shapes.values())) != 1:
        raise DataError(f"expected tensors of one shape (n,), got {shapes}: flatten scores to one value per row")


def deviation(*, score: Tensor, y: Tensor, margin: float) -> Tensor:
    """Deviation loss with the analytic prior N(0, 1), Pang et al. 2019, eq. 6: (n,), (n,) -> (n,).

    Normal rows (y <= 0): |score|; anomalies: max(0, margin - score).

    >>> deviation(score=torch.tensor([0.0, 7.0, 3.0]), y=torch.tensor([0, 1, 2]), margin=5.0)
    tensor([0., 0., 2.])
    """
    check_rows(score=score, y=y)
    return torch.where(y > 0, F.relu(margin - score), score.abs())


def confidence(*, logits: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy of being normal, with the first of the K logits as the normal class: (n, K), (n,) -> (n,).

    arXiv 2601.19833, inner and outer level: -log S_0 for normal rows, -log(1 - S_0) for anomalies, without saturation.

    >>> confidence(logits=torch.tensor([[0.0, 0.0]]), y=torch.tensor([0])).item()  # log 2
    0.693147...
    """
    z = normal_logit(logits)
    check_rows(score=z, y=y)
    return torch.where(y > 0, F.softplus(z), F.softplus(-z))


def normal_logit(logits: Tensor) -> Tensor:
    """log S_0 / (1 - S_0): (n, K) -> (n,); S the softmax over K logits, class 0 normal."""
    return logits[:, 0] - logits[:, 1:].logsumexp(dim=1)


def margin_pairs(*, normal: Tensor, anomaly: Tensor, margin: float) -> Tensor:
    """[margin - (normal - anomaly)]_+ over all pairs, arXiv 2601.19833: (a,), (b,) -> (a, b).

    >>> margin_pairs(normal=torch.tensor([1.0, 0.0]), anomaly=torch.tensor([0.5]), margin=0.1)
    tensor([[0.0000],
            [0.6000]])
    """
    return F.relu(margin - (normal[:, None] - anomaly[None, :]))


def squared_error(*, reconstruction: Tensor, x: Tensor) -> Tensor:
    """Mean squared error of each row: (n, d), (n, d) -> (n,)."""
    if reconstruction.shape != x.shape:
        raise DataError(f"reconstruction has shape {tuple(reconstruction.shape)}, the rows {tuple(x.shape)}")
    return (reconstruction - x).square().mean(dim=1)


def margin_share(*, logit: Tensor, y: Tensor, margin: float) -> Tensor:
    """Half the mean of `margin_pairs` over the pairs that a row is in, with `logit` the normal one: (n,), (n,) -> (n,).

    >>> margin_share(logit=torch.tensor([1.0, 0.0, 0.5]), y=torch.tensor([0, 0, 1]), margin=0.1)
    tensor([0.0000, 0.3000, 0.1500])
    """
    check_rows(logit=logit, y=y)
    normal, share = y <= 0, torch.zeros_like(logit)
    pairs = margin_pairs(normal=logit[normal], anomaly=logit[~normal], margin=margin)
    if pairs.numel():
        share[normal], share[~normal] = pairs.mean(dim=1) / 2, pairs.mean(dim=0) / 2
    return share


def anchor(*, score: Tensor, y: Tensor) -> Tensor:
    """Squared distance of a probability of being an anomaly to 0 for normal rows, to 1 for anomalies: (n,) -> (n,).

    >>> anchor(score=torch.tensor([0.5, 1.0]), y=torch.tensor([0, 2]))
    tensor([0.2500, 0.0000])
    """
    check_rows(score=score, y=y)
    return torch.where(y > 0, 1 - score, score).square()


def radius(x: Tensor) -> Tensor:
    """sqrt(|x| + 1) - 1, Yao et al. 2024, eq. 2: grows like |x|/2 near 0, and slowly far out: (n, d) -> (n,).

    >>> radius(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    tensor([1., 0.])
    """
    return (x.norm(dim=1) + 1).sqrt() - 1


def sphere(*, constrained: Tensor, residual: Tensor, y: Tensor) -> Tensor:
    """Normal rows go to a small sphere, anomalies stay where they were, Yao et al. 2024, eq. 2: (n, d) -> (n,).

    (1 - y) radius(x') + y |x' - x_r|, with x_r the residual and x' what the constraintor makes of it.

    >>> x = torch.tensor([[0.0, 3.0], [0.0, 3.0]])
    >>> sphere(constrained=x, residual=x + 1, y=torch.tensor([0, 1])).round(decimals=4)
    tensor([1.0000, 1.4142])
    """
    moved = (constrained - residual).norm(dim=1)
    check_rows(moved=moved, y=y)
    return torch.where(y > 0, moved, radius(constrained))


def barrier(*, radius: Tensor, y: Tensor, most: float = 0.4, thickness: float = 0.01, gap: float = 0.1) -> Tensor:
    """Normal rows go to a thin shell, anomalies beyond it: the log-barrier of ResAD++, Yao et al. 2025: (n,) -> (n,).

    The shell ends at r = 0.9 times the smallest radius of these anomalies, at most `most`, and begins `thickness`
    below; anomalies are to be `gap` beyond it. A row on the wrong side by t > 0 costs softplus(t) e^t, with e^t held
    constant, other rows nothing.

    >>> barrier(radius=torch.tensor([0.4, 1.4, 0.9]), y=torch.tensor([0, 0, 1])).round(decimals=4)  # softplus(1) e
    tensor([0.0000, 3.5698, 0.0000])
    """
    check_rows(radius=radius, y=y)
    of_anomalies = torch.where(y > 0, radius.detach(), torch.inf)
    end = (0.9 * of_anomalies).amin().clamp_max(most) if len(radius) else torch.tensor(most)
    wrong = torch.maximum(radius - end, (1 - thickness) * end - radius)
    wrong = torch.where(y > 0, end + gap - radius, wrong)
    return torch.where(wrong > 0, F.softplus(wrong) * wrong.detach().clamp_max(10).exp(), 0.0)


def invariance(*, constrained: Tensor, residual: Tensor) -> Tensor:
    """Mean squared difference, and one minus the cosine: what ResAD++ keeps anomalies in place by: (n, d) -> (n,).

    >>> invariance(constrained=torch.tensor([[0.0, 2.0]]), residual=torch.tensor([[2.0, 0.0]]))  # 4 + 1
    tensor([5.])
    """
    return squared_error(reconstruction=constrained, x=residual) + 1 - F.cosine_similarity(constrained, residual)

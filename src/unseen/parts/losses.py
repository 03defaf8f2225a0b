"""Losses as pure functions of keyword-only tensors: one value per row or per pair, never
reduced.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.errors import DataError


def check_per_row(**tensors: Tensor) -> None:
    """All of shape (n,): a (n, 1) score against (n,) labels would broadcast to (n, n) and silence
    the labels.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    if any(len(s) != 1 for s in shapes.values()) or len(set(shapes.values())) != 1:
        raise DataError(
            f"expected tensors of one shape (n,), got {shapes}: flatten scores to one value per row"
        )


def deviation(*, score: Tensor, y: Tensor, margin: float) -> Tensor:
    """Deviation loss with the analytic prior N(0, 1), Pang et al. 2019, eq. 6: (n,), (n,) -> (n,).

    Normal rows (y <= 0): |score|; anomalies: max(0, margin - score).

    >>> deviation(score=torch.tensor([0.0, 7.0, 3.0]), y=torch.tensor([0, 1, 2]), margin=5.0)
    tensor([0., 0., 2.])
    """
    check_per_row(score=score, y=y)
    return torch.where(y > 0, F.relu(margin - score), score.abs())


def sphere(*, distance: Tensor, y: Tensor, eta: float) -> Tensor:
    """Deep SAD loss of squared distances to a centre, Ruff et al. 2020, eq. 7: (n,), (n,) -> (n,).

    Normal rows (y <= 0): the distance (Deep SVDD, Ruff et al. 2018, eq. 4); anomalies: eta /
    (distance + 1e-6).

    >>> sphere(distance=torch.tensor([4.0, 4.0]), y=torch.tensor([0, 1]), eta=2.0)
    tensor([4.0000, 0.5000])
    """
    check_per_row(distance=distance, y=y)
    return torch.where(y > 0, eta / (distance + 1e-6), distance)


def focal(*, logit: Tensor, y: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss, (1 - p)^gamma (-log p) with p the probability of the true side, Lin et al. 2017,
    eq. 4: (n,) -> (n,).

    `logit` is that of being an anomaly.

    >>> focal(logit=torch.tensor([0.0, 0.0]), y=torch.tensor([0, 1])).tolist()  # log 2 / 4
    [0.173..., 0.173...]
    """
    check_per_row(logit=logit, y=y)
    wrong = torch.where(y > 0, -logit, logit)
    return torch.sigmoid(wrong) ** gamma * F.softplus(wrong)


def confidence(*, logits: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy of being normal, with the first of the K logits as the normal class: (n,
    K), (n,) -> (n,).

    arXiv 2601.19833, inner and outer level: -log S_0 for normal rows, -log(1 - S_0) for anomalies,
    without saturation.

    >>> confidence(logits=torch.tensor([[0.0, 0.0]]), y=torch.tensor([0])).item()  # log 2
    0.693147...
    """
    z = normal_logit(logits)
    check_per_row(score=z, y=y)
    return torch.where(y > 0, F.softplus(z), F.softplus(-z))


def normal_logit(logits: Tensor) -> Tensor:
    """log S_0 / (1 - S_0): (n, K) -> (n,); S the softmax over K logits, class 0 normal."""
    return logits[:, 0] - logits[:, 1:].logsumexp(dim=1)


def squared_error(*, reconstruction: Tensor, x: Tensor) -> Tensor:
    """Mean squared error of each row: (n, d), (n, d) -> (n,)."""
    if reconstruction.shape != x.shape:
        raise DataError(
            f"reconstruction has shape {tuple(reconstruction.shape)}, the rows {tuple(x.shape)}"
        )
    return (reconstruction - x).square().mean(dim=1)


def anchor(*, score: Tensor, y: Tensor) -> Tensor:
    """Squared distance of a probability of being an anomaly to 0 for normal rows, to 1 for
    anomalies: (n,) -> (n,).

    >>> anchor(score=torch.tensor([0.5, 1.0]), y=torch.tensor([0, 2]))
    tensor([0.2500, 0.0000])
    """
    check_per_row(score=score, y=y)
    return torch.where(y > 0, 1 - score, score).square()


def pushed(*, quantity: Tensor, y: Tensor, bound: float | Tensor) -> Tensor:
    """A quantity that is to be small for normal rows, and at least `bound` for anomalies: (n,),
    (n,) -> (n,).

    Anomalies: max(0, bound - quantity), a minus sign that is clipped, as an error that may grow
    without end ruins the network that makes it.

    >>> pushed(quantity=torch.tensor([2.0, 2.0, 9.0]), y=torch.tensor([0, 1, 1]), bound=5.0)
    tensor([2., 3., 0.])
    """
    check_per_row(quantity=quantity, y=y)
    return torch.where(y > 0, F.relu(bound - quantity), quantity)


def hinge(*, score: Tensor, y: Tensor, margin: float) -> Tensor:
    """Hinge loss of both sides of 0, Liu et al. 2023, with the score as their -D: (n,), (n,) ->
    (n,).

    Normal rows (y <= 0): max(0, margin + score); anomalies: max(0, margin - score).

    >>> hinge(score=torch.tensor([-2.0, 0.25, 0.25]), y=torch.tensor([0, 0, 1]), margin=0.5)
    tensor([0.0000, 0.7500, 0.2500])
    """
    check_per_row(score=score, y=y)
    return F.relu(margin + torch.where(y > 0, -score, score))


def divergence(*, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, I), Kingma & Welling 2014, app. B:
    (n, k) -> (n,).

    >>> divergence(mean=torch.tensor([[1.0, 0.0]]), log_variance=torch.zeros(1, 2))
    tensor([0.5000])
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def radius(x: Tensor) -> Tensor:
    """sqrt(|x| + 1) - 1, Yao et al. 2024, eq. 2: grows like |x|/2 near 0, and slowly far out: (n,
    d) -> (n,).

    >>> radius(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    tensor([1., 0.])
    """
    return (x.norm(dim=1) + 1).sqrt() - 1


def small_sphere(*, constrained: Tensor, residual: Tensor, y: Tensor) -> Tensor:
    """Normal rows go to a small sphere, anomalies stay where they were, Yao et al. 2024, eq. 2: (n,
    d) -> (n,).

    (1 - y) radius(x') + y |x' - x_r|, with x_r the residual and x' what the constraintor makes of
    it.

    >>> x = torch.tensor([[0.0, 3.0], [0.0, 3.0]])
    >>> small_sphere(constrained=x, residual=x + 1, y=torch.tensor([0, 1])).round(decimals=4)
    tensor([1.0000, 1.4142])
    """
    moved = (constrained - residual).norm(dim=1)
    check_per_row(moved=moved, y=y)
    return torch.where(y > 0, moved, radius(constrained))


def barrier(
    *, radius: Tensor, y: Tensor, most: float = 0.4, thickness: float = 0.01, gap: float = 0.1
) -> Tensor:
    """Normal rows go to a thin shell, anomalies beyond it: the log-barrier of ResAD++, Yao et al.
    2025: (n,) -> (n,).

    The shell ends at r = 0.9 times the smallest radius of these anomalies, at most `most`, and
    begins `thickness` below; anomalies are to be `gap` beyond it. A row on the wrong side by t > 0
    costs softplus(t) e^t, with e^t held constant, other rows nothing.

    >>> # softplus(1) e
    >>> barrier(radius=torch.tensor([0.4, 1.4, 0.9]), y=torch.tensor([0, 0, 1])).round(decimals=4)
    tensor([0.0000, 3.5698, 0.0000])
    """
    check_per_row(radius=radius, y=y)
    of_anomalies = torch.where(y > 0, radius.detach(), torch.inf)
    end = (0.9 * of_anomalies).amin().clamp_max(most) if len(radius) else torch.tensor(most)
    wrong = torch.maximum(radius - end, (1 - thickness) * end - radius)
    wrong = torch.where(y > 0, end + gap - radius, wrong)
    return torch.where(wrong > 0, F.softplus(wrong) * wrong.detach().clamp_max(10).exp(), 0.0)

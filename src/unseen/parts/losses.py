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


def auc_share(*, score: Tensor, y: Tensor) -> Tensor:
    """Half the mean of sigmoid(normal - anomaly) over the pairs that a row is in: (n,), (n,) -> (n,).

    A smooth 1 - AUROC (Herschtal & Raskutti, ICML 2004). A side that is missing leaves zeros.

    >>> auc_share(score=torch.tensor([0.0, 2.0, 2.0]), y=torch.tensor([0, 0, 1]))
    tensor([0.0596, 0.2500, 0.1548])
    """
    check_rows(score=score, y=y)
    normal, share = y <= 0, torch.zeros_like(score)
    pairs = (score[normal][:, None] - score[~normal][None, :]).sigmoid()  # (normals, anomalies)
    if pairs.numel():
        share[normal], share[~normal] = pairs.mean(dim=1) / 2, pairs.mean(dim=0) / 2
    return share


def temporal_difference(*, value: Tensor, reward: Tensor, after: Tensor, discount: float) -> Tensor:
    """(reward + discount max_a Q'(s', a) - Q(s, a))^2, Mnih et al. 2015: (n,), (n,), (n, actions) -> (n,).

    `value`: Q of the action taken; `after`: what the target network says of the next state.

    >>> one = torch.tensor([1.0])
    >>> temporal_difference(value=one, reward=2 * one, after=torch.tensor([[3.0, 4.0]]), discount=0.5)  # (2 + 2 - 1)^2
    tensor([9.])
    """
    check_rows(value=value, reward=reward, after=after[:, 0])
    return (reward + discount * after.amax(dim=1) - value).square()

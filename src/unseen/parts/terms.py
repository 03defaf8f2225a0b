"""Losses that are no shape of one quantity of the row: over pairs, masks, gradients and targets.
Never reduced.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.parts.losses import check_per_row, squared_error


def ordinal_pairs(
    *, first: Tensor, second: Tensor, y: Tensor, group: Tensor, weight: Tensor
) -> Tensor:
    """Pair loss of PReNet, Pang et al. 2023, eq. 2, over all pairs among the rows, shared by the
    two: (n,) x 5 -> (n,).

    |first_i + second_j - t|, t = 0 for two normals of one group, 4 for an anomaly and then a
    normal, 8 for two anomalies. As published the three kinds have the shares 1/2, 1/4 and 1/4 of
    the loss, where half of the rows are anomalies. A row's share is its mean over partners, which
    count by their weight.

    >>> one = torch.ones(2)
    >>> # 2 - 0 with itself, (4 - 3) / 4 with the other; (5 - 8) / 2 and 1 / 4
    >>> y = torch.tensor([0, 1])
    >>> ordinal_pairs(first=one * 1.5, second=one * 1.5, y=y, group=0 * y, weight=one)
    tensor([3.2500, 2.7500])
    """
    check_per_row(first=first, second=second, y=y, group=group, weight=weight)
    normal, anomaly = y <= 0, y > 0

    def shares(left: Tensor, right: Tensor, target: float) -> tuple[Tensor, Tensor]:
        error = (first[left][:, None] + second[right][None, :] - target).abs()  # (l, r)
        alike = (
            torch.ones_like(error) if target else (group[left][:, None] == group[right]).to(error)
        )
        as_first, as_second = alike * weight[right], alike.T * weight[left]
        return _mean_per_row(error, as_first), _mean_per_row(error.T, as_second)

    loss = torch.zeros_like(first)
    two_normals, two_anomalies = shares(normal, normal, 0.0), shares(anomaly, anomaly, 8.0)
    of_anomaly, of_normal = shares(anomaly, normal, 4.0)
    loss[normal] = (two_normals[0] + two_normals[1]) / 2 + of_normal / 4
    loss[anomaly] = (two_anomalies[0] + two_anomalies[1]) / 4 + of_anomaly / 4
    return loss


def _mean_per_row(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of each row, 0 where nothing weighs: (a, b), (a, b) -> (a,)."""
    return (value * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-12)


def contrast(*, z: Tensor, positive: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss, Khosla et al. 2020, eq. 2; with one positive a row, InfoNCE: (m,
    k) -> (m,).

    Mean over a row's positives of -log softmax of the cosine similarity / temperature over the rows
    that it is to choose among; `positive` and `among` (m, m), a row itself counts in neither.

    >>> other = torch.eye(2, dtype=torch.bool).flip(0)  # the only choice is right
    >>> contrast(z=torch.eye(2), positive=other, among=other, temperature=0.5)
    tensor([0., 0.])
    """
    z = F.normalize(z, dim=1)
    outside = ~among | torch.eye(len(z), dtype=torch.bool, device=z.device)
    # not -inf: a row may have nobody to choose among
    similarity = (z @ z.T / temperature).masked_fill(outside, -1e9)
    choice = -similarity.log_softmax(dim=1)  # (m, m)
    return _mean_per_row(choice, (positive & ~outside).to(choice))


def kernel_cross_entropy(*, distance: Tensor, kind: Tensor) -> Tensor:
    """Binary cross-entropy of kernels K = exp(-distance), van Amersfoort et al. 2020, eq. 2: (n,
    k), (n,) -> (n,).

    -log K_c for the row's own kind c, -log(1 - K_c) for the others; all kernels are others where
    kind is -1. Taken from the distances, as K itself is 0 far away and leaves no gradient. A
    distance below 1e-6 counts as that.

    >>> # .5 and -log(1 - .5)
    >>> kernel_cross_entropy(distance=torch.tensor([[0.5, 0.6931472]]), kind=torch.tensor([0]))
    tensor([1.1931])
    """
    check_per_row(distance=distance[:, 0], kind=kind)
    own = torch.arange(distance.shape[1], device=kind.device) == kind[:, None]  # (n, k)
    return torch.where(own, distance, -(-torch.expm1(-distance.clamp_min(1e-6))).log()).sum(dim=1)


def gradient_penalty(*, gradient: Tensor) -> Tensor:
    """Two-sided penalty (|g| - 1)^2 on the gradient g of an output with respect to its row: (n, d)
    -> (n,).

    >>> gradient_penalty(gradient=torch.tensor([[3.0, 4.0], [0.0, 0.5]]))
    tensor([16.0000,  0.2500])
    """
    return (gradient.norm(dim=1) - 1).square()


def margin_pairs(*, normal: Tensor, anomaly: Tensor, margin: float) -> Tensor:
    """[margin - (normal - anomaly)]_+ over all pairs, arXiv 2601.19833: (a,), (b,) -> (a, b).

    >>> margin_pairs(normal=torch.tensor([1.0, 0.0]), anomaly=torch.tensor([0.5]), margin=0.1)
    tensor([[0.0000],
            [0.6000]])
    """
    return F.relu(margin - (normal[:, None] - anomaly[None, :]))


def margin_share(*, logit: Tensor, y: Tensor, margin: float) -> Tensor:
    """Half the mean of `margin_pairs` over the pairs that a row is in, with `logit` the normal one:
    (n,), (n,) -> (n,).

    >>> margin_share(logit=torch.tensor([1.0, 0.0, 0.5]), y=torch.tensor([0, 0, 1]), margin=0.1)
    tensor([0.0000, 0.3000, 0.1500])
    """
    check_per_row(logit=logit, y=y)
    normal, share = y <= 0, torch.zeros_like(logit)
    pairs = margin_pairs(normal=logit[normal], anomaly=logit[~normal], margin=margin)
    if pairs.numel():
        share[normal], share[~normal] = pairs.mean(dim=1) / 2, pairs.mean(dim=0) / 2
    return share


def masked_error(*, reconstruction: Tensor, x: Tensor, mask: Tensor, share: float) -> Tensor:
    """Mean squared error where the row was corrupted, `share` of it, and where it was not, the
    rest: (n, d) -> (n,).

    arXiv 2206.11723: share / |M| |M (f - x)|^2 + (1 - share) / |1 - M| |(1 - M) (f - x)|^2, with
    `mask` (d,) or (n, d).

    >>> f, x = torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 3)
    >>> # 1 and (4 + 9) / 2
    >>> masked_error(reconstruction=f, x=x, mask=torch.tensor([1.0, 0.0, 0.0]), share=0.5)
    tensor([3.7500])
    """
    squares, kept = (reconstruction - x).square(), 1 - mask
    inside = (mask * squares).sum(dim=1) / mask.sum(dim=-1).clamp_min(1)
    outside = (kept * squares).sum(dim=1) / kept.sum(dim=-1).clamp_min(1)
    return share * inside + (1 - share) * outside


def closeness(*, z: Tensor, other: Tensor, y: Tensor) -> Tensor:
    """Cosine similarity of each row to another: to be 1 for normal rows, at most 0 for anomalies:
    (n, k) -> (n,).

    >>> z, other = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> closeness(z=z, other=other, y=torch.tensor([0, 1]))
    tensor([0., 1.])
    """
    similarity = F.cosine_similarity(z, other, dim=1)
    check_per_row(similarity=similarity, y=y)
    return torch.where(y > 0, F.relu(similarity), 1 - similarity)


def auc_share(*, score: Tensor, y: Tensor) -> Tensor:
    """Half the mean of sigmoid(normal - anomaly) over the pairs that a row is in: (n,), (n,) ->
    (n,).

    A smooth 1 - AUROC (Herschtal & Raskutti, ICML 2004). A side that is missing leaves zeros.

    >>> auc_share(score=torch.tensor([0.0, 2.0, 2.0]), y=torch.tensor([0, 0, 1]))
    tensor([0.0596, 0.2500, 0.1548])
    """
    check_per_row(score=score, y=y)
    normal, share = y <= 0, torch.zeros_like(score)
    pairs = (score[normal][:, None] - score[~normal][None, :]).sigmoid()  # (normals, anomalies)
    if pairs.numel():
        share[normal], share[~normal] = pairs.mean(dim=1) / 2, pairs.mean(dim=0) / 2
    return share


def temporal_difference(*, value: Tensor, reward: Tensor, after: Tensor, discount: float) -> Tensor:
    """(reward + discount max_a Q'(s', a) - Q(s, a))^2, Mnih et al. 2015: (n,), (n,), (n, actions)
    -> (n,).

    `value`: Q of the action taken; `after`: what the target network says of the next state.

    >>> one = torch.tensor([1.0])
    >>> # (2 + 2 - 1)^2
    >>> temporal_difference(
    ...     value=one, reward=2 * one, after=torch.tensor([[3.0, 4.0]]), discount=0.5
    ... )
    tensor([9.])
    """
    check_per_row(value=value, reward=reward, after=after[:, 0])
    return (reward + discount * after.amax(dim=1) - value).square()


def invariance(*, constrained: Tensor, residual: Tensor) -> Tensor:
    """Mean squared difference, and one minus the cosine: what ResAD++ keeps anomalies in place by:
    (n, d) -> (n,).

    >>> # 4 + 1
    >>> invariance(constrained=torch.tensor([[0.0, 2.0]]), residual=torch.tensor([[2.0, 0.0]]))
    tensor([5.])
    """
    return (
        squared_error(reconstruction=constrained, x=residual)
        + 1
        - F.cosine_similarity(constrained, residual)
    )

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


def sphere(*, distance: Tensor, y: Tensor, eta: float) -> Tensor:
    """Deep SAD loss of squared distances to a centre, Ruff et al. 2020, eq. 7: (n,), (n,) -> (n,).

    Normal rows (y <= 0): the distance (Deep SVDD, Ruff et al. 2018, eq. 4); anomalies: eta / (distance + 1e-6).

    >>> sphere(distance=torch.tensor([4.0, 4.0]), y=torch.tensor([0, 1]), eta=2.0)
    tensor([4.0000, 0.5000])
    """
    check_rows(distance=distance, y=y)
    return torch.where(y > 0, eta / (distance + 1e-6), distance)


def focal(*, logit: Tensor, y: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss, (1 - p)^gamma (-log p) with p the probability of the true side, Lin et al. 2017, eq. 4: (n,) -> (n,).

    `logit` is that of being an anomaly.

    >>> focal(logit=torch.tensor([0.0, 0.0]), y=torch.tensor([0, 1])).tolist()  # log 2 / 4
    [0.173..., 0.173...]
    """
    check_rows(logit=logit, y=y)
    wrong = torch.where(y > 0, -logit, logit)
    return torch.sigmoid(wrong) ** gamma * F.softplus(wrong)


def ordinal_pairs(*, first: Tensor, second: Tensor, y: Tensor, group: Tensor, weight: Tensor) -> Tensor:
    """Pair loss of PReNet, Pang et al. 2023, eq. 2, over all pairs among the rows, shared by the two: (n,) x 5 -> (n,).

    |first_i + second_j - t|, t = 0 for two normals of one group, 4 for an anomaly and then a normal, 8 for two
    anomalies. As published the three kinds have the shares 1/2, 1/4 and 1/4 of the loss, where half of the rows are
    anomalies. A row's share is its mean over partners, which count by their weight.

    >>> one = torch.ones(2)
    >>> y = torch.tensor([0, 1])  # 2 - 0 with itself, (4 - 3) / 4 with the other; (5 - 8) / 2 and 1 / 4
    >>> ordinal_pairs(first=one * 1.5, second=one * 1.5, y=y, group=0 * y, weight=one)
    tensor([3.2500, 2.7500])
    """
    check_rows(first=first, second=second, y=y, group=group, weight=weight)
    normal, anomaly = y <= 0, y > 0

    def shares(left: Tensor, right: Tensor, target: float) -> tuple[Tensor, Tensor]:
        error = (first[left][:, None] + second[right][None, :] - target).abs()  # (l, r)
        alike = torch.ones_like(error) if target else (group[left][:, None] == group[right]).to(error)
        as_first, as_second = alike * weight[right], alike.T * weight[left]
        return averaged(error, as_first), averaged(error.T, as_second)

    loss = torch.zeros_like(first)
    two_normals, two_anomalies = shares(normal, normal, 0.0), shares(anomaly, anomaly, 8.0)
    of_anomaly, of_normal = shares(anomaly, normal, 4.0)
    loss[normal] = (two_normals[0] + two_normals[1]) / 2 + of_normal / 4
    loss[anomaly] = (two_anomalies[0] + two_anomalies[1]) / 4 + of_anomaly / 4
    return loss


def averaged(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of each row, 0 where nothing weighs: (a, b), (a, b) -> (a,)."""
    return (value * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-12)


def contrast(*, z: Tensor, positive: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss, Khosla et al. 2020, eq. 2; with one positive a row, InfoNCE: (m, k) -> (m,).

    Mean over a row's positives of -log softmax of the cosine similarity / temperature over the rows that it is to
    choose among; `positive` and `among` (m, m), a row itself counts in neither.

    >>> other = torch.eye(2, dtype=torch.bool).flip(0)  # the only choice is right
    >>> contrast(z=torch.eye(2), positive=other, among=other, temperature=0.5)
    tensor([0., 0.])
    """
    z = F.normalize(z, dim=1)
    outside = ~among | torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(outside, -1e9)  # not -inf: a row may have nobody to choose among
    choice = -similarity.log_softmax(dim=1)  # (m, m)
    return averaged(choice, (positive & ~outside).to(choice))


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


def kernel_cross_entropy(*, distance: Tensor, kind: Tensor) -> Tensor:
    """Binary cross-entropy of kernels K = exp(-distance), van Amersfoort et al. 2020, eq. 2: (n, k), (n,) -> (n,).

    -log K_c for the row's own kind c, -log(1 - K_c) for the others; all kernels are others where kind is -1. Taken
    from the distances, as K itself is 0 far away and leaves no gradient. A distance below 1e-6 counts as that.

    >>> kernel_cross_entropy(distance=torch.tensor([[0.5, 0.6931472]]), kind=torch.tensor([0]))  # .5 and -log(1 - .5)
    tensor([1.1931])
    """
    check_rows(distance=distance[:, 0], kind=kind)
    own = torch.arange(distance.shape[1], device=kind.device) == kind[:, None]  # (n, k)
    return torch.where(own, distance, -(-torch.expm1(-distance.clamp_min(1e-6))).log()).sum(dim=1)


def gradient_penalty(*, gradient: Tensor) -> Tensor:
    """Two-sided penalty (|g| - 1)^2 on the gradient g of an output with respect to its row: (n, d) -> (n,).

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


def pushed(*, quantity: Tensor, y: Tensor, bound: float | Tensor) -> Tensor:
    """A quantity that is to be small for normal rows, and at least `bound` for anomalies: (n,), (n,) -> (n,).

    Anomalies: max(0, bound - quantity), a minus sign that is clipped, as an error that may grow without end ruins the
    network that makes it.

    >>> pushed(quantity=torch.tensor([2.0, 2.0, 9.0]), y=torch.tensor([0, 1, 1]), bound=5.0)
    tensor([2., 3., 0.])
    """
    check_rows(quantity=quantity, y=y)
    return torch.where(y > 0, F.relu(bound - quantity), quantity)


def divergence(*, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, I), Kingma & Welling 2014, app. B: (n, k) -> (n,).

    >>> divergence(mean=torch.tensor([[1.0, 0.0]]), log_variance=torch.zeros(1, 2))
    tensor([0.5000])
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2


def masked_error(*, reconstruction: Tensor, x: Tensor, mask: Tensor, share: float) -> Tensor:
    """Mean squared error where the row was corrupted, `share` of it, and where it was not, the rest: (n, d) -> (n,).

    arXiv 2206.11723: share / |M| |M (f - x)|^2 + (1 - share) / |1 - M| |(1 - M) (f - x)|^2, with `mask` (d,) or (n, d).

    >>> f, x = torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 3)
    >>> masked_error(reconstruction=f, x=x, mask=torch.tensor([1.0, 0.0, 0.0]), share=0.5)  # 1 and (4 + 9) / 2
    tensor([3.7500])
    """
    squares, kept = (reconstruction - x).square(), 1 - mask
    inside = (mask * squares).sum(dim=1) / mask.sum(dim=-1).clamp_min(1)
    outside = (kept * squares).sum(dim=1) / kept.sum(dim=-1).clamp_min(1)
    return share * inside + (1 - share) * outside


def closeness(*, z: Tensor, other: Tensor, y: Tensor) -> Tensor:
    """Cosine similarity of each row to another: to be 1 for normal rows, at most 0 for anomalies: (n, k) -> (n,).

    >>> z, other = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> closeness(z=z, other=other, y=torch.tensor([0, 1]))
    tensor([0., 1.])
    """
    similarity = F.cosine_similarity(z, other, dim=1)
    check_rows(similarity=similarity, y=y)
    return torch.where(y > 0, F.relu(similarity), 1 - similarity)


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


def radius(x: Tensor) -> Tensor:
    """sqrt(|x| + 1) - 1, Yao et al. 2024, eq. 2: grows like |x|/2 near 0, and slowly far out: (n, d) -> (n,).

    >>> radius(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    tensor([1., 0.])
    """
    return (x.norm(dim=1) + 1).sqrt() - 1


def small_sphere(*, constrained: Tensor, residual: Tensor, y: Tensor) -> Tensor:
    """Normal rows go to a small sphere, anomalies stay where they were, Yao et al. 2024, eq. 2: (n, d) -> (n,).

    (1 - y) radius(x') + y |x' - x_r|, with x_r the residual and x' what the constraintor makes of it.

    >>> x = torch.tensor([[0.0, 3.0], [0.0, 3.0]])
    >>> small_sphere(constrained=x, residual=x + 1, y=torch.tensor([0, 1])).round(decimals=4)
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

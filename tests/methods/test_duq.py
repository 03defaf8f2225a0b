"""DUQ: kernels, cross-entropy, gradient penalty and centroids, on numbers worked out by hand."""

import math

import pytest
import torch

from quick import quick
from unseen.errors import DataError
from unseen.methods.duq import DUQ, DUQScorer
from unseen.parts import terms
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples


def test_kernel_cross_entropy_by_hand():
    # K = 1/2 and 1/4. Own kind 0: -log 1/2 - log 3/4; own kind 1: -log 1/4 - log 1/2; none: -log
    # 1/2 - log 3/4.
    distance = torch.tensor([[math.log(2), math.log(4)]]).expand(3, 2)
    got = terms.kernel_cross_entropy(distance=distance, kind=torch.tensor([0, 1, -1]))
    assert got.tolist() == pytest.approx([math.log(8 / 3), math.log(8), math.log(8 / 3)], rel=1e-5)


def test_kernel_cross_entropy_agrees_with_torch_where_kernels_are_moderate():
    distance = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) * 3 + 0.1
    kind = torch.arange(20) % 4
    target = torch.nn.functional.one_hot(kind, 4).float()
    want = torch.nn.functional.binary_cross_entropy(
        (-distance).exp(), target, reduction="none"
    ).sum(dim=1)
    torch.testing.assert_close(terms.kernel_cross_entropy(distance=distance, kind=kind), want)


def test_kernel_cross_entropy_is_finite_at_a_centroid_and_far_away():
    distance = torch.tensor([[0.0, 1e6]], requires_grad=True)
    loss = terms.kernel_cross_entropy(distance=distance, kind=torch.tensor([1]))
    (gradient,) = torch.autograd.grad(loss.sum(), distance)
    assert torch.isfinite(loss).all()
    assert gradient.tolist() == [[0.0, 1.0]]


def test_kernel_cross_entropy_refuses_other_shapes():
    with pytest.raises(DataError, match="one shape"):
        terms.kernel_cross_entropy(distance=torch.ones(3, 2), kind=torch.zeros(3, 1))


def test_gradient_penalty_of_a_linear_output_by_hand():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.tensor([0.0, 3.0, 4.0])  # length 5 at every row: (5 - 1)^2
    (gradient,) = torch.autograd.grad((x @ weight).sum(), x)
    assert terms.gradient_penalty(gradient=gradient).tolist() == [16.0] * 5


def linear(length=1.0):
    """A scorer of 4 columns, divided by 2, whose embedding is their first two, with centroids (0,
    0) and (2, 0).
    """
    scorer = DUQScorer(4, hidden=(4,), embedding=2, length=length)
    with torch.no_grad():
        scorer.body[0][0].weight.copy_(torch.eye(4))
        scorer.body[0][0].bias.zero_()
        scorer.kernel = torch.nn.Parameter(torch.eye(2, 4).repeat(2, 1, 1))
    scorer.kinds.names = torch.tensor([0, 1])
    scorer.total, scorer.count = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([1.0, 2.0])
    return scorer


def test_score_is_the_distance_to_the_nearest_centroid():
    # (2, 4, 0, 0) / 2 = (1, 2): mean squares (1 + 4) / 2 to either centroid, halved; (8, 0, ..) is
    # 2 from the second.
    got = scored(linear(), torch.tensor([[2.0, 4.0, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0]]))
    assert got.tolist() == pytest.approx([5 / 4, 1.0])
    half = scored(linear(length=0.5), torch.tensor([[2.0, 4.0, 0.0, 0.0]]))
    assert half.item() == pytest.approx(5.0)


def test_loss_of_a_row_by_hand():
    # Embedded at (1, 0): D = 1/4 to both, K = exp(-1/4). The gradients of the two kernels cancel:
    # penalty (0 - 1)^2.
    x = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = math.exp(-0.25)
    run = Run(torch.Generator())
    normal = DUQ(penalty=0.5).loss(linear(), Samples.of(x), run)
    anomaly = DUQ(penalty=0.5).loss(linear(), Samples.of(x, torch.tensor([1])), run)
    assert normal.item() == pytest.approx(0.25 - math.log(1 - k) + 0.5, rel=1e-5)
    assert anomaly.item() == pytest.approx(-2 * math.log(1 - k) + 0.5, rel=1e-5)


def test_the_penalty_reaches_the_weights():
    scorer = linear()
    x = torch.tensor([[3.0, 1.0, 0.0, 0.0]])
    for penalty in (0.0, 10.0):
        loss = DUQ(penalty=penalty).loss(scorer, Samples.of(x), Run(torch.Generator()))
        gradient = torch.autograd.grad(loss.sum(), scorer.body[0][0].weight)[0]
        norm = gradient.norm() if penalty == 0 else norm - gradient.norm()  # noqa: F821 (set in the first round)
    assert norm.abs() > 0.1


def test_centroids_follow_by_a_moving_average():
    scorer = linear()
    batch = Samples.of(
        torch.tensor([[4.0, 0.0, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0]]), group=torch.tensor([1, 1])
    )
    scorer.follow(batch, keep=0.75)
    # count .75 * 2 + .25 * 2, total .75 * 4 + .25 * (2 + 4); the other kind fades without moving.
    assert scorer.count.tolist() == [0.75, 2.0]
    assert scorer.total[1].tolist() == [4.5, 0.0]


def test_a_kernel_for_each_group_and_all_reload():
    data = toy_rows()
    data = Samples(data.x, data.y, torch.arange(len(data)) % 7, data.weight)
    method = quick(DUQ())
    scorer = trained(method, data)
    assert scorer.kernel.shape[0] == 7
    again = method.build((6,))
    again.load_state_dict(scorer.state_dict())
    assert torch.equal(scored(again, data.x), scored(scorer, data.x))


def test_no_kernel_fires_on_labelled_anomalies():
    data = toy_rows(20)
    scorer = trained(DUQ(steps=300), data)
    fired = (-scored(scorer, data.x)).exp()
    assert fired[data.y == 0].median() > 0.5
    assert fired[data.y > 0].median() < 0.1

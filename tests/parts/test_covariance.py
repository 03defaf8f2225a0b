"""Covariances by kind, FeCAM and dynamic covariance calibration, on numbers worked out by hand."""

import pytest
import torch

from unseen.errors import DataError
from unseen.methods.dcc import DCC, lifted
from unseen.methods.fecam import FeCAM
from unseen.parts.clusters import Partition
from unseen.parts.covariance import (
    downdated,
    inverse_root,
    means,
    normalised,
    pooled_covariance,
    shrunk,
    tukey,
)
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_covariance_within_is_around_the_mean_of_the_own_kind():
    x, kind = random(60, 3), torch.arange(60) % 3
    x += 5 * kind[:, None]
    mean = means(x, kind, 3)
    scatter = sum(torch.cov(x[kind == k].T, correction=0) * 20 for k in range(3))
    torch.testing.assert_close(pooled_covariance(x, kind, mean), scatter / (60 - 3))


def test_a_kind_without_rows_has_mean_zero():
    assert means(torch.ones(2, 1), torch.zeros(2, dtype=torch.int64), 2).tolist() == [[1.0], [0.0]]


def test_correlations_by_hand():
    got = normalised(torch.tensor([[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(
        got, torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_shrinking_alike_keeps_a_covariance_semidefinite(sign):
    line = torch.tensor([1.0, sign, 1.0])
    values = torch.linalg.eigvalsh(shrunk(torch.outer(line, line), variance=1.0, correlation=1.0))
    assert values.min() > -1e-5


def test_inverse_root_inverts():
    x = random(50, 4)
    c = x.T @ x
    w = inverse_root(c)
    torch.testing.assert_close(w @ w.T @ c, torch.eye(4, dtype=torch.float64))


def test_tukey_is_odd_around_the_lowest():
    got = tukey(torch.tensor([[1.0 + 4.0, -2.0]]), low=torch.tensor([1.0, 7.0]), power=0.5)
    torch.testing.assert_close(got, torch.tensor([[2.0, -3.0]]))


def test_sherman_morrison_agrees_with_an_explicit_inverse():
    d, n, k = 5, 7, 3
    x = random(40, d, seed=1)
    c = x.T @ x / 39
    f, centres = random(n, d, seed=2), random(k, d, seed=3)
    u = 0.2 * random(n, d, seed=4)
    w = inverse_root(c)
    inside = torch.einsum("nd,de,ne->n", u, torch.linalg.inv(c), u)
    assert (inside < 0.9).all()
    got = downdated(f @ w, u @ w, centres @ w, most=0.9)
    for i in range(n):
        inverse = torch.linalg.inv(c - torch.outer(u[i], u[i]))
        for j in range(k):
            gap = f[i] - centres[j]
            torch.testing.assert_close(got[i, j], gap @ inverse @ gap)


def test_a_direction_longer_than_the_covariance_is_shortened():
    c, u, f = (
        torch.eye(2, dtype=torch.float64),
        torch.tensor([[3.0, 0.0]]).double(),
        torch.tensor([[1.0, 2.0]]).double(),
    )
    # u'u = 9 >= 1: C - u u' has the eigenvalue -8. With s u'u = 1/2 it is diag(1/2, 1): 1 / (1/2) +
    # 4.
    assert torch.linalg.eigvalsh(c - u.T @ u).min() < 0
    assert downdated(f, u, torch.zeros(1, 2).double(), most=0.5).item() == pytest.approx(6.0)
    assert downdated(f, 0 * u, torch.zeros(1, 2).double(), most=0.5).item() == pytest.approx(5.0)


def test_kinds_are_groups_where_there_are_several():
    data = Samples.of(torch.zeros(4, 2), group=torch.tensor([3, 3, 8, 8]))
    kinds = Partition(2)
    kinds.fit(data, 5, torch.Generator())
    assert len(kinds) == 2
    new = Samples.of(torch.zeros(4, 2), group=torch.tensor([8, 3, 5, 9]))
    assert kinds(new).tolist() == [1, 0, -1, -1]


def test_fecam_by_hand():
    # sqrt: columns 0 2 0 2 and 0 0 4 4, variances 4/3 and 16/3, no covariance. Shrinking changes
    # the diagonal alone, normalising makes it 1: (3, 4) - (1, 2) has length sqrt 8.
    data = Samples.of(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 16.0], [4.0, 16.0]]))
    scorer = trained(FeCAM(clusters=1), data)
    assert scored(scorer, torch.tensor([[9.0, 16.0]])).item() == pytest.approx(8**0.5, abs=1e-5)


def test_fecam_counts_correlations():
    # Columns x and 2x without a power: correlation 1, after a shrinkage of 1 on the diagonal. C = v
    # [[1, 2], [2, 4]], S = v [[1 + 2.5, 2], [2, 4 + 2.5]], r = 2 / sqrt(3.5 * 6.5); (1, -1) has 2 /
    # (1 - r), (1, 1) has 2 / (1 + r).
    x = torch.tensor([[-1.0], [0.0], [1.0]]) * torch.tensor([1.0, 2.0])
    scorer = trained(FeCAM(power=1.0, correlation=0.0, clusters=1), Samples.of(x))
    r = 2 / (3.5 * 6.5) ** 0.5
    got = scored(scorer, torch.tensor([[1.0, -1.0], [1.0, 1.0]])).square().tolist()
    assert got == pytest.approx([2 / (1 - r), 2 / (1 + r)], rel=1e-4)


def test_fecam_takes_the_nearest_group_and_its_own_covariance():
    g = torch.Generator().manual_seed(0)
    near, far = torch.randn(300, 2, generator=g), torch.randn(300, 2, generator=g) + 20
    data = Samples.of(torch.cat([near, far]), group=torch.arange(600) // 300)
    scorer = trained(FeCAM(power=1.0), data)
    between, inside = scored(scorer, torch.tensor([[10.0, 10.0], [20.0, 20.0]]))
    assert between > 3 * inside + 3


def test_fecam_adapts_to_the_mean_of_its_support():
    data = toy_rows().normals
    scorer = trained(FeCAM(), data)
    support = Samples.of(data.x[:1] + 3)
    moved = FeCAM().adapt(scorer, support, Run(torch.Generator()))
    assert scored(moved, support.x).item() == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(DataError, match="none"):
        FeCAM().adapt(scorer, support[:0], Run(torch.Generator()))


def test_lifted_rows_keep_something_of_their_length():
    got = lifted(torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [9e5, 0.0, 0.0, 0.0]]))
    half = 0.5**0.5
    torch.testing.assert_close(
        got[:, [0, 4]], torch.tensor([[0.0, 1.0], [half, half], [1.0, 0.0]]), atol=1e-5, rtol=0
    )


def test_dcc_is_the_published_distance_where_that_exists():
    # of lifted rows (x, sqrt 2) / length, so that u' C^-1 u <= 1/2
    c = torch.diag(torch.tensor([4.0, 3.0, 2.0]))
    scorer = DCC().build((2,))
    scorer.root, least = inverse_root(c), torch.tensor([[0.0], [0.0], [1.0]])
    scorer.residual = least @ least.T @ scorer.root
    mean = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])
    scorer.mean = mean @ scorer.root
    x = random(6, 2).float()
    f = lifted(x)
    inverse = [torch.linalg.inv(c - torch.outer(u, u)) for u in f @ least @ least.T]
    want = [
        min(((row - m) @ inv @ (row - m)).sqrt() for m in mean)
        for row, inv in zip(f, inverse, strict=True)
    ]
    torch.testing.assert_close(scored(scorer, x), torch.stack(want))


def test_dcc_splits_off_the_directions_of_least_variance():
    data = toy_rows().normals
    scorer = trained(DCC(clusters=1, residual=2 / 7), data)
    f = lifted(data.x).double()
    c = torch.cov(f.T)
    c += 1e-3 * c.diagonal().mean() * torch.eye(7)
    least = torch.linalg.eigh(c).eigenvectors[:, :2]
    torch.testing.assert_close(
        scorer.root @ scorer.root.T, torch.linalg.inv(c).float(), rtol=1e-3, atol=1e-2
    )
    u = f.float() @ scorer.residual @ torch.linalg.inv(scorer.root)
    torch.testing.assert_close(u, (f @ least @ least.T).float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", [FeCAM(), DCC()])
def test_constant_columns_and_few_rows_are_finite(method):
    for x in (
        torch.ones(3, 4),
        torch.zeros(1, 4),
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    ):
        scores = scored(
            trained(method, Samples.of(x)),
            torch.tensor([[1.0, 1.0, 1.0, 1.0], [10.0, -10.0, 0.0, 1.0]]),
        )
        assert torch.isfinite(scores).all()
        assert scores[1] > scores[0] or len(x) == 1
    with pytest.raises(DataError, match="none"):
        trained(method, Samples.of(torch.ones(2, 4), torch.ones(2)))

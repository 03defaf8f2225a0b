"""ResAD and ResAD++: residuals, losses and references, on numbers worked out by hand."""

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch

from contract import scored, toy, trained
from unseen.errors import DataError
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.parts import losses
from unseen.parts.bank import Bank
from unseen.parts.surprise import auroc
from unseen.types import Run, Samples

QUICK = ResAD(steps=60, batch=64)


def bank(*rows):
    filled = Bank(len(rows[0]))
    filled.fill(torch.tensor(rows))
    return filled


def kinds(shift=(0.0, 20.0, -30.0), rows=60, anomalies=6, axis=0, seed=0):
    """Normals in 6 dimensions around a point for each kind, and anomalies 6 off along one axis."""
    g = torch.Generator().manual_seed(seed)
    parts = []
    for kind, offset in enumerate(shift):
        x = torch.randn(rows + anomalies, 6, generator=g)
        y = (torch.arange(len(x)) >= rows).long()
        x[rows:, axis] += 6.0
        parts.append((x + offset, y, torch.full((len(x),), kind)))
    return Samples.of(*(torch.cat(each) for each in zip(*parts, strict=True)))


def test_a_residual_is_what_the_plane_through_the_references_leaves():
    # m = (0, 0), P = (-1, 0; 1, 0), PP' = (1, -1; -1, 1) with eigenvalue 2 along (-1, 1); the ridge is 0.1 of the mean
    # diagonal, 1. So of x = (2, 3) stays 2 - 2 * 2 / 2.1 along the plane, and 3 across it.
    left = bank([-1.0, 0.0], [1.0, 0.0], [50.0, 50.0]).residual(torch.tensor([[2.0, 3.0]]), k=2)
    torch.testing.assert_close(left, torch.tensor([[2 - 4 / 2.1, 3.0]]), atol=1e-5, rtol=0)


def test_a_residual_to_one_reference_is_the_difference():
    x = torch.tensor([[2.0, 3.0], [9.0, 9.0]])
    references = bank([1.0, 1.0], [9.0, 8.0])
    torch.testing.assert_close(references.residual(x, k=1), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    torch.testing.assert_close(bank([1.0, 1.0]).residual(x, k=8), x - 1)


def test_residuals_are_over_the_root_of_their_length_and_squared_by_the_second_version():
    x, references = torch.tensor([[4.0, -2.0, 0.0, 0.0]]), bank([0.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(ResAD().build((4,)).residual(x, references), x / 2)
    torch.testing.assert_close(ResADPlusPlus().build((4,)).residual(x, references), x.square() / 2)


def test_sphere_by_hand():
    constrained = torch.tensor([[0.0, 8.0], [3.0, 4.0]], requires_grad=True)
    residual, y = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1])
    each = losses.small_sphere(constrained=constrained, residual=residual, y=y)
    torch.testing.assert_close(each, torch.tensor([3.0 - 1.0, 5.0]))
    slope = torch.autograd.grad(each.sum(), constrained)[0]
    torch.testing.assert_close(slope, torch.tensor([[0.0, 1 / 6], [0.6, 0.8]]))  # 1 / (2 sqrt(8 + 1)), and a unit


def test_barrier_by_hand():
    # The smallest radius of an anomaly is 0.2: the shell is [0.99 * 0.18, 0.18], and anomalies belong beyond 0.28.
    radius = torch.tensor([0.5, 0.1, 0.179, 0.2, 1.0], requires_grad=True)
    each = losses.barrier(radius=radius, y=torch.tensor([0, 0, 0, 1, 2]))
    wrong = np.array([0.32, 0.0782, 0.0, 0.08, 0.0])
    expected = np.where(wrong > 0, np.log1p(np.exp(wrong)) * np.exp(wrong), 0)
    np.testing.assert_allclose(each.detach(), expected, rtol=1e-4, atol=1e-6)
    slope = torch.autograd.grad(each.sum(), radius)[0]
    expected = np.where(wrong > 0, np.exp(wrong) / (1 + np.exp(-wrong)), 0) * [1, -1, 1, -1, -1]
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


def test_barrier_without_anomalies_is_a_shell_at_most_wide():
    each = losses.barrier(radius=torch.tensor([0.399, 0.397, 0.3]), y=torch.zeros(3, dtype=torch.int64))
    wrong = 0.99 * 0.4 - 0.3
    np.testing.assert_allclose(each, [0, 0, np.log1p(np.exp(wrong)) * np.exp(wrong)], rtol=1e-4)


def test_invariance_by_hand():
    constrained, residual = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    found = losses.invariance(constrained=constrained, residual=residual)
    torch.testing.assert_close(found, torch.tensor([0.5 + 1 - 0.5**0.5, 0.0]))


@pytest.mark.parametrize("rows", [2, 5, 60])
def test_no_row_is_its_own_reference(rows):
    method = dataclasses.replace(QUICK, neighbours=1)
    data = Samples.of(torch.arange(float(rows))[:, None] * 3)  # 3 apart: only a row itself leaves nothing
    stream = method.residuals(method.build((1,)), data, Run(torch.Generator().manual_seed(0)))
    for batch in islice(stream, 30):
        assert len(batch)
        assert (batch.x.abs() >= 3).all()


def test_references_are_of_the_rows_own_kind():
    data, method = kinds(), QUICK
    stream = method.residuals(method.build((6,)), data, Run(torch.Generator().manual_seed(0)))
    for batch in islice(stream, 20):
        assert set(batch.group.tolist()) <= {0, 1, 2}
        assert (batch.y > 0).sum() >= 3 * 10  # half of each kind's share
        assert batch.x.norm(dim=1).max() * 6**0.5 < 20  # the next kind's normals are 20 * sqrt(6) away


def test_anomalies_of_a_kind_without_normals_are_left_out():
    data = kinds()
    data = data[(data.group != 2) | (data.y > 0)]
    rows = QUICK.kinds(data, Run(torch.Generator()))
    assert [(len(normals), len(anomalies)) for normals, anomalies in rows] == [(60, 6), (60, 6)]


def test_the_first_phase_moves_the_constraintor_alone():
    for method in (QUICK, ResADPlusPlus(steps=60, batch=64)):
        scorer = method.build((6,))
        run = Run(torch.Generator().manual_seed(0))
        batch = next(method.residuals(scorer, kinds(), run))
        names, parameters = zip(*scorer.named_parameters(), strict=True)
        torch.nn.init.normal_(scorer.constraintor[-1].weight, std=0.1, generator=run.generator)
        slopes = torch.autograd.grad(method.loss(scorer, batch, run).sum(), parameters, allow_unused=True)
        moved = {name for name, slope in zip(names, slopes, strict=True) if slope is not None and slope.abs().sum() > 0}
        assert moved == {name for name in names if name.startswith("constraintor")}


def test_the_constraintor_draws_normals_in_and_leaves_anomalies_out():
    data, method = kinds(), ResAD(steps=300)
    scorer = trained(method, data)
    batch = next(method.residuals(scorer, data, Run(torch.Generator().manual_seed(1))))
    with torch.no_grad():
        share = scorer.constrained(batch.x).norm(dim=1) / batch.x.norm(dim=1)
    assert share[batch.y == 0].median() < 0.7
    assert (share[batch.y > 0] - 1).abs().median() < 0.25


def test_without_labelled_anomalies_residuals_stay_as_they_are():
    scorer = trained(QUICK, toy().normals)
    residual = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scorer.constrained(residual), residual)
    assert (scorer.head.weight == 0).all()


def test_density_by_hand():
    scorer = ResAD().build((2,))
    rows = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 5.0], [2.0, 5.0]])  # middle (1, 3), mean distance (1, 2)
    scorer.judge(Samples.of(rows), ridge=1.0)
    least = 1e-2 / 2**0.5
    found = scorer.both(torch.tensor([[1.0, 3.0], [4.0, 9.0]]))[0]
    expected = (np.log1p((3 / (1 + least)) ** 2) + np.log1p((6 / (2 + least)) ** 2)) / 2
    np.testing.assert_allclose(found.detach(), [0.0, expected], rtol=1e-5)


@pytest.mark.parametrize("method", [QUICK, ResADPlusPlus(steps=60, batch=64)])
def test_what_was_learned_on_some_kinds_finds_other_anomalies_in_another_kind(method):
    scorer, run = trained(method, kinds()), Run(torch.Generator().manual_seed(0))
    new = kinds(shift=(70.0,), axis=3, seed=5)
    moved = method.adapt(scorer, new.normals[:8], run)
    score = scored(moved, new.x[8:])
    assert auroc(score[new.y[8:] == 0], score[new.y[8:] > 0]) > 0.9
    assert torch.equal(score, scored(method.adapt(scorer, new.normals[:8], Run(torch.Generator())), new.x[8:]))
    alone = torch.cat([scored(moved, row[None]) for row in new.x[8:]])
    torch.testing.assert_close(alone, score, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [QUICK, ResADPlusPlus()])
def test_one_normal_row_is_too_few(method):
    with pytest.raises(DataError, match=f"{type(method).__name__} compares normal rows.*given 1"):
        trained(method, toy()[119:])

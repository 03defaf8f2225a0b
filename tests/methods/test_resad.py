"""ResAD and ResAD++: residuals, losses and references, on numbers worked out by hand."""

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch

from toys import domains
from unseen.errors import DataError
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.methods.resad.residual import References
from unseen.parts import losses, terms
from unseen.parts.bank import Bank
from unseen.parts.pseudo import pushed_residuals, with_pushed
from unseen.parts.ranking import auroc
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples

QUICK = ResAD(steps=60, batch=64)


def bank(*rows):
    filled = Bank(len(rows[0]))
    filled.fill(torch.tensor(rows))
    return filled


def test_a_residual_is_what_the_plane_through_the_references_leaves():
    # m = (0, 0), P = (-1, 0; 1, 0), PP' = (1, -1; -1, 1) with eigenvalue 2 along (-1, 1); the ridge
    # is 0.1 of the mean diagonal, 1. So of x = (2, 3) stays 2 - 2 * 2 / 2.1 along the plane, and 3
    # across it.
    left = bank([-1.0, 0.0], [1.0, 0.0], [50.0, 50.0]).residual(torch.tensor([[2.0, 3.0]]), k=2)
    torch.testing.assert_close(left, torch.tensor([[2 - 4 / 2.1, 3.0]]), atol=1e-5, rtol=0)


def test_a_residual_to_one_reference_is_the_difference():
    x = torch.tensor([[2.0, 3.0], [9.0, 9.0]])
    references = bank([1.0, 1.0], [9.0, 8.0])
    torch.testing.assert_close(references.residual(x, k=1), torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    torch.testing.assert_close(bank([1.0, 1.0]).residual(x, k=8), x - 1)


def references(*rows, k=8):
    found = References(len(rows[0]))
    found.remember(torch.tensor(rows), k=k)
    return found


def test_residuals_are_in_units_of_those_of_the_references():
    # To the nearest other: 3, 3 and 4, so the unit is the root of (9 + 9 + 16) / 3.
    few = references([0.0], [3.0], [7.0], k=1)
    x, unit = torch.tensor([[9.0]]), (34 / 3) ** 0.5
    torch.testing.assert_close(
        ResAD(neighbours=1).build((1,)).residual(x, few), torch.tensor([[2 / unit]])
    )
    torch.testing.assert_close(
        ResADPlusPlus(neighbours=1).build((1,)).residual(x, few), torch.tensor([[4 / unit**2]])
    )


def test_squared_residuals_of_normals_are_about_one_long_too():
    x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    for method in (ResAD(), ResADPlusPlus()):
        bank = References(16)
        bank.remember(x[:100], k=8)
        assert 0.5 < method.build((16,)).residual(x[100:], bank).norm(dim=1).median() < 2


def test_a_single_reference_leaves_the_unit_as_it_was():
    found = References(2, 3.0)
    found.remember(torch.tensor([[1.0, 1.0]]), k=8)
    assert found.unit == 3.0


def test_the_spread_of_the_new_kind_does_not_matter():
    method, new = QUICK, domains(shift=(40.0,), seed=5)
    scorer = trained(method, domains())
    wide = dataclasses.replace(new, x=new.x * 50)
    here, there = (
        scored(method.adapt(scorer, rows.normals[:8], Run(torch.Generator())), rows.x)
        for rows in (new, wide)
    )
    torch.testing.assert_close(there, here, rtol=1e-2, atol=1e-2)


def test_pushed_rows_are_as_far_out_as_said_and_in_some_columns():
    g = torch.Generator().manual_seed(0)
    push = pushed_residuals(torch.zeros(500, 20), g, least=2.0, most=8.0)
    length, columns = push.norm(dim=1), (push != 0).sum(dim=1)
    assert length.min() >= 2
    assert length.max() <= 8.001
    assert length.median().item() == pytest.approx(4.0, abs=0.3)
    assert columns.min() >= 1
    assert columns.max() < 18
    assert push.mean(dim=0).abs().max() < 0.2  # in no direction more than in another
    one = with_pushed(Samples.of(torch.zeros(3, 1), torch.tensor([0, 0, 1])), 0.5, g, positive=True)
    assert (one.y.tolist(), one.weight.tolist()) == ([0, 0, 1, 1, 1], [1, 1, 1, 0.5, 0.5])
    assert (one.x[3:] >= 2).all()


@pytest.mark.parametrize("method", [ResAD, ResADPlusPlus])
def test_what_no_label_shows_is_not_swallowed(method):
    # All labelled anomalies lie along one axis: the constraintor learns that nothing else matters,
    # unless it is told.
    guarded, bare = method(), method(pushed=0.0)
    new = domains(shift=(0.0,), axis=3, seed=5)
    lengths = []
    for each in (guarded, bare):
        scorer = trained(each, domains())
        bank = References(6)
        bank.remember(new.normals.x, k=8)
        with torch.no_grad():
            residual = scorer.residual(new.anomalies.x, bank)
            lengths.append(
                (scorer.constrained(residual).norm(dim=1) / residual.norm(dim=1)).median().item()
            )
    assert lengths[0] > 0.7
    assert lengths[1] < lengths[0] - 0.1


def test_sphere_by_hand():
    constrained = torch.tensor([[0.0, 8.0], [3.0, 4.0]], requires_grad=True)
    residual, y = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([0, 1])
    each = losses.small_sphere(constrained=constrained, residual=residual, y=y)
    torch.testing.assert_close(each, torch.tensor([3.0 - 1.0, 5.0]))
    slope = torch.autograd.grad(each.sum(), constrained)[0]
    # 1 / (2 sqrt(8 + 1)), and a unit
    torch.testing.assert_close(slope, torch.tensor([[0.0, 1 / 6], [0.6, 0.8]]))


def test_barrier_by_hand():
    # The smallest radius of an anomaly is 0.2: the shell is [0.99 * 0.18, 0.18], and anomalies
    # belong beyond 0.28.
    radius = torch.tensor([0.5, 0.1, 0.179, 0.2, 1.0], requires_grad=True)
    each = losses.barrier(radius=radius, y=torch.tensor([0, 0, 0, 1, 2]))
    wrong = np.array([0.32, 0.0782, 0.0, 0.08, 0.0])
    expected = np.where(wrong > 0, np.log1p(np.exp(wrong)) * np.exp(wrong), 0)
    np.testing.assert_allclose(each.detach(), expected, rtol=1e-4, atol=1e-6)
    slope = torch.autograd.grad(each.sum(), radius)[0]
    expected = np.where(wrong > 0, np.exp(wrong) / (1 + np.exp(-wrong)), 0) * [1, -1, 1, -1, -1]
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)


def test_barrier_without_anomalies_is_a_shell_at_most_wide():
    each = losses.barrier(
        radius=torch.tensor([0.399, 0.397, 0.3]), y=torch.zeros(3, dtype=torch.int64)
    )
    wrong = 0.99 * 0.4 - 0.3
    np.testing.assert_allclose(each, [0, 0, np.log1p(np.exp(wrong)) * np.exp(wrong)], rtol=1e-4)


def test_invariance_by_hand():
    constrained, residual = (
        torch.tensor([[1.0, 1.0], [2.0, 0.0]]),
        torch.tensor([[1.0, 0.0], [2.0, 0.0]]),
    )
    found = terms.invariance(constrained=constrained, residual=residual)
    torch.testing.assert_close(found, torch.tensor([0.5 + 1 - 0.5**0.5, 0.0]))


@pytest.mark.parametrize("rows", [2, 5, 60])
def test_no_row_is_its_own_reference(rows):
    method = dataclasses.replace(QUICK, neighbours=1)
    # 1 apart: only a row itself leaves nothing
    data = Samples.of(torch.arange(float(rows))[:, None])
    stream = method.residuals(method.build((1,)), data, Run(torch.Generator().manual_seed(0)))
    for batch in islice(stream, 30):
        assert len(batch)
        assert (batch.x.abs() > 1e-3).all()


def test_references_are_of_the_rows_own_kind():
    data, method = domains(), QUICK
    stream = method.residuals(method.build((6,)), data, Run(torch.Generator().manual_seed(0)))
    for batch in islice(stream, 20):
        assert set(batch.group.tolist()) <= {0, 1, 2}
        assert (batch.y > 0).sum() >= 3 * 10  # half of each kind's share
        # in deviations; the next kind's normals are 20 away in each column
        assert batch.x.norm(dim=1).max() < 15


def test_anomalies_of_a_kind_without_normals_are_left_out():
    data = domains()
    data = data[(data.group != 2) | (data.y > 0)]
    rows = QUICK.kinds(data, Run(torch.Generator()))
    assert [(len(normals), len(anomalies)) for normals, anomalies in rows] == [(60, 6), (60, 6)]


def test_the_first_phase_moves_the_constraintor_alone():
    for method in (QUICK, ResADPlusPlus(steps=60, batch=64)):
        scorer = method.build((6,))
        run = Run(torch.Generator().manual_seed(0))
        batch = next(method.residuals(scorer, domains(), run))
        names, parameters = zip(*scorer.named_parameters(), strict=True)
        torch.nn.init.normal_(scorer.constraintor[-1].weight, std=0.1, generator=run.generator)
        slopes = torch.autograd.grad(
            method.loss(scorer, batch, run).sum(), parameters, allow_unused=True
        )
        moved = {
            name
            for name, slope in zip(names, slopes, strict=True)
            if slope is not None and slope.abs().sum() > 0
        }
        assert moved == {name for name in names if name.startswith("constraintor")}


def test_the_constraintor_draws_normals_in_and_leaves_anomalies_out():
    data, method = domains(), ResAD(steps=300, pushed=0.0)
    scorer = trained(method, data)
    batch = next(method.residuals(scorer, data, Run(torch.Generator().manual_seed(1))))
    with torch.no_grad():
        share = scorer.constrained(batch.x).norm(dim=1) / batch.x.norm(dim=1)
    assert share[batch.y == 0].median() < 0.7
    assert (share[batch.y > 0] - 1).abs().median() < 0.25


def test_without_labelled_anomalies_residuals_stay_as_they_are():
    scorer = trained(QUICK, toy_rows().normals)
    residual = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scorer.constrained(residual), residual)
    assert (scorer.head.weight == 0).all()


def test_density_by_hand():
    scorer = ResAD().build((2,))
    # middle (1, 3), mean distance (1, 2)
    rows = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 5.0], [2.0, 5.0]])
    scorer.judge(Samples.of(rows), ridge=1.0)
    least = 1e-2 / 2**0.5
    found = scorer.both(torch.tensor([[1.0, 3.0], [4.0, 9.0]]))[0]
    expected = (np.log1p((3 / (1 + least)) ** 2) + np.log1p((6 / (2 + least)) ** 2)) / 2
    np.testing.assert_allclose(found.detach(), [0.0, expected], rtol=1e-5)


@pytest.mark.parametrize("method", [QUICK, ResADPlusPlus(steps=60, batch=64)])
def test_what_was_learned_on_some_kinds_finds_other_anomalies_in_another_kind(method):
    scorer, run = trained(method, domains()), Run(torch.Generator().manual_seed(0))
    new = domains(shift=(70.0,), axis=3, seed=5)
    moved = method.adapt(scorer, new.normals[:8], run)
    score = scored(moved, new.x[8:])
    assert auroc(score[new.y[8:] == 0], score[new.y[8:] > 0]) > 0.9
    # another generator: eight rows are all kept
    again = method.adapt(scorer, new.normals[:8], Run(torch.Generator()))
    torch.testing.assert_close(scored(again, new.x[8:]), score, rtol=1e-4, atol=1e-4)
    alone = torch.cat([scored(moved, row[None]) for row in new.x[8:]])
    torch.testing.assert_close(alone, score, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [QUICK, ResADPlusPlus()])
def test_one_normal_row_is_too_few(method):
    with pytest.raises(DataError, match=f"{type(method).__name__} compares normal rows.*given 1"):
        trained(method, toy_rows()[119:])

"""Meta-learning: tasks, steps, weights, eigenproblems and rewards, on numbers worked out by
hand.
"""

import dataclasses
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest
import scipy.linalg
import torch

from quick import brief, quick
from unseen.detector.settings import configured
from unseen.errors import DataError
from unseen.methods import METHODS
from unseen.methods.ahl import AHL, KINDS, _task_weights, of_others, remembered
from unseen.methods.autoencoder import AutoEncoder
from unseen.methods.deepsad import DeepSVDD
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.dplan import DPLAN, Replay, following, novelty, reward
from unseen.methods.ensemble import Ensemble
from unseen.methods.maml import MAML
from unseen.methods.metaocc import MetaOCC, discriminants
from unseen.parts import terms
from unseen.parts.episodes import at_most, in_two, tasks
from unseen.parts.pseudo import feature_noise, feature_swap
from unseen.testing import scored, toy_rows, trained
from unseen.types import Episode, Run, Samples

LN3 = float(np.log(3.0))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def run(seed=0):
    return Run(generator(seed))


def numbered(*y, group=None):
    """Rows that are their own number, so that a row can be told wherever it turns up."""
    y = torch.tensor(y)
    return Samples.of(
        torch.arange(len(y)).float()[:, None], y, None if group is None else torch.tensor(group)
    )


def numbers(samples):
    return set(samples.x[:, 0].tolist())


# a base of one parameter: its loss on a row is half the squared distance to it, whatever the label


class Point(torch.nn.Module):
    def __init__(self, at=0.0):
        super().__init__()
        self.at = torch.nn.Parameter(torch.tensor([at]))

    def forward(self, x):
        return (self.at - x[:, 0]).square() / 2


@dataclasses.dataclass(frozen=True)
class ToPoint:
    """Shows all rows at once; steps by SGD at rate 0.1."""

    uses_labels: ClassVar[bool] = False
    steps: ClassVar[int] = 1

    def build(self, shape):
        return Point()

    def prepare(self, scorer, data, run):
        pass

    def stream(self, data, run):
        while True:
            yield data

    def optimiser(self, scorer):
        return torch.optim.SGD(scorer.parameters(), lr=0.1)

    def loss(self, scorer, batch, run):
        return scorer(batch.x)


def points(*values):
    return Samples.of(torch.tensor(values)[:, None])


# tasks


@pytest.mark.parametrize("y", [[0] * 9 + [1, 1, 2, 2, 2, 5], [0] * 8 + [3] * 8])
def test_query_and_support_share_no_row(y):
    for task in islice(tasks(numbered(*y), 3, generator()), 12):
        assert not numbers(task.support) & numbers(task.query)
        for part in (task.support, task.query):
            assert len(numbers(part)) == len(part), "no row is drawn twice"
            assert len(part.normals) == 3
            assert 1 <= len(part.anomalies) <= 3


def test_every_class_is_hidden_in_turn():
    drawn = list(islice(tasks(numbered(*[0] * 9, 1, 1, 2, 2, 2, 5), 3, generator()), 3))
    assert [set(t.support.classes) & set(t.query.classes) for t in drawn] == [set()] * 3
    assert sorted(c for t in drawn for c in t.query.classes) == [1, 2, 5]


def test_tasks_keep_to_one_group_of_normals():
    data = numbered(*[0] * 8, 1, 2, group=[0, 1] * 4 + [0, 0])
    groups = [
        set(t.support.normals.group.tolist()) | set(t.query.normals.group.tolist())
        for t in some_tasks(data)
    ]
    assert all(len(g) == 1 for g in groups)
    assert set.union(*groups) == {0, 1}


def some_tasks(data):
    return list(islice(tasks(data, 2, generator()), 12))


def test_of_one_class_that_is_small_rows_are_hidden():
    for task in some_tasks(numbered(0, 0, 0, 0, 7, 7, 7)):
        assert not numbers(task.support) & numbers(task.query)
        assert task.support.classes == task.query.classes == [7]


def test_a_single_row_is_in_both():
    [task] = islice(tasks(numbered(0, 4), 5, generator()), 1)
    assert numbers(task.support) == numbers(task.query) == {0.0, 1.0}


def test_every_normal_turns_up_before_any_comes_again():
    seen = [
        numbers(part)
        for pair in islice(in_two(numbered(*[0] * 12), 3, generator()), 2)
        for part in pair
    ]
    assert [len(part) for part in seen] == [3] * 4
    assert set.union(*seen) == set(range(12))


def test_some_draws_without_replacement():
    assert len(numbers(at_most(numbered(*[0] * 9), 5, generator()))) == 5
    assert numbers(at_most(numbered(0, 0), 5, generator())) == {0.0, 1.0}


# MAML


def test_one_step_of_maml_by_hand(monkeypatch):
    # Inner: 0 -> 0.1 on the support at 1 (gradient -1). There the query at 3 pulls with 0.1 - 3 =
    # -2.9: clipped to -1. Query at 0.6: gradient 0.1 - 0.6 = -0.5, and the start moves by 0.1 *
    # 0.5. At the start it would have been 0.06.
    def one_task(*_):
        while True:
            yield Episode(points(1.0), points(0.6))

    monkeypatch.setattr("unseen.methods.maml.tasks", one_task)
    method = MAML(ToPoint(), steps=1, tasks=2, inner_steps=1, inner_rate=0.1)
    scorer = method.build((1,))
    method.train(scorer, points(0.25, 0.25), run())
    assert scorer.start.at.item() == pytest.approx(0.05)
    # one inner step from there on the rows at 0.25
    assert scorer.now.at.item() == pytest.approx(0.05 + 0.1 * 0.2)


def test_maml_adapts_from_its_start_beside_the_anomalies_it_saw():
    method = MAML(ToPoint(), steps=1, inner_steps=1, adapt_steps=1)
    scorer = method.build((1,))
    method.train(
        scorer, Samples.of(torch.tensor([[0.0], [0.0], [0.5]]), torch.tensor([0, 0, 4])), run()
    )
    assert scorer.shown().y.tolist() == [4]
    torch.nn.init.zeros_(scorer.start.at)
    torch.nn.init.constant_(scorer.now.at, 9.0)
    # the mean of 0.2 and the anomaly at 0.5, a tenth of the way
    moved = method.adapt(scorer, points(0.2), run())
    assert moved.now.at.item() == pytest.approx(0.035)
    assert scorer.now.at.item() == 9.0
    # shows its own anomaly
    alone = method.adapt(scorer, Samples.of(torch.tensor([[0.2]]), torch.tensor([1])), run())
    assert alone.now.at.item() == pytest.approx(0.02)


def test_maml_moves_to_a_new_kind_of_normal():
    # Groups along axis 2, at -4 and 4; a third at 8 with few rows. Anomalies are off axis 0 in all
    # of them.
    g = generator()
    x = torch.randn(260, 3, generator=g) * 0.5
    y = torch.tensor([0] * 200 + [1] * 30 + [2] * 30)
    group = torch.arange(260) % 2
    x[:, 2] += 8.0 * group - 4
    x[y == 1, 0] += 4
    x[y == 2, 0] -= 4
    method = MAML(DevNet(batch=32), steps=40)
    scorer = trained(method, Samples.of(x, y, group))
    new = torch.randn(60, 3, generator=g) * 0.5 + torch.tensor([0.0, 8.0, 0.0])
    moved = method.adapt(scorer, Samples.of(new[:30]), run()).eval()
    assert scored(moved, new[30:]).abs().median() < scored(scorer, new[30:]).abs().median() / 2


# AHL


def test_weights_by_hand():
    # exp(0), exp(-ln 3), exp(-ln 3) = 1 : 1/3 : 1/3, so shares 3/5, 1/5, 1/5
    np.testing.assert_allclose(
        _task_weights(torch.tensor([0.0, LN3, LN3])), [0.8, 0.6, 0.6], rtol=1e-6
    )


def test_errors_are_those_on_other_tasks_remembered():
    table = torch.tensor([[9.0, 1.0, 3.0], [2.0, 9.0, 4.0], [5.0, 7.0, 9.0]])
    assert of_others(table).tolist() == [2.0, 3.0, 6.0]
    assert of_others(torch.tensor([[4.0]])).tolist() == [4.0]
    past = torch.tensor([torch.nan, 1.0, 2.0])
    assert remembered(past, torch.tensor([2.0, 3.0, 6.0]), 0.75).tolist() == [2.0, 1.5, 3.0]


def test_one_step_of_ahl_by_hand(monkeypatch):
    # Copies 0.1 and -0.1. Losses (row: copy, column: query): (0.1 - 0.3)^2 / 2 = 0.02, (0.1 +
    # 0.5)^2 / 2 = 0.18; (-0.1 - 0.3)^2 / 2 = 0.08, (-0.1 + 0.5)^2 / 2 = 0.08. Errors on the other's
    # query: 0.18 and 0.08.
    tasks = [Episode(points(1.0), points(0.3)), Episode(points(-1.0), points(-0.5))]
    monkeypatch.setattr(AHL, "episodes", lambda *_: tasks)
    method = AHL(ToPoint(), steps=1, tasks=2, inner_steps=1, inner_rate=0.1)
    scorer = trained(method, points(0.0, 0.0))
    share = 1 / (1 + np.exp(0.18 - 0.08))
    gradient = ((0.5 + 0.5 * share) * (0.1 - 0.3) + (0.5 + 0.5 * (1 - share)) * (-0.1 + 0.5)) / 2
    assert scorer.at.item() == pytest.approx(-0.1 * gradient, rel=1e-5)


def test_distributions_share_neither_row_nor_class_nor_pseudo_kind():
    data = toy_rows(24)
    method = AHL(DevNet(), distributions=8, size=20)
    for task in method.episodes(data, generator()):
        normals = [
            {tuple(row) for row in part.normals.x.tolist()} for part in (task.support, task.query)
        ]
        assert not normals[0] & normals[1]
        real, pseudo = zip(
            *[
                ({c for c in part.classes if c <= 2}, {c for c in part.classes if c > 2})
                for part in (task.support, task.query)
            ],
            strict=True,
        )
        assert [len(s) for s in (*real, *pseudo)] == [1] * 4
        assert real[0] != real[1]
        assert pseudo[0] != pseudo[1]
        counts = torch.bincount(task.support.y)
        # normals, labelled and pseudo-anomalies count alike
        assert counts[counts > 0].unique().numel() == 1


def test_a_distribution_keeps_to_a_cluster_of_normals():
    x = (
        torch.cat([torch.zeros(20, 2), torch.full((20, 2), 9.0)])
        + torch.randn(40, 2, generator=generator()) / 9
    )
    data = Samples.of(torch.cat([x, torch.ones(4, 2)]), torch.tensor([0] * 40 + [1, 1, 2, 2]))
    for task in AHL(DevNet(), clusters=2).episodes(data, generator()):
        assert torch.cat([task.support.normals.x, task.query.normals.x]).std(dim=0).max() < 1


@pytest.mark.parametrize("seed", range(8))
def test_no_cluster_of_normals_is_left_out(seed):
    corners = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    x = corners.repeat_interleave(10, dim=0) + torch.randn(30, 2, generator=generator()) / 9
    data = Samples.of(torch.cat([x, torch.ones(4, 2)]), torch.tensor([0] * 30 + [1, 1, 2, 2]))
    tasks = AHL(DevNet(), clusters=3, distributions=4).episodes(data, generator(seed))
    corner = [
        torch.cdist(task.support.normals.x.mean(dim=0)[None], corners).argmin().item()
        for task in tasks
    ]
    assert set(corner[:3]) == {0, 1, 2}  # each once before any comes again


def test_made_anomalies_are_never_normal_without_labels():
    data = toy_rows().normals
    for task in AHL(DeepSVDD(), distributions=6, clusters=2).episodes(data, generator()):
        for part in (task.support, task.query):
            assert (part.y > 0).sum() == len(part) // 2  # as many made ones as normals
            assert (part.y >= 0).all()


@pytest.mark.parametrize("rows", [slice(118, 121), slice(0, 121), slice(0, 122)])
@pytest.mark.parametrize("name", ["maml", "ahl", "meta-occ", "dplan", "ensemble"])
def test_few_rows_are_enough(name, rows):
    data = toy_rows()[rows]  # 2 normals and 1 anomaly; all and 1; all and one of each class
    method = brief(METHODS[name])
    fewer = {} if name == "ensemble" else {"steps": 5}
    score = scored(trained(dataclasses.replace(method, **fewer), data), data.x)
    assert torch.isfinite(score).all()


@pytest.mark.parametrize("wrap", [MAML, AHL])
def test_strategies_wrap_a_base_without_labels(wrap):
    method = dataclasses.replace(quick(wrap(AutoEncoder())), steps=20)
    assert not method.uses_labels
    data = toy_rows()
    scores = scored(trained(method, data), torch.cat([data.normals.x, torch.full((4, 6), 9.0)]))
    assert scores[-4:].min() > scores[:-4].max()


# pseudo-anomalies


def test_pseudo_anomalies_change_some_features():
    x = torch.arange(1000.0).view(100, 10)
    for kind in KINDS:
        changed = (kind(x, generator()) != x).float().mean(dim=1)
        assert 0.05 < changed.mean() < 0.45
        assert changed.max() < 1
    swapped = feature_swap(x, generator())
    assert all(set(a) <= set(b) for a, b in zip(swapped.tolist(), x.tolist(), strict=True))
    assert (feature_noise(x, generator(), scale=0.0) == x).all()


# Meta-OCC


def test_auc_share_by_hand():
    # sigmoid(-ln 3) = 1/4, sigmoid(0) = 1/2: pairs (0, ln 3), (0, 0) and (ln 3, ln 3), (ln 3, 0) =
    # 1/4, 1/2, 1/2, 3/4
    share = terms.auc_share(score=torch.tensor([0.0, LN3, LN3, 0.0]), y=torch.tensor([0, -1, 1, 2]))
    np.testing.assert_allclose(share, [3 / 16, 5 / 16, 3 / 16, 5 / 16], rtol=1e-5)
    assert terms.auc_share(score=torch.ones(2), y=torch.tensor([0, 0])).tolist() == [0.0, 0.0]
    with pytest.raises(DataError, match="one shape"):
        terms.auc_share(score=torch.zeros(2, 1), y=torch.zeros(2))


def problem(a, k, seed=0):
    g = generator(seed)
    root = torch.randn(3 * k, k, generator=g, dtype=torch.float64)
    return torch.randn(a, k, generator=g, dtype=torch.float64), root.T @ root / (3 * k)


@pytest.mark.parametrize(("a", "k"), [(3, 5), (5, 5), (9, 4)])
def test_discriminants_solve_the_generalised_eigenproblem(a, k):
    anomalies, within = problem(a, k)
    found = discriminants(anomalies=anomalies, within=within, directions=3)
    # ascending, w' S_n w = 1
    _, vectors = scipy.linalg.eigh((anomalies.T @ anomalies).numpy(), within.numpy())
    expected = vectors[:, ::-1][:, :3]
    signs = np.sign((found.numpy() * expected).sum(axis=0))
    np.testing.assert_allclose(found.numpy() * signs, expected, atol=1e-6)


def test_no_more_directions_than_anomalies():
    anomalies, within = problem(2, 5)
    assert discriminants(anomalies=anomalies, within=within, directions=4).shape == (5, 2)


@pytest.mark.parametrize("a", [2, 6])
def test_gradients_pass_through_the_eigenproblem(a):
    anomalies, within = problem(a, 4)
    x = torch.randn(3, 4, generator=generator(1), dtype=torch.float64)

    def score(anomalies, root):
        w = discriminants(anomalies=anomalies, within=root.T @ root + torch.eye(4), directions=2)
        return (x @ w).square().sum(dim=1)  # a sign that flips changes nothing

    assert torch.autograd.gradcheck(
        score, (anomalies.requires_grad_(), within.requires_grad_()), atol=1e-5
    )


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_anomalies_that_are_alike_leave_gradients_finite(same):
    anomalies = (same * torch.tensor([[1.0, 2.0, 3.0]]).repeat(4, 1)).requires_grad_()
    discriminants(anomalies=anomalies, within=torch.eye(3), directions=3).square().sum().backward()
    assert torch.isfinite(anomalies.grad).all()


def test_meta_occ_scores_by_hand():
    # The identity as embedding. Normals at (+-1, 0), (0, +-1): centre 0, S_n = I/2 (and a ridge of
    # 1: + I/2 + 1e-6). The anomaly at (3, 0): w = (1, 0), as w' S_n w = 1. So (2, 7) scores log(1 +
    # 2^2), as if it were (2, 0).
    method = MetaOCC(hidden=(), latent=2, ridge=1.0)
    scorer = method.build((2,))
    torch.nn.init.eye_(scorer.net[0].weight)
    torch.nn.init.zeros_(scorer.net[0].bias)
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [3.0, 0.0]])
    method.settle(scorer, Samples.of(x, torch.tensor([0, 0, 0, 0, 2])), run())
    assert scored(scorer, torch.tensor([[2.0, 7.0]])).item() == pytest.approx(np.log(5), abs=1e-4)
    # it remembers no anomaly, as it was not trained
    moved = method.adapt(scorer, Samples.of(x[:4] + 1), run())
    assert torch.allclose(moved.centre, torch.ones(2))


def test_meta_occ_loss_reaches_the_embedding_through_the_solution():
    scorer, data = MetaOCC().build((6,)), toy_rows()
    scorer.solve(data, 0.1)
    scorer(data.x[:1].detach()).sum().backward(retain_graph=True)
    through = [p.grad.clone() for p in scorer.parameters()]
    scorer.zero_grad()
    scorer.centre, scorer.matrix = scorer.centre.detach(), scorer.matrix.detach()
    scorer(data.x[:1]).sum().backward()
    assert all(
        (a - p.grad).abs().max() > 1e-4
        for a, p in zip(through, scorer.parameters(), strict=True)
        if p.ndim > 1
    )


def test_meta_occ_weighs_rows():
    data, method = toy_rows(), MetaOCC()
    scorer = method.build((6,))
    weight = torch.where(torch.arange(len(data)) < 60, 0.0, 1.0)
    scorer.solve(dataclasses.replace(data, weight=weight), 0.1)
    part = method.build((6,))
    part.load_state_dict(scorer.state_dict())
    part.solve(data[60:], 0.1)
    torch.testing.assert_close(scorer.centre, part.centre)
    torch.testing.assert_close(scored(scorer, data.x), scored(part, data.x), rtol=1e-3, atol=1e-4)


# DPLAN


def test_reward_by_hand():
    labelled = torch.tensor([True, True, False, False])
    assert reward(action=torch.tensor([1, 0, 1, 0]), labelled=labelled).tolist() == [
        1.0,
        -1.0,
        -1.0,
        0.0,
    ]


def test_next_row_is_nearest_after_an_alarm_else_farthest():
    here = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
    there = torch.tensor([[1.0, 0.0], [3.0, 4.0], [5.0, 0.0], [-2.0, 0.0]])
    chosen = following(
        here,
        there,
        action=torch.tensor([1, 0, 1]),
        own=torch.tensor([90, 90, 12]),
        numbers=torch.arange(10, 14),
    )
    assert chosen.tolist() == [0, 1, 0]  # the third is row 12 itself: its nearest other is 4 away


def test_temporal_difference_by_hand():
    loss = terms.temporal_difference(
        value=torch.tensor([1.0, 0.0]),
        reward=torch.tensor([-1.0, 1.5]),
        after=torch.tensor([[2.0, 4.0], [1.0, -1.0]]),
        discount=0.75,
    )
    assert loss.tolist() == [1.0, 2.25**2]  # (-1 + 3 - 1)^2, (1.5 + 0.75 - 0)^2


def test_replay_forgets_the_oldest():
    replay = Replay(4, torch.device("cpu"))
    for first in (0, 2, 4):
        state = torch.tensor([first, first + 1])
        replay.add(state, state % 2, state + 10, state / 2)
    state, action, after, pay = replay.batch(200, generator())
    assert set(state.tolist()) == {2, 3, 4, 5}
    assert torch.equal(action, state % 2)
    assert torch.equal(after, state + 10)
    assert torch.equal(pay, state / 2)


def test_novelty_spans_zero_to_one():
    x = torch.cat([torch.randn(200, 2, generator=generator()), torch.full((1, 2), 9.0)])
    novel = novelty(x, 200, run())
    assert novel.min() == 0
    assert novel.argmax() == 200
    assert novel.max() == 1
    assert novelty(torch.zeros(5, 2), 4, run()).tolist() == [0.0] * 5


def test_experience_pays_what_the_rows_deserve():
    data, method = toy_rows(24), DPLAN(environments=16, batch=200, subset=50)
    seen = list(islice(method.experience(method.build((6,)), data, run()), 10))[-1]
    anomalies = {tuple(row) for row in data.anomalies.x.tolist()}
    labelled = torch.tensor([tuple(row) in anomalies for row in seen.x.tolist()])
    novel = seen.reward - reward(action=seen.action, labelled=labelled)
    assert novel.min() >= 0
    assert novel.max() <= 1
    assert 0.3 < labelled.float().mean() < 0.7
    assert seen.after.shape == (200, 2)


# Ensemble


def test_ensemble_averages_standardised_scores():
    data = toy_rows()
    method = Ensemble(Nearest(bank=40), members=3)
    scorer = trained(method, data)
    banks = [member.normals.rows for member in scorer.members]
    assert not torch.equal(banks[0], banks[1]), "members draw for themselves"
    each = torch.stack([scored(member, data.x) for member in scorer.members])
    normals = each[:, data.y == 0]
    expected = ((each - normals.mean(dim=1, keepdim=True)) / normals.std(dim=1, keepdim=True)).mean(
        dim=0
    )
    torch.testing.assert_close(scored(scorer, data.x), expected)


def test_a_member_does_not_depend_on_how_many_follow():
    few, many = (
        trained(Ensemble(DevNet(steps=5, batch=16), members=m), toy_rows()) for m in (2, 3)
    )
    for name, tensor in few.members[1].state_dict().items():
        assert torch.equal(tensor, many.members[1].state_dict()[name])


def test_ensemble_uses_labels_as_its_base_does():
    assert Ensemble(DevNet()).uses_labels
    assert not Ensemble(Mahalanobis()).uses_labels
    with pytest.raises(DataError, match="members must be at least 1, got 0"):
        Ensemble(DevNet(), members=0)


def test_settings_leave_the_method_inside_alone():
    assert configured("ensemble", ["members=3"]) == Ensemble(DevNet(), members=3)
    assert configured("ensemble", ["base=mahalanobis"]) == Ensemble(Mahalanobis())

"""Spheres, heads and pairs: losses and generators against numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from quick import brief
from unseen.detector.settings import configured
from unseen.errors import DataError
from unseen.methods import METHODS
from unseen.methods.con2 import Con2, Contexts
from unseen.methods.continuous import ContinuousLabels, drawn
from unseen.methods.deepsad import DeepSAD, DeepSVDD, Sphere
from unseen.methods.devnet import DevNet
from unseen.methods.flos import FLOS
from unseen.methods.kka import KKA, _easy_and_hard
from unseen.methods.prenet import Pairs, PReNet
from unseen.methods.prn import PRN
from unseen.methods.saliencycut import SaliencyCut, TwoHeads
from unseen.parts import losses, terms
from unseen.parts.heads import Head
from unseen.parts.nets import seeded
from unseen.parts.pseudo import saliency, saliency_cut, scattered
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*y, d=3, group=None):
    y = torch.tensor(y)
    return Samples.of(torch.randn(len(y), d, generator=generator()), y, group)


# spheres


def test_sphere_loss_by_hand():
    loss = losses.sphere(
        distance=torch.tensor([9.0, 2.0, 4.0, 0.0]), y=torch.tensor([0, -1, 1, 2]), eta=3.0
    )
    torch.testing.assert_close(loss, torch.tensor([9.0, 2.0, 0.75, 3e6]))
    with pytest.raises(DataError, match=r"one shape \(n,\)"):
        losses.sphere(distance=torch.zeros(2, 1), y=torch.zeros(2), eta=1.0)


def test_sphere_by_hand():
    scorer = Sphere(2, hidden=(), latent=2)
    assert [name for name, _ in scorer.named_parameters()] == ["net.0.weight"]  # no bias
    torch.nn.init.eye_(scorer.net[0].weight)
    # mean (2, -0.01): the second is kept away from 0
    scorer.settle(torch.tensor([[1.0, 0.0], [3.0, -0.02]]))
    assert scorer.centre.tolist() == pytest.approx([2.0, -0.1])
    assert scored(scorer, torch.tensor([[5.0, 3.9]])).item() == pytest.approx(3.0**2 + 4.0**2)


def test_centre_is_of_normals_alone_and_stays():
    data = toy_rows()
    far = Samples.of(torch.where(data.y[:, None] > 0, 99.0, data.x), data.y)
    for method in (DeepSVDD(steps=1), DeepSAD(steps=1)):
        assert torch.equal(trained(method, data).centre, trained(method, far).centre)
    assert torch.equal(
        trained(DeepSAD(steps=1), data).centre, trained(DeepSAD(steps=5), data).centre
    )


def test_deep_sad_batches_show_every_label_and_do_without():
    run = Run(generator())
    assert next(DeepSAD().stream(rows(0, 0, 0, 0, 2), run)).y.bincount().tolist() == [128, 0, 128]
    assert len(next(DeepSAD().stream(rows(0, 0, -1), run)).anomalies) == 0


def test_deep_sad_drives_labelled_anomalies_out():
    data = toy_rows(40)
    inside, outside = (
        scored(trained(DeepSAD(steps=100, batch=64), data), data.x)[data.y == y].median()
        for y in (0, 1)
    )
    assert outside > 10 * inside


# heads


def test_focal_by_hand():
    # A logit of log 3 is a probability of 3/4 of being an anomaly.
    logit = torch.full((2,), 3.0).log()
    loss = losses.focal(logit=logit, y=torch.tensor([1, 0]), gamma=2.0)
    expected = [(1 / 4) ** 2 * np.log(4 / 3), (3 / 4) ** 2 * np.log(4)]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_focal_without_focus_is_cross_entropy():
    logit, y = torch.tensor([-3.0, 0.5, 40.0]), torch.tensor([0, 1, 0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logit, (y > 0).float(), reduction="none"
    )
    torch.testing.assert_close(losses.focal(logit=logit, y=y, gamma=0.0), expected)


@pytest.mark.parametrize("name", ["flos", "prenet", "prn", "saliency-cut", "kka"])
def test_heads_need_both_sides(name):
    with pytest.raises(DataError, match=r"it was given 120 and 0: label at least one row"):
        trained(brief(METHODS[name]), toy_rows().normals)


def test_flos_learns_devnets_network_from_devnets_batches():
    data, run = toy_rows(), Run(generator())
    flos, devnet = FLOS(), DevNet()
    assert torch.equal(
        next(flos.stream(data, run)).x, next(devnet.stream(data, Run(generator()))).x
    )
    assert flos.build((6,)).state_dict().keys() == devnet.build((6,)).state_dict().keys()


# pairs


def test_pair_targets_by_hand():
    # Two normals of one group, one of another, two anomalies. Relation first_i + second_j; targets
    # 0, 4, 8.
    first, second = (
        torch.tensor([1.0, -2.0, 5.0, 3.0, 4.0]),
        torch.tensor([0.0, 1.0, 7.0, 2.0, 5.0]),
    )
    y, group = torch.tensor([0, -1, 0, 1, 2]), torch.tensor([0, 0, 1, 0, 1])
    loss = terms.ordinal_pairs(first=first, second=second, y=y, group=group, weight=torch.ones(5))

    def relation(i, j):
        return first[i].item() + second[j].item()

    expected = []
    for i in range(5):
        normals, anomalies = [0, 1, 2], [3, 4]
        if i in normals:
            alike = [j for j in normals if group[j] == group[i]]  # itself among them
            pairs = [abs(relation(i, j)) for j in alike] + [abs(relation(j, i)) for j in alike]
            expected.append(
                np.mean(pairs) + np.mean([abs(relation(a, i) - 4) for a in anomalies]) / 4
            )
        else:
            pairs = [abs(relation(i, j) - 8) for j in anomalies] + [
                abs(relation(j, i) - 8) for j in anomalies
            ]
            expected.append(
                np.mean(pairs) / 2 + np.mean([abs(relation(i, u) - 4) for u in normals]) / 4
            )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_pairs_have_the_shares_of_the_paper():
    # Every relation is off by 1 in one kind of pair and right in the others: its share of the mean
    # loss.
    y, zero, one = torch.tensor([0, 0, 1, 1]), torch.zeros(4), torch.ones(4)

    def mean(first, second):
        return (
            terms.ordinal_pairs(first=first, second=second, y=y, group=zero.long(), weight=one)
            .mean()
            .item()
        )

    of = torch.where(y > 0, 4.0, 0.0)  # right everywhere: 0, 4, 8
    assert mean(of, of) == 0.0
    assert mean(of + 1, of) == pytest.approx(1.0)  # 1/2 + 1/4 + 1/4
    assert mean(of + (y > 0), of) == pytest.approx(1 / 2)  # au and aa
    assert mean(of + (y <= 0), of) == pytest.approx(1 / 2)  # uu
    assert mean(of, of + (y <= 0)) == pytest.approx(3 / 4)  # uu and au


def test_a_partner_without_weight_is_no_partner():
    y = torch.tensor([0, 0, 1])
    first = torch.tensor([1.0, 50.0, 3.0])
    loss = terms.ordinal_pairs(
        first=first, second=0 * first, y=y, group=0 * y, weight=torch.tensor([1.0, 0.0, 1.0])
    )
    assert loss[0].item() == pytest.approx((1 + 1) / 2 + abs(3 - 4) / 4)


def test_prenet_scores_by_its_references():
    scorer = Pairs(1, hidden=())
    with torch.no_grad():
        scorer.net[0].weight.copy_(torch.tensor([[1.0], [2.0]]))  # first and second of a pair
        scorer.net[0].bias.copy_(torch.tensor([0.5, 0.0]))
    scorer.anomalies.fill(torch.tensor([[3.0], [5.0]]))
    scorer.normals.fill(torch.tensor([[0.0], [1.0]]))
    # With anomalies first: 4.5 + 2 x; with normals second: (x + 0.5) + 1.
    assert scored(scorer, torch.tensor([[2.0]])).item() == pytest.approx(
        ((4.5 + 4.0) + (2.5 + 1.0)) / 2
    )


def test_prenet_regresses_to_two_and_six():
    data = toy_rows(40)
    scores = scored(trained(PReNet(steps=400, batch=128), data), data.x)
    assert scores[data.y == 0].median() == pytest.approx(2, abs=0.5)
    assert scores[data.y > 0].median() == pytest.approx(6, abs=0.5)


# pseudo-anomalies


def test_scattered_rows_move_in_some_features():
    x = torch.zeros(4000, 10)
    made = scattered(x, generator(), least=2.0, most=2.0, share=0.3)
    moved = made != 0
    assert moved.any(dim=1).all()
    # at least one a row
    assert moved.float().mean().item() == pytest.approx(0.3 + 0.7**10 / 10, abs=0.01)
    assert made[moved].std().item() == pytest.approx(2.0, abs=0.05)


def test_saliency_of_a_linear_head_is_its_weight():
    head = Head(3, hidden=())
    with torch.no_grad():
        head.net[0].weight.copy_(torch.tensor([[-4.0, 1.0, 2.0]]))
    torch.testing.assert_close(
        saliency(head, torch.randn(5, 3)), torch.tensor([[4.0, 1.0, 2.0]]).expand(5, 3)
    )
    assert all(p.grad is None for p in head.parameters())
    # Scaled to [0, 1] the saliency is 1, 0, 1/3: at 0.4 the last two are cut in, at 0.3 the middle
    # one.
    x, donors = torch.zeros(1, 3), torch.ones(1, 3)
    salient = saliency(head, donors)
    assert saliency_cut(x, donors, salient, most=0.4).tolist() == [[0.0, 1.0, 1.0]]
    assert saliency_cut(x, donors, salient, most=0.3).tolist() == [[0.0, 1.0, 0.0]]


def test_saliency_cut_follows_the_scorer_as_it_is():
    data, method, run = toy_rows(), SaliencyCut(batch=40), Run(generator())
    scorer = seeded(lambda: method.build((6,)), 0)
    stream = method.with_salient(scorer, data, run)
    for ignored in (0, 3):  # a column without weight is the least salient, and always cut in
        with torch.no_grad():
            scorer.net[0].weight.copy_(torch.randn(20, 6, generator=generator()))
            scorer.net[0].weight[:, ignored] = 0
        batch = next(stream)
        assert len(batch) == 50
        hosts, made = batch.normals.x[:10], batch.x[40:]
        assert (batch.y[40:] > 0).all()
        assert (made[:, ignored] != hosts[:, ignored]).sum() >= 9  # a host may meet itself
        assert (made == hosts).any(dim=1).all()  # what is salient stays


def test_saliency_cut_heads_pull_apart():
    scorer = TwoHeads(1, hidden=())
    with torch.no_grad():
        scorer.net[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))  # anomaly head x, normal head -x
    batch = Samples.of(torch.tensor([[2.0], [2.0]]), torch.tensor([0, 1]))
    # Normal row: |2| + max(0, 5 + 2); anomaly: max(0, 5 - 2) + |-2|.
    assert SaliencyCut(margin=5.0).loss(scorer, batch, Run(generator())).tolist() == [9.0, 5.0]
    assert scored(scorer, batch.x).tolist() == [4.0, 4.0]


# continuous labels


def test_drawn_labels_are_even_and_a_rows_own():
    x = torch.randn(20_000, 5, generator=generator())
    label = drawn(x)
    assert torch.equal(drawn(x[:7]), label[:7])
    np.testing.assert_allclose(torch.histc(label, 10, 0, 1) / 20_000, 0.1, atol=0.01)
    neighbours = drawn(x + 1e-3 * torch.randn(20_000, 5, generator=generator(1)))
    assert abs(np.corrcoef(label, neighbours)[0, 1]) < 0.03
    assert len(drawn(torch.eye(5)).unique()) == 5


def test_continuous_labels_by_hand():
    method, scorer = ContinuousLabels(spread=0.0), ContinuousLabels(hidden=()).build((2,))
    torch.nn.init.zeros_(scorer.net[0].weight)
    torch.nn.init.constant_(scorer.net[0].bias, 0.25)
    batch = Samples.of(torch.randn(3, 2), torch.tensor([0, -1, 2]))
    assert method.loss(scorer, batch, Run(generator())).tolist() == [0.0625, 0.0625, 0.5625]
    wide = ContinuousLabels(spread=0.5).loss(scorer, batch, Run(generator())).sqrt()
    assert ((wide[:2] <= 0.5) & (wide[:2] >= 0)).all()
    assert 0.5 <= wide[2] <= 1.0


def test_continuous_labels_find_far_rows_without_a_label():
    normals = toy_rows(seed=1).normals
    scorer = trained(ContinuousLabels(steps=200), normals)
    assert scored(scorer, 6 * torch.eye(6)).min() > scored(scorer, normals.x).quantile(0.95)


# prototypes


def test_prototypes_are_shared_among_groups():
    x = torch.cat([torch.zeros(30, 2), torch.full((3, 2), 50.0), torch.full((4, 2), 20.0)])
    data = Samples.of(x, torch.tensor([0] * 33 + [1] * 4), torch.tensor([0] * 30 + [1] * 7))
    scorer = seeded(lambda: PRN(hidden=(), prototypes=2).build((2,)), 0)
    PRN(prototypes=2).prepare(scorer, data, Run(generator()))
    assert sorted(scorer.prototypes.tolist()) == [[0.0, 0.0], [50.0, 50.0]]
    with torch.no_grad():
        scorer.net[0].weight.copy_(torch.tensor([[1.0, 0.0, 10.0, 0.0]]))
        scorer.net[0].bias.zero_()
    assert scored(scorer, torch.tensor([[48.0, 50.0]])).item() == pytest.approx(48 + 10 * -2)


# curriculum


def labelled_pool(normals=60):
    """Normals around 0, two anomalies far out in the second column, and a pool of ten along the
    first.
    """
    g = generator()
    x = torch.randn(normals + 12, 2, generator=g)
    y = torch.tensor([0] * normals + [1] * 2 + [2] * 10)
    x[y == 1] = torch.tensor([0.0, 9.0])
    x[y == 2] = torch.stack([torch.arange(10.0), torch.zeros(10)], dim=1)
    return Samples.of(x, y)


def test_the_pool_is_no_part_of_what_the_base_is_given():
    data = labelled_pool()
    known, pool = KKA(DevNet(), pool=2).apart(data)
    assert known.classes == [1]
    assert pool.classes == [2]
    alone, pool = KKA(DevNet(), pool=2).apart(data[data.y != 1])
    assert alone.classes == pool.classes == [2]
    with pytest.raises(DataError, match=r"class 7 .* one of \[1, 2\]"):
        KKA(DevNet(), pool=7).apart(data)


def test_hard_rows_are_those_that_score_low():
    first = Head(2, hidden=())
    with torch.no_grad():
        first.net[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
    pool = labelled_pool()[62:]
    easy, hard = _easy_and_hard(first, pool[torch.randperm(10, generator=generator())])
    assert sorted(hard.x[:, 0].tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert sorted(easy.x[:, 0].tolist()) == [5.0, 6.0, 7.0, 8.0, 9.0]


def test_hard_rows_come_later():
    batches, method = [], KKA(DevNet(batch=10, steps=6), pool=2, rounds=3, size=20, most=0.8)

    def loss(self, scorer, batch, run):
        batches.append(batch)
        return original(self, scorer, batch, run)

    original = DevNet.loss
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DevNet, "loss", loss)
        patch.setattr(
            "unseen.methods.kka._easy_and_hard", lambda scorer, pool: (pool[5:], pool[:5])
        )
        trained(method, labelled_pool())
    assert len(batches) == 6
    assert all(len(b) == 30 and b[:10].classes == [1] and b[10:].classes == [2] for b in batches)
    hard = [(b[10:].x[:, 0] < 5).sum().item() for b in batches]
    assert hard == [0, 0, 8, 8, 16, 16]


def test_a_pool_is_chosen_in_words():
    method = configured("kka", ["pool=2", "rounds=3"])
    assert method == dataclasses.replace(METHODS["kka"], pool=2, rounds=3)


# contexts


def test_infonce_of_orthogonal_vectors():
    # Each of 2 n unit vectors has one equal to it, and is orthogonal to the others: log(1 + (2 n -
    # 2) exp(-1 / T)).
    n, temperature = 4, 0.5
    z = torch.eye(n).repeat(2, 1) * torch.linspace(1, 9, 2 * n)[:, None]  # lengths do not matter
    row = torch.arange(2 * n) % n
    every = torch.ones(8, 8, dtype=torch.bool)
    loss = terms.contrast(z=z, positive=row[:, None] == row, among=every, temperature=temperature)
    np.testing.assert_allclose(loss, np.log(1 + (2 * n - 2) * np.exp(-1 / temperature)), rtol=1e-5)
    # With all others positive, the mean over 7: one at -log p, six at 1 / T more.
    all_right = terms.contrast(z=z, positive=every, among=every, temperature=temperature)
    np.testing.assert_allclose(all_right, loss + 6 / 7 / temperature, rtol=1e-5)
    # Among the four of the other half, three are wrong.
    other = (torch.arange(8) // n)[:, None] != torch.arange(8) // n
    loss = terms.contrast(z=z, positive=row[:, None] == row, among=other, temperature=temperature)
    np.testing.assert_allclose(loss, np.log(1 + 3 * np.exp(-1 / temperature)), rtol=1e-5)


def test_contrast_without_positives_is_nothing():
    itself = torch.eye(3, dtype=torch.bool)
    loss = terms.contrast(z=torch.randn(3, 2), positive=itself, among=itself, temperature=1.0)
    assert loss.tolist() == [0.0, 0.0, 0.0]


def test_contexts_can_be_undone():
    x = torch.randn(5, 6, generator=generator())
    flip, permute = Contexts(6, hidden=(), latent=2), Contexts(6, hidden=(), latent=2)
    flip.choose("flip", generator())
    permute.choose("permute", generator(1))
    assert torch.equal(flip.moved(flip.moved(x)), x)
    assert torch.equal(permute.moved(x)[:, permute.order.argsort()], x)
    assert not torch.equal(permute.moved(x), x)


def test_con2_scores_by_two_gaussians():
    scorer = Contexts(2, hidden=(), latent=2)
    torch.nn.init.eye_(scorer.net[0].weight)
    torch.nn.init.zeros_(scorer.net[0].bias)
    scorer.choose("flip", generator())
    scorer.settle(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    # The identity: in both contexts the corner is (1, 2) from the mean, variances 4/3 and 16/3 (and
    # a shrinkage).
    assert scored(scorer, torch.tensor([[2.0, 4.0]])).item() == pytest.approx(1.5**0.5, abs=2e-3)


def test_con2_separates_the_contexts():
    x = toy_rows().normals.x.exp()  # a flip of symmetric rows would be no other context
    scorer = trained(Con2(steps=200, batch=64), Samples.of(x))
    with torch.no_grad():
        a, b = (
            torch.nn.functional.normalize(scorer.net(view), dim=1) for view in (x, scorer.moved(x))
        )
    assert (a @ a.T).mean() > (a @ b.T).mean() + 0.3
    assert (a * b).sum(dim=1).mean() > (
        a @ b.T
    ).mean() + 0.3  # and yet a row is nearer to its own double

"""Parts against numbers worked out by hand and laws that they must keep."""

from itertools import islice

import numpy as np
import pytest
import torch

from unseen.errors import DataError
from unseen.parts import bank, losses, terms
from unseen.parts.bank import LANES, MANY, SHARE, SHORT, WIDE, Bank, Whitening, smallest
from unseen.parts.clusters import centres, nearest_centre
from unseen.parts.episodes import (
    balanced,
    class_held_out,
    held_out_splits,
    line_halves,
    stratified_folds,
    together,
)
from unseen.parts.loops import Average, adapted, minimise, move_towards, step_by
from unseen.parts.nets import Resizing, mlp, seeded
from unseen.parts.pseudo import feature_cut, with_cut
from unseen.parts.standard import Standard
from unseen.parts.trees import Trees
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def labelled(*y):
    y = torch.tensor(y)
    return Samples.of(torch.arange(len(y)).float()[:, None].repeat(1, 3), y)


# losses


def test_deviation_by_hand():
    loss = losses.deviation(
        score=torch.tensor([0.0, -2.0, 7.0, 3.0]), y=torch.tensor([0, -1, 1, 2]), margin=5.0
    )
    assert loss.tolist() == [0.0, 2.0, 0.0, 2.0]


def test_a_column_of_scores_is_refused():
    # (n, 1) against (n,) broadcasts to (n, n), and the labels do nothing: two known libraries ship
    # that.
    with pytest.raises(DataError, match=r"one shape \(n,\)"):
        losses.deviation(score=torch.zeros(4, 1), y=torch.zeros(4), margin=5.0)
    with pytest.raises(DataError, match=r"one shape \(n,\)"):
        losses.confidence(logits=torch.zeros(4, 2), y=torch.zeros(4, 1))


def test_confidence_is_cross_entropy_of_the_softmax():
    logits = torch.tensor([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    s0 = np.exp(2) / (np.exp(2) + 1 + np.exp(1))
    loss = losses.confidence(logits=logits, y=torch.tensor([0, 1]))
    np.testing.assert_allclose(loss, [-np.log(s0), -np.log(1 - s0)], rtol=1e-6)


def test_confidence_does_not_saturate():
    loss = losses.confidence(logits=torch.tensor([[200.0, 0.0]]), y=torch.tensor([1]))
    assert loss.item() == 200.0  # log(1 - S_0) in floats would be infinite


def test_margin_pairs_by_hand():
    pairs = terms.margin_pairs(
        normal=torch.tensor([1.0, 0.0]), anomaly=torch.tensor([0.5, -2.0]), margin=0.25
    )
    assert pairs.tolist() == [[0.0, 0.0], [0.75, 0.0]]


def test_squared_error_by_hand():
    error = losses.squared_error(
        reconstruction=torch.tensor([[1.0, 2.0]]), x=torch.tensor([[0.0, 4.0]])
    )
    assert error.tolist() == [2.5]
    with pytest.raises(DataError, match="shape"):
        losses.squared_error(reconstruction=torch.zeros(1, 2), x=torch.zeros(1, 3))


# pseudo-anomalies


def test_feature_cut_takes_whole_values_from_one_donor():
    x, donors = torch.zeros(200, 10), torch.arange(1.0, 31.0)[:, None].repeat(1, 10)
    made = feature_cut(x, donors, generator(), least=0.1, most=0.5)
    cut = (made != 0).sum(dim=1)
    assert cut.min() >= 1
    assert cut.max() < 10, "some of the row must stay"
    assert all(len(row[row != 0].unique()) == 1 for row in made), "a row takes from one donor"
    assert 0.2 < cut.float().mean() / 10 < 0.4


def test_with_cut_adds_labelled_rows_behind_the_batch():
    batch = labelled(0, 0, 0, 0, 2)
    more = with_cut(batch, torch.full((1, 3), 9.0), 0.5, generator())
    assert more.y.tolist() == [0, 0, 0, 0, 2, 1, 1]
    assert torch.equal(more.x[:5], batch.x)


# episodes


def test_balanced_batches_are_half_anomalies():
    batch = next(balanced(labelled(*[0] * 50, 1, 2), 20, generator()))
    assert (batch.y == 0).sum() == 10


def test_class_held_out_rotates_and_never_mixes():
    data = labelled(0, 0, 1, 1, 2, 2, 3, 3)
    episodes = list(islice(class_held_out(data, 40, generator()), 6))
    held = [set(e.query.classes) for e in episodes]
    assert all(len(h) == 1 for h in held)
    assert all(not h & set(e.support.classes) for h, e in zip(held, episodes, strict=True))
    assert set.union(*held[:3]) == set.union(*held[3:]) == {1, 2, 3}


def test_directions_hold_out_each_class_then_parts_of_all():
    data = labelled(*[1] * 6, *[2] * 6, *[5] * 6)
    ways = held_out_splits(data, generator(), folds=3)
    assert [w.known for w in ways] == [False] * 3 + [True] * 3
    for way in ways:
        assert sorted([*way.inside.tolist(), *way.outside.tolist()]) == list(range(18))
    assert {tuple(data.y[w.outside].unique().tolist()) for w in ways[:3]} == {(1,), (2,), (5,)}
    assert all(data.y[w.outside].bincount()[[1, 2, 5]].tolist() == [2, 2, 2] for w in ways[3:])


def test_directions_of_many_classes_are_bounded():
    ways = held_out_splits(labelled(*range(1, 21)), generator(), folds=3, most=6)
    assert sum(not w.known for w in ways) == 6


def test_directions_of_one_class_hold_out_its_halves():
    data = Samples.of(torch.tensor([[0.0], [9.0], [1.0], [8.0], [0.5], [9.5]]), torch.full((6,), 3))
    whole = [
        sorted(data.x[w.outside, 0].tolist())
        for w in held_out_splits(data, generator(), folds=2)
        if not w.known
    ]
    assert sorted(whole) == [[0.0, 0.5, 1.0], [8.0, 9.0, 9.5]]


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_can_be_held_out_of_one_row(rows):
    assert held_out_splits(labelled(*[1] * rows), generator(), folds=3) == []


def test_few_rows_of_one_class_hold_out_parts_only():
    ways = held_out_splits(labelled(1, 1, 1), generator(), folds=3)
    assert [w.known for w in ways] == [True] * 3
    assert line_halves(torch.zeros(5, 2)).tolist() == [0] * 5


def test_stratified_folds_spread_each_class():
    y = torch.tensor([1] * 9 + [2] * 3)
    fold = stratified_folds(y, 3, generator())
    assert torch.stack([torch.bincount(fold[y == c], minlength=3) for c in (1, 2)]).tolist() == [
        [3, 3, 3],
        [1, 1, 1],
    ]


# loops


def test_minimise_descends_a_weighted_mean_whatever_the_weights_sum_to():
    def fitted(weight):
        p = torch.nn.Parameter(torch.zeros(()))
        data = Samples(
            torch.tensor([[1.0], [5.0]]),
            torch.zeros(2),
            torch.zeros(2),
            torch.tensor([weight, 0.0]),
        )
        stream = iter(lambda: data, None)
        optimiser = torch.optim.SGD([p], lr=0.1)
        minimise(
            lambda b: (b.x[:, 0] - p).square(),
            optimiser,
            stream,
            Run(generator()),
            steps=200,
            clip=1e9,
        )
        return p.item()

    assert fitted(1.0) == pytest.approx(1.0, abs=1e-4)  # the row of weight 0 has no say
    assert fitted(0.01) == pytest.approx(fitted(1.0), abs=1e-4)


def test_minimise_restores_the_number_of_threads():
    before = torch.get_num_threads()
    p = torch.nn.Parameter(torch.zeros(()))
    stream = iter(lambda: labelled(0, 0), None)
    minimise(
        lambda b: b.x[:, 0] * p, torch.optim.SGD([p], lr=0.1), stream, Run(generator()), steps=1
    )
    assert torch.get_num_threads() == before


def test_average_is_the_mean_of_the_states():
    layer, average = torch.nn.Linear(1, 1, bias=False), Average()
    for value in (1.0, 2.0, 6.0):
        torch.nn.init.constant_(layer.weight, value)
        average.add(layer)
    average.load(layer)
    assert layer.weight.item() == pytest.approx(3.0)


# state


def test_whitened_normals_are_uncorrelated_with_variance_one():
    x = torch.randn(2000, 3, generator=generator()) @ torch.tensor(
        [[1.0, 2.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 3.0]]
    )
    whiten = Whitening(3)
    whiten.fit(x, shrinkage=0.0)
    torch.testing.assert_close(torch.cov(whiten(x).T), torch.eye(3), atol=1e-3, rtol=0)


def test_bank_finds_small_distances_far_from_the_origin():
    bank = Bank(2)
    bank.fill(torch.tensor([[5.0, 5.0], [5.0, 5.001], [9.0, 9.0]]))
    expected = [0.0, 0.001]
    np.testing.assert_allclose(
        bank.distances(torch.tensor([[5.0, 5.0]]), k=2)[0], expected, atol=1e-6
    )


@pytest.mark.parametrize("k", [1, 5, LANES // 2, LANES])
@pytest.mark.parametrize("m", [3, SHORT, SHORT + 1, 1024, 2047, 2048])
def test_the_smallest_are_those_of_a_sort(m, k):
    g = torch.Generator().manual_seed(m + k)
    values = torch.randn(50, m, generator=g)
    assert torch.equal(smallest(values, k=k), values.argsort(dim=1)[:, :k])


@pytest.mark.parametrize("m", [3, SHORT + 1])
def test_nothing_has_no_neighbours(m):
    bank = Bank(2)
    bank.fill(torch.zeros(m, 2))
    assert smallest(torch.zeros(0, m), k=2).shape == (0, 2)
    assert bank.distances(torch.zeros(0, 2), k=1).shape == (0, 1)
    assert Bank(2).distances(torch.zeros(4, 2), k=1).shape == (4, 0)


def test_ties_take_nothing_from_the_smallest():
    g = torch.Generator().manual_seed(0)
    values = torch.randint(
        4, (200, 1000), generator=g
    ).float()  # hundreds of rows are as near as the nearest
    values[0] = torch.inf
    values[1, 7 + LANES * torch.arange(6)] = -1.0  # all in one lane
    places = smallest(values, k=5)
    assert torch.equal(values.gather(1, places), values.sort(dim=1).values[:, :5])
    assert all(len(set(row)) == 5 for row in places.tolist())


@pytest.mark.parametrize("m", [9, SHORT + 1])
def test_what_is_no_number_has_a_place_all_the_same(m):
    places = smallest(torch.full((2, m), torch.nan), k=5)
    assert all(len(set(row)) == 5 and 0 <= min(row) <= max(row) < m for row in places.tolist())


def test_covariance_does_not_depend_on_blocks(monkeypatch):
    x = 100 + torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 2.0, 3.0]
    )
    whole, parts = Whitening(3), Whitening(3)
    whole.fit(x, shrinkage=1e-3)
    monkeypatch.setattr(bank, "BLOCK", 7)
    parts.fit(x, shrinkage=1e-3)
    torch.testing.assert_close(parts(x).norm(dim=1), whole(x).norm(dim=1))


def test_buffers_resize_on_load():
    filled, empty = Bank(2), Bank(2)
    filled.fill(torch.ones(7, 2))
    torch.nn.Sequential(empty).load_state_dict(torch.nn.Sequential(filled).state_dict())
    assert empty.rows.shape == (7, 2)
    assert isinstance(empty, Resizing)


def test_seeded_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    a, b = (seeded(lambda: mlp([3, 4, 1]), 5) for _ in range(2))
    assert torch.equal(a[0].weight, b[0].weight)
    assert torch.equal(torch.random.get_rng_state(), before)


# samples


def test_samples_check_their_shapes():
    with pytest.raises(DataError, match=r"weight must have shape \(2,\).*got \(3,\)"):
        Samples(torch.zeros(2, 1), torch.zeros(2), torch.zeros(2), torch.zeros(3))
    with pytest.raises(DataError, match="finite"):
        Samples.of(torch.tensor([[float("nan")]]))


def test_samples_part_normals_from_anomalies():
    data = together(labelled(0, -1, 2), labelled(1))
    assert data.normals.y.tolist() == [0, -1]
    assert data.anomalies.y.tolist() == [2, 1]
    assert data.classes == [1, 2]


# meta-learning steps


class Point(torch.nn.Module):
    """One parameter; its loss on a row is half the squared distance to it."""

    def __init__(self, at):
        super().__init__()
        self.at = torch.nn.Parameter(torch.tensor([at]))

    def forward(self, x):
        return (self.at - x).square()[:, 0] / 2


def rows(value, n=4):
    while True:
        yield Samples.of(torch.full((n, 1), value))


def test_adapted_is_plain_sgd_on_a_copy():
    scorer = Point(0.0)
    fast = adapted(scorer, lambda m, b: m(b.x), rows(0.5), Run(generator()), rate=0.1, steps=2)
    # 0 -> 0 + 0.1 * 0.5 = 0.05 -> 0.05 + 0.1 * 0.45 = 0.095
    assert fast.at.item() == pytest.approx(0.095)
    assert scorer.at.item() == 0.0


def test_reptile_moves_towards_the_mean_of_the_copies():
    scorer = Point(1.0)
    move_towards(scorer, [Point(2.0), Point(4.0)], share=0.5)
    assert scorer.at.item() == pytest.approx(1 + 0.5 * (3 - 1))


def test_first_order_maml_takes_the_gradient_at_the_copy():
    scorer, fast = Point(0.0), Point(0.25)
    optimiser = torch.optim.SGD(scorer.parameters(), lr=0.1)
    step_by(scorer, [(fast, fast(torch.tensor([[1.0]])).mean())], optimiser)
    # -(0.25 - 1) at the copy; at the scorer it would be 1
    assert scorer.at.item() == pytest.approx(0.1 * 0.75)
    assert fast.at.item() == 0.25


# clusters and scales


def test_centres_of_two_clumps_by_hand():
    x = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 4.0]])
    found = centres(x, 2, generator())
    assert sorted(found.tolist()) == [[0.0, 1.0], [10.0, 2.0]]
    assert nearest_centre(x, torch.tensor([[0.0, 1.0], [10.0, 2.0]])).tolist() == [0, 0, 1, 1]


def test_no_more_centres_than_rows():
    assert len(centres(torch.zeros(2, 3), 5, generator())) == 2


def test_standard_scores_by_hand():
    standard = Standard(2)
    standard.fit(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    # sd 1; no spread: the scale stays
    assert standard(torch.tensor([[4.0], [6.0]])).tolist() == [[2.0], [1.0]]


def test_a_sketch_finds_the_nearest_of_rows_that_vary_in_few_directions():
    g = torch.Generator().manual_seed(0)
    # four columns out of WIDE hold nearly all of the variance: a sketch loses nothing
    rows, x = (torch.randn(n, WIDE, generator=g) * 1e-3 for n in (MANY, 50))
    rows[:, :4], x[:, :4] = torch.randn(MANY, 4, generator=g), torch.randn(50, 4, generator=g)
    whole, sketched = Bank(WIDE), Bank(WIDE, sketched=True)
    for each in (whole, sketched):
        each.fill(rows)
    assert whole.directions.shape == (WIDE, 0)
    assert sketched.directions.shape == (WIDE, WIDE // SHARE)
    for found, expected in zip(sketched.search(x, k=5), whole.search(x, k=5), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_sketch_measures_true_distances_and_is_the_same_after_loading():
    g = torch.Generator().manual_seed(0)
    rows, x = torch.randn(MANY, WIDE, generator=g), torch.randn(50, WIDE, generator=g)
    bank, loaded = Bank(WIDE, sketched=True), Bank(WIDE, sketched=True)
    bank.fill(rows)
    near, distance, apart = bank.search(x, k=5)
    expected = (x[:, None] - rows[near]).double().norm(dim=2)
    torch.testing.assert_close(distance.double(), expected, atol=1e-4, rtol=0)
    assert torch.equal(apart, rows[near[:, 0]] - x)
    assert (distance.diff(dim=1) >= 0).all()
    assert list(bank.state_dict()) == ["rows"]
    loaded.load_state_dict(bank.state_dict())
    assert all(map(torch.equal, loaded.search(x, k=5), (near, distance, apart)))


@pytest.mark.parametrize("distinct", [1, 2, 40, 64])
def test_trees_walk_once_for_rows_that_are_copies_and_say_the_same_bits(distinct):
    from sklearn.ensemble import ExtraTreesRegressor

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 5)).astype(np.float32), rng.normal(size=200)
    grown = [each.tree_ for each in ExtraTreesRegressor(7, random_state=0).fit(x, y).estimators_]
    trees = Trees()
    trees.fill(grown, [each.value[:, 0, 0] for each in grown])
    rows = torch.from_numpy(x[:distinct])
    block = torch.cat([rows, rows[-1:].expand(64 - distinct, -1)])
    found = trees(block)
    leaves = np.stack([tree.predict(block.numpy())[:, 0] for tree in grown], axis=1)
    assert torch.equal(found, torch.from_numpy(leaves.astype(np.float32)).mean(dim=1))
    assert trees(block[:0]).shape == (0,)

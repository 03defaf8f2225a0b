"""Coresets: greedy k-centres on a line by hand, their radius, and the bank of `Nearest`."""

import pytest
import torch

from unseen.methods import distances
from unseen.methods.distances import Nearest, spread_out
from unseen.testing import trained
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spread(n=500, d=5, seed=0):
    return torch.randn(n, d, generator=generator(seed))


def test_centres_on_a_line_by_hand():
    line = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    # From 1: 10 is 9 away; then 0 is 1 away from the nearest chosen, and 3 is 2 away. Likewise from
    # the others.
    orders = {0: [0, 3, 2, 1], 1: [1, 3, 2, 0], 2: [2, 3, 0, 1], 3: [3, 0, 2, 1]}
    found = [spread_out(line, 4, generator(seed)).tolist() for seed in range(20)]
    assert {order[0] for order in found} == {0, 1, 2, 3}  # at random
    assert all(order == orders[order[0]] for order in found)
    assert spread_out(line, 2, generator()).tolist() == found[0][:2]


def test_every_row_is_within_the_distance_that_centres_keep_from_each_other():
    rows = spread()
    chosen = spread_out(rows, 20, generator())
    radius = torch.cdist(rows, rows[chosen]).amin(dim=1).max()
    apart = torch.cdist(rows[chosen], rows[chosen]) + torch.eye(20) * 99
    assert radius <= apart.min() + 1e-4
    assert radius < torch.cdist(rows, rows[:20]).amin(dim=1).max()  # of 20 random rows


def test_centres_do_not_depend_on_where_the_rows_lie():
    assert torch.equal(
        spread_out(spread() + 1000.0, 20, generator()), spread_out(spread(), 20, generator())
    )


def test_no_row_is_chosen_twice_not_even_of_equal_ones():
    assert spread_out(torch.full((6, 2), 0.1), 6, generator()).sort().values.tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    assert len(spread_out(spread(3), 9, generator())) == 3


def test_wide_rows_are_projected_and_each_cluster_gets_a_centre():
    corners = 3.0 * torch.eye(300)[:10]
    rows = corners.repeat(30, 1) + 0.02 * spread(300, 300)
    points = distances.projected(rows, generator())
    assert points.shape == (300, 64)
    kept = torch.pdist(points) / torch.pdist(rows)
    assert kept.mean().item() == pytest.approx(1.0, abs=0.1)
    assert sorted((spread_out(rows, 10, generator()) % 10).tolist()) == list(range(10))


def test_of_many_rows_a_random_part_is_considered(monkeypatch):
    monkeypatch.setattr(distances, "CANDIDATES", 30)
    drawn = torch.randperm(500, generator=generator())[:30]
    assert torch.isin(spread_out(spread(), 20, generator()), drawn).all()
    assert len(spread_out(spread(), 40, generator())) == 40


def test_nearest_keeps_what_is_rare():
    x = torch.cat([0.1 * spread(200, 2), torch.tensor([[10.0, 0.0]])])
    method = Nearest(bank=5, coreset=True)
    scorer = trained(method, Samples.of(x))
    assert len(scorer.normals.rows) == 5
    assert scorer.normals.rows[:, 0].max() == 10.0
    moved = method.adapt(scorer, Samples.of(x + 7.0), Run(generator()))
    assert len(moved.normals.rows) == 5
    assert moved.normals.rows[:, 0].max() == 17.0
    assert scorer.normals.rows[:, 0].max() == 10.0


def test_nearest_keeps_few_rows_whole():
    data = Samples.of(spread(50, 2))
    assert torch.equal(trained(Nearest(coreset=True), data).normals.rows, data.x)

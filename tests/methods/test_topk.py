"""DevNet for images: the highest cells of small maps by hand, and a bright cell that nobody pointed
at.
"""

import pytest
import torch

from unseen.errors import DataError
from unseen.methods.topk import TopK, TopKScorer
from unseen.parts.nets import seeded
from unseen.parts.ranking import auroc
from unseen.testing import scored, trained
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def identity(share):
    """One channel, and a cell's score is its value."""
    scorer = TopKScorer(1, hidden=(), share=share)
    torch.nn.init.ones_(scorer.net[0].weight)
    torch.nn.init.zeros_(scorer.net[0].bias)
    return scorer.eval()


def bright(normals=30, anomalies=6, seed=0):
    """Noise of 4 channels on 6 x 6 cells; in an anomaly 2 x 2 cells at (2, 4) are bright in the
    second channel.
    """
    x = torch.randn(normals + anomalies, 4, 6, 6, generator=generator(seed))
    x[normals:, 1, 2:4, 4:6] += 5.0
    return Samples.of(x, torch.arange(len(x)).ge(normals).long())


SIXTEEN = torch.arange(16.0).view(1, 1, 4, 4)


def test_highest_cells_at_two_scales_by_hand():
    # The highest quarter: 12, 13, 14, 15 of 16 cells, and 12.5 of the means 2.5, 4.5, 10.5, 12.5.
    assert scored(identity(0.25), SIXTEEN).tolist() == [(13.5 + 12.5) / 2]
    # The highest tenth: one cell of either scale (1.6 is rounded to 2).
    assert scored(identity(0.1), SIXTEEN).tolist() == [(14.5 + 12.5) / 2]


def test_the_sign_of_a_cell_is_kept():
    # Of -x the highest are 0, -1, -2, -3 and -2.5, however large the others are without their sign.
    assert scored(identity(0.25), -SIXTEEN).tolist() == [(-1.5 - 2.5) / 2]


@torch.no_grad()
def test_map_merges_both_scales_by_hand():
    found = identity(0.25).map(SIXTEEN)[0]
    assert found.shape == (4, 4)
    assert [found[0, 0], found[2, 1], found[3, 3]] == [1.25, 9.75, 13.75]
    maps = torch.tensor([[0.0, 0.0, 3.0], [0.0, 4.0, 0.0], [6.0, 0.0, 9.0]])  # means 1, 1.5 / 3, 9
    expected = [[0.5, 0.5, 2.25], [0.5, 2.5, 0.75], [4.5, 1.5, 9.0]]
    assert identity(0.25).map(maps[None, None])[0].tolist() == expected


def test_loss_by_hand():
    x = torch.tensor([-2.0, 3.0, 3.0, 7.0])[:, None, None, None].expand(4, 1, 2, 2)
    data = Samples.of(x, torch.tensor([0, -1, 1, 2]))
    assert TopK(margin=5.0).loss(identity(0.1), data, Run(generator())).tolist() == [
        2.0,
        3.0,
        2.0,
        0.0,
    ]


def test_channels_are_in_units_of_the_cells_of_normals():
    x = torch.tensor([[[[1.0, 3.0]]], [[[3.0, 1.0]]], [[[99.0, 99.0]]]])
    scorer = identity(0.5)
    TopK().prepare(scorer, Samples.of(x, torch.tensor([0, -1, 1])), Run(generator()))
    # 4 is at 2, their mean at 0.5
    assert scored(scorer, torch.tensor([[[[4.0, 1.0]]]])).tolist() == [(2.0 + 0.5) / 2]


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_gradient_reaches_every_parameter(hidden):
    method, data = TopK(hidden=hidden), bright()
    scorer = seeded(lambda: method.build((4, 6, 6)), 1)
    method.prepare(scorer, data, Run(generator()))
    owned = [p for group in method.optimiser(scorer).param_groups for p in group["params"]]
    assert {id(p) for p in owned} == {id(p) for p in scorer.parameters()}
    loss = method.loss(scorer, data, Run(generator()))
    assert loss.shape == (36,)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss.sum(), owned))


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_learns_a_bright_cell_that_nobody_pointed_at(hidden):
    scorer = trained(TopK(hidden=hidden, steps=150, batch=16, rate=1e-2), bright())
    new = bright(seed=1)
    scores = scored(scorer, new.x)
    assert auroc(scores[new.y == 0], scores[new.y > 0]) > 0.95
    with torch.no_grad():
        where = scorer.map(new.anomalies.x).flatten(1).argmax(dim=1)
    assert set(where.tolist()) <= {2 * 6 + 4, 2 * 6 + 5, 3 * 6 + 4, 3 * 6 + 5}


def test_score_of_an_image_does_not_depend_on_its_batch_nor_on_masks():
    method, data = TopK(hidden=(8,), steps=5, batch=8), bright()
    scorer = trained(method, data)
    scores = scored(scorer, data.x)
    alone = torch.cat([scored(scorer, data.x[i : i + 1]) for i in range(len(data))])
    torch.testing.assert_close(alone, scores, rtol=1e-4, atol=1e-5)
    masked = Samples.of(data.x, data.y, mask=torch.ones(36, 6, 6))
    assert torch.equal(scored(trained(method, masked), data.x), scores)


def test_a_reloaded_scorer_scores_the_same():
    scorer, x = trained(TopK(steps=5, batch=8), bright()), bright(seed=1).x
    empty = TopK().build((4, 6, 6))
    empty.load_state_dict(scorer.state_dict())
    assert torch.equal(scored(empty.eval(), x), scored(scorer, x))


def test_topk_needs_labels():
    with pytest.raises(DataError, match=r"TopK needs .* it was given 30 and 0: label at least one"):
        trained(TopK(), bright().normals)

"""SimpleNet: hinge, discriminator and fakes against numbers worked out by hand."""

import pytest
import torch

from unseen.errors import DataError
from unseen.methods.comet import CoMet
from unseen.methods.simplenet import Discriminator, SimpleNet
from unseen.parts import losses
from unseen.testing import scored, trained
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*y, d=3):
    return Samples.of(torch.randn(len(y), d, generator=generator()), torch.tensor(y))


def by_hand():
    """Projection diag(2, 1), hidden layer the identity, output (3, 5)."""
    scorer = Discriminator(2, width=2)
    with torch.no_grad():
        scorer.projection.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        scorer.net[0].weight.copy_(torch.eye(2))
        scorer.net[-1].weight.copy_(torch.tensor([[3.0, 5.0]]))
        for layer in (scorer.projection, scorer.net[0]):
            layer.bias.zero_()
    return scorer


def test_hinge_by_hand():
    score, y = torch.tensor([-2.0, 0.25, 0.25, 3.0, -0.5]), torch.tensor([0, -1, 1, 2, 1])
    assert losses.hinge(score=score, y=y, margin=0.5).tolist() == [0.0, 0.75, 0.25, 0.0, 1.0]
    with pytest.raises(DataError, match=r"one shape \(n,\)"):
        losses.hinge(score=torch.zeros(2, 1), y=torch.zeros(2), margin=0.5)


def test_discriminator_by_hand():
    # (1, -1) is projected to (2, -1), normalised to (1, -1), rectified to (1, -0.2): D = 3 - 1 = 2.
    x = torch.tensor([[1.0, -1.0]])
    assert scored(by_hand(), x).item() == pytest.approx(-2.0, abs=1e-4)
    data = Samples.of(x.repeat(2, 1), torch.tensor([0, 1]))
    loss = SimpleNet(margin=0.5).loss(by_hand(), data, Run(generator()))
    assert loss.tolist() == pytest.approx([0.0, 2.5], abs=1e-4)


def test_every_normal_row_comes_with_a_fake_of_its_own_weight():
    data = rows(0, -1, 0)
    data.weight[1] = 0.25
    batch = next(SimpleNet(batch=2000, noise=0.5).stream(data, Run(generator())))
    normals, fakes = batch[:2000], batch[2000:]
    assert len(normals.normals) == len(fakes.anomalies) == len(fakes) == 2000
    assert torch.equal(fakes.weight, normals.weight)
    assert normals.weight.unique().tolist() == [0.25, 1.0]
    noise = fakes.x - normals.x
    torch.testing.assert_close(noise.mean(dim=0), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(noise.std(dim=0), torch.full((3,), 0.5), atol=0.03, rtol=0)


def test_labelled_anomalies_are_fakes_as_they_are():
    data = rows(0, 0, 2)
    batch = next(SimpleNet(batch=8).stream(data, Run(generator())))
    assert batch.y.tolist() == [0] * 4 + [2] * 4 + [1] * 4
    assert torch.equal(batch.x[4:8], data.x[2].repeat(4, 1))


def test_a_suspect_row_weighs_nothing_and_nor_does_its_fake():
    data, far = rows(0, 0, 0, 0, 0), rows(0, 0, 0, 0, 0)
    data.weight[4] = far.weight[4] = 0.0
    far.x[4] += 50.0
    method = SimpleNet(width=8, steps=10, batch=16)
    torch.testing.assert_close(
        scored(trained(method, far), data.x), scored(trained(method, data), data.x)
    )


def test_projection_and_discriminator_learn_at_rates_of_their_own():
    scorer = SimpleNet(width=4).build((6,))
    projection, rest = SimpleNet(width=4).optimiser(scorer).param_groups
    assert [tuple(p.shape) for p in projection["params"]] == [(6, 6), (6,)]
    assert [tuple(p.shape) for p in rest["params"]] == [(4, 6), (4,), (4,), (4,), (1, 4)]
    assert (projection["lr"], projection["weight_decay"]) == (1e-4, 0)
    assert (rest["lr"], rest["weight_decay"]) == (2e-4, 1e-5)


def test_noise_starts_as_large_behind_the_projection_as_before():
    scorer, noise = SimpleNet().build((6,)), torch.randn(5, 6, generator=generator())
    with torch.no_grad():
        moved = scorer.projection(noise) - scorer.projection(torch.zeros(1, 6))
    torch.testing.assert_close(moved.norm(dim=1), noise.norm(dim=1))


def test_what_breaks_the_dependence_of_columns_stands_out_without_labels():
    t = torch.randn(300, 1, generator=generator())
    data = Samples.of(torch.cat([t, t], dim=1) + 0.05 * torch.randn(300, 2, generator=generator(1)))
    scorer = trained(SimpleNet(width=32, steps=300, batch=64, rate=2e-3), data)
    broken = scored(scorer, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    assert (broken > scored(scorer, data.x).quantile(0.95)).all()


def test_simplenet_needs_normals_and_goes_into_comet():
    with pytest.raises(DataError, match="SimpleNet makes fakes of normal rows, and was given none"):
        trained(SimpleNet(), rows(1, 1))
    data = rows(*[0] * 40)
    scorer = trained(CoMet(SimpleNet(width=8, steps=10, batch=16)), data)
    assert scorer.weight.shape == (40,)
    assert torch.isfinite(scored(scorer, data.x)).all()

"""Spheres, heads and pairs: losses and generators against numbers worked out by hand."""

import pytest
import torch

from contract import scored, toy, trained
from unseen.errors import DataError
from unseen.methods.deepsad import DeepSAD, DeepSVDD, Sphere
from unseen.parts import losses
from unseen.types import Run, Samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*y, d=3, group=None):
    y = torch.tensor(y)
    return Samples.of(torch.randn(len(y), d, generator=generator()), y, group)


# spheres


def test_sphere_loss_by_hand():
    loss = losses.sphere(distance=torch.tensor([9.0, 2.0, 4.0, 0.0]), y=torch.tensor([0, -1, 1, 2]), eta=3.0)
    torch.testing.assert_close(loss, torch.tensor([9.0, 2.0, 0.75, 3e6]))
    with pytest.raises(DataError, match=r"one shape \(n,\)"):
        losses.sphere(distance=torch.zeros(2, 1), y=torch.zeros(2), eta=1.0)


def test_sphere_by_hand():
    scorer = Sphere(2, hidden=(), latent=2)
    assert [name for name, _ in scorer.named_parameters()] == ["net.0.weight"]  # no bias
    torch.nn.init.eye_(scorer.net[0].weight)
    scorer.settle(torch.tensor([[1.0, 0.0], [3.0, -0.02]]))  # mean (2, -0.01): the second is kept away from 0
    assert scorer.centre.tolist() == pytest.approx([2.0, -0.1])
    assert scored(scorer, torch.tensor([[5.0, 3.9]])).item() == pytest.approx(3.0**2 + 4.0**2)


def test_centre_is_of_normals_alone_and_stays():
    data = toy()
    far = Samples.of(torch.where(data.y[:, None] > 0, 99.0, data.x), data.y)
    for method in (DeepSVDD(steps=1), DeepSAD(steps=1)):
        assert torch.equal(trained(method, data).centre, trained(method, far).centre)
    assert torch.equal(trained(DeepSAD(steps=1), data).centre, trained(DeepSAD(steps=30), data).centre)


def test_deep_sad_batches_show_every_label_and_do_without():
    run = Run(generator())
    assert next(DeepSAD().stream(rows(0, 0, 0, 0, 2), run)).y.bincount().tolist() == [128, 0, 128]
    assert len(next(DeepSAD().stream(rows(0, 0, -1), run)).anomalies) == 0


def test_deep_sad_drives_labelled_anomalies_out():
    data = toy(40)
    inside, outside = (scored(trained(DeepSAD(steps=300), data), data.x)[data.y == y].median() for y in (0, 1))
    assert outside > 10 * inside

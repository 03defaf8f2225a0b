"""Flows and reconstructions: their parts against numbers worked out by hand, and what each phase moves."""

import math

import pytest
import torch
from torch.autograd.functional import jacobian

from unseen.parts.flow import Flow
from unseen.parts.nets import seeded


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# the flow


def bent(d, seed=0):
    """A flow whose weights are anything but the identity's, in double precision."""
    flow = seeded(lambda: Flow(d, couplings=4, width=8), seed).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.4, generator=generator(seed))
    return flow


@pytest.mark.parametrize("d", [1, 2, 5])
def test_log_determinant_is_that_of_the_jacobian(d):
    flow, x = bent(d), torch.randn(3, d, generator=generator(), dtype=torch.float64)
    for row, log_det in zip(x, flow(x)[1], strict=True):
        matrix = jacobian(lambda r: flow(r[None])[0][0], row)
        torch.testing.assert_close(torch.linalg.slogdet(matrix).logabsdet, log_det)
    assert flow(x)[1].abs().min() > 0.01


@pytest.mark.parametrize("d", [1, 2, 5])
def test_flow_inverts(d):
    flow, x = bent(d), torch.randn(7, d, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(flow.inverse(flow(x)[0]), x)


def test_flow_starts_as_the_standard_normal():
    x = torch.randn(50, 6, generator=generator())
    known = torch.distributions.MultivariateNormal(torch.zeros(6), torch.eye(6)).log_prob(x)
    torch.testing.assert_close(Flow(6).log_density(x), known)


def test_density_integrates_to_one():
    side = torch.linspace(-12, 12, 481, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        mass = bent(2).log_density(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_two_couplings_change_every_column():
    flow = Flow(5, couplings=2, width=4)
    for coupling in flow.couplings:
        torch.nn.init.constant_(coupling.net[-1].bias, 1.0)
    assert (flow(torch.zeros(1, 5))[0] > 0).all()


def test_flow_is_finite_for_far_rows():
    flow = bent(6).float()
    assert torch.isfinite(flow.log_density(torch.full((2, 6), 1e4) * torch.tensor([[1.0], [-1.0]]))).all()
    assert math.isfinite(flow.log_density(torch.zeros(1, 6)).item())

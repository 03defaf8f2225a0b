"""Flows and reconstructions: their parts against numbers worked out by hand, and what each phase
moves.
"""

import copy
import dataclasses
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch.autograd.functional import jacobian

from quick import brief
from unseen.errors import DataError
from unseen.methods import METHODS
from unseen.methods.aavae import AAVAE
from unseen.methods.clflow import CLFlow, nearest_normal
from unseen.methods.dmad import DMAD
from unseen.methods.flowratio import FlowRatio
from unseen.methods.lisae import LISAE
from unseen.methods.ssae import SSAE
from unseen.parts import losses, terms
from unseen.parts.episodes import mixed
from unseen.parts.flow import Flow, Whitened, dequantised
from unseen.parts.nets import seeded
from unseen.parts.ranking import auroc
from unseen.parts.reconstruction import Codebook, Variational, straight_through, usual
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples

FAMILY = ("aa-vae", "lis-ae", "ssae", "dmad", "flow", "flow-ratio", "cl-flow")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# the flow


def bent(d, seed=0):
    """A flow whose weights are anything but the identity's, in double precision."""
    flow = seeded(lambda: Flow(d, width=8), seed).double()
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
        mass = bent(2, seed=1).log_density(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_two_couplings_change_every_column():
    flow = Flow(5, couplings=2, width=4)
    for coupling in flow.couplings:
        torch.nn.init.constant_(coupling.net[-1].bias, 1.0)
    assert (flow(torch.zeros(1, 5))[0] > 0).all()


def test_flow_is_finite_for_far_rows():
    flow = bent(6).float()
    assert torch.isfinite(
        flow.log_density(torch.full((2, 6), 1e4) * torch.tensor([[1.0], [-1.0]]))
    ).all()
    assert math.isfinite(flow.log_density(torch.zeros(1, 6)).item())


def test_whitened_flow_starts_as_mahalanobis():
    x = torch.randn(200, 3, generator=generator()) @ torch.tensor(
        [[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0]]
    )
    scorer = Whitened(3, couplings=2, width=4)
    scorer.whiten.fit(x, shrinkage=0.0)
    gap = x - x.mean(dim=0)
    squared = (gap @ torch.linalg.inv(torch.cov(x.T)) * gap).sum(dim=1)
    expected = -(squared + 3 * math.log(2 * math.pi)) / 2 / 3
    torch.testing.assert_close(scorer.log_densities(x)[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_dequantised_batches_keep_all_but_the_values():
    data = dataclasses.replace(toy_rows(), weight=torch.linspace(0, 1, 128))
    batch = next(dequantised(iter([data]), 0.1, generator()))
    assert (batch.x - data.x).std().item() == pytest.approx(0.1, rel=0.1)
    assert torch.equal(batch.weight, data.weight)
    assert torch.equal(batch.y, data.y)


# losses


def test_pushed_by_hand():
    loss = losses.pushed(
        quantity=torch.tensor([4.0, 1.0, 4.0, 9.0]), y=torch.tensor([0, -1, 1, 2]), bound=6.0
    )
    assert loss.tolist() == [4.0, 1.0, 2.0, 0.0]


def test_divergence_is_that_of_two_normal_distributions():
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[math.log(4.0), 0.0]])
    # (1 + 4 - 1 - log 4) / 2 + (4 + 1 - 1 - 0) / 2
    assert losses.divergence(mean=mean, log_variance=log_variance).item() == pytest.approx(
        4 - math.log(2)
    )


def test_masked_error_by_hand():
    f, x = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[0.0, 0.0, 0.0, 2.0]])
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0])  # wiped: (1 + 4) / 2; left: (9 + 4) / 2
    assert terms.masked_error(reconstruction=f, x=x, mask=mask, share=0.8).item() == pytest.approx(
        2.0 + 1.3
    )
    assert terms.masked_error(
        reconstruction=f, x=x, mask=torch.ones(4), share=0.8
    ).item() == pytest.approx(3.6)


def test_contrast_by_hand():
    z, other = (
        torch.tensor([[3.0, 4.0]] * 4),
        torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]),
    )
    loss = terms.closeness(z=z, other=other, y=torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(loss, torch.tensor([0.4, 0.6, 1.6, 0.0]))


# bodies


def by_hand():
    """A variational body of two columns: code N(0.5, 4), decoded to (code, 0)."""
    body = Variational(2, hidden=(), latent=1, likeness=0.3)
    with torch.no_grad():
        for p in body.parameters():
            p.zero_()
        body.encoder[0].bias.copy_(torch.tensor([0.5, math.log(4.0)]))
        body.decoder[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
    return body


def test_terms_of_the_lower_bound_by_hand():
    x = torch.tensor([[1.5, 2.0]])
    error, divergence = by_hand().terms(x)
    assert error.item() == pytest.approx((1.0 + 4.0) / 2)
    # 2 * 0.3 / 2 columns
    assert divergence.item() == pytest.approx(0.3 * (0.25 + 4 - 1 - math.log(4)) / 2)
    draw = torch.randn(1, 1, generator=generator(5)).item()
    error, _ = by_hand().terms(x, generator(5))
    assert error.item() == pytest.approx(((0.5 + 2 * draw - 1.5) ** 2 + 4.0) / 2)


def test_weighted_terms_are_the_lower_bound_of_a_decoder_with_that_variance():
    x, normal = torch.tensor([[1.5, 2.0], [0.0, 0.0]]), torch.distributions.Normal
    likelihood = normal(torch.tensor([0.5, 0.0]), math.sqrt(0.3)).log_prob(x).sum(dim=1)
    divergence = torch.distributions.kl_divergence(normal(0.5, 2.0), normal(0.0, 1.0))
    constant = math.log(2 * math.pi * 0.3)  # d / 2 of it, times 2 * 0.3 / d
    expected = 2 * 0.3 / 2 * (divergence - likelihood) - 0.3 * constant
    torch.testing.assert_close(sum(by_hand().terms(x)), expected)


def test_codebook_takes_the_nearest_code():
    book = Codebook(3, 2)
    with torch.no_grad():
        book.codes.copy_(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]]))
    assert book(torch.tensor([[1.9, 0.0], [2.1, 0.0], [0.0, 5.0]])).tolist() == [
        [0.0, 0.0],
        [4.0, 0.0],
        [0.0, 9.0],
    ]
    book(torch.tensor([[3.0, 0.0]])).sum().backward()
    assert book.codes.grad.tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


def test_codes_start_at_the_centres_and_repeat_when_rows_are_few():
    book = Codebook(4, 1)
    book.fit(
        torch.tensor([[0.0], [2.0], [100.0], [102.0], [200.0], [202.0], [300.0], [302.0]]),
        generator(),
    )
    assert sorted(book.codes[:, 0].tolist()) == [1.0, 101.0, 201.0, 301.0]
    book.fit(torch.tensor([[5.0]]), generator())
    assert book.codes[:, 0].tolist() == [5.0] * 4


def test_straight_through_has_the_value_of_the_code_and_the_gradient_of_the_row():
    z, code = (
        torch.tensor([[0.2, 3.0]], requires_grad=True),
        torch.tensor([[1.0, 2.0]], requires_grad=True),
    )
    passed = straight_through(z, code)
    assert passed.tolist() == [[1.0, 2.0]]
    (passed * torch.tensor([[5.0, 7.0]])).sum().backward()
    assert z.grad.tolist() == [[5.0, 7.0]]
    assert code.grad is None


# methods


@pytest.mark.parametrize("name", FAMILY)
def test_normals_are_needed(name):
    with pytest.raises(DataError, match="given none"):
        trained(METHODS[name], toy_rows().anomalies)


@pytest.fixture(scope="module")
def digits():
    """300 normals of digits 0 to 3, 10 rows each of 7 and 8, and test rows: normals, 7 and 8, all
    other digits.
    """
    images, digit = (torch.tensor(a) for a in load_digits(return_X_y=True))
    normal, shown = digit <= 3, (digit == 7) | (digit == 8)
    few = torch.cat([(digit == d).nonzero()[:10, 0] for d in (7, 8)])
    learnt = torch.cat([normal.nonzero()[:300, 0], few])
    x = (images - images[normal].mean(dim=0)) / (images[normal].std(dim=0) + 1.0)
    x = x.float().clamp(-10, 10)
    train = Samples.of(x[learnt], torch.where(shown, digit, 0)[learnt])
    shown[few] = False
    return train, x[normal.nonzero()[300:, 0]], x[shown], x[~normal & (digit != 7) & (digit != 8)]


@pytest.mark.parametrize("name", FAMILY)
def test_digits_that_are_no_normal_digits_rank_high(name, digits):
    train, normals, seen, unseen = digits
    method = METHODS[name]
    fewer = {"steps": 120, "batch": 64} | (
        {"tuning_steps": 60} if hasattr(method, "tuning_steps") else {}
    )
    scorer = trained(dataclasses.replace(method, **fewer), train)
    ordinary = scored(scorer, normals)
    assert auroc(ordinary, scored(scorer, seen)) > 0.85
    assert auroc(ordinary, scored(scorer, unseen)) > 0.85


@pytest.mark.parametrize("method", [AAVAE(steps=30), LISAE(steps=30)])
def test_the_first_phase_does_not_see_anomalies(method):
    data, run = toy_rows(), [Run(generator(3)) for _ in range(2)]
    alone, beside = (seeded(lambda: method.build((6,)), 3) for _ in range(2))
    method.train(alone, data.normals, run[0])
    method.reproduce(beside, data.normals, run[1])
    assert all(
        torch.equal(a, b) for a, b in zip(alone.parameters(), beside.parameters(), strict=True)
    )


def moved(scorer, phase):
    """Names of the parameters that a phase changes."""
    before = copy.deepcopy(scorer.state_dict())
    phase()
    return {
        name for name, value in scorer.state_dict().items() if not torch.equal(value, before[name])
    }


def test_phases_of_lis_ae_move_all_and_then_the_bottleneck_alone():
    method, data, run = LISAE(steps=30, tuning_steps=5), toy_rows(), Run(generator(3))
    scorer = seeded(lambda: method.build((6,)), 3)
    assert moved(scorer, lambda: method.reproduce(scorer, data.normals, run)) == set(
        scorer.state_dict()
    )
    assert moved(scorer, lambda: method.lose(scorer, data, run)) == {
        "encoder.2.weight",
        "encoder.2.bias",
    }


def test_both_phases_of_aa_vae_move_all():
    method, data, run = AAVAE(steps=30, tuning_steps=5), toy_rows(), Run(generator(3))
    scorer = seeded(lambda: method.build((6,)), 3)
    assert moved(scorer, lambda: method.reproduce(scorer, data.normals, run)) == set(
        scorer.state_dict()
    )
    assert moved(scorer, lambda: method.beware(scorer, data, run)) == set(scorer.state_dict())


def test_awareness_rises_from_nothing_to_its_full_factor(monkeypatch):
    # Of weight 0 at the first step, an anomaly's error has no say; at the last, by how much a is.
    asked, method, data = (
        [],
        AAVAE(steps=1, tuning_steps=3, awareness=4.0, margin=1e6),
        toy_rows(40),
    )
    monkeypatch.setattr(
        "unseen.methods.aavae.minimise", lambda loss, *rest, **kept: asked.append((loss, kept))
    )
    scorer, run = seeded(lambda: method.build((6,)), 3), Run(generator())
    method.beware(scorer, data, run)
    (loss, kept), bad = asked[0], data.anomalies
    bound = 1e6 * usual(scorer, data.normals, Run(generator()))
    assert kept == {"steps": 3}
    for a in (0.0, 2.0, 4.0):
        run.generator.manual_seed(7)
        error, divergence = scorer.terms(bad.x, generator(7))
        torch.testing.assert_close(loss(bad), a * (bound - error) + divergence)


@pytest.mark.parametrize("method", [AAVAE(), LISAE()])
def test_the_second_phase_loses_known_anomalies_and_keeps_normals(method, digits):
    train, normals, seen, _ = digits
    fewer = dataclasses.replace(method, steps=200, tuning_steps=150, batch=64)
    first, both = trained(fewer, train.normals), trained(fewer, train)
    assert scored(both, seen).median() > 1.1 * scored(first, seen).median()
    assert scored(both, normals).median() < 1.25 * scored(first, normals).median()


def test_usual_error_is_a_quantile_of_normals():
    x = torch.arange(100.0)[:, None]
    assert usual(lambda x: x[:, 0], Samples.of(x), Run(generator())).item() == pytest.approx(
        95, abs=2
    )


def test_every_column_is_wiped_once_a_round():
    scorer = SSAE(parts=4, rounds=3).build((10,))
    assert scorer.masks.shape == (12, 10)
    assert scorer.masks.view(3, 4, 10).sum(dim=1).tolist() == [[1.0] * 10] * 3
    assert SSAE().build((1,)).masks.tolist() == [[1.0], [1.0]]


def test_restoration_by_hand():
    scorer = SSAE(hidden=(), parts=2, rounds=1, share=0.75).build((2,))
    with torch.no_grad():
        scorer.masks.copy_(torch.eye(2))
        scorer.net[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 1.0, 0.0, 5.0]]))
        scorer.net[0].bias.zero_()
    # x = (1, 3). First wiped: (0, 3 | 1, 0) -> (6, 3): 0.75 * 25 + 0.25 * 0. Second: (1, 0 | 0, 1)
    # -> (1, 5): 0.75 * 4.
    assert scorer(torch.tensor([[1.0, 3.0]])).item() == pytest.approx((0.75 * 25 + 0.75 * 4) / 2)


def test_a_wiped_column_is_not_seen():
    scorer = SSAE(parts=6, share=1.0).build((6,))
    x = torch.randn(1, 6, generator=generator())
    for mask in scorer.masks:
        column = int(mask.argmax())
        values = x.repeat(3, 1)
        values[:, column] = torch.tensor([0.0, 1.0, 2.0])
        off, near, far = scorer.error(values, mask).tolist()  # (f - v)^2 of one f
        assert far - 2 * near + off == pytest.approx(2.0, abs=1e-4)


def test_deformation_by_hand():
    scorer = DMAD(hidden=(), latent=1, codes=2, bound=0.5, strength=0.3).build((2,))
    with torch.no_grad():
        for p in scorer.parameters():
            p.zero_()
        scorer.encoder[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        scorer.codebook.codes.copy_(torch.tensor([[0.0], [4.0]]))
        scorer.decoder[0].weight.copy_(torch.tensor([[1.0], [1.0]]))
        scorer.deform[0].weight.copy_(torch.tensor([[100.0], [0.0]]))
    # z = 3, so code 4: reference (4, 4), offset (0.5, 0): (1.5^2 + 3^2 + 0.3 * 0.25) / 2
    x, run = torch.tensor([[3.0, 1.0]]), Run(generator())
    assert scorer(x).item() == pytest.approx((2.25 + 9 + 0.075) / 2)
    loss = DMAD(commitment=0.25).loss(scorer, Samples.of(x), run)
    assert loss.item() == pytest.approx((2.25 + 9 + 0.075) / 2 + 1 + 0.25)


def test_ratio_by_hand():
    method = FlowRatio(outlier=2.0)
    scorer, x = method.build((2,)), torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    with torch.no_grad():
        # the identity up to order, one centred at 0, one at 1
        scorer.flows[1].shift.copy_(torch.tensor([-1.0, -1.0]))
    own, general = -10 / 2 - math.log(2 * math.pi), -4 / 2 - math.log(2 * math.pi)
    anywhere = -10 / 2 / 100 - math.log(2 * math.pi) - 2 * math.log(10)
    score = (math.log(0.99 * math.exp(general) + 0.01 * math.exp(anywhere)) - own) / 2
    torch.testing.assert_close(scorer(x), torch.tensor([score, score]))
    loss = method.loss(scorer, Samples.of(x, torch.tensor([0, 1])), Run(generator()))
    normal = (-own - general) / 2 + 2 * math.log1p(math.exp(score))
    anomaly = -general / 2 + 2 * math.log1p(math.exp(-score))
    torch.testing.assert_close(loss, torch.tensor([normal, anomaly]))


def test_general_rows_are_normals_cut_rows_and_anomalies():
    method, run = FlowRatio(batch=20), Run(generator())
    assert next(method.stream(toy_rows(), run)).y.gt(0).tolist() == [False] * 10 + [True] * 20
    assert (
        next(method.stream(toy_rows().normals, run)).y.gt(0).tolist() == [False] * 20 + [True] * 20
    )


def test_mixed_batches_are_balanced_where_they_can_be():
    assert next(mixed(toy_rows(), 20, generator())).y.gt(0).sum() == 10
    assert next(mixed(toy_rows().normals, 20, generator())).y.gt(0).sum() == 0


def test_push_and_contrast_by_hand():
    # Standard normal: scores (0.5, 2, 4.5) / 2 + log 2 pi / 2 of rows at 1, 2 and 3 along the first
    # axis.
    method = CLFlow(quantile=1.0, margin=2.0, contrast=0.5)
    scorer = method.build((2,))
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    own = [(size**2 + 2 * math.log(2 * math.pi)) / 4 for size in (1, 2, 3)]
    loss = method.loss(scorer, Samples.of(x, torch.tensor([0, 0, 1])), Run(generator()))
    # Both normals point the same way; the anomaly's nearest normal is the first, at a right angle.
    torch.testing.assert_close(loss, torch.tensor([own[0], own[1], own[1] + 2.0 - own[2]]))
    loss = method.loss(scorer, Samples.of(x[[0, 2, 1]], torch.tensor([0, 0, 1])), Run(generator()))
    torch.testing.assert_close(
        loss, torch.tensor([own[0] + 0.5, own[2] + 0.5, own[2] + 2.0 - own[1] + 0.5])
    )


def test_nearest_normal_is_another_row():
    x = torch.tensor([[0.0], [1.0], [1.1], [5.0]])
    assert nearest_normal(x, torch.tensor([True, True, False, True])).tolist() == [1, 0, 1, 1]
    assert nearest_normal(x, torch.tensor([False, False, True, False])).tolist() == [2, 2, 2, 2]
    assert nearest_normal(x, torch.zeros(4, dtype=torch.bool)).tolist() == [0, 1, 2, 3]


def test_one_labelled_row_and_a_constant_column_do_no_harm():
    data = toy_rows(1)
    data.x[:, 2] = 0.0
    for name in FAMILY:
        method = brief(METHODS[name])
        scores = scored(trained(method, data), torch.cat([data.x, torch.full((1, 6), -10.0)]))
        assert torch.isfinite(scores).all(), name
        assert scores[-1] > scores[:120].median(), name

"""CoMet and the audit: laws of the weights, plain training as the limit, planted anomalies, any
Trainable inside.
"""

import copy
import dataclasses
import itertools
import logging
import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from quick import brief, quick
from unseen.detector.detector import Detector
from unseen.errors import DataError, Unsupported
from unseen.methods import METHODS
from unseen.methods.autoencoder import AutoEncoder
from unseen.methods.comet import CoMet
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.parts.confidence import (
    Confident,
    effective,
    enough_weights,
    excess,
    excess_weights,
    mean_square,
    uncertainty,
)
from unseen.parts.episodes import parted, task
from unseen.parts.loops import descend
from unseen.parts.nets import seeded
from unseen.parts.ranking import auroc
from unseen.storage.bundle import Bundle
from unseen.testing import check_method, scored, toy_rows, trained
from unseen.types import Run, Samples, Trainable

INSIDE = {name: m for name, m in METHODS.items() if isinstance(m, Trainable)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# weights


def test_weights_by_hand():
    # Quartiles of 0 .. 8 are 2 and 6: the fence is 6 + 1.5 * 4 = 12, and (12 - 2) / (22 - 2) = 1 /
    # 2.
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 22.0])
    assert excess(scores)[-1].item() == pytest.approx(2.0)
    assert excess_weights(excess(scores)).tolist() == [1.0] * 8 + [0.5]
    assert excess_weights(excess(scores), rho=2.0)[-1].item() == pytest.approx(0.25)
    # the fence on the row itself
    assert excess_weights(excess(scores, kappa=4.0)).tolist() == [1.0] * 9


def test_with_lower_quartile_0_the_weights_are_those_of_the_released_code():
    scores = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 50.0])
    fence = 2.0 + 1.5 * 2.0
    np.testing.assert_allclose(
        excess_weights(excess(scores)), (fence / (scores + 1e-6)).clamp(max=1), rtol=1e-5
    )


@pytest.mark.parametrize(("scale", "shift"), [(1e-4, 0.0), (1e3, -5e3), (1.0, 7.0)])
def test_weights_do_not_depend_on_scale_and_shift(scale, shift):
    scores = torch.randn(500, generator=generator()).double().exp()
    expected = excess_weights(excess(scores))
    assert 0.02 < (expected < 1).float().mean() < 0.2
    torch.testing.assert_close(
        excess_weights(excess(scale * scores + shift)), expected, rtol=1e-4, atol=1e-6
    )


def test_weights_go_with_their_rows_and_never_rise_with_the_score():
    scores = torch.randn(300, generator=generator()).exp()
    order = torch.randperm(300, generator=generator())
    assert torch.equal(excess_weights(excess(scores[order])), excess_weights(excess(scores))[order])
    assert (excess_weights(excess(scores.sort().values)).diff() <= 0).all()


def test_scores_that_are_mostly_one_value_have_a_fence_too():
    # mean distance to the median 1: the fence is at 3.5
    found = excess_weights(excess(torch.tensor([1.0] * 9 + [11.0])))
    assert found.tolist() == [1.0] * 9 + [pytest.approx(0.25)]
    assert excess_weights(excess(torch.full((5,), 3.0))).tolist() == [1.0] * 5
    assert excess_weights(excess(torch.arange(5.0), kappa=float("inf"))).tolist() == [1.0] * 5


def test_the_fence_moves_up_where_too_few_rows_would_count(caplog):
    scores = torch.cat([torch.zeros(130), torch.linspace(10, 11, 370)])
    low = excess(scores, kappa=-0.875)
    assert effective(excess_weights(low, rho=16.0)) < 0.3
    with caplog.at_level(logging.WARNING, logger="unseen"):
        found = enough_weights(low, kappa=-0.875, rho=16.0)
    assert effective(found) >= 0.3
    assert "would leave fewer than 30% of the rows" in caplog.text
    raised = float(caplog.text.split("count: ")[1].split()[0])
    torch.testing.assert_close(
        found, excess_weights(excess(scores, kappa=raised), rho=16.0), rtol=1e-3, atol=1e-4
    )


def test_effective_share_by_hand():
    assert effective(torch.tensor([1.0, 1.0, 0.5, 0.5])) == pytest.approx(9 / (4 * 2.5))


# the penalty


def test_losses_that_move_together_are_certain():
    train = torch.tensor([1.0, 0.7, 0.6, 0.9, 0.2])
    assert uncertainty(torch.stack([train, 3 * train], dim=1), by="det") == pytest.approx(
        0.0, abs=1e-9
    )
    assert uncertainty(torch.tensor([[1.0, 2.0]]), by="det") == 0.0  # one pair has no covariance


def test_determinant_and_gap_by_hand():
    # In units of the mean, 2: (0.5, 1.5), (1.5, 0.5), (0.5, 1), (1.5, 1): variances 1/3 and 1/6,
    # covariance -1/6.
    pairs = torch.tensor([[1.0, 3.0], [3.0, 1.0], [1.0, 2.0], [3.0, 2.0]])
    expected = np.log1p(1 / 3 * 1 / 6 - 1 / 36) / np.log(101)
    assert uncertainty(pairs, by="det") == pytest.approx(expected)
    assert uncertainty(1e6 * pairs, by="det") == pytest.approx(expected)
    assert uncertainty(torch.tensor([[2.0, 3.0], [2.0, 2.0]]), by="gap") == pytest.approx(0.25)
    assert uncertainty(torch.tensor([[2.0, 1.0]]), by="gap") == 0.0


def test_size_is_a_mean():
    module = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(module.weight, 3.0)
    torch.nn.init.constant_(module.bias, 0.0)
    assert mean_square(module).item() == pytest.approx(18 / 3)


# tasks


def test_a_task_shows_no_row_twice_and_all_anomalies():
    data = toy_rows(10)
    data.x[:, 0] = torch.arange(len(data)).float()
    shown, hidden = task(data, 40, generator())
    assert len(shown.normals) + len(hidden.normals) == 40
    assert len(shown.normals) == 28
    drawn = torch.cat([shown.x, hidden.x])[:, 0]
    assert len(drawn.unique()) == len(drawn)
    assert set(range(120, 130)) <= set(drawn.int().tolist())


def test_a_task_draws_by_weight():
    data = dataclasses.replace(toy_rows(0), weight=(torch.arange(120) < 20).float())
    data.x[:, 0] = torch.arange(120).float()
    for part in task(data, 20, generator()):
        assert part.x[:, 0].max() < 20


def test_a_single_row_is_shown_and_asked():
    for rows in (torch.tensor([7]), torch.tensor([], dtype=torch.int64)):
        assert [part.tolist() for part in parted(rows, generator())] == [rows.tolist()] * 2
    shown, rest = parted(torch.tensor([4, 9]), generator())
    assert sorted([*shown.tolist(), *rest.tolist()]) == [4, 9]
    assert len(shown) == 1


# training


@pytest.mark.parametrize("name", INSIDE)
def test_without_fence_and_tasks_it_is_plain_training_bit_for_bit(name):
    base, data = brief(INSIDE[name]), toy_rows(24)
    plain, run = seeded(lambda: base.build((6,)), 3), Run(generator(3))
    descend(base, plain, data, run)
    scorer = trained(CoMet(base, kappa=float("inf"), meta="none"), data)
    for (key, found), expected in zip(
        scorer.scorer.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected), key
    assert scorer.weight.tolist() == [1.0] * len(data)


# with labels and without, a head of pairs, a memory, a flow; all others are in the tests beside
@pytest.mark.parametrize("name", ["autoencoder", "devnet", "prenet", "dmad", "cl-flow"])
def test_any_trainable_keeps_the_contract_inside(name):
    # one refresh and one meta step amid training
    check_method(CoMet(quick(INSIDE[name]), warmup=0.5, refresh=0.5))


def test_first_order_maml_keeps_the_contract_too():
    check_method(CoMet(quick(DevNet()), meta="fomaml", penalty="gap"))


@pytest.mark.parametrize("name", INSIDE)
def test_each_refresh_and_meta_step_leaves_its_trace(name):
    data = toy_rows(24)
    scorer = trained(CoMet(quick(INSIDE[name]), warmup=0.2, refresh=0.4, penalty="gap"), data)
    assert len(scorer.counting) == 3  # before two rounds, and at the end
    assert len(scorer.penalty) == 2
    assert ((scorer.penalty >= 0.005) & (scorer.penalty <= 0.0075)).all()
    assert scorer.weight[data.y > 0].tolist() == [1.0] * 24
    assert torch.equal(scorer.outlyingness.isnan(), data.y > 0)
    assert ((scorer.weight > 0) & (scorer.weight <= 1)).all()


def test_every_trainable_of_the_package_is_inside():
    assert {"autoencoder", "devnet"} <= INSIDE.keys()
    assert "comet" not in INSIDE  # it trains in its own way, and offers no loss


class Point(torch.nn.Module):
    """One parameter; the score of a row is half the squared distance to it."""

    def __init__(self):
        super().__init__()
        self.at = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return (self.at - x).square()[:, 0] / 2


@dataclass(frozen=True)
class Mean:
    """Gradient descent to the weighted mean, by all rows in every step: what order they come in
    does not matter.
    """

    steps: int = 20
    rate: float = 0.1
    uses_labels: ClassVar[bool] = False

    def build(self, shape):
        return Point()

    def train(self, scorer, data, run):
        descend(self, scorer, data, run)

    def prepare(self, scorer, data, run):
        pass

    def stream(self, data, run):
        return itertools.repeat(data.normals)

    def optimiser(self, scorer):
        return torch.optim.SGD(scorer.parameters(), lr=self.rate)

    def loss(self, scorer, batch, run):
        return scorer(batch.x)


def line(n=200, far=10):
    """Rows about 0, and the last few at 5."""
    x = torch.randn(n, 1, generator=generator())
    x[n - far :] += 5
    return Samples.of(x)


def test_permuted_rows_have_permuted_weights_and_nothing_else_changes():
    data, order = line(), torch.randperm(200, generator=generator(1))
    one, two = (trained(CoMet(Mean(), meta="none"), rows) for rows in (data, data[order]))
    assert (one.weight < 1).sum() > 5
    torch.testing.assert_close(two.weight, one.weight[order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two.scorer.at, one.scorer.at, rtol=1e-4, atol=1e-6)


def test_the_weights_reach_the_loss():
    # By all rows the mean lies at 0.25 and more; by weights nearer to 0. It is the weighted mean of
    # its own weights.
    data = line()
    plain, method = trained(Mean(steps=200), data), CoMet(Mean(steps=200), meta="none", rho=4.0)
    scorer = trained(method, data)
    assert abs(scorer.scorer.at.item()) < abs(plain.at.item()) / 2
    mean = (scorer.weight * data.x[:, 0]).sum() / scorer.weight.sum()
    assert scorer.scorer.at.item() == pytest.approx(mean.item(), abs=0.01)


def test_weights_multiply_those_that_rows_came_with():
    data = dataclasses.replace(line(), weight=(torch.arange(200) < 100).float())
    scorer = trained(CoMet(Mean(steps=200), kappa=float("inf"), meta="none"), data)
    assert scorer.scorer.at.item() == pytest.approx(data.x[:100].mean().item(), abs=1e-3)


@pytest.mark.parametrize("meta", ["reptile", "fomaml"])
def test_a_meta_step_moves_towards_what_the_tasks_want(meta):
    data, method = Samples.of(torch.full((50, 1), 4.0)), CoMet(Mean(), meta=meta)
    scorer = Confident(Point())
    scorer.start(data.y > 0)
    optimiser = method.base.optimiser(scorer.scorer)
    [[before, after]] = method.meta_step(scorer, data, optimiser, Run(generator())).tolist()
    # Gradients are clipped to norm 1: in five steps of 0.1 each copy gets from 0 to 0.5.
    assert before == pytest.approx(8.0)
    assert after == pytest.approx(3.5**2 / 2)
    assert scorer.scorer.at.item() == pytest.approx(0.25 if meta == "reptile" else 0.1)


def planted(seed, clean=360, hidden=40):
    """Training rows, the last of them hidden anomalies that a bottleneck would learn; new normals,
    new anomalies.
    """
    g = generator(seed)
    mixing, anomalous = (
        torch.tensor([[1.0, 0.5, -1.0], [-0.5, 1.0, 1.0]]),
        torch.tensor([1.0, -1.0, 0.0, 0.0, 2.0]),
    )

    def noisy(x):
        return x + 0.1 * torch.randn(len(x), 5, generator=g)

    def normals(n):
        z = torch.randn(n, 2, generator=g)
        return noisy(torch.cat([z, z @ mixing], dim=1) / 1.2)

    def anomalies(n):
        return noisy(1.5 * torch.randn(n, 1, generator=g) * anomalous)

    return Samples.of(torch.cat([normals(clean), anomalies(hidden)])), normals(400), anomalies(400)


@pytest.mark.parametrize("meta", ["none", "reptile"])
def test_planted_anomalies_lose_weight_and_new_ones_are_found_better(meta):
    base = AutoEncoder(hidden=(32,), latent=2, steps=300, batch=32)
    for seed in (0, 1):
        data, normals, anomalies = planted(seed)
        plain, scorer = (trained(method, data, seed) for method in (base, CoMet(base, meta=meta)))
        assert scorer.weight[:360].mean() > 0.9
        assert scorer.weight[360:].mean() < 0.4
        found, before = (auroc(scored(s, normals), scored(s, anomalies)) for s in (scorer, plain))
        assert found > before + 0.02


def test_what_cannot_be_wrapped_is_refused():
    with pytest.raises(DataError, match="Mahalanobis offers none: wrap a method"):
        CoMet(Mahalanobis())
    for wrong in ({"meta": "maml"}, {"penalty": "trace"}, {"kappa": -1.0}, {"refresh": 0.0}):
        with pytest.raises(DataError, match="CoMet: "):
            CoMet(AutoEncoder(), **wrong)


def test_all_state_is_saved_with_the_scorer(tmp_path):
    x = planted(0)[0].x.numpy()
    detector = Detector(CoMet(quick(AutoEncoder())), random_state=0, calibration=0.2).fit(x)
    Bundle(detector, {}).save(tmp_path / "d")
    before, after = (
        d.members_[0].scorer.state_dict() for d in (detector, Bundle.load(tmp_path / "d").detector)
    )
    assert {"weight", "outlyingness", "counting", "penalty"} <= before.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    assert len(before["weight"]) == 320


# audit

FAST = CoMet(AutoEncoder(hidden=(32,), latent=2, steps=200, batch=32), meta="none")


@pytest.mark.parametrize("calibration", [0.2, 4], ids=["split", "folds"])
@pytest.mark.parametrize(
    "method", [FAST, Nearest(whiten=True), Mahalanobis()], ids=["comet", "nearest", "mahalanobis"]
)
def test_the_audit_lists_planted_anomalies_first(method, calibration):
    x = planted(0)[0].x.numpy()
    if not isinstance(method, CoMet):
        x[360:] *= 3
    found = Detector(method, random_state=0, calibration=calibration).fit(x).audit_
    assert sorted(found["row"].to_pylist()) == list(range(400))
    assert (found["row"].to_numpy()[:40] >= 360).mean() > 0.7
    weight, score = found["weight"].to_numpy(), found["score"].to_numpy()
    assert (np.diff(weight) >= 0).all()
    if not isinstance(method, CoMet):
        np.testing.assert_allclose(weight, 1 / np.maximum(score, 1), rtol=1e-5)


def test_a_detector_that_was_moved_has_nothing_to_audit():
    x = np.random.default_rng(0).normal(size=(60, 3))
    moved = Detector(Mahalanobis(), random_state=0).fit(x).adapt(x[:20] + 5.0)
    with pytest.raises(Unsupported, match="adapt moved this detector to these rows"):
        moved.audit_  # noqa: B018


def test_the_audit_is_of_rows_that_were_taken_for_normal():
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = np.array(["normal"] * 120 + [None] * 60 + ["leak"] * 20, dtype=object)
    found = Detector(DevNet(steps=30, batch=32), random_state=0, calibration=3).fit(x, y).audit_
    assert sorted(found["row"].to_pylist()) == list(range(180))
    labels = dict(zip(found["row"].to_pylist(), found["label"].to_pylist(), strict=True))
    assert [labels[row] for row in (0, 119, 120, 179)] == ["normal", "normal", None, None]
    assert np.isfinite(found["score"].to_numpy()).all()


def test_members_that_saw_a_row_carry_its_weight_on_average():
    x = planted(0)[0].x.numpy()
    detector = Detector(FAST, random_state=0, calibration=4).fit(x)
    row = 395
    carried = []
    for member in detector.members_:
        inside = np.setdiff1d(np.arange(400), member.held_out)
        carried += member.scorer.weight[inside == row].tolist()
    assert len(carried) == 3
    found = detector.audit_
    [weight] = found["weight"].to_numpy()[found["row"].to_numpy() == row]
    assert weight == pytest.approx(np.mean(carried))


def test_a_row_is_judged_by_a_member_that_did_not_see_it():
    # Far out, but alone in a bank of neighbours: a member that holds the row finds it at distance
    # 0.
    x = np.random.default_rng(0).normal(size=(100, 2))
    x[17] = 9.0
    detector = Detector(Nearest(k=1), random_state=0, calibration=5).fit(x)
    assert detector.audit_["row"][0].as_py() == 17
    [member] = [m for m in detector.members_ if 17 in m.held_out]
    own = member.calibration[member.held_out == 17][0]
    expected = excess(torch.from_numpy(member.calibration))[member.held_out == 17].item()
    assert own == member.calibration.max()
    assert detector.audit_["score"][0].as_py() == pytest.approx(expected)


def test_another_table_is_refused():
    x = planted(0)[0].x.numpy()
    detectors = [
        Detector(method, random_state=0, calibration=0.2).fit(x) for method in (Mahalanobis(), FAST)
    ]
    for detector in detectors:
        assert detector.audit(x).equals(detector.audit_)
        for other in (x[::-1], x[:200], x + 1):
            with pytest.raises(DataError, match="expected the .*trained on, found"):
                detector.audit(other)
        with pytest.raises(DataError, match="same rows and labels"):
            detector.audit(x, ["leak"] * 400)
    with pytest.raises(
        DataError, match="expected the 400 rows that the detector was trained on, found 399"
    ):
        detectors[1].audit(x[:-1])


def test_training_rows_are_kept_with_no_copy_of_the_detector(tmp_path):
    x = planted(0)[0].x.numpy()
    detector = Detector(Mahalanobis(), random_state=0).fit(x)
    Bundle(detector, {}).save(tmp_path / "d")
    for other in (
        pickle.loads(pickle.dumps(detector)),
        copy.deepcopy(detector),
        Bundle.load(tmp_path / "d").detector,
    ):
        with pytest.raises(Unsupported, match=r"call audit\(X, y\)"):
            _ = other.audit_
        assert other.audit(x).equals(detector.audit_)


def test_a_detector_of_an_earlier_release_says_what_it_lacks():
    detector = Detector(Mahalanobis(), random_state=0).fit(planted(0)[0].x.numpy())
    detector.assemble(
        tuple(dataclasses.replace(member, held_out=None) for member in detector.members_)
    )
    with pytest.raises(Unsupported, match="fit again"):
        _ = detector.audit_

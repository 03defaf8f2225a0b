"""Learning on: regions of a latent space by hand, replay against forgetting, and partial_fit of the
estimator.
"""

import numpy as np
import pyarrow as pa
import pytest
import torch

from quick import quick
from unseen.data.labels import encode_groups, encode_labels
from unseen.detector.detector import Detector
from unseen.errors import DataError, NotFitted, Unsupported
from unseen.methods.csad import CSAD
from unseen.methods.csad.regions import FEWEST, Regions, hazard
from unseen.methods.distances import Mahalanobis
from unseen.parts.ranking import auroc
from unseen.storage.bundle import Bundle
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples

FAST = quick(CSAD())


def test_hazard_is_minus_the_logarithm_of_a_weibull_chance():
    distribution, x = torch.tensor([1.5, 2.0]), torch.tensor([0.5, 3.0])
    chance = torch.exp(-((x / 2) ** 1.5))
    torch.testing.assert_close(hazard(x, distribution), -chance.log())
    assert torch.isfinite(hazard(torch.tensor([0.0, 1e30]), torch.tensor([100.0, 1e-3]))).all()


def circle(radius, n=200, centre=(0.0, 0.0)):
    angle = torch.arange(n) * (2 * torch.pi / n)
    return torch.stack([angle.cos(), angle.sin()], dim=1) * radius + torch.tensor(centre)


def test_regions_by_hand():
    regions = Regions(2)
    z = torch.cat([circle(1.0), circle(3.0, centre=(10.0, 0.0))])
    regions.fit(z, torch.arange(400) // 200 * 4, torch.Generator())
    assert regions.classes.tolist() == [0, 4]
    torch.testing.assert_close(
        regions.centre, torch.tensor([[0.0, 0.0], [10.0, 0.0]]), atol=1e-5, rtol=0
    )
    # Of a circle, each coordinate has the variance r^2 / 2; all distances agree, so that scale is
    # r.
    torch.testing.assert_close(regions.spread, torch.tensor([[1.0], [3.0]]).expand(2, 2) / 2**0.5)
    torch.testing.assert_close(regions.distance[:, 1], torch.tensor([1.0, 3.0]))


def test_classes_without_new_rows_stay_where_they_were():
    regions = Regions(2)
    regions.fit(
        torch.cat([circle(1.0), circle(3.0)]), torch.arange(400) // 200 * 2, torch.Generator()
    )
    before = [t.clone() for t in regions.of(1)]
    regions.fit(torch.cat([circle(2.0), circle(5.0)]), torch.arange(400) // 200, torch.Generator())
    assert regions.classes.tolist() == [0, 1, 2]
    for now, then in zip(regions.of(2), before, strict=True):
        assert torch.equal(now, then)
    assert regions.distance[0, 1] == pytest.approx(2.0)


def test_a_single_row_has_a_region_with_some_width():
    regions = Regions(3)
    regions.fit(
        torch.tensor([[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]),
        torch.tensor([0, 1]),
        torch.Generator().manual_seed(0),
    )
    assert FEWEST == 64
    assert ((regions.spread > 0.05) & (regions.spread < 0.2)).all()


def test_draws_keep_all_but_the_share_that_lies_farthest_out():
    g = torch.Generator().manual_seed(0)
    regions = Regions(2)
    regions.fit(torch.randn(2000, 2, generator=g), torch.zeros(2000, dtype=torch.int64), g)
    [(c, kept)] = list(regions.draws(5000, reject=0.1, generator=g))
    assert c == 0
    assert len(kept) / 40_000 == pytest.approx(0.9, abs=0.02)
    assert regions.hazard(kept, 0).max() <= np.log(10) + 1e-4


def test_replays_are_half_normal_and_taken_for_what_they_are():
    scorer = trained(CSAD(steps=300), toy_rows(20))
    with torch.no_grad():
        replays = scorer.replays(0.05, torch.Generator().manual_seed(0))
        assert replays.classes == [1, 2]
        assert (replays.y == 0).sum() == (replays.y > 0).sum() == 2048
        found = scorer(replays.x)
    assert auroc(found[replays.y == 0].numpy(), found[replays.y > 0].numpy()) > 0.9
    shown = toy_rows(20)
    for c in (0, 1, 2):  # where the rows were
        gap = (
            (replays.x[replays.y == c].mean(dim=0) - shown.x[shown.y == c].mean(dim=0)).abs().max()
        )
        assert gap < 1.0


def test_unlabelled_rows_do_not_reach_the_classifier():
    scorer = CSAD().build((6,))
    data = toy_rows()
    for y, reached in ((-1, False), (0, True), (2, True)):
        batch = Samples.of(data.x, torch.full_like(data.y, y))
        loss = CSAD().objective(scorer, batch, Run(torch.Generator().manual_seed(0))).sum()
        gradient = torch.autograd.grad(loss, scorer.head.weight)[0]
        assert bool(gradient.abs().sum() > 0) == reached


def test_the_loss_reaches_every_parameter():
    scorer = CSAD().build((6,))
    CSAD().objective(scorer, toy_rows(), Run(torch.Generator().manual_seed(0))).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in scorer.parameters())


def task(axis, y, seed, n=300):
    """Normals around a place of their own, and anomalies of one class along an axis."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n + 30, 6, generator=g) * 0.5
    x[:, axis + 3] += 3
    x[n:, axis] += 4
    return Samples.of(x, torch.cat([torch.zeros(n), torch.full((30,), y)]).long())


@pytest.mark.parametrize("replay", [True, False])
def test_replay_is_what_keeps_the_first_task(replay):
    first, second = task(0, 1, seed=0), task(1, 2, seed=1)
    method = CSAD(replay=replay, steps=400)
    scorer = trained(method, first)
    method.update(scorer, second, Run(torch.Generator().manual_seed(0)))
    old, new = (scored(scorer, t.x).numpy() for t in (first, second))
    # old normals against new ones: .5 is due
    normal_of_old_task, kept = (old[:300], auroc(new[:300], old[:300]))
    assert auroc(new[:300], new[300:]) > 0.95
    assert (auroc(normal_of_old_task, old[300:]) > 0.9) >= replay
    assert (kept < 0.9) == replay, (
        "without replay the normals of the first task are anomalies by now"
    )


def rows(n=200, anomalies=10, name="leak", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + anomalies, 4))
    x[n:, 0] += 6
    return x, ["normal"] * n + [name] * anomalies


def test_partial_fit_first_is_fit():
    x, y = rows()
    first = Detector(FAST, random_state=0).partial_fit(x, y)
    assert np.array_equal(
        first.anomaly_score(x), Detector(FAST, random_state=0).fit(x, y).anomaly_score(x)
    )


@pytest.mark.parametrize("calibration", [0.2, 3], ids=["split", "folds"])
def test_partial_fit_keeps_codes_of_classes_and_learns_new_ones(calibration):
    detector = Detector(FAST, calibration=calibration, random_state=0).partial_fit(
        *rows(name="leak")
    )
    detector.partial_fit(*rows(name="crack", seed=1))
    assert detector.classes_ == ("leak", "crack")  # not sorted: leak was first
    assert all(m.scorer.regions.classes.tolist() == [0, 1, 2] for m in detector.members_)
    x, y = rows(name="leak", seed=2)
    score = detector.partial_fit(x, y).anomaly_score(x)
    assert detector.classes_ == ("leak", "crack")
    assert auroc(score[:200], score[200:]) > 0.8


def test_partial_fit_gives_pvalues_for_the_newest_normals():
    x, y = rows(1000)
    shifted, _ = rows(1000, seed=1)
    shifted[:, 1] += 5
    detector = Detector(FAST, random_state=0).partial_fit(x, y)
    fresh = np.random.default_rng(3).normal(size=(2000, 4)) + np.array([0, 5, 0, 0])
    before = (detector.pvalue(fresh) <= 0.1).mean()
    detector.partial_fit(shifted, y)
    assert len(detector.conformal_.scores) == 200
    assert before > 0.9
    assert 0.04 < (detector.pvalue(fresh) <= 0.1).mean() < 0.16


def test_partial_fit_after_loading_is_as_without(tmp_path):
    detector = Detector(FAST, random_state=0).partial_fit(*rows(), groups=["a"] * 210)
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    x, y = rows(name="crack", seed=1)
    for each in (detector, loaded):
        each.partial_fit(x, y, groups=["b"] * 105 + ["a"] * 105)
    assert loaded.groups_ == detector.groups_ == ("a", "b")
    assert loaded.classes_ == ("leak", "crack")
    assert np.array_equal(loaded.pvalue(x), detector.pvalue(x))


@pytest.mark.filterwarnings("ignore::unseen.FewNormals")
def test_partial_fit_that_fails_leaves_the_detector_as_it_was():
    x, y = rows()
    detector = Detector(FAST, random_state=0).partial_fit(x, y)
    before = detector.anomaly_score(x)
    refused = [
        ((x[:, :3], y), "expecting 4 features"),
        ((x, ["crack"] * 210), "at least 2"),
        ((x[:4], None), "folds"),
    ]
    for (more, labels), words in refused:
        with pytest.raises(DataError, match=words):
            detector.partial_fit(more, labels)
    assert detector.classes_ == ("leak",)
    assert np.array_equal(detector.anomaly_score(x), before)


def test_partial_fit_keeps_the_columns_of_the_first_call():
    x, y = rows()
    first = pa.table({f"c{j}": x[:, j] for j in range(4)})
    detector = Detector(FAST, random_state=0).partial_fit(first, y)
    schema = detector.schema_
    detector.partial_fit(first.append_column("new", first["c0"]), y)
    assert detector.schema_ is schema
    with pytest.raises(DataError, match="c3"):
        detector.partial_fit(first.drop_columns(["c3"]), y)


def test_methods_that_do_not_learn_on_say_which_do():
    detector = Detector(Mahalanobis())
    assert not hasattr(detector, "partial_fit")
    assert hasattr(Detector(CSAD()), "partial_fit")
    with pytest.raises(Unsupported, match=r"Mahalanobis does not learn on .* csad"):
        detector.partial_fit(*rows())
    with pytest.raises(NotFitted):
        Detector(CSAD()).anomaly_score(rows()[0])


def test_names_that_are_known_keep_their_codes():
    codes, names = encode_labels(["b", "normal", "a", None, "z"], rows=5, known=("z", "a"))
    assert (codes.tolist(), names) == ([3, 0, 2, -1, 1], ("z", "a", "b"))
    assert encode_labels(None, rows=2, known=("z",))[1] == ("z",)
    codes, names = encode_groups(["x", "a", "x"], rows=3, known=("x",))
    assert (codes.tolist(), names) == ([0, 1, 0], ("x", "a"))


def test_settings_of_an_earlier_task_stay_usual():
    def task(settings, seed):
        x, y = rows(seed=seed)
        x[:, 3] = np.resize(settings, len(x))
        return x, y

    first, second = task([0.0, 1.0], seed=0), task([5.0, 6.0], seed=1)
    detector = Detector(quick(CSAD()), calibration=0.25, random_state=0)
    detector.partial_fit(*first)
    before = max(member.calibration[-1] for member in detector.members_)
    assert detector.anomaly_score(task([5.0], seed=2)[0]).min() > before  # a setting never seen
    detector.partial_fit(*second)
    highest = max(member.calibration[-1] for member in detector.members_)
    old, new, never = (
        detector.anomaly_score(task([value], seed=2)[0]) for value in (0.0, 5.0, 40.0)
    )
    assert (old[:200] > highest).mean() < 0.2
    assert (new[:200] > highest).mean() < 0.2
    assert never.min() > highest

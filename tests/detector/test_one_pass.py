"""One pass: a method that scores each normal row by what did not learn from it calibrates so."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from toys import BOTH, maps_of
from unseen.detector.detector import Detector
from unseen.detector.simpler import simpler_than
from unseen.errors import Unsupported
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.evidence import EvidenceStack
from unseen.methods.forest import Forest
from unseen.methods.imagestack import ImageStack
from unseen.methods.logistic import Logistic
from unseen.methods.patches import Patches
from unseen.methods.ratio import NearestRatio
from unseen.parts.episodes import HeldOut, no_splits
from unseen.parts.evidence import DOUBT, lags, shown_all
from unseen.parts.ranking import outranks
from unseen.report.inspection import contents
from unseen.storage.bundle import Bundle
from unseen.testing import toy_maps, toy_rows
from unseen.types import CrossFitted

STACK = EvidenceStack(on_raw_features=(Logistic(), Forest(trees=10)))


@dataclass(frozen=True)
class Counting(Mahalanobis):
    """Its scores of the normal rows are 0, 1, 2, ... times 10."""

    def train_calibrated(self, scorer, data, run):
        self.train(scorer, data, run)
        rows = (data.y <= 0).nonzero()[:, 0].flip(0)
        return lambda: CrossFitted(rows, 10.0 * torch.arange(len(rows)))


def rows(normals=60, seed=0):
    """A table, and labels: normals, and 5 each of two classes that lie along two columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(normals + 10, 4))
    x[normals : normals + 5, 0] += 6
    x[normals + 5 :, 1] += 6
    return x, np.repeat(["normal", "hot", "wet"], [normals, 5, 5])


def text_of(bundle, capsys):
    from rich.console import Console

    Console(width=200).print(contents(bundle))
    return capsys.readouterr().out


# which rows calibrate


def test_scores_of_training_calibrate_in_their_order():
    x, y = rows(30)
    detector = Detector(Counting(), random_state=0).fit(x, y)
    [member] = detector.members_
    assert member.calibration.tolist() == [10.0 * k for k in range(30)]
    assert member.held_out.tolist() == list(range(29, -1, -1))
    own = member.scorer(torch.from_numpy(member.encoder.encode(x[:30])).float())
    np.testing.assert_allclose(member.in_training, own.numpy()[::-1], rtol=1e-6)
    # 28 of 30 score 20 or more: (28 + 1) / 31
    assert detector.conformal_.pvalue(np.array([15.0])) == pytest.approx(29 / 31)


@pytest.mark.parametrize(
    ("choices", "normals", "members", "calibrating"),
    [
        ({}, 60, 1, 60),
        ({"calibration": 5}, 60, 5, 12),
        ({}, 1000, 1, 200),
        ({"calibration": 0.5}, 60, 1, 30),
    ],
)
def test_one_pass_is_for_few_normals_and_for_nothing_asked(choices, normals, members, calibrating):
    detector = Detector(Counting(), random_state=0, **choices).fit(*rows(normals))
    assert [len(member.calibration) for member in detector.members_] == [calibrating] * members
    one_pass = detector.members_[0].in_training is not None
    assert one_pass == (members == 1 and calibrating == normals)


def test_a_method_that_cannot_makes_folds():
    assert len(Detector(Mahalanobis(), random_state=0).fit(*rows()).members_) == 5


def test_unlabelled_rows_are_learned_from_and_calibrate_where_few_are_labelled():
    x, y = rows(60)
    y = y.astype(object)
    y[:20] = None
    member = Detector(STACK, random_state=0).fit(x, y).members_[0]
    assert sorted(member.held_out) == list(range(20, 60))
    y[:40] = None
    member = Detector(STACK, random_state=0).fit(x, y).members_[0]
    assert sorted(member.held_out) == list(range(60))


def test_copies_count_once():
    x, y = rows(60)
    detector = Detector(STACK, random_state=0).fit(np.r_[x, x[:60]], np.r_[y, y[:60]])
    assert sorted(detector.members_[0].held_out) == list(range(60))


# who scores them


@pytest.mark.parametrize("anomalies", [0, 1, 6])
def test_each_normal_is_scored_by_what_learned_from_the_others_and_all_anomalies(anomalies):
    fold, calls = torch.arange(10) % 3, []

    def trained(inside, shown):
        def score(out, hidden):
            calls.append((inside.tolist(), shown.tolist(), hidden.tolist()))
            return out.nonzero()[:, 0][None].float(), torch.zeros(1, len(hidden))

        return score

    hiding = [HeldOut(torch.arange(3), torch.arange(3, 6), known=False)] * 5
    splits = no_splits(toy_rows(anomalies).anomalies, 3) if anomalies < 2 else hiding
    found = [(torch.full((1, 1), -1.0), torch.zeros(1, 0))] * len(splits)
    places = shown_all(fold, splits, anomalies, trained, found)
    if anomalies < 2:  # all were shown already
        assert places == [0, 1, 2]
        assert calls == []
        return
    assert places == [5, 6, 7]
    assert [found[k][0][0].tolist() for k in places] == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert [shown for _, shown, _ in calls] == [list(range(6))] * 3
    assert calls[1][0] == [k not in (1, 4, 7) for k in range(10)]
    assert all(hidden == [] for _, _, hidden in calls)


@pytest.mark.parametrize("labels", [0, 1, 2, 3, 10])
def test_every_normal_is_held_out_whatever_is_labelled(labels):
    x, y = rows(31)
    keep = np.r_[:31, 31 : 31 + labels]
    member = Detector(STACK, random_state=0).fit(x[keep], y[keep]).members_[0]
    assert sorted(member.held_out) == list(range(31))


def test_a_row_scores_higher_held_out_than_learned_from():
    x, y = rows(60)
    member = Detector(STACK, random_state=0).fit(x, y).members_[0]
    assert np.mean(member.calibration > member.in_training) > 0.8


# what uses the calibration


def test_saved_and_loaded_it_answers_alike_and_says_how_it_was_calibrated(tmp_path, capsys):
    x, y = rows(60)
    detector = Detector(STACK, random_state=0).fit(x, y)
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d")
    np.testing.assert_array_equal(loaded.detector.pvalue(x), detector.pvalue(x))
    [before], [after] = detector.members_, loaded.detector.members_
    np.testing.assert_array_equal(before.in_training, after.in_training)
    text = text_of(loaded, capsys)
    assert "60 normal rows in one pass, each scored by what did not learn from it" in text
    assert loaded.detector.audit(x, y).equals(detector.audit_)


def test_the_audit_finds_what_is_no_normal_row_and_knows_another_table():
    x, y = rows(60)
    x[7] = 9.0
    detector = Detector(STACK, random_state=0).fit(x, y)
    assert detector.audit_["row"][0].as_py() == 7
    with pytest.raises(Exception, match="score otherwise"):
        detector.audit(x + 0.5, y)


def test_what_adapted_is_still_not_audited():
    maps = maps_of(toy_maps())
    moved = Detector(BOTH, random_state=0).fit(maps).adapt(maps_of(toy_maps(20, 0, seed=4)))
    with pytest.raises(Unsupported, match="adapt moved this detector"):
        _ = moved.audit_


def test_images_calibrate_heat_and_scores_in_one_pass(tmp_path):
    maps = maps_of(toy_maps())
    detector = Detector(BOTH, random_state=0).fit(maps)
    [member] = detector.members_
    assert sorted(member.held_out) == list(range(32))
    assert member.peaks.shape == (32,)
    assert (np.diff(member.peaks) >= 0).all()
    own = member.heat(maps.take(np.arange(32)), torch.device("cpu")).max(axis=(1, 2))
    assert np.median(member.peaks) > np.median(own), "those are of what did not learn from them"
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    assert loaded.heat_threshold() == detector.heat_threshold()


def test_fresh_normal_rows_are_flagged_as_often_as_is_due():
    shares = []
    for seed in range(8):
        x, y = rows(80, seed)
        detector = Detector(STACK, random_state=seed).fit(x, y)
        fresh = np.random.default_rng(100 + seed).normal(size=(200, 4))
        shares.append(np.mean(detector.pvalue(fresh) <= 0.1))
    assert 0.04 < np.mean(shares) < 0.12


def test_fresh_normal_images_are_flagged_and_hot_as_often_as_is_due():
    flagged, hot = [], []
    for seed in range(10):
        detector = Detector(BOTH, random_state=0).fit(maps_of(toy_maps(60, 8, seed)))
        fresh = maps_of(toy_maps(200, 0, seed=100 + seed))
        flagged.append(np.mean(detector.pvalue(fresh) <= 0.1))
        peaks = detector.members_[0].heat(fresh, torch.device("cpu")).max(axis=(1, 2))
        hot.append(np.mean(peaks > detector.heat_threshold(0.1)))
    assert 0.05 < np.mean(flagged) < 0.12
    assert 0.05 < np.mean(hot) < 0.13


# when the whole is not needed


def test_shares_above_and_below_by_hand():
    above, below = outranks(torch.tensor([0.0, 1.0, 5.0]), torch.tensor([1.0, 9.0]))
    assert above.tolist() == [1.0, 0.75, 0.5]
    assert below.tolist() == pytest.approx([0.5, 1.0])


def test_lag_by_hand():
    splits = [HeldOut(torch.zeros(0), torch.arange(2), known=False)]
    whole = [(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0]))]
    alone = [(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 3.0]))]
    unseen, known = lags(whole, alone, splits)
    # of anomalies 0.5 and 0 are lost, of normals 0 and 0.5: variances 0.125 of two rows each
    assert unseen.tolist() == pytest.approx([0.25, (0.125 + (DOUBT / 2) ** 2) ** 0.5])
    assert known.isnan().all()


def fake(lag, classes=("hot", "wet")):
    x, y = rows(30)
    detector = Detector(STACK, random_state=0).fit(x, y)
    detector.classes_ = classes
    names = detector.members_[0].scorer.names
    detector.members_[0].scorer.lag[:] = torch.tensor([0.2, 0.001])
    for name, (mean, error) in lag.items():
        [k] = [k for k, each in enumerate(names) if each.startswith(name)]
        detector.members_[0].scorer.lag[k] = torch.tensor([mean, error])
    return detector


@pytest.mark.parametrize(
    ("lag", "found"),
    [
        ({}, None),
        ({"Mahalanobis": (0.005, 0.001)}, "mahalanobis"),
        ({"Mahalanobis": (0.005, 0.003)}, None),  # 0.005 + 2.33 * 0.003 > 0.01
        ({"Mahalanobis": (torch.nan, torch.nan)}, None),
        ({"whitened distance": (0.0, 0.001)}, None),  # no method has this name
        ({"random forest": (-0.01, 0.001), "Mahalanobis": (0.0, 0.001)}, "mahalanobis"),
        ({"random forest": (-0.01, 0.001)}, "forest"),
    ],
)
def test_a_piece_that_is_a_method_and_beyond_doubt_as_good_is_named(lag, found):
    assert simpler_than(fake(lag)) == found


def test_nothing_is_said_of_one_class_and_of_few_rows():
    assert simpler_than(fake({"Mahalanobis": (0.0, 0.001)}, classes=("hot",))) is None
    assert simpler_than(Detector(STACK, random_state=0).fit(*rows())) is None, "10 rows held out"
    assert simpler_than(Detector(Nearest(), random_state=0).fit(*rows())) is None


def test_what_is_enough_is_kept_with_a_saved_detector(tmp_path, capsys):
    Bundle(fake({"Mahalanobis": (0.0, 0.001)}), {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d")
    assert loaded.facts["simpler"] == "mahalanobis"
    assert "mahalanobis alone finds what was held out as well" in text_of(loaded, capsys)
    other = replace(loaded, facts={**loaded.facts, "simpler": ["mahalanobis"]})
    assert "alone finds" not in text_of(other, capsys)


def test_what_is_enough_for_one_product_is_not_said_of_another():
    members = [Patches(method, top=(0.0,)) for method in (Nearest(), NearestRatio())]
    fitted = Detector(ImageStack(tuple(members)), random_state=0).fit(maps_of(toy_maps(30, 6)))
    fitted.members_[0].scorer.lag[:] = torch.tensor([0.0, 0.001])
    assert simpler_than(fitted) == "nearest"
    new = maps_of(toy_maps(4, 0, seed=4))
    moved = fitted.adapt(new)
    assert simpler_than(moved) is None
    assert simpler_than(fitted) == "nearest"
    saved = Bundle(fitted, {"simpler": "nearest", "fit_seconds": 1})
    data = SimpleNamespace(facts={"source": "new"}, rows=new)
    assert saved.adapted(moved, data).facts == {
        "fit_seconds": 1,
        "adapted": {"source": "new", "rows": 4},
        "evaluation": [],
    }


def test_weights_of_what_moved_are_not_explained_by_the_old_product(capsys):
    fitted = Detector(BOTH, random_state=0).fit(maps_of(toy_maps()))
    text = text_of(Bundle(fitted, {}), capsys)
    assert "Evidence by weight, which grows with how well it found anomalies held out" in text
    new = maps_of(toy_maps(30, 0, seed=4))
    data = SimpleNamespace(facts={"source": "new"}, rows=new)
    text = text_of(Bundle(fitted, {}).adapted(fitted.adapt(new), data), capsys)
    assert "0 for what was left behind; AUROC is that before the detector moved" in text


def test_a_piece_that_finds_all_that_the_whole_does_is_named():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    x[300:350, 0] += 30
    x[350:, 1] += 30
    y = np.repeat(["normal", "hot", "wet"], [300, 50, 50])
    assert simpler_than(Detector(STACK, random_state=0).fit(x, y)) == "mahalanobis"

"""Blind spots: shares and intervals by hand, where they come from, and what cannot be told."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

import toys
from unseen import Detector, Policy, Samples
from unseen.detector.blindspots import BlindSpots, HiddenClass
from unseen.errors import BundleError, DataError, Unsupported
from unseen.evaluation.foretold import foretold
from unseen.methods import EvidenceStack
from unseen.parts.episodes import HeldOut
from unseen.parts.evidence import hidden_pvalues
from unseen.report.inspection import expected_recall
from unseen.storage.bundle import Bundle

SMALL = EvidenceStack(base_scores=("mahalanobis", "ratio"))


def spots(alpha, *shares, names="abcdefgh", finest=0.001):
    """Ten rows of each class, of which a share is found at 5%."""
    return BlindSpots(
        alpha,
        tuple(
            HiddenClass(name, np.where(np.arange(10) < 10 * share, 0.05, 0.5), finest)
            for name, share in zip(names, shares, strict=False)
        ),
    )


def rows(kinds=("up", "down"), each=12, normals=300, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(["normal", *kinds], [normals, *[each] * len(kinds)])
    x = rng.normal(size=(len(y), 3))
    for k, kind in enumerate(kinds):
        x[y == kind, k % 3] += 6.0 * (-1) ** k
    return x, y


def test_what_is_expected_by_hand():
    # 0.15 and two classes, .5 and .9 of them found, of 2 + .3 draws
    found = spots(0.05, 0.5, 0.9)
    assert found.expected == round((0.15 + 1.4) / 2.3, 2)
    assert found.low == betabinom(20, 1.55, 0.75).ppf(0.05) / 20
    assert found.high == betabinom(20, 1.55, 0.75).ppf(0.95) / 20
    assert spots(0.04, 0.5, 0.9).expected == round(0.15 / 2.3, 2)  # none at a smaller level


def test_halves_of_one_class_count_less_and_many_classes_no_more_than_six():
    assert spots(0.05, 1.0, 0.0, names="aa").expected == 0.5
    whole, halves = spots(0.05, 0.9, 0.9), spots(0.05, 0.9, 0.9, names="aa")
    assert halves.low < whole.low
    six, eight = spots(0.05, *[0.5] * 6), spots(0.05, *[0.5] * 8)
    assert (six.low, six.high) == (eight.low, eight.high)


def test_more_classes_that_agree_narrow_the_interval():
    widths = [(s := spots(0.05, *[0.6] * n)).high - s.low for n in (1, 2, 3, 6)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0]


def test_what_a_thousand_rows_bring():
    found = spots(0.05, 0.5, 0.9, finest=0.02).catches(share=0.02)
    assert [row["alpha"] for row in found] == [0.02, 0.05, 0.1, 0.2]  # none below the finest
    assert found[1]["false_alarms"] == pytest.approx(0.05 * 980)
    assert found[1]["caught"] == pytest.approx(20 * 0.67)


def test_a_level_that_held_out_normals_cannot_tell_is_refused():
    with pytest.raises(DataError, match=r"no p-value below 0\.02"):
        spots(0.01, 0.5, finest=0.02)
    with pytest.raises(DataError, match="between 0 and 1"):
        spots(0.05, 0.5).at(1.5)


def hidden(*pvalues):
    return HiddenClass("leak", np.array(pvalues), 0.001)


def test_the_level_of_a_policy_by_hand():
    alike = BlindSpots(0.05, (hidden(0.001, 0.002, 0.003, 0.4),))
    assert alike.at(Policy.alpha(0.2)).alpha == 0.2
    assert alike.at(Policy.per_day(300, traffic=100_000)).alpha == 0.003
    # false discoveries: a <= .2 (.98 a + .02 * 3 / 4), a = .003 / .804
    found = alike.at(Policy.fdr(0.2), share=0.02)
    assert found.alpha == pytest.approx(0.003 / 0.804, abs=2e-5)
    assert found.expected == alike.at(0.004).expected == round((0.15 + 0.75) / 1.3, 2)
    # costs: .9 F(a) - a is highest at the last of the three, and .0135 there
    assert alike.at(Policy.cost(10, 1), share=0.02).alpha == pytest.approx(0.003, abs=2e-5)
    # half as many such rows, of which a fourth has a small p-value: a = .5 (.99 a + .01 / 4)
    fewer = BlindSpots(0.05, (hidden(0.001, 0.4, 0.4, 0.4),)).at(Policy.fdr(0.5), share=0.01)
    assert fewer.alpha == pytest.approx(0.5 * 0.0025 / (1 - 0.5 * 0.99), abs=2e-5)


def test_every_class_counts_alike_in_the_level_of_a_policy():
    few, many = hidden(0.001), hidden(*[0.9] * 99)
    found = BlindSpots(0.05, (few, many)).at(Policy.fdr(0.2), share=0.02)
    assert found.alpha == pytest.approx(0.2 * 0.01 / (1 - 0.2 * 0.98), abs=2e-5)


def test_a_policy_that_raises_no_alarm_says_so():
    spots = BlindSpots(0.05, (hidden(0.1, 0.4),))
    for policy in (Policy.fdr(0.1), Policy.cost(2, 1)):
        with pytest.raises(DataError, match=r"no such row would raise an alarm.*share=0\.1"):
            spots.at(policy)
    with pytest.raises(DataError, match="share must lie between 0 and 1"):
        spots.at(Policy.fdr(0.1), share=0.0)


def test_a_detector_tells_them_under_a_policy():
    x, y = rows()
    detector = Detector("mahalanobis", random_state=0).fit(x, y)
    under = detector.blind_spots(Policy.fdr(0.2), share=0.1)
    assert under.finest <= under.alpha < 0.2
    assert under.expected == detector.blind_spots(under.alpha).expected
    assert detector.blind_spots(Policy.per_day(5, traffic=100)).alpha == 0.05
    with pytest.raises(DataError, match="share must lie"):
        detector.blind_spots(share=1.0)


def test_nothing_is_expected_below_what_the_detector_can_flag():
    x, y = rows(normals=300)
    detector = Detector(SMALL, calibration=0.2, random_state=0).fit(x, y)
    finest = detector.conformal_.finest
    held = max(member.hidden[:, 3].max() for member in detector.members_)
    assert held < finest  # held-out rows alone would tell smaller levels
    assert detector.pvalue(x).min() >= finest
    for policy in (0.9 * finest, Policy.per_day(9 * finest, traffic=10)):
        with pytest.raises(DataError, match="nothing can be flagged"):
            detector.blind_spots(policy)
    spots = detector.blind_spots(0.05)
    assert spots.finest == finest
    assert min(row["alpha"] for row in spots.catches()) >= finest
    assert detector.blind_spots(Policy.fdr(0.2), share=0.1).alpha >= finest


def test_expectations_are_left_out_where_few_normal_rows_calibrate():
    x, y = rows(normals=60)
    detector = Detector(SMALL, calibration=0.2, random_state=0).fit(x, y)
    assert detector.conformal_.finest > 0.05
    assert expected_recall(detector) == []
    seen = [{"role": "unseen", "rows": 30, "tpr_at_5_fpr": 0.5}]
    assert foretold(detector, seen) is None


def test_p_values_of_hidden_rows_by_hand():
    split = [HeldOut(torch.tensor([2]), torch.tensor([0, 1]), known) for known in (False, True)]
    split.append(HeldOut(torch.tensor([0, 1]), torch.tensor([2]), False))
    scores = [
        (torch.tensor([1.0, 5.0]), torch.tensor([4.0, 6.0])),
        (torch.tensor([9.0]), torch.tensor([9.0, 9.0])),  # rows of known classes tell nothing
        (torch.tensor([2.0, 3.0]), torch.tensor([2.0])),
    ]
    # normals 1, 2, 3, 5: above 4 is one, above 6 none, at least 2 are three; of 5 places
    assert hidden_pvalues(scores, split).tolist() == [
        [0, 0, 2 / 5, 1 / 5],
        [0, 1, 1 / 5, 1 / 5],
        [2, 2, 4 / 5, 1 / 5],
    ]
    assert hidden_pvalues(scores[1:2], split[1:2]) is None


def test_training_keeps_what_it_held_out_through_saving(tmp_path):
    x, y = rows(("up", "down", "left"))
    detector = Detector(SMALL, random_state=0).fit(x, y)
    found = detector.blind_spots()
    assert {each.name: len(each.pvalues) for each in found.classes} == dict.fromkeys(
        ("up", "down", "left"), 12
    )
    assert found.expected > 0.8
    Bundle(detector).save(tmp_path / "m")
    again = Bundle.load(tmp_path / "m").detector.blind_spots()
    assert str(again) == str(found)
    assert all(
        (a.pvalues == b.pvalues).all() for a, b in zip(found.classes, again.classes, strict=True)
    )


def test_a_damaged_record_of_it_is_refused(tmp_path):
    detector = Detector(SMALL, random_state=0).fit(*rows())
    for k, bad in enumerate(
        ([[0.5, 1, 0.1, 0.1]], [[0, 3, 0.1, 0.1]], [[0, 1, 0.1, 0.2]], [[0, 1]])
    ):
        wrong = dataclasses.replace(detector.members_[0], hidden=np.array(bad, dtype=float))
        detector.members_ = (wrong,)
        Bundle(detector).save(tmp_path / str(k))
        with pytest.raises(BundleError, match="hidden"):
            Bundle.load(tmp_path / str(k))


def test_a_kind_unlike_the_others_is_not_expected_to_be_found():
    """A class that hides among the normals is found by no one who was never shown it."""
    x, y = rows(("up", "down"))
    x[y == "down"] = np.random.default_rng(1).normal(size=(12, 3))
    each = {
        c.name: c.found(0.05)
        for c in Detector(SMALL, random_state=0).fit(x, y).blind_spots().classes
    }
    assert each["down"] < 0.2
    assert each["up"] > each["down"] + 0.3


def test_methods_without_labels_judge_known_classes_as_they_are():
    x, y = rows()
    detector = Detector("mahalanobis", random_state=0).fit(x, y)
    [up, down] = sorted(detector.blind_spots().classes, key=lambda each: each.name)[::-1]
    assert (up.pvalues == detector.pvalue(x[y == "up"])).all()
    assert (down.pvalues == detector.pvalue(x[y == "down"])).all()


def test_other_methods_learn_anew_without_each_class():
    x, y = rows()
    detector = Detector("logistic", random_state=0).fit(x, y)
    without = Detector("logistic", random_state=0).fit(x[y != "up"], y[y != "up"])
    [up] = [each for each in detector.blind_spots().classes if each.name == "up"]
    assert up.found(0.05) == (without.pvalue(x[y == "up"]) <= 0.05).mean() < 0.5


@pytest.mark.parametrize("method", ["mahalanobis", "logistic", SMALL])
def test_too_few_labels_are_said(method):
    x, y = rows(("up",), each=0 if method == "mahalanobis" else 4)
    with pytest.raises(Unsupported, match="label"):
        Detector(method, random_state=0).fit(x, y).blind_spots()


def test_one_class_is_told_by_its_halves():
    found = Detector(SMALL, random_state=0).fit(*rows(("up",))).blind_spots()
    assert [(each.name, len(each.pvalues)) for each in found.classes] == [("up", 6), ("up", 6)]


def test_images_have_blind_spots_and_advice_but_no_moves():
    g = torch.Generator().manual_seed(0)
    y = torch.tensor([0] * 80 + [1] * 6 + [2] * 6)
    x = torch.randn(92, 4, 6, 6, generator=g)
    x[80:86, 0] += 5
    x[86:, 1] -= 5
    labels = tuple(toys.NAMES[k] for k in y.tolist())
    maps = toys.maps_of(Samples.of(x, y), labels=labels)
    detector = Detector(toys.BOTH, random_state=0).fit(maps)
    assert {each.name for each in detector.blind_spots(0.1).classes} == {"bright", "dark"}
    new = torch.randn(20, 4, 6, 6, generator=g)
    new[3, 2] += 5
    new[7, 0] += 5
    advice = detector.advise(toys.maps_of(Samples.of(new), labels=(None,) * 20), 3)
    assert advice["row"][0].as_py() == 3  # 7 is like what is labelled
    with pytest.raises(Unsupported, match="heat maps"):
        detector.smallest_moves()


def test_an_earlier_release_kept_nothing():
    detector = Detector("mahalanobis").fit(*rows())
    del detector.references_
    with pytest.raises(Unsupported, match="fit again"):
        detector.blind_spots()

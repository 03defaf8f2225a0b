"""What fields of methods may be: every number has a range, and a wrong one is refused wherever it
comes from.
"""

import dataclasses
from typing import get_args

import numpy as np
import pytest

from quick import brief
from unseen.detector.detector import Detector
from unseen.detector.settings import configured
from unseen.errors import DataError
from unseen.fields import RANGES, check_fields, holds_methods, method_fields, range_of
from unseen.methods import EVERY, METHODS
from unseen.methods.ahl import AHL
from unseen.methods.catalogue import from_json, to_json
from unseen.methods.comet import CoMet
from unseen.methods.con2 import Con2
from unseen.methods.dcc import DCC
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.duq import DUQ
from unseen.methods.ensemble import Ensemble
from unseen.methods.evidence import EvidenceStack
from unseen.methods.flow import FlowDensity
from unseen.methods.isolation import IsolationForest
from unseen.testing import scored, toy_rows, trained

KINDS = sorted({type(method) for method in EVERY.values()}, key=lambda kind: kind.__name__)
NUMBERS = [
    (kind, name)
    for kind in KINDS
    for name, hint in method_fields(kind).items()
    if {int, float} & {hint, *get_args(hint)} and not holds_methods(hint)
]


@pytest.mark.parametrize(
    ("kind", "name"), NUMBERS, ids=lambda given: getattr(given, "__name__", given)
)
def test_every_number_has_a_range_and_what_lies_beyond_is_refused(kind, name):
    low, high = range_of(kind, name)
    assert np.isfinite([low, high]).all(), f"{name} has no entry in RANGES"
    prototype = next(method for method in EVERY.values() if type(method) is kind)
    value = getattr(prototype, name)
    for wrong in (low - 1, high + 1, 10**12, float("nan"), float("inf"), "5", None, True):
        wrong = tuple(wrong for _ in value) or (wrong,) if isinstance(value, tuple) else wrong
        with pytest.raises(DataError, match=rf"^{kind.__name__}: {name} must be .*number"):
            from_json(to_json(prototype) | {name: wrong})


LOWEST = [
    (name, field, range_of(type(method), field)[0])
    for name, method in METHODS.items()
    for field, hint in method_fields(type(method)).items()
    if hint is int
]


@pytest.mark.parametrize(
    ("name", "field", "low"), LOWEST, ids=[f"{name}-{field}" for name, field, _ in LOWEST]
)
def test_the_least_whole_number_gives_finite_scores(name, field, low):
    data, method = toy_rows(), brief(METHODS[name])
    short = {each: 2 for each in ("steps", "episodes") if each in method_fields(type(method))}
    scorer = trained(dataclasses.replace(method, **short | {field: low}), data)
    assert scored(scorer, data.x).isfinite().all()


def test_no_range_is_of_no_field():
    known = {name for _, name in NUMBERS} | {"levels", "size", "tiles"}  # of Features
    assert {key.split(".")[-1] for key in RANGES} <= known


@pytest.mark.parametrize("name", EVERY)
def test_methods_as_they_are_pass(name):
    check_fields(EVERY[name])
    assert from_json(to_json(EVERY[name])) == EVERY[name]


WRONG = [
    (Nearest(k=0), "Nearest: k must be a whole number from 1 to 100,000, got 0"),
    (Nearest(k=2.5), "Nearest: k must be a whole number from 1 to 100,000, got 2.5"),
    (Nearest(whiten=3), "Nearest: whiten must be true or false, got 3"),
    (
        Mahalanobis(shrinkage=float("nan")),
        "Mahalanobis: shrinkage must be a number from 0 to 1,000,000, got nan",
    ),
    (DevNet(rate=0), "DevNet: rate must be a number above 0, at most 1, got 0"),
    (DUQ(hidden=()), "DUQ: hidden must be 1 to 100 whole numbers from 1 to 10,000, got ()"),
    (DCC(most=1.0), "DCC: most must be a number from 0 to 0.999, got 1.0"),
    (
        DevNet(hidden=(20, 0)),
        "DevNet: hidden must be at most 100 whole numbers from 1 to 10,000, got (20, 0)",
    ),
    (DevNet(hidden=(2,) * 101), "DevNet: hidden must be at most 100 whole numbers"),
    (Con2(context="flop"), "Con2: context must be one of 'flip', 'permute', got 'flop'"),
    (
        IsolationForest(rows=1),
        "IsolationForest: rows must be a whole number from 2 to 10,000,000, got 1",
    ),
    (
        EvidenceStack(inverse_temperature=(1.0,)),
        "EvidenceStack: inverse_temperature must be 2 numbers from 0 to 1,000,000, got (1.0,)",
    ),
    (
        EvidenceStack(on_raw_features=(3,)),
        "EvidenceStack: on_raw_features must be a tuple of at most 100 methods, got (3,)",
    ),
    (
        EvidenceStack(on_raw_features=DevNet()),
        "EvidenceStack: on_raw_features must be a tuple of at most 100 methods",
    ),
    (EvidenceStack(on_both=(Nearest(k=-1),)), "Nearest: k must be"),
    (
        AHL(Mahalanobis()),
        "AHL: base must be a method that is trained by gradient descent, such as DevNet, got Mah",
    ),
    (Ensemble([1]), r"Ensemble: base must be a method, got [1]"),
    (
        Ensemble(Ensemble(Nearest(), 300), 300),
        "Ensemble: it would have 721,200 parts, and may have 2,000",
    ),
    (Ensemble(FlowDensity(couplings=1000), 1000), "Ensemble: it would have 4,004,000 parts"),
]


@pytest.mark.parametrize(("method", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_a_detector_says_before_it_builds(method, message):
    with pytest.raises(DataError) as found:
        Detector(method).fit(np.random.default_rng(0).normal(size=(50, 2)))
    assert str(found.value).startswith(message)


def test_numbers_of_numpy_and_lists_are_numbers_too():
    check_fields(Nearest(k=np.int64(3), shrinkage=np.float32(0.5)))
    check_fields(DevNet(hidden=[20, 4], margin=3))


def test_methods_of_others_mean_by_their_fields_what_they_like():
    @dataclasses.dataclass(frozen=True)
    class Own:
        k: int = 0
        uses_labels = False

        def build(self, shape): ...

        def train(self, scorer, data, run): ...

    check_fields(Own())
    check_fields(Ensemble(Own()))


def test_depth():
    method = Nearest()
    for _ in range(7):
        method = Ensemble(method, members=1)
    check_fields(method)
    assert from_json(to_json(method)) == method
    for each in (check_fields, lambda method: from_json(to_json(method))):
        with pytest.raises(DataError, match="8 deep at most"):
            each(Ensemble(method, members=1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "unknown method None"),
        ({"name": ["nearest"]}, r"unknown method \['nearest'\]"),
        ([], "unknown method None"),
        (
            {"name": "nearest", "hops": 2},
            "method 'nearest' has no field 'hops': its fields are bank, coreset, k",
        ),
        ({"name": "comet"}, "method 'comet': expected field 'base', found none"),
        ({"name": "comet", "base": 2.5}, "unknown method None"),
        ({"name": "comet", "base": [1]}, "unknown method None"),
        (
            {"name": "comet", "base": [{"name": "devnet"}]},
            "CoMet: base must be a method that is trained by gradient",
        ),
        (
            {"name": "evidence-stack", "on_raw_features": {"name": "nearest"}},
            "on_raw_features must be a tuple of at most 100 methods",
        ),
        (
            {"name": "evidence-stack", "on_raw_features": [{"name": "nearest"}] * 101},
            "on_raw_features must be a tuple of at most 100",
        ),
        ({"name": "evidence-stack", "base_scores": [1]}, "base_scores must be at most 100 names"),
        ({"name": "nearest", "bank": {"name": "nearest"}}, "bank must be a whole number"),
    ],
)
def test_words_that_are_no_method(spec, message):
    with pytest.raises(DataError, match=message):
        from_json(spec)


def test_the_command_line_says_the_same():
    for settings, message in (
        (["k=0"], "Nearest: k must be a whole number from 1 to 100,000, got 0"),
        (
            ["bank=1000000000000"],
            "Nearest: bank must be a whole number from 1 to 10,000,000, got 1000000000000",
        ),
    ):
        with pytest.raises(DataError, match=message):
            configured("nearest", settings)
    with pytest.raises(
        DataError, match="DevNet: margin must be a number from 0 to 1,000,000, got -3.0"
    ):
        configured("comet", ["base=devnet", "base.margin=-3"])


def test_comet_of_a_method_that_does_not_descend_is_refused_as_ever():
    with pytest.raises(DataError, match="wrap a method that is trained by gradient descent"):
        CoMet(Mahalanobis())

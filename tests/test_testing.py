"""`check_method` finds each fault by the name of its check, and skips none without a reason."""

import os
import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from quick import quick
from unseen.errors import DataError
from unseen.methods import DevNet
from unseen.testing import CHECKS, check_method
from unseen.types import CrossFitted

NAMES = [check.__name__ for check in CHECKS]


class Distance(nn.Module):
    """Distance to a centre that is learned."""

    def __init__(self, columns):
        super().__init__()
        self.register_buffer("centre", torch.zeros(columns))

    def forward(self, x):
        return (x - self.centre).abs().sum(dim=1)


@dataclass(frozen=True)
class Good:
    """A method that keeps the contract, from which each of the broken ones differs in one place."""

    power: float = 1.0
    uses_labels: ClassVar[Any] = False
    scorer: ClassVar[type] = Distance

    def build(self, shape):
        return self.scorer(*shape)

    def train(self, scorer, data, run):
        scorer.centre.copy_(data.normals.x.mean(dim=0))

    def adapt(self, scorer, support, run):
        moved = self.build(scorer.centre.shape)
        moved.centre.copy_(support.x.mean(dim=0))
        return moved


def scoring(forward):
    """A method whose scorer scores by another function."""
    return type("Scoring", (Good,), {"scorer": type("Own", (Distance,), {"forward": forward})})()


def training(train, **own):
    """A method that trains by another function."""
    return type("Training", (Good,), {"train": train, **own})()


def centred(self, scorer, data, run):
    Good.train(self, scorer, data, run)


@dataclass
class Thawed:
    """A dataclass whose fields may change."""


def shifts_its_data(self, scorer, data, run):
    data.x.add_(1)
    centred(self, scorer, data, run)


def draws_globally(draw):
    def train(self, scorer, data, run):
        draw()
        centred(self, scorer, data, run)

    return train


def unlike_alone(self, x):
    return Distance.forward(self, x) - x.mean()


def unlike_by_place(self, x):
    return Distance.forward(self, x) + 1e-6 * torch.arange(len(x))


def forgets(self, scorer, data, run):
    centred(self, scorer, data, run)
    scorer.scale = 2.0


class Forgetful(Distance):
    scale = 1.0

    def forward(self, x):
        return self.scale * super().forward(x)


class Holey(Distance):
    def __init__(self, columns):
        super().__init__(columns)
        self.register_buffer("unused", torch.tensor([torch.nan]))


def never_the_same(self, scorer, data, run):
    centred(self, scorer, data, run)
    scorer.centre += int.from_bytes(os.urandom(4)) / 2**32


@dataclass(frozen=True)
class Loose(Good):
    widths: list = field(default_factory=lambda: (3, 4))


def refuses_without_labels(self, scorer, data, run):
    if not len(data.anomalies):
        raise DataError("no labels")
    centred(self, scorer, data, run)


def learns_from_labels(self, scorer, data, run):
    scorer.centre.copy_(data.normals.x.mean(dim=0) - data.anomalies.x.mean(dim=0).nan_to_num())


def a_ring(self, x):
    """High at a distance of 20 from the centre, low again far beyond."""
    return -(Distance.forward(self, x) - 8).abs()


class Linear(nn.Linear):
    """A weighted sum of columns."""

    def __init__(self, columns):
        super().__init__(columns, 1)

    def forward(self, x):
        return super().forward(x)[:, 0]


@dataclass(frozen=True)
class Reduced(Good):
    """Its loss is a mean."""

    def loss(self, scorer, batch, run):
        return scorer(batch.x).mean()


@dataclass(frozen=True)
class More(DevNet):
    """It trains on after its parts are done."""

    def train(self, scorer, data, run):
        super().train(scorer, data, run)
        with torch.no_grad():
            for parameter in scorer.parameters():
                parameter += 0.1


@dataclass(frozen=True)
class Moving(Good):
    """It adapts the scorer that it was given."""

    def adapt(self, scorer, support, run):
        scorer.centre.copy_(support.x.mean(dim=0))
        return scorer


@dataclass(frozen=True)
class Calibrating(Good):
    """It scores normal rows while it trains, or what else its fields say."""

    moves: float = 0.0
    repeats: int = 1
    classes: tuple[int, ...] = (0,)
    factor: float = 1.0

    def train_calibrated(self, scorer, data, run):
        self.train(scorer, data, run)
        scorer.centre += self.moves
        rows = torch.isin(data.y, torch.tensor(self.classes)).nonzero()[:, 0].repeat(self.repeats)
        return lambda: CrossFitted(rows, self.factor * scorer(data.x[rows]))


BROKEN = {
    "frozen_dataclass": [
        (Thawed(), "not frozen"),
        (training(centred, uses_labels=None), "uses_labels is None"),
    ],
    "data_untouched": [(training(shifts_its_data), "training changed x")],
    "generators_untouched": [
        (training(draws_globally(lambda: torch.rand(1))), "global generator of torch"),
        (training(draws_globally(np.random.rand)), "global generator of NumPy"),
        (training(draws_globally(random.random)), "global generator of Python"),
    ],
    "finite_scores": [
        (scoring(lambda self, x: x), r"scores of shape \(128, 6\) for 128 rows"),
        (scoring(lambda self, x: Distance.forward(self, x).long()), "type torch.int64"),
        (
            scoring(lambda self, x: Distance.forward(self, x) / (x[:, 0].abs() < 8.5)),
            "far rows are not finite",
        ),
    ],
    "rows_alone": [(scoring(unlike_alone), "a row alone scores otherwise")],
    "equal_rows": [(scoring(unlike_by_place), "copies of a row")],
    "higher_is_worse": [(scoring(lambda self, x: -Distance.forward(self, x)), "anomalies score -")],
    "same_seed": [(training(never_the_same), "of 128 scores differ")],
    "reloaded": [(training(forgets, scorer=Forgetful), "register what is learned")],
    "finite_tensors": [(type("Holed", (Good,), {"scorer": Holey})(), "NaN in Holey.unused")],
    "saved_fields": [
        (Loose(), "comes back as"),
        (Good(power=lambda: 3), "must be a value that JSON can hold"),
    ],
    "uses_labels": [
        (training(refuses_without_labels), "without labels it refuses to learn"),
        (
            training(centred, uses_labels=True),
            "uses_labels is True, and other anomalies give the same",
        ),
        (
            training(learns_from_labels),
            "uses_labels is False, and other anomalies give other scores",
        ),
    ],
    "far_rows": [(scoring(a_ring), "the least of the far rows")],
    "loss": [(Reduced(), "never reduce it")],
    "parts_of_training": [(More(steps=20), "the parts alone give other scores")],
    "adapts": [(Moving(), "changed the scorer that it was given")],
    "calibrates": [
        (Calibrating(moves=1.0), "train gives another scorer"),
        (Calibrating(repeats=2), "240 rows, 120 different ones"),
        (Calibrating(classes=(1, 2)), "8 of them anomalies"),
        (Calibrating(factor=torch.inf), "not finite"),
    ],
}


def test_a_good_method_passes():
    outcome = check_method(Good())
    assert list(outcome) == NAMES
    reasons = {name: why for name, why in outcome.items() if why != "passed"}
    assert reasons == {
        "loss": "does not apply: it has no loss",
        "parts_of_training": "does not apply: it lacks prepare, stream, optimiser or loss",
        "calibrates": "does not apply: it has no train_calibrated",
    }
    assert check_method(Calibrating())["calibrates"] == "passed"


def test_each_check_has_a_method_that_breaks_it():
    assert list(BROKEN) == NAMES


@pytest.mark.parametrize(
    ("name", "method", "found"),
    [(name, method, found) for name, each in BROKEN.items() for method, found in each],
    ids=[f"{name}-{k}" for name, each in BROKEN.items() for k in range(len(each))],
)
def test_each_fault_is_caught_by_name(name, method, found):
    with pytest.raises(
        AssertionError, match=f"fails the check {name!r}. Expected: .* Found: .*{found}"
    ):
        check_method(
            method,
            skip={} if name == "saved_fields" else {"saved_fields": "many are made in a function"},
        )


def test_a_method_that_refuses_without_labels_is_checked_with_them():
    class Peak(Distance):
        """Highest where the anomalies lie, low beyond."""

        def forward(self, x):
            return -super().forward(x)

    def refuses(self, scorer, data, run):
        if not len(data.anomalies):
            raise DataError("no labels")
        scorer.centre.copy_(data.anomalies.x.mean(dim=0))

    method = training(refuses, uses_labels=True, scorer=Peak)
    with pytest.raises(
        AssertionError, match="fails the check 'far_rows'.*rows that go on where the anomalies went"
    ):
        check_method(method, skip={"saved_fields": "made here"})
    check_method(quick(DevNet()))


@pytest.mark.parametrize("name", ["mahalanobis", "test_testing:Good"])
def test_methods_by_name_and_by_import_path(name):
    assert check_method(name)["adapts"] == "passed"


def test_what_a_method_raises_is_told_with_the_check():
    def train(self, scorer, data, run):
        raise RuntimeError("out of luck")

    with pytest.raises(
        AssertionError, match="'data_untouched'. Expected: .* Found: RuntimeError: out of luck"
    ):
        check_method(training(train))


def test_a_skipped_check_is_told_with_its_reason():
    method = training(draws_globally(random.random))
    outcome = check_method(
        method, skip={"generators_untouched": "its library", "saved_fields": "made here"}
    )
    assert outcome["generators_untouched"] == "skipped: its library"
    assert outcome["adapts"] == "passed"


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        (
            {"same_sed": "an antenna"},
            r"skip: no check 'same_sed' \(did you mean 'same_seed'\?\); the checks are",
        ),
        ({"same_seed": ""}, "skip: expected the reason for which 'same_seed' is not run, got ''"),
        ({"same_seed": " "}, "got ' '"),
        ({"same_seed": None}, "got None"),
    ],
)
def test_nothing_is_skipped_without_a_reason(skip, message):
    with pytest.raises(DataError, match=message):
        check_method(Good(), skip=skip)

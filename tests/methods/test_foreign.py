"""Methods of other packages have import paths; loading imports none that nobody named."""

import json
import sys
import textwrap
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from unseen import Bundle, BundleError, DataError, Detector
from unseen.cli import main as cli
from unseen.detector.settings import configured
from unseen.evaluation.choices import Protocol
from unseen.evaluation.protocol import evaluate
from unseen.methods import Ensemble, Nearest
from unseen.methods.catalogue import from_json, method_named, suited, to_json
from unseen.methods.foreign import path_of, paths_in
from unseen.storage.manifest import canonical, digest

MINE = "mypackage.mine:Mine"
SOURCE = '''
"""A distance to the mean, in a package of somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from unseen.methods import Nearest
from unseen.types import Method


class Centre(torch.nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.register_buffer("centre", torch.zeros(columns))

    def forward(self, x):
        return (x - self.centre).abs().sum(dim=1)


@dataclass(frozen=True)
class Mine:
    rate: float = 7.0  # beyond what a field of this name of ours may be
    widths: tuple[int, ...] = (3, 4)
    sort: Literal["mean", "median"] = "mean"
    options: dict[str, float] | None = None
    uses_labels: ClassVar[bool] = False

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("rate must not be negative")

    def build(self, shape):
        return Centre(*shape)

    def train(self, scorer, data, run):
        scorer.centre.copy_(data.normals.x.mean(dim=0))

    def adapt(self, scorer, support, run):
        moved = self.build(scorer.centre.shape)
        moved.centre.copy_(support.x.mean(dim=0))
        return moved


@dataclass(frozen=True)
class Around:
    base: Nearest = Nearest()
    others: tuple[Method, ...] = (Mine(),)
    last: Method | None = None
    uses_labels: ClassVar[bool] = False

    def build(self, shape):
        return self.base.build(shape)

    def train(self, scorer, data, run):
        self.base.train(scorer, data, run)
'''


@pytest.fixture(autouse=True)
def mypackage(tmp_path, monkeypatch):
    """A package that can be imported, and has not been."""
    folder = tmp_path / "site" / "mypackage"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "mine.py").write_text(SOURCE)
    needing = """
    from dataclasses import dataclass
    from mypackage.mine import Mine

    @dataclass(frozen=True, kw_only=True)
    class Needing(Mine):
        needs: int
    """
    (folder / "needing.py").write_text(textwrap.dedent(needing))
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    forget()
    yield folder
    forget()


def forget():
    """As in a program that has not imported the package."""
    for name in [name for name in sys.modules if name.split(".")[0] == "mypackage"]:
        del sys.modules[name]


def normals(n=100, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3))


def saved(folder, method):
    """A detector of the method, its bundle saved, and the package forgotten."""
    detector = Detector(method, random_state=0).fit(normals())
    Bundle(detector, {}).save(folder)
    forget()
    return detector


def rewrite(folder, **changes):
    """Change the method of a bundle and its hash, as somebody would who means it."""
    file = folder / "bundle.json"
    plain = json.loads(file.read_text())
    plain["method"] |= changes
    plain.pop("sha256")
    file.write_bytes(json.dumps(plain | {"sha256": digest(canonical(plain))}).encode())


# saving and loading


def test_a_bundle_records_the_path_and_loads_by_consent_alone(tmp_path):
    detector = saved(tmp_path / "m", MINE)
    method = json.loads((tmp_path / "m" / "bundle.json").read_text())["method"]
    assert method == {"name": MINE, "rate": 7.0, "widths": [3, 4], "sort": "mean", "options": None}
    wanted = rf"m: .* by a method of another package, {MINE}, .* load with trust=\('{MINE}',\)$"
    for trust in (), ("mypackage.mine:Other",), ("mypackage:Mine",):
        with pytest.raises(BundleError, match=f"another package, {MINE}, "):
            Bundle.load(tmp_path / "m", trust=trust)
    with pytest.raises(BundleError, match=wanted):
        Bundle.load(tmp_path / "m")
    assert "mypackage" not in sys.modules, "something was imported that nobody named"
    loaded = Bundle.load(tmp_path / "m", trust=(MINE,))
    assert np.array_equal(
        loaded.detector.anomaly_score(normals(seed=1)), detector.anomaly_score(normals(seed=1))
    )
    assert loaded.detector.method == configured(MINE, [])


def test_methods_inside_are_asked_for_all_at_once(tmp_path):
    around = configured("mypackage.mine:Around", ["base.k=3"])
    saved(tmp_path / "m", Ensemble(around, members=2))
    message = f"mypackage.mine:Around and {MINE}, .*'mypackage.mine:Around', '{MINE}'"
    with pytest.raises(BundleError, match=message):
        Bundle.load(tmp_path / "m")
    with pytest.raises(
        BundleError, match="another package, mypackage.mine:Mine, .*Around', 'mypackage.mine:Mine'"
    ):
        Bundle.load(tmp_path / "m", trust=("mypackage.mine:Around",))
    assert "mypackage" not in sys.modules
    method = Bundle.load(tmp_path / "m", trust=["mypackage.mine:Around", MINE]).detector.method
    assert (method.base.base, method.base.others, method.base.last) == (
        Nearest(k=3),
        (configured(MINE, []),),
        None,
    )


@pytest.mark.parametrize("trust", [MINE, ("mypackage",), ("mypackage/mine.py:Mine",), (3,)])
def test_trust_is_a_tuple_of_import_paths(tmp_path, trust):
    saved(tmp_path / "m", "mahalanobis")
    with pytest.raises(DataError, match="expected import paths, such as trust="):
        Bundle.load(tmp_path / "m", trust=trust)


def test_what_a_bundle_names_must_be_a_method_that_can_be_imported(tmp_path):
    saved(tmp_path / "m", MINE)
    for path, message in {
        "os:system": "expected a dataclass with build and train, found <built-in function system>",
        "mypackage.mine:Centre": (
            "a dataclass with build and train, found <class 'mypackage.mine.Centre'>"
        ),
        "mypackage.mine:Other": "cannot be imported .AttributeError",
        "mypackage.other:Mine": (
            "ModuleNotFoundError: No module named 'mypackage.other'.: check the"
        ),
        "mypackage.broken:Mine": "cannot be imported .ZeroDivisionError",
    }.items():
        rewrite(tmp_path / "m", name=path)
        with pytest.raises(BundleError, match=message):
            Bundle.load(tmp_path / "m", trust=(path,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "fast"}, "Mine: rate must be a value of type float, got 'fast'"),
        ({"widths": [3, 4.5]}, "widths must be a value of type tuple"),
        ({"sort": "mode"}, "sort must be a value of type"),
        ({"options": {"a": "b"}}, "options must be"),
        ({"more": 1}, "has no field 'more': its fields are options, rate, sort, widths"),
        ({"rate": -1.0}, "Mine: ValueError: rate must not be negative"),
    ],
)
def test_fields_are_checked_as_far_as_they_are_annotated(tmp_path, changes, message):
    saved(tmp_path / "m", MINE)
    rewrite(tmp_path / "m", **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.load(tmp_path / "m", trust=(MINE,))


def test_a_method_in_the_place_of_another_kind_of_method_is_refused(tmp_path):
    saved(tmp_path / "m", "mypackage.mine:Around")
    rewrite(tmp_path / "m", base={"name": "mahalanobis"})
    with pytest.raises(BundleError, match="Around: base must be a method, got Mahalanobis"):
        Bundle.load(tmp_path / "m", trust=("mypackage.mine:Around", MINE))


@pytest.mark.parametrize(
    "path", ["a b:C", "a:C\x1b[31m", "a:C\n", ":C", "a:", f"{'a' * 200}:C", "a:C:D", "../a:C", 3]
)
def test_what_is_no_path_is_no_method(tmp_path, path):
    saved(tmp_path / "m", MINE)
    rewrite(tmp_path / "m", name=path)
    with pytest.raises(BundleError, match="unknown method"):
        Bundle.load(tmp_path / "m", trust=(MINE,))


def test_from_json_imports_nothing_by_itself():
    with pytest.raises(DataError, match=f"method '{MINE}' is of another package"):
        from_json({"name": "ensemble", "base": {"name": MINE}})
    assert "mypackage" not in sys.modules


# what has no path, and what JSON cannot hold


@dataclass(frozen=True)
class Own:
    """A method of this module, which learns nothing."""

    base: Any = None
    uses_labels: ClassVar[bool] = False

    def build(self, shape): ...

    def train(self, scorer, data, run): ...


@dataclass(frozen=True)
class Named(Own):
    name: str = "mine"


@dataclass(frozen=True)
class Unread(Own):
    """Its annotations hold names that nothing can resolve."""

    k: "Unheard" = 3  # noqa: F821
    many: list = field(default_factory=list)


def test_every_plain_value_comes_back():
    for base in (None, 3, "three", [1, 2.5], {"a": [1], "b": None}, True):
        assert from_json(to_json(Own(base)), trust=("test_foreign:Own",)) == Own(base)
    spec = to_json(Unread(many=["a"]))
    assert spec == {"name": "test_foreign:Unread", "base": None, "k": 3, "many": ["a"]}
    assert from_json(spec, trust=paths_in(spec)) == Unread(many=["a"])


@pytest.mark.parametrize("base", [print, float("nan"), Nearest(), {1, 2}])
def test_other_values_cannot_be_saved(base):
    with pytest.raises(
        DataError, match="^Own: base must be a value that JSON can hold, or a method in a field"
    ):
        to_json(Own(base))
    assert to_json(Own(base), to_read=True)["base"][:6] == repr(base)[:6]


def test_a_field_called_name_cannot_be_saved():
    with pytest.raises(DataError, match="Named: a field cannot be called 'name'"):
        to_json(Named())
    assert to_json(Named(), to_read=True) == {"name": "test_foreign:Named", "base": None}


def test_a_class_that_nothing_can_import_has_no_path(monkeypatch):
    local = type("Local", (Own,), {})
    with pytest.raises(
        DataError, match="Local cannot be imported as test_foreign:Local, .* at the top of a module"
    ):
        path_of(local)
    with pytest.raises(
        DataError,
        match="defined in the program that runs, .* move the class to a module of its own",
    ):
        path_of(type("Local", (Own,), {"__module__": "__main__"}))
    assert to_json(local(), to_read=True) == {"name": "Local", "base": None}


# naming


def test_a_path_stands_for_the_class_with_its_defaults():
    method = configured(MINE, ["rate=8.5", "widths=[1]", "sort=median", 'options={"a": 1}'])
    assert type(method).__module__ == "mypackage.mine"
    assert (method.rate, method.widths, method.sort, method.options) == (
        8.5,
        (1,),
        "median",
        {"a": 1.0},
    )
    assert configured("ensemble", [f"base={MINE}", "base.rate=2"]).base == configured(
        MINE, ["rate=2"]
    )
    assert Detector(MINE).set_params(method__rate=3.0).method == configured(MINE, ["rate=3"])
    assert Detector(MINE).get_params()["method__sort"] == "mean"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mypackage.mine:Mine", ["rat=3"], "has no field 'rat' .did you mean 'rate'"),
        (
            "mypackage.mine:Mine",
            ["rate=fast"],
            "field 'rate': expected a value like 7.0, found 'fast'",
        ),
        ("mypackage.mine:Mine", ["rate=-1"], "Mine: ValueError: rate must not be negative"),
        (
            "mypackage.needing:Needing",
            [],
            "field 'needs' has no default, and a method that is named starts from",
        ),
        (
            "mypackage.mien:Mine",
            [],
            "cannot be imported .ModuleNotFoundError.*the folder that holds it to PYTHONPATH",
        ),
        ("mypackage.mine:Around", ["base.k=0"], "Nearest: k must be a whole number from 1"),
        ("mypackage.mine:", [], "there is no method of that name; the names are"),
        ("ensemble", ["base=mypackage.mien:Mine"], "cannot be imported"),
    ],
)
def test_wrong_paths_and_fields(name, settings, message):
    with pytest.raises(DataError, match=message):
        configured(name, settings)


def test_evaluate_reports_methods_that_cannot_be_saved():
    local = type("Local", (type(configured(MINE, [])),), {})
    labels = np.repeat(["normal", "a", "b"], [150, 20, 20])
    x = normals(190) + 5 * (labels != "normal")[:, None]
    table = pa.table({"x": x[:, 0], "y": x[:, 1], "label": labels})
    [report] = evaluate(table, label="label", protocol=Protocol(seeds=1), methods={"mine": local()})
    assert report["fields"]["name"] == "Local"


def test_on_images_it_is_put_on_patches():
    method = suited(method_named(MINE), (3, 6, 6))
    spec = to_json(method)
    assert (spec["name"], paths_in(spec)) == ("patches", [MINE])
    assert from_json(spec, trust=(MINE,)) == method


# the command line


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("train.csv", 0), ("new.csv", 1)):
        lines = [",".join(f"{value:.6f}" for value in row) for row in normals(seed=seed)]
        (tmp_path / name).write_text("\n".join(["a,b,c", *lines]))

    def run(line):
        forget()
        status = cli.main(line.split())
        output = capsys.readouterr()
        return status, output.out + output.err

    status, output = run(f"fit train.csv --method {MINE} --set rate=3.5 --out m")
    assert status == 0
    assert f"unseen score m DATA --out scores.csv --trust {MINE}" in output
    for line in (
        "score m new.csv --out scores.csv",
        "audit m train.csv --out suspects.csv",
        "adapt m new.csv --out m2",
        "info m",
    ):
        status, output = run(line)
        assert status == 2
        assert f"m: it was trained by a method of another package, {MINE}," in output
        assert f"if you trust it, load with --trust {MINE}" in output
        assert "mypackage" not in sys.modules
        status, output = run(f"{line} --trust {MINE}")
        assert status == 0, output
    assert f"{MINE} (rate 3.5, widths 3 and 4, sort mean" in output
    assert Bundle.load("m2", trust=(MINE,)).detector.method.rate == 3.5
    labels = np.repeat(["normal", "up", "down"], [60, 20, 20])
    values = normals() + 4 * (labels == "up")[:, None] - 4 * (labels == "down")[:, None]
    lines = [",".join([*map(str, row), label]) for row, label in zip(values, labels, strict=True)]
    (tmp_path / "labelled.csv").write_text("\n".join(["a,b,c,kind", *lines]))
    status, output = run(
        f"evaluate labelled.csv --label kind --seeds 1 --method {MINE} mahalanobis"
    )
    assert (status, output.count(MINE) > 1) == (0, True), output
    status, output = run("info m --trust mine")
    assert (status, f"expected import paths, such as --trust {MINE}, got" in output) == (2, True)
    status, output = run("fit train.csv --method mypackage.mien:Mine --out m3")
    assert (status, "'mypackage.mien:Mine' cannot be imported" in output) == (2, True)

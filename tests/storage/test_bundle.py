"""A saved detector: bit-equal scores after loading, a folder that is whole or absent, and no trust
in what is read.
"""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from quick import brief
from toys import BOTH, maps_of, rewrite
from unseen.detector.detector import Detector
from unseen.errors import BundleError, DataError, NotFitted
from unseen.io.atomic import Folder
from unseen.methods import DEFAULT, METHODS
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.storage.bundle import Bundle
from unseen.storage.manifest import MOST
from unseen.testing import toy_maps


def table(n=150, anomalies=10, seed=0):
    """Normal rows around 0, two classes of anomalies, a category, missing values."""
    rng = np.random.default_rng(seed)
    x = np.r_[
        rng.normal(size=(n, 3)), rng.normal(4, 1, (anomalies, 3)), rng.normal(-4, 1, (anomalies, 3))
    ]
    x[::11, 2] = np.nan
    service = rng.choice(["http", "ftp", "dns"], len(x))
    y = ["normal"] * n + ["up"] * anomalies + ["down"] * anomalies
    return pa.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "service": service}), y


def fitted(method=None, **choices):
    rows, y = table()
    return Detector(method or Mahalanobis(), random_state=0, **choices).fit(rows, y)


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "detector"
    Bundle(fitted(Nearest(bank=50), calibration=0.2), {"source": "toy"}).save(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "calibration"), [*((name, 0.2) for name in METHODS), ("nearest", 2), ("forest", 2)]
)
def test_scores_after_loading_are_bit_equal(tmp_path, name, calibration):
    detector = fitted(brief(METHODS[name]), calibration=calibration)
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    fresh, _ = table(n=300, seed=1)
    assert np.array_equal(loaded.anomaly_score(fresh), detector.anomaly_score(fresh))
    assert np.array_equal(loaded.pvalue(fresh), detector.pvalue(fresh))


def test_a_loaded_detector_is_asked_as_the_fitted_one_was(tmp_path):
    detector = fitted(calibration=3, kinds={"c": "category"}, normal="normal")
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    assert loaded.get_params() == detector.get_params()
    assert loaded.schema_ == detector.schema_
    assert loaded.classes_ == ("down", "up")


def test_integers_empty_tensors_and_tensors_without_dimensions_survive(tmp_path):
    """No anomalies: an empty bank; trees: whole numbers and a depth ()."""
    rows, _ = table()
    for name in ("nearest-ratio", "isolation-forest"):
        detector = Detector(brief(METHODS[name]), calibration=0.2, random_state=0).fit(rows)
        Bundle(detector, {}).save(tmp_path / name)
        loaded = Bundle.load(tmp_path / name).detector
        before, after = (d.members_[0].scorer.state_dict() for d in (detector, loaded))
        assert {k: (v.dtype, v.shape) for k, v in before.items()} == {
            k: (v.dtype, v.shape) for k, v in after.items()
        }


def test_the_default_method_is_saved_by_its_fields(tmp_path):
    small = brief(DEFAULT)
    Bundle(fitted(small, calibration=0.2), {}).save(tmp_path / "d")
    assert Bundle.load(tmp_path / "d").detector.method == small


def test_facts_keep_who_made_it_and_when(saved, tmp_path):
    first = Bundle.load(saved)
    assert first.facts["source"] == "toy"
    assert first.facts["torch"] == torch.__version__
    first.save(tmp_path / "again")
    assert Bundle.load(tmp_path / "again").facts == first.facts


def test_numpy_numbers_are_facts_too_but_objects_are_not(tmp_path):
    Bundle(fitted(), {"share": np.float64(0.5), "rows": np.int64(3)}).save(tmp_path / "d")
    assert Bundle.load(tmp_path / "d").facts["rows"] == 3
    for unfit in ({"when": object()}, {"share": float("nan")}):
        with pytest.raises(DataError, match="plain JSON"):
            Bundle(fitted(), unfit).save(tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_score_says_which_rows_are_anomalies(saved):
    rows = pa.table(
        {"a": [0.0, 50.0], "b": [0.0, 50.0], "c": [0.0, -50.0], "service": ["http", "never seen"]}
    )
    scored = Bundle.load(saved).score(rows, alpha=0.05)
    assert scored.column_names == ["score", "pvalue", "verdict"]
    assert scored["verdict"].to_pylist() == ["normal", "anomaly"]
    assert scored["pvalue"][1].as_py() == 1 / 31  # 30 calibration rows
    assert Bundle.load(saved).score(rows[:0]).num_rows == 0


# saving


def test_a_path_that_exists_is_left_as_it_is(saved):
    before = (saved / "bundle.json").read_bytes()
    with pytest.raises(DataError, match="exists already.*choose another name or remove it"):
        Bundle(fitted(), {}).save(saved)
    assert (saved / "bundle.json").read_bytes() == before


def test_the_folder_around_must_exist(tmp_path):
    with pytest.raises(DataError, match="no folder .*create it first"):
        Bundle(fitted(), {}).save(tmp_path / "nowhere" / "d")


@pytest.mark.parametrize("failure", [DataError, KeyboardInterrupt])
def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch, failure):
    def write(self, name, data):
        (self.hidden / name).write_bytes(data[:10])
        raise failure

    monkeypatch.setattr(Folder, "write", write)
    with pytest.raises(failure):
        Bundle(fitted(), {}).save(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_loaded_is_not_saved(tmp_path):
    class Own(Mahalanobis):
        pass

    with pytest.raises(
        DataError, match="Own cannot be imported as .* define the class at the top of a module"
    ):
        Bundle(fitted(Own()), {}).save(tmp_path / "d")
    with pytest.raises(NotFitted):
        Bundle(Detector(Mahalanobis()), {}).save(tmp_path / "d")
    with pytest.raises(NotFitted):
        Bundle(Detector(Mahalanobis()), {}).score([[0.0]])
    assert list(tmp_path.iterdir()) == []


# loading


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match="found nothing; check the spelling"):
        Bundle.load(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match="found a file"):
        Bundle.load(tmp_path / "file")


@pytest.mark.parametrize("name", ["bundle.json", "tensors.safetensors"])
def test_a_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing.*copy the folder again"):
        Bundle.load(saved)


def test_changed_bytes_of_the_tensors(saved):
    file = saved / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(
        BundleError, match=r"tensors.safetensors: changed since it was saved \(expected sha256 "
    ):
        Bundle.load(saved)


def test_changed_words(saved):
    file = saved / "bundle.json"
    file.write_text(file.read_text().replace('"toy"', '"another"'))
    with pytest.raises(BundleError, match=r"bundle.json: changed since it was saved"):
        Bundle.load(saved)


def test_the_hash_is_of_the_content_not_of_its_layout(saved):
    file = saved / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))
    assert Bundle.load(saved).facts["source"] == "toy"


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", '{"facts": NaN}', "[" * 100_000, "\xff"])
def test_words_that_are_no_manifest(saved, text):
    (saved / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"bundle.json: expected"):
        Bundle.load(saved)


def test_a_newer_format(saved):
    rewrite(saved, format=3)
    with pytest.raises(BundleError, match=r"format 3 is newer than 2.*upgrade unseen"):
        Bundle.load(saved)


def test_an_older_format(saved):
    rewrite(saved, format=1)
    with pytest.raises(
        BundleError, match=r"format 1 is that of an earlier release.*fit and save again, or load it"
    ):
        Bundle.load(saved)


def test_an_absurd_size_is_not_read(saved, monkeypatch):
    with (saved / "bundle.json").open("r+b") as file:
        file.truncate(MOST + 1)  # sparse: takes no space
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(BundleError, match=r"expected at most 67,108,864 bytes, found 67,108,865"):
        Bundle.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": 1}, "surprise"),
        ({"classes": "up"}, "classes"),
        ({"tensors": 3}, "tensors"),
        ({"method": {"name": "oracle"}}, "unknown method 'oracle'"),
        ({"method": {"name": "nearest", "hops": 2}}, "no field 'hops'"),
        ({"method": {"name": "nearest", "k": "five"}}, "make no detector"),
        (
            {"method": {"name": "mahalanobis"}},
            "tensor 'normals.rows': unknown, as the method's fields have it",
        ),
        ({"method": {"name": "autoencoder"}}, "tensor 'normals.rows': unknown"),
        ({"columns": {"columns": 3}}, "schema cannot be read"),
        ({"members": []}, "expected the fields of format 2, found(.|\n)*members"),
    ],
)
def test_fields_that_do_not_belong(saved, changes, message):
    rewrite(saved, **changes)
    with pytest.raises(BundleError, match=message):
        Bundle.load(saved)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0.scorer.normals.rows", lambda t: t[:, :-1].contiguous()),  # a row less wide
        ("0.scorer.normals.rows", lambda t: t.double()),
        ("0.scorer.whiten.mean", lambda t: t[:-1].clone()),
        ("0.scorer.whiten.mean", None),
        ("0.calibration", lambda t: t[:0].clone()),
        ("0.calibration", lambda t: t.fill_(torch.nan)),
        ("0.calibration", None),
        ("0.held_out", lambda t: t[:-1].clone()),
        ("0.held_out", lambda t: t.float()),
        ("0.held_out", lambda t: t.fill_(3)),
    ],
)
def test_tensors_that_do_not_fit(saved, name, change):
    file = saved / "tensors.safetensors"
    tensors = load_file(file)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    save_file(tensors, file)
    rewrite(saved)
    with pytest.raises(BundleError, match="make no detector"):
        Bundle.load(saved)


def test_a_detector_of_before_there_were_audits_is_read(saved):
    file = saved / "tensors.safetensors"
    tensors = load_file(file)
    del tensors["0.held_out"]
    save_file(tensors, file)
    rewrite(saved)
    assert Bundle.load(saved).score(table()[0]) == Bundle(
        fitted(Nearest(bank=50), calibration=0.2), {}
    ).score(table()[0])


def test_a_tensor_file_that_is_none(saved):
    (saved / "tensors.safetensors").write_bytes(b"\x80\x04pickled?")
    rewrite(saved)
    with pytest.raises(
        BundleError, match="tensors.safetensors: expected a header and tensors, found 10 bytes"
    ):
        Bundle.load(saved)


# files of unknown origin


def retensor(folder, change):
    """Change the tensors, and the hashes with them."""
    file = folder / "tensors.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    rewrite(folder)


def remanifest(folder, change):
    """Change the manifest by a function of its plain value."""
    plain = json.loads((folder / "bundle.json").read_text())
    change(plain)
    rewrite(
        folder, **{key: value for key, value in plain.items() if key not in ("sha256", "tensors")}
    )


@pytest.mark.parametrize("part", ["normals", "scale"])
def test_what_only_maps_are_made_of_is_tried_too(tmp_path, part):
    Bundle(Detector(BOTH, random_state=0).fit(maps_of(toy_maps(30, 4))), {}).save(tmp_path / "d")
    name = f"0.scorer.base.cell_surprisal.{part}"
    retensor(tmp_path / "d", lambda tensors: tensors.update({name: tensors[name].repeat(2, 1)[:3]}))
    with pytest.raises(BundleError, match="make no detector"):
        Bundle.load(tmp_path / "d")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Detectors saved once, by name, for copies to be changed."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("nearest", "forest", "evidence-stack", "isolation-forest", "devnet"):
        Bundle(fitted(brief(METHODS[name]), calibration=0.2), {}).save(folder / name)
    Bundle(fitted(calibration=3), {}).save(folder / "folds")
    return folder


@pytest.fixture
def copied(bundles, tmp_path):
    return lambda name: Path(shutil.copytree(bundles / name, tmp_path / name))


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("folds", "3.calibration", torch.zeros(2), "unknown tensors '3.calibration', 1 in all"),
        ("folds", "0.scorer.whiten.sd", torch.zeros(2), "tensor 'whiten.sd': unknown"),
        ("folds", "0.peaks", torch.zeros(50, dtype=torch.float64), "unknown tensors '0.peaks'"),
        ("folds", "x", torch.zeros(1), "unknown tensors 'x'"),
        ("folds", "1.calibration", torch.zeros(50), "expected torch.float64, found torch.float32"),
        (
            "folds",
            "1.calibration",
            torch.zeros(5, 10, dtype=torch.float64),
            "expected scores of one dimension",
        ),
        (
            "folds",
            "1.calibration",
            torch.tensor([2.0, 1.0], dtype=torch.float64),
            "finite scores in rising order",
        ),
        (
            "folds",
            "1.calibration",
            torch.tensor([torch.inf], dtype=torch.float64),
            "finite scores in rising order",
        ),
        ("folds", "2.held_out", torch.zeros(0, dtype=torch.int64), "row numbers, each once"),
        (
            "folds",
            "2.scorer.whiten.mean",
            lambda t: t * torch.nan,
            "tensor 'whiten.mean': holds NaN",
        ),
        (
            "nearest",
            "0.scorer.normals.rows",
            lambda t: t + torch.inf,
            "tensor 'normals.rows': holds infinity",
        ),
        ("nearest", "0.scorer.normals.rows", lambda t: t[:0], "scores are not finite"),
        ("devnet", "0.scorer.net.0.weight", lambda t: t * 1e38, "scores are not finite"),
        (
            "evidence-stack",
            "0.scorer.surprisal.normals",
            lambda t: t.flip(1),
            "expected numbers in rising order",
        ),
        (
            "evidence-stack",
            "0.scorer.weights",
            lambda t: t * torch.nan,
            "tensor 'weights': holds NaN",
        ),
    ],
)
def test_tensors_that_nobody_saved(copied, name, key, value, message):
    folder = copied(name)
    retensor(folder, lambda t: t.update({key: value(t[key]) if callable(value) else value}))
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def ring(t):
    t["0.scorer.left"][-2:] = t["0.scorer.left"][:1]


def chain(t):
    """200,000 nodes in a row: left child, and right beside it."""
    n = 200_000
    left = torch.arange(n)
    left[0 : n - 2 : 2] += 1
    t |= {"0.scorer.left": left, "0.scorer.feature": torch.zeros(n, dtype=torch.int64)}
    t |= {"0.scorer.threshold": torch.full((n,), torch.inf).where(left == torch.arange(n), 0.0)}
    t |= {"0.scorer.value": torch.zeros(n), "0.scorer.roots": torch.zeros(1, dtype=torch.int64)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["0.scorer.feature"].add_(1000), "columns from 0 to"),
        (lambda t: t["0.scorer.feature"].sub_(1), "columns from 0 to"),
        (lambda t: t["0.scorer.left"].fill_(0), "children after their parents"),
        (
            lambda t: t["0.scorer.left"][-40:].add_(10**6),
            "infinite threshold at a leaf|nodes from 0 to",
        ),
        (ring, "children after their parents|infinite threshold"),
        (
            lambda t: t["0.scorer.threshold"].fill_(torch.inf),
            "an infinite threshold at a leaf, and only there",
        ),
        (lambda t: t["0.scorer.threshold"].fill_(torch.nan), "holds NaN"),
        (lambda t: t["0.scorer.roots"].fill_(0), "one parent for every node"),
        (lambda t: t["0.scorer.roots"].fill_(-1), "nodes from 0 to"),
        (
            lambda t: t.update({"0.scorer.roots": torch.zeros(0, dtype=torch.int64)}),
            "tables of one length, and roots",
        ),
        (lambda t: t["0.scorer.depth"].fill_(1), "leaves within 1 steps"),
        (lambda t: t["0.scorer.depth"].fill_(10**9), "at most 10,000 levels"),
        (lambda t: t.update({"0.scorer.value": t["0.scorer.value"][:-1]}), "tables of one length"),
        (chain, "leaves within|at most 10,000 levels"),
    ],
)
def test_trees_that_nobody_grew(copied, change, message):
    folder = copied("forest")
    retensor(folder, change)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def schemas(change):
    """The change, to the schema of the detector and of each member."""
    return lambda plain: [change(schema) for schema in (plain["columns"], *plain["members"])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (schemas(lambda s: s.update(evil=1)), "unknown field 'evil'"),
        (schemas(lambda s: s["columns"][0].update(evil=1)), r"unknown field 'columns.0.evil'"),
        (schemas(lambda s: s["columns"][0]["scales"][0].update(spread="1.5")), "spread"),
        (schemas(lambda s: s["columns"][0]["scales"][0].update(spread=0)), "spread"),
        (schemas(lambda s: s["columns"][0].update(missing=0)), "missing"),
        (
            schemas(lambda s: s["columns"][0]["scales"][0].update(centre=10**30)),
            "the saved schema cannot be read",
        ),
        (
            schemas(
                lambda s: s["columns"][3]["levels"].__setitem__(0, s["columns"][3]["levels"][1])
            ),
            "a level twice",
        ),
        (
            schemas(lambda s: s["columns"][1].update(name=s["columns"][0]["name"])),
            "schema cannot be read",
        ),
        (
            lambda p: p["members"][0]["columns"].reverse(),
            "a member reads other columns than the detector",
        ),
        (
            lambda p: p["members"][0]["inputs"].reverse(),
            "a member reads other columns than the detector",
        ),
        (lambda p: p["classes"].append(p["classes"][0]), "a name occurs twice"),
        (lambda p: p["detector"].update(random_state=-1), "random_state"),
        (lambda p: p["detector"].update(calibration=0), "calibration"),
        (lambda p: p["detector"].update(kinds={"a": "colour"}), "kinds"),
        (lambda p: p["detector"].update(device="cuda"), "device"),
        (lambda p: p["method"].update(k=0), "Nearest: k must be a whole number from 1"),
        (
            lambda p: p.update(method={"name": "ensemble", "members": 10**12, "base": p["method"]}),
            "members must be",
        ),
        (lambda p: p.update(method=p["columns"]), "unknown method None"),
    ],
)
def test_words_that_nobody_saved(copied, change, message):
    folder = copied("nearest")
    remanifest(folder, change)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


@pytest.mark.parametrize("depth", [101, 960, 985, 995, 100_000])
def test_words_nested_too_deep(saved, depth):
    (saved / "bundle.json").write_text('{"format": 1, "facts": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(BundleError, match="bundle.json: expected JSON"):
        Bundle.load(saved)


@pytest.mark.parametrize(
    "text",
    ['{"format": 1, "format": 1}', '{"a": 1e999}', '{"a": -Infinity}', '{"a": {"b": 1, "b": 2}}'],
)
def test_words_that_readers_take_in_two_ways(saved, text):
    (saved / "bundle.json").write_text(text)
    with pytest.raises(
        BundleError, match="bundle.json: expected JSON.*(twice|too large|is no JSON)"
    ):
        Bundle.load(saved)


def test_facts_that_could_not_be_read_again_are_not_saved(tmp_path):
    deep = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(DataError, match="plain JSON values: nested more than 100 deep"):
        Bundle(fitted(), {"deep": deep}).save(tmp_path / "d")
    Bundle(fitted(), {"source": "half a character: \udcfc"}).save(tmp_path / "e")
    assert Bundle.load(tmp_path / "e").facts["source"] == "half a character: \udcfc"


@pytest.mark.parametrize("name", ["bundle.json", "tensors.safetensors"])
def test_only_regular_files_are_read(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(BundleError, match=f"{name}: cannot be read .no regular file"):
        Bundle.load(saved)
    (saved / name).unlink()
    (saved / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=f"{name}: cannot be read .no regular file"):
        Bundle.load(saved)


def test_a_folder_behind_a_link_is_as_good(saved, tmp_path):
    (tmp_path / "link").symlink_to(saved)
    assert Bundle.load(tmp_path / "link").facts["source"] == "toy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:4], "expected a header and tensors"),
        (lambda d: (1 << 60).to_bytes(8, "little") + d[8:], "expected a header and tensors"),
        (
            lambda d: (1 << 25).to_bytes(8, "little") + bytes(1 << 25),
            "expected a header and tensors",
        ),
        (lambda d: d + b"more", r"its header tells of .* bytes, found"),
        (lambda d: d[:-8], r"its header tells of .* bytes, found"),
        (lambda d: d[:8] + b"[" + d[9:], "expected the header of a file of tensors"),
        (lambda d: d.replace(b'"F32"', b'"F99"', 1), "expected tensors, but they cannot be read"),
        (lambda d: d.replace(b'"0.held_out"', b'"0.hold_out"', 1), "unknown tensors '0.hold_out'"),
    ],
)
def test_files_of_tensors_that_nobody_saved(saved, change, message):
    file = saved / "tensors.safetensors"
    file.write_bytes(change(file.read_bytes()))
    rewrite(saved)
    with pytest.raises(BundleError, match=message):
        Bundle.load(saved)


def test_a_header_that_lies_about_its_size_is_not_followed(saved):
    """A sparse file of a terabyte is refused before it is read."""
    with (saved / "tensors.safetensors").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="tensors.safetensors: expected a header and tensors"):
        Bundle.load(saved)


def test_every_float_is_looked_at_but_where_infinity_or_nan_is_declared(bundles):
    """The buffers of all methods that may hold them, by hand: thresholds at leaves, figures that
    there are none of.
    """
    declared = {
        (type(module).__name__, name)
        for folder in bundles.iterdir()
        for module in Bundle.load(folder).detector.members_[0].scorer.modules()
        for name in (*getattr(module, "may_be_nan", ()), *getattr(module, "may_be_infinite", ()))
    }
    assert declared == {
        ("EvidenceScorer", "auroc"),
        ("Plain", "logarithms"),
        ("Trees", "threshold"),
    }


def test_a_folder_of_other_things_is_no_damaged_detector(tmp_path):
    (tmp_path / "tiles" / "normal").mkdir(parents=True)
    with pytest.raises(BundleError, match="found no bundle.json in it; check the spelling"):
        Bundle.load(tmp_path / "tiles")


def test_facts_may_be_left_out(tmp_path):
    rows = [[float(i % 7), i % 5] for i in range(60)]
    Bundle(Detector("mahalanobis", random_state=0).fit(rows)).save(tmp_path / "m")
    assert set(Bundle.load(tmp_path / "m").facts) == {"created", "torch", "unseen"}


def test_the_hash_of_a_new_bundle_is_that_of_what_it_saves_however_late(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(60, 2))
    made = Bundle(Detector("mahalanobis", random_state=0).fit(x))
    before = made.digest

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2199, 1, 1, tzinfo=tz)

    monkeypatch.setattr("unseen.storage.bundle.datetime", Later)
    made.save(tmp_path / "m")
    assert Bundle.load(tmp_path / "m").digest == made.digest == before

"""A saved detector: bit-equal scores after loading, a folder that is whole or absent, and no trust in what is read."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from contract import quick
from unseen.atomic import Folder
from unseen.bundle import Bundle
from unseen.detector import Detector
from unseen.errors import BundleError, DataError, NotFitted
from unseen.manifest import MOST, canonical, digest
from unseen.methods import DEFAULT, METHODS
from unseen.methods.distances import Mahalanobis, Nearest


def table(n=150, anomalies=10, seed=0):
    """Normal rows around 0, two classes of anomalies, a category, missing values."""
    rng = np.random.default_rng(seed)
    x = np.r_[rng.normal(size=(n, 3)), rng.normal(4, 1, (anomalies, 3)), rng.normal(-4, 1, (anomalies, 3))]
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


def rewrite(folder, **changes):
    """Change the manifest and its hashes, as somebody would who means it."""
    file = folder / "bundle.json"
    plain = json.loads(file.read_text()) | {"tensors": digest((folder / "tensors.safetensors").read_bytes())} | changes
    plain.pop("sha256")
    file.write_bytes(json.dumps(plain | {"sha256": digest(canonical(plain))}).encode())


@pytest.mark.parametrize("calibration", [0.2, 2], ids=["split", "folds"])
@pytest.mark.parametrize("name", METHODS)
def test_scores_after_loading_are_bit_equal(tmp_path, name, calibration):
    detector = fitted(quick(METHODS[name]), calibration=calibration)
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
        detector = Detector(quick(METHODS[name]), calibration=0.2, random_state=0).fit(rows)
        Bundle(detector, {}).save(tmp_path / name)
        loaded = Bundle.load(tmp_path / name).detector
        before, after = (d.members_[0].scorer.state_dict() for d in (detector, loaded))
        assert {k: (v.dtype, v.shape) for k, v in before.items()} == {k: (v.dtype, v.shape) for k, v in after.items()}


def test_the_default_method_is_saved_by_its_fields(tmp_path):
    small = quick(DEFAULT)
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
    rows = pa.table({"a": [0.0, 50.0], "b": [0.0, 50.0], "c": [0.0, -50.0], "service": ["http", "never seen"]})
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

    with pytest.raises(DataError, match="Own is not in METHODS"):
        Bundle(fitted(Own()), {}).save(tmp_path / "d")
    with pytest.raises(NotFitted):
        Bundle(Detector(Mahalanobis()), {}).save(tmp_path / "d")
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
    with pytest.raises(BundleError, match=r"tensors.safetensors: changed since it was saved \(expected sha256 "):
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
    rewrite(saved, format=2)
    with pytest.raises(BundleError, match=r"format 2 is newer than 1.*upgrade unseen"):
        Bundle.load(saved)


def test_an_absurd_size_is_not_read(saved, monkeypatch):
    with (saved / "bundle.json").open("r+b") as file:
        file.truncate(MOST + 1)  # sparse: takes no space
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("was read"))
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
        ({"method": {"name": "mahalanobis"}}, "Unexpected key"),
        ({"method": {"name": "multi-directional", "describe": False}}, "ask for at least"),
        ({"method": {"name": "multi-directional", "describe": False, "width": 10**5}}, "ask for at least"),
        ({"columns": {"columns": 3}}, "schema cannot be read"),
        ({"members": []}, "make no detector"),
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
        ("0.held", lambda t: t[:-1].clone()),
        ("0.held", lambda t: t.float()),
        ("0.held", lambda t: t.fill_(3)),
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
    del tensors["0.held"]
    save_file(tensors, file)
    rewrite(saved)
    assert Bundle.load(saved).score(table()[0]) == Bundle(fitted(Nearest(bank=50), calibration=0.2), {}).score(
        table()[0]
    )


def test_a_tensor_file_that_is_none(saved):
    (saved / "tensors.safetensors").write_bytes(b"\x80\x04pickled?")
    rewrite(saved)
    with pytest.raises(BundleError, match="make no detector"):
        Bundle.load(saved)

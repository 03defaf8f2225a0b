"""Images that stay with a detector, verdicts and reasons that compare with them."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

from toys import BOTH, maps_of
from unseen import Bundle, DataError, Detector, NotFitted, Unsupported
from unseen.detector import looks as module
from unseen.detector import places
from unseen.detector.looks import check_looks, kept_images, looks_of
from unseen.detector.references import IMAGES
from unseen.methods import Mahalanobis, Nearest, Patches, Whole
from unseen.testing import toy_maps
from unseen.types import Samples
from unseen.vision.encoder import Vision
from unseen.vision.features import Features

CPU = torch.device("cpu")
NEW = toy_maps(24, 12, seed=1, classes=(1, 2, 3))


def fitted(method=BOTH, data=None, **choices):
    data = toy_maps(40, 20) if data is None else data
    choices = {"calibration": 0.5, "random_state": 0} | choices
    return Detector(method, **choices).fit(maps_of(data))


@pytest.fixture(scope="module")
def detector():
    return fitted()


def block(data, row):
    """Where the changed cells of a toy image are, in pixels: its 6 x 6 cells are 64 pixels wide."""
    rows, columns = np.nonzero(data.mask[row].numpy() > 0)
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return tuple(round(edge * 64 / 6) for edge in edges)


class Stub:
    """A member whose heat is that of the first channel."""

    peaks = np.array([1.0])

    class scorer:
        map = True

    def __init__(self, shape):
        self.encoder = Vision(Features(size=64), shape)

    def heat(self, rows, device):
        return rows.x[:, 0].astype(np.float32)


def test_a_look_by_hand(monkeypatch):
    monkeypatch.setattr(module, "HOT", 2)
    x = torch.tensor([[[[0.0, 8.0], [6.0, 2.0]], [[1.0, 3.0], [5.0, 7.0]]]])
    found = looks_of([Stub((2, 2, 2))], maps_of(Samples.of(x)), CPU)
    assert found.look[0].tolist() == [7.0, 4.0]  # means of the two hottest cells
    assert found.cells[0].tolist() == [[0, 1], [8, 3], [6, 5], [2, 7]]
    assert found.boxes[0, 1].tolist() == [32, 0, 64, 32]


def test_what_the_frame_reflects_is_no_place():
    x = torch.tensor([[[[9.0, 9.0], [1.0, 2.0], [0.0, 3.0], [9.0, 9.0]]]])
    maps = maps_of(Samples.of(x))
    maps.sizes[:] = [[20, 40]]  # its outer rows of cells lie beside the image
    found = looks_of([Stub((1, 4, 2))], maps, CPU)
    assert np.isinf(found.heat[0, [0, 3]]).all()
    assert found.boxes[0, found.heat[0].argmax()].tolist() == [20, 10, 40, 20]


def test_a_bounded_number_of_images_and_cells_stays(monkeypatch):
    monkeypatch.setattr(module, "NUMBERS", 3 * 2 * IMAGES)  # 2 cells of 3 numbers for each image
    found = fitted(Patches(Nearest(k=1)), toy_maps(IMAGES + 30, 20)).references_
    assert np.bincount(found.codes).tolist() == [IMAGES, 10, 10]
    kept = kept_images(found)
    assert np.bincount(kept.owner, minlength=len(kept.files)).tolist() == [
        2 * int(code == 0) for code in found.codes
    ]
    assert kept.look[found.codes == 0].mean(axis=0) == pytest.approx(0, abs=1e-4)
    assert kept.look[found.codes == 0].std(axis=0) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", [BOTH, Patches(Nearest(k=1)), Whole(Mahalanobis())])
def test_kinds_of_images_are_told(method):
    found = fitted(method).verdict(maps_of(NEW), alpha=0.2)
    y = NEW.y.numpy()
    alarms = found.code != 0
    known = alarms & np.isin(y, [1, 2])
    assert (found.share.argmax(axis=1) + 1 == y)[known].mean() > 0.8
    assert (found.code[alarms & (y == 3)] == -1).mean() > 0.9  # nobody labelled it
    assert found.class_pvalue[alarms].min() == pytest.approx(1 / 11)


def test_reasons_name_the_place_and_what_is_most_alike(detector):
    maps = maps_of(NEW)
    found = detector.explain(maps, alpha=0.2)
    train = toy_maps(40, 20)
    for row in np.flatnonzero(NEW.y.numpy() > 0):
        why = found[row]
        assert why.places[0].box == block(NEW, row)
        assert why.heat.max() == pytest.approx(why.places[0].heat)
        assert all(place.heat > why.unusual for place in why.places[1:])
        assert why.nearest_normal.label == "normal"
        assert why.nearest_anomaly.box == block(train, int(why.nearest_anomaly.file[:-4]))
        if NEW.y[row] < 3:
            assert why.nearest_anomaly.label == ("bright", "dark")[NEW.y[row] - 1]
        assert sum(each for _, each in why.evidence) == pytest.approx(why.score, rel=1e-5)
    assert [why.score for why in found] == detector.anomaly_score(maps).tolist()
    assert [why.pvalue for why in found] == detector.pvalue(maps).tolist()


def test_the_most_alike_patch_is_the_one_that_is_the_same(detector):
    kept = kept_images(detector.references_, ["normal", "bright", "dark"])
    looks = looks_of(detector.members_, maps_of(NEW).take(np.array([0])), CPU)
    looks.heat[0] = 0.0
    looks.heat[0, 1, 2] = 9.0
    train, seventh = maps_of(toy_maps(40, 20)), list(detector.references_.numbers).index(7)
    looks.cells[0, 5] = train.x[7, :, 0:2, 2:4].astype(np.float32).mean(axis=(1, 2))
    [place] = places._places(kept, looks, 0, 3, 1.0)
    like = place.most_alike
    assert (place.box, place.heat) == ((43, 21, 64, 43), 9.0)
    assert (like.file, like.box) == (kept.files[seventh], (21, 0, 43, 21))
    assert like.distance == pytest.approx(0, abs=1e-3)


def test_places_are_apart_and_as_many_as_asked_for(detector):
    both = NEW.x[-1:].clone()
    both[:] = 0
    both[:, 2, 0:2, 0:2], both[:, 2, 4:6, 4:6], both[:, 2, 0:2, 2:4] = 9.0, 8.0, 7.0
    maps = maps_of(Samples.of(both))
    [why] = detector.explain(maps)
    assert [place.box for place in why.places[:2]] == [(0, 0, 21, 21), (43, 43, 64, 64)]
    [one] = detector.explain(maps, top=1)
    assert len(one.places) == 1
    assert str(one).startswith("x 0-21, y 0-21 (heat ")


def test_a_method_without_a_map_names_no_place():
    [why] = fitted(Whole(Mahalanobis())).explain(maps_of(NEW).take(np.array([30])))
    assert (why.places, why.heat.shape, why.nearest_normal.box) == ((), (0, 0), None)
    assert str(why) == "judged as a whole: this method looks at no places"
    assert why.to_json()["unusual"] is None


def test_plain_values_are_json(detector):
    [why] = detector.explain(maps_of(NEW).take(np.array([30])))
    plain = json.loads(json.dumps(why.to_json(), allow_nan=False))
    assert "heat" not in plain
    assert tuple(plain["places"][0]["box"]) == why.places[0].box


def test_an_image_has_the_same_reasons_alone_and_a_loaded_detector_gives_them(detector, tmp_path):
    Bundle(detector, {}).save(tmp_path / "m")
    loaded = Bundle.load(tmp_path / "m").detector
    maps = maps_of(NEW)
    whole, alone = detector.explain(maps), maps.take(np.array([30]))
    assert detector.explain(alone) == whole[30:31]
    assert loaded.explain(maps) == whole
    assert pickle.loads(pickle.dumps(detector)).explain(alone) == whole[30:31]
    np.testing.assert_array_equal(loaded.verdict(maps).novelty, detector.verdict(maps).novelty)


def test_advice_names_images_unlike_what_is_labelled(detector):
    found = detector.advise(maps_of(NEW), 6)
    rows, why = found["row"].to_numpy(), np.array(found["why"].to_pylist())
    likely = NEW.y.numpy()[rows[why == "likely anomaly"]]
    assert likely[0] == 3  # 1 and 2 are labelled
    assert (likely > 0).all()
    assert found.equals(detector.advise(maps_of(NEW), 6))


def test_an_earlier_release_kept_names_alone(detector, tmp_path):
    old = fitted(Patches(Nearest(k=1)))
    names = old.references_.rows.select(["image"])
    object.__setattr__(old.references_, "rows", names)
    Bundle(old, {}).save(tmp_path / "m")
    loaded, maps = Bundle.load(tmp_path / "m").detector, maps_of(NEW)
    for ask in (loaded.verdict, loaded.explain, loaded.advise):
        with pytest.raises(Unsupported, match="names of training images only"):
            ask(maps)
    assert loaded.recalibrate(maps_of(toy_maps(30, 0))).references_.rows.column_names == ["image"]


def test_wrong_questions_are_refused(detector):
    maps = maps_of(NEW)
    with pytest.raises(NotFitted):
        Detector().explain(maps)
    with pytest.raises(DataError, match="at least 1, got 0"):
        detector.explain(maps, top=0)
    with pytest.raises(DataError, match="at least one image"):
        detector.explain(maps.take(np.zeros(0, dtype=np.int64)))
    with pytest.raises(DataError, match="alpha must lie between"):
        detector.explain(maps, alpha=2)


def test_recent_images_stay_after_recalibration(detector):
    recent = maps_of(toy_maps(30, 0, seed=9))
    new = detector.recalibrate(recent)
    assert np.bincount(new.references_.codes).tolist() == [30, 10, 10]
    assert new.explain(maps_of(NEW))[-1].nearest_normal.label == "normal"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["boxes"]), "names and looks"),
        (lambda table: swapped(table, "look", [[1.0] * 4], pa.list_(pa.float16(), 4)), "3 or 6"),
        (lambda table: swapped(table, "boxes", [[1, 2, 3]], pa.list_(pa.int32())), "a box each"),
        (
            lambda table: swapped(table, "look", [[np.inf] * 3], pa.list_(pa.float16(), 3)),
            "finite looks",
        ),
    ],
)
def test_looks_of_unknown_origin_are_checked(detector, change, message):
    rows = detector.references_.rows
    check_looks(rows, detector.schema_)
    with pytest.raises(DataError, match=message):
        check_looks(change(rows), detector.schema_)


def swapped(table, name, values, kind):
    """The table with other values in a column, the same in each row."""
    column = pa.array(values * len(table), kind)
    return table.set_column(table.column_names.index(name), name, column)

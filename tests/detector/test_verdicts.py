"""Verdicts: which kind a row is of, with evidence that can be checked by hand."""

import copy
import pickle

import numpy as np
import pytest

from unseen import Bundle, Detector
from unseen.detector.kinds import LEAST, Comparison, KnownKinds, class_pvalue
from unseen.detector.verdicts import CODES, NEW
from unseen.errors import DataError, NotFitted, Unsupported


def machines(leaks=10, cracks=10, seed=0):
    """Normals around 0 in 4 columns, leaks far along the first, cracks along the second."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300 + leaks + cracks, 4))
    x[300 : 300 + leaks, 0] += 12
    x[300 + leaks :, 1] += 12
    return x, ["normal"] * 300 + ["leak"] * leaks + ["crack"] * cracks


def fitted(method="mahalanobis", **counts):
    x, y = machines(**counts)
    return Detector(method, random_state=0).fit(x, y)


ROWS = [[0.0, 0, 0, 0], [12, 0, 0, 0], [0, 12, 0, 0], [0, 0, -12, 0], [0, 0, 0, 14]]


@pytest.mark.parametrize("method", ["mahalanobis", "forest", None])
def test_normal_known_and_new_rows_are_told_apart_by_any_method(method):
    x, y = machines(100, 100, seed=1)
    drift = np.random.default_rng(2).normal(size=(100, 4)) - [0, 0, 12, 0]
    found = fitted(method).verdict(np.r_[x[300:], drift])
    called = np.array([*y[300:], *["new kind"] * 100])
    known = called != "new kind"
    assert (found.novelty[~known] > NEW).mean() > 0.95  # a forest may not flag a row of them
    assert (found.novelty[known] > NEW).mean() < 0.2
    right = found.kind[known] == called[known]
    assert right.mean() > 0.6
    other = np.where(called[known] == "leak", "crack", "leak")
    assert not (found.kind[known] == other).any()
    np.testing.assert_allclose(found.share.sum(axis=1), 1)


def test_pvalues_are_those_of_normals_and_of_each_class():
    detector = fitted()
    found = detector.verdict(ROWS)
    np.testing.assert_array_equal(found.pvalue, detector.pvalue(ROWS))
    assert found.class_pvalue.shape == (5, 2)
    leak = list(found.classes).index("leak")
    assert found.class_pvalue[1, leak] > 0.2
    np.testing.assert_allclose(found.class_pvalue[[2, 3, 4], leak], 1 / 11)  # no lower with ten
    assert found.kind_pvalue[1] == found.class_pvalue[1, leak]


def test_class_pvalues_by_hand():
    """Labelled at 0, 1, 3, 7: 1, 1, 2 and 4 from the nearest. A row at 9 is 2 from it."""
    alone = np.array([1.0, 1.0, 2.0, 4.0])
    assert class_pvalue(np.array([2.0, 4.5, 0.0]), alone).tolist() == [3 / 5, 1 / 5, 1.0]


def test_class_pvalues_are_those_of_full_conformal_prediction():
    """With the new row among them, each labelled row's nearest may be the new one."""
    rng = np.random.default_rng(0)
    labelled, new = rng.normal(size=(10, 3)), rng.normal(size=(200, 3)) * 1.5
    apart = np.abs(labelled[:, None] - labelled).sum(axis=2) + np.diag([np.inf] * 10)
    for row in new:
        to = np.abs(labelled - row).sum(axis=1)
        with_row = np.minimum(apart.min(axis=1), to)
        full = (1 + (with_row >= to.min()).sum()) / 11
        assert class_pvalue(np.array([to.min()]), apart.min(axis=1))[0] == full


def test_fresh_rows_of_a_class_have_valid_pvalues():
    rng = np.random.default_rng(1)
    hits, draws = np.zeros(3), 2000
    for _ in range(draws):
        x = rng.standard_t(3, size=(11, 3))
        alone = np.abs(x[:10, None] - x[:10]).sum(axis=2) + np.diag([np.inf] * 10)
        p = class_pvalue(np.array([np.abs(x[:10] - x[10]).sum(axis=1).min()]), alone.min(axis=1))
        hits += p[0] <= np.arange(1, 4) / 11 + 1e-9
    due = np.arange(1, 4) / 11
    assert (np.abs(hits / draws - due) < 3 * np.sqrt(due * (1 - due) / draws)).all()


def test_pieces_of_labelled_rows_are_by_what_did_not_learn_from_them():
    x = np.array([[0.0], [0], [0], [1], [3], [20], [24]], np.float32)
    own = Comparison(x, np.array([0, 0, 0, 1, 1, 2, 2])).own()
    np.testing.assert_allclose(own[0], np.log(np.array([2, 2, 4, 4]) + 1e-3), rtol=1e-6)


def test_a_piece_that_tells_held_out_classes_apart_weighs_more():
    """Along the first column classes differ by place; the second is noise that drowns it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(260, 2)).astype(np.float32)
    codes = np.repeat([0, 1, 2, 3], [200, 20, 20, 20])
    for code, place in ((1, 8), (2, 16), (3, -8)):
        x[codes == code, 0] += place
    x[:, 1] *= 40
    known = KnownKinds.learned(x, codes)
    assert known.auroc.argmax() == known.weights.argmax()
    assert known.auroc[1] > known.auroc[0] + 0.05  # inside classes noise is large, and shrinks
    assert known.weights.sum() == pytest.approx(1)


def test_without_labels_an_alarm_is_of_a_new_kind():
    x, _ = machines(0, 0)
    found = Detector("mahalanobis", random_state=0).fit(x).verdict(ROWS)
    assert found.kind.tolist() == ["normal", *["new kind"] * 4]
    assert found.class_pvalue.shape == (5, 0)
    assert np.isnan(found.novelty).all()
    assert np.isnan(found.kind_pvalue).all()
    assert found.table()["novelty"].null_count == 5


def test_a_detector_that_moved_without_its_labelled_rows_calls_no_alarm_new():
    x, _ = machines(0, 0)
    found = fitted("mahalanobis").adapt(x[:100]).verdict(ROWS)
    assert found.classes == ("crack", "leak")
    assert found.kind.tolist() == ["normal", *["unsure"] * 4]


def test_single_rows_of_classes_tell_too_little():
    found = fitted(leaks=1, cracks=1).verdict(ROWS)
    assert found.kind.tolist() == ["normal", *["unsure"] * 4]
    assert (found.class_pvalue == 1).all()


@pytest.mark.parametrize(("leaks", "cracks"), [(10, 0), (10, 1), (LEAST, 0)])
def test_one_class_is_enough(leaks, cracks):
    found = fitted(leaks=leaks, cracks=cracks).verdict(ROWS)
    assert found.kind[[0, 1, 4]].tolist() == ["normal", "leak", "new kind"]


def test_equal_rows_have_equal_verdicts_alone_and_together():
    detector = fitted()
    rows = np.random.default_rng(3).normal(size=(150, 4)) * 6
    whole = detector.verdict(rows)
    for k in (0, 70, 149):
        alone = detector.verdict(rows[k : k + 1])
        assert alone.novelty[0] == whole.novelty[k]
        np.testing.assert_array_equal(alone.share[0], whole.share[k])
        assert alone.code[0] == whole.code[k]


def test_a_loaded_detector_gives_the_same_verdicts(tmp_path):
    detector = fitted()
    Bundle(detector, {}).save(tmp_path / "m")
    rows = np.random.default_rng(3).normal(size=(60, 4)) * 6
    here = detector.verdict(rows)
    others = Bundle.load(tmp_path / "m").detector, pickle.loads(pickle.dumps(detector))
    for there in (other.verdict(rows) for other in others):
        np.testing.assert_array_equal(here.novelty, there.novelty)
        np.testing.assert_array_equal(here.class_pvalue, there.class_pvalue)
        np.testing.assert_array_equal(here.code, there.code)


def test_a_new_fit_forgets_the_old_kinds():
    detector = fitted()
    detector.verdict(ROWS)
    x, y = machines()
    detector.fit(x, ["drift" if name == "leak" else name for name in y])
    assert detector.verdict(ROWS[1:2]).kind.tolist() == ["drift"]


def test_a_fraction_of_normals_is_flagged_and_bounds_are_checked():
    detector = fitted()
    assert (detector.verdict(ROWS, alpha=0.02).code == detector.verdict(ROWS).code).all()
    with pytest.raises(DataError, match="between 0 and 1"):
        detector.verdict(ROWS, alpha=5)
    with pytest.raises(NotFitted):
        Detector().verdict(ROWS)
    with pytest.raises(NotFitted):
        Detector().unseen_chance()
    old = copy.copy(detector)
    del old.references_
    for ask in (lambda: old.verdict(ROWS), old.unseen_chance):
        with pytest.raises(Unsupported, match="earlier release"):
            ask()


def test_codes_and_words_agree():
    found = fitted().verdict(ROWS)
    words = {0: "normal", **dict(enumerate(found.classes, 1)), -1: "new kind", -2: "unsure"}
    assert words.items() >= {code: word for word, code in CODES.items()}.items()
    assert found.kind.tolist() == [words[code] for code in found.code]
    assert found.table().column_names == ["kind", "kind_pvalue", "novelty"]

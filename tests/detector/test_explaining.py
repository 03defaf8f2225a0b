"""Reasons of a detector: they add up, do not hang on the rows beside, and cover what can be new."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from quick import quick
from unseen import Bundle, DataError, Detector, NotFitted, Unsupported
from unseen.detector.conformal import mean_deviation
from unseen.methods import METHODS

SOME = ["evidence-stack", "mahalanobis", "nearest", "isolation-forest", "autoencoder"]


def flows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "bytes": rng.lognormal(5, 1, n).round(),
            "service": rng.choice(["http", "dns", "smtp"], n),
            "load": rng.normal(size=n),
            "port": 443,
            "ok": rng.random(n) < 0.9,
            "note": np.where(np.arange(n) % 50, rng.normal(size=n), np.nan),
        }
    )


def labelled(n=300):
    frame = flows(n)
    frame.loc[n - 6 :, "bytes"] *= 1000
    return frame, np.array(["normal"] * (n - 6) + ["leak"] * 6, dtype=object)


def new_rows():
    """Each shows one thing that is new; the last two of them show two, and none."""
    frame = flows(7, seed=1)
    frame.loc[0, "bytes"] = 9e6
    frame.loc[1, "service"] = "ftp"
    frame.loc[2, "port"] = 22
    frame.loc[3, "load"] = np.nan
    frame.loc[4, "load"] = -40.0
    frame.loc[5, ["bytes", "service"]] = [5e5, "ftp"]
    return frame


FIRST = ["bytes", "service", "port", "load", "load"]


@pytest.fixture(scope="module")
def detector():
    return Detector(random_state=0).fit(*labelled())


def own_scores(detector, rows):
    """What reasons explain, from the scorers themselves."""
    scores = [member.scores(rows, detector.torch_device()) for member in detector.members_]
    if len(scores) == 1:
        return scores[0]
    return mean_deviation([member.calibration for member in detector.members_], scores)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("calibration", [0.2, 3])
def test_shares_add_up_to_what_the_scorer_gives_the_row_and_its_nearest_normal(name, calibration):
    frame, y = labelled()
    found = Detector(quick(METHODS[name]), calibration=calibration, random_state=0).fit(frame, y)
    rows = pd.concat([new_rows().drop(index=[2, 3]), flows(20, seed=5).assign(load=3.0)])
    reasons = found.explain(rows, top=9)
    normals = frame.iloc[[why.nearest_normal.row for why in reasons]]
    added = [sum(each.added for each in why.columns) + why.rest for why in reasons]
    # rest is no remainder: what is not named is judged by itself
    assert added == pytest.approx(own_scores(found, rows) - own_scores(found, normals), abs=1e-6)
    assert max(added) > 0.1
    if calibration < 1:
        scores = found.anomaly_score(new_rows())
        assert [why.score for why in found.explain(new_rows())] == scores.tolist()
    assert [why.pvalue for why in found.explain(new_rows())] == found.pvalue(new_rows()).tolist()


def test_shares_add_up_where_what_is_new_raises_the_score(detector):
    frame, _ = labelled()
    reasons = detector.explain(new_rows(), top=1)
    normals = frame.iloc[[why.nearest_normal.row for why in reasons]]
    apart = detector.anomaly_score(new_rows()) - detector.anomaly_score(normals)
    assert [why.columns[0].added + why.rest for why in reasons[:6]] == pytest.approx(apart[:6])


def test_whatever_is_new_is_the_reason_gaps_categories_and_constants_too(detector):
    reasons = detector.explain(new_rows())
    assert [why.columns[0].column for why in reasons[:5]] == FIRST
    assert [each.column for why in reasons[:5] for each in why.change.columns] == FIRST
    assert {each.column for each in reasons[5].change.columns} == {"bytes", "service"}
    assert reasons[2].columns[0].normal == 443
    assert (reasons[3].columns[0].value, str(reasons[1].columns[0])[:13]) == (None, "service 'ftp'")
    assert reasons[6].pvalue > 0.05
    assert reasons[6].change is None


def test_what_is_put_back_makes_the_row_unremarkable(detector):
    rows = new_rows()
    for k, why in enumerate(detector.explain(rows)[:6]):
        mended = rows.iloc[[k]].copy()
        for each in why.change.columns:
            mended[each.column] = [each.normal]
        assert detector.pvalue(mended)[0] == pytest.approx(why.change.pvalue)
        assert why.change.pvalue > 0.05


def test_equal_rows_have_equal_reasons_alone_or_among_others(detector):
    rows = new_rows()
    twice = detector.explain(pd.concat([rows, rows[::-1]]))
    assert twice[:7] == twice[7:][::-1]
    assert [detector.explain(rows.iloc[[k]])[0] for k in range(7)] == twice[:7]


def test_a_normal_of_training_is_its_own_nearest_and_has_no_reasons(detector):
    frame, _ = labelled()
    why = detector.explain(frame.iloc[[17]])[0]
    assert (why.nearest_normal.row, why.nearest_normal.distance) == (17, 0.0)
    assert (why.columns, why.rest, why.score) == ((), 0.0, why.baseline)


def test_neighbours_are_rows_of_training_and_of_several_the_first():
    x = np.random.default_rng(0).normal(size=(60, 2)) + 20
    x[[3, 8]] = 0.0  # two equal normals, far from all others
    x[[4, 5]] = [[9.0, 9.0], [9.0, 8.0]]
    y = ["leak" if k in (4, 5) else "normal" for k in range(60)]
    found = Detector("mahalanobis", random_state=0, repeats="keep").fit(x, y)
    first, second = found.explain([[0.0, 0.0], [9.0, 8.1]])
    assert (first.nearest_normal.row, first.nearest_normal.label) == (3, "normal")
    assert (second.nearest_anomaly.row, second.nearest_anomaly.label) == (5, "leak")


def test_evidence_adds_up_to_the_score(detector):
    rows = flows(5, seed=3)
    for why, score in zip(detector.explain(rows), detector.anomaly_score(rows), strict=True):
        assert sum(adds for _, adds in why.evidence) == pytest.approx(score, rel=1e-5)
    assert Detector("nearest").fit(*labelled()).explain(rows)[0].evidence == ()


def test_an_array_and_a_table_without_labels_are_explained():
    x = np.random.default_rng(0).normal(size=(200, 20))
    found = Detector("mahalanobis", random_state=0).fit(x)
    row = x[:1].copy()
    row[0, 13] = 25.0
    why = found.explain(row)[0]
    assert [each.column for each in why.columns] == ["x13"]
    assert why.nearest_anomaly is None
    assert found.explain(pa.table({f"x{j}": row[:, j] for j in range(20)}))[0] == why


def test_one_column_alone_is_the_reason_and_the_normal_next_to_it_is_the_nearest():
    x = np.arange(200.0)[:, None]
    found = Detector("mahalanobis", random_state=0).fit(x)
    far, gap, same = found.explain([[900.0], [np.nan], [17.0]])
    assert [(each.column, each.value, each.share) for each in far.columns] == [("x0", 900.0, 1.0)]
    assert far.nearest_normal.row == max(k for k in found.references_.numbers if usual(found, x, k))
    assert far.change.columns == far.columns
    assert [(each.column, str(each)[:10]) for each in gap.change.columns] == [("x0", "x0 missing")]
    assert (same.columns, same.change, same.nearest_normal.row) == ((), None, 17)


def usual(detector, x, k):
    return detector.pvalue(x[[k]])[0] > 0.05


def test_columns_constant_in_training_are_named_beside_others_and_are_put_back():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "k": 5, "t": "x", "ok": True})
    found = Detector("mahalanobis", random_state=0).fit(frame)
    rows = pd.DataFrame({"a": [0.0, 0.0, 9.0], "k": [6, 5, 7], "t": ["x", "y", "z"], "ok": True})
    rows.loc[1, "ok"] = False
    reasons = found.explain(rows)
    named = [{each.column: each.normal for each in why.change.columns} for why in reasons]
    assert named[:2] == [{"k": 5}, {"t": "x", "ok": True}]
    assert set(named[2]) == {"a", "k", "t"}
    assert [why.pvalue <= 0.05 < why.change.pvalue for why in reasons] == [True] * 3


def test_gaps_that_training_had_are_no_reason_and_new_ones_are_put_back_with_what_is_far():
    x = np.random.default_rng(0).normal(size=(300, 4))
    x[::3, 0] = np.nan
    found = Detector("mahalanobis", random_state=0).fit(x)
    usual_gap, far, new = found.explain([[np.nan, 0, 0, 0], [np.nan, 0, 0, 9], [0, np.nan, 0, 9]])
    assert (usual_gap.change, usual_gap.pvalue > 0.05) == (None, True)
    assert [each.column for each in far.change.columns] == ["x3"]
    assert {each.column for each in new.change.columns} == {"x1", "x3"}


def test_another_normal_where_the_nearest_asks_for_more_columns_than_a_reader_changes():
    # rows lie along one of two lines; the row agrees with the first in six columns, and with the
    # second in all but four
    rng = np.random.default_rng(0)
    line = np.r_[np.zeros(150), np.full(150, 8.0)]
    x = line[:, None] + rng.normal(scale=0.3, size=(300, 10))
    found = Detector("nearest", random_state=0).fit(x)
    row = np.r_[np.full(6, 8.0), np.zeros(4)][None]
    why = found.explain(row)[0]
    assert {each.column for each in why.change.columns} == {"x6", "x7", "x8", "x9"}
    assert why.nearest_normal.row >= 150
    mended = row.copy()
    for each in why.change.columns:
        mended[0, int(each.column[1:])] = each.normal
    assert found.pvalue(mended)[0] == why.change.pvalue > 0.05


def test_a_row_that_lacks_every_value_has_reasons(detector):
    blank = pd.DataFrame({name: pa.nulls(1, pa.float64()).to_pandas() for name in flows(1).columns})
    why = detector.explain(pa.Table.from_pandas(blank), top=9)[0]
    assert sum(each.added for each in why.columns) + why.rest == pytest.approx(
        why.score - why.baseline
    )
    assert all(each.value is None or each.value != each.value for each in why.columns)


def test_what_cannot_be_explained_says_why(detector, tmp_path):
    with pytest.raises(NotFitted):
        Detector().explain(new_rows())
    with pytest.raises(DataError, match="top must be a number of columns, or places"):
        detector.explain(new_rows(), top=0)
    with pytest.raises(DataError, match="alpha must lie between"):
        detector.explain(new_rows(), alpha=5)
    with pytest.raises(DataError, match="at least one row"):
        detector.explain(new_rows()[:0])
    with pytest.raises(DataError, match="'bytes'"):
        detector.explain(new_rows().drop(columns="bytes"))


def test_a_saved_detector_explains_alike_and_one_of_an_earlier_release_says_why_not(
    detector, tmp_path
):
    Bundle(detector, {}).save(tmp_path / "m")
    loaded = Bundle.load(tmp_path / "m").detector
    assert loaded.explain(new_rows()) == detector.explain(new_rows())
    del loaded.references_
    with pytest.raises(Unsupported, match="fit and save it again"):
        loaded.explain(new_rows())


def test_numbers_that_come_as_text_are_told_as_numbers():
    frame, y = labelled()
    texts = frame.astype({"bytes": str}).where(frame["bytes"].notna(), "?")
    found = Detector("mahalanobis", random_state=0).fit(texts, y)
    row = texts.iloc[[0]].assign(bytes="9000000.0")
    reason = found.explain(row)[0].columns[0]
    assert (reason.column, reason.value, type(reason.normal)) == ("bytes", 9e6, float)


def test_what_an_explanation_learned_of_the_normals_goes_with_what_it_learned_it_from():
    frame, y = labelled()
    moved, rows = flows(200, seed=5).assign(load=lambda t: 3 * t["load"]), new_rows()
    made = [Detector("mahalanobis", random_state=0).fit(frame, y) for _ in range(2)]
    before = made[0].explain(rows)
    assert made[0].explain(rows) == before
    later = [each.recalibrate(moved) for each in made]
    assert later[0].explain(rows) == later[1].explain(rows)
    assert [each.pvalue for each in later[0].explain(rows)] != [each.pvalue for each in before]
    assert made[0].explain(rows) == before
    again = made[0].fit(frame.iloc[100:], y[100:])
    fresh = Detector("mahalanobis", random_state=0).fit(frame.iloc[100:], y[100:])
    assert again.explain(rows) == fresh.explain(rows)

"""Reasons of a detector: they add up, do not hang on the rows beside, and cover what can be new."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unseen import Bundle, DataError, Detector, NotFitted, Unsupported

METHODS = ["evidence-stack", "mahalanobis", "nearest", "isolation-forest", "autoencoder"]


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("calibration", [0.2, 3])
def test_shares_add_up_to_the_difference_from_the_nearest_normal(method, calibration):
    found = Detector(method, calibration=calibration, random_state=0).fit(*labelled())
    for why in found.explain(new_rows(), top=9):
        total = sum(each.added for each in why.columns) + why.rest
        assert total == pytest.approx(why.score - why.baseline, abs=1e-6)
    if calibration < 1:
        scores = found.anomaly_score(new_rows())
        assert [why.score for why in found.explain(new_rows())] == scores.tolist()
    assert [why.pvalue for why in found.explain(new_rows())] == found.pvalue(new_rows()).tolist()


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

"""The estimator: labels, calibration, policies, reproducibility, scikit-learn's contract, and bad
input.
"""

import logging
import random
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from quick import brief
from unseen.data.labels import encode_labels
from unseen.detector.detector import Detector
from unseen.detector.folds import held_out
from unseen.errors import DataError, FewNormals, NotFitted, UnseenError, Unsupported
from unseen.methods import DEFAULT, METHODS
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest

EXPECTED = {
    "check_estimators_dtypes": (
        "its labels are 1 and 2: every row is labelled an anomaly, which is refused"
    ),
    "check_classifier_data_not_an_array": (
        "its labels are 1 and 2: every row is labelled an anomaly, which is refused"
    ),
}
FAST = Mahalanobis()


def rows(n=300, anomalies=12, seed=0, d=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + anomalies, d))
    x[n:, 0] += 6
    y = np.array(["normal"] * n + ["leak", "crack"] * (anomalies // 2), dtype=object)
    return x, y


@parametrize_with_checks(
    [Detector(FAST, random_state=0)], expected_failed_checks=lambda _: EXPECTED
)
def test_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tiny samples: FewNormals is right, and not the point
        check(estimator)


def test_default_is_the_evidence_stack():
    x, y = rows(40, 4)
    a = Detector(random_state=0).fit(x, y).anomaly_score(x)
    b = Detector(DEFAULT, random_state=0).fit(x, y).anomaly_score(x)
    assert np.array_equal(a, b)
    assert roc_auc_score(y != "normal", a) > 0.9


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"]
)
def test_any_data_frame(kind):
    x, y = rows()
    columns = {f"c{j}": x[:, j] for j in range(x.shape[1])}
    detector = Detector(FAST, random_state=0).fit(kind(columns), y)
    expected = Detector(FAST, random_state=0).fit(x, y).anomaly_score(x)
    np.testing.assert_array_equal(detector.anomaly_score(kind(columns)), expected)
    backwards = dict(reversed(columns.items()))
    np.testing.assert_array_equal(detector.anomaly_score(kind(backwards)), expected)


@pytest.mark.parametrize(
    ("name", "calibration"), [*((name, 0.2) for name in METHODS), ("nearest", 2), ("devnet", 2)]
)
def test_same_seed_same_scores_and_no_global_state(name, calibration):
    x, y = rows(60, 8)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    fits = [
        Detector(brief(METHODS[name]), calibration=calibration, random_state=7).fit(x, y)
        for _ in range(2)
    ]
    assert np.array_equal(fits[0].anomaly_score(x), fits[1].anomaly_score(x))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_calibration_rows_are_never_trained_on():
    # One normal row far out: held out, it must leave mean, covariance and schema as if it had never
    # been there.
    x, y = rows(300, 0)
    detector = Detector(FAST, calibration=0.2, random_state=0).fit(x, y)
    zeros = np.zeros(300, dtype=int)
    [rows_out] = held_out(zeros, zeros, np.random.default_rng(seed_of(0)), calibration=0.2)
    moved = x.copy()
    moved[rows_out] += 100.0
    again = Detector(FAST, calibration=0.2, random_state=0).fit(moved, y)
    assert np.array_equal(again.anomaly_score(x[:5]), detector.anomaly_score(x[:5]))
    assert len(again.conformal_.scores) == 60
    assert again.conformal_.scores.min() > detector.conformal_.scores.max()


def seed_of(random_state):
    return int(np.random.RandomState(random_state).randint(2**31 - 1))


def test_folds_calibrate_on_every_normal_once():
    x, y = rows(100, 0)
    detector = Detector(FAST, calibration=5, random_state=0).fit(x, y)
    assert [len(m.calibration) for m in detector.members_] == [20] * 5
    assert detector.conformal_.scores.tolist() == list(range(1, 101))


def test_fold_pvalues_count_normals_outranked_in_their_own_fold():
    x, y = rows(100, 0)
    detector = Detector(FAST, calibration=4, random_state=0).fit(x, y)
    new = np.random.default_rng(1).normal(size=(50, 4)) * 2
    above = np.zeros(50)
    for member in detector.members_:
        with torch.no_grad():
            s = member.scorer(torch.from_numpy(member.encoder.encode(new))).double().numpy()
        above += [(member.calibration >= v).sum() for v in s]
    np.testing.assert_allclose(detector.pvalue(new), (1 + above) / 101)


@pytest.mark.parametrize("calibration", [0.2, 5], ids=["split", "folds"])
def test_policies_need_no_refit(calibration):
    x, y = rows(500, 12)
    detector = Detector(FAST, calibration=calibration, random_state=0).fit(x, y)
    p, scores = detector.pvalue(x), detector.anomaly_score(x)
    for alpha in (0.05, 0.2):
        flagged = detector.detect(x, alpha=alpha)
        np.testing.assert_array_equal(flagged, p <= alpha)
        np.testing.assert_array_equal(flagged, scores > detector.conformal_.threshold(alpha))
    assert detector.detect(x, fdr=0.5).sum() >= detector.detect(x, fdr=0.2).sum()
    np.testing.assert_array_equal(detector.predict(x) == -1, detector.detect(x, alpha=0.05))
    order = np.argsort(scores)
    assert (np.diff(p[order]) <= 0).all(), "a higher score never has a higher p-value"


def test_a_level_finer_than_the_calibration_warns():
    x, y = rows(60, 0)
    detector = Detector(FAST, random_state=0).fit(x, y)
    with pytest.warns(FewNormals, match=r"0.001 asked for, but with 60 calibration normals"):
        assert not detector.detect(x, alpha=0.001).any()


@pytest.mark.parametrize("policy", [{}, {"alpha": 0.1, "fdr": 0.1}])
def test_one_policy_exactly(policy):
    x, y = rows()
    with pytest.raises(DataError, match="one policy"):
        Detector(FAST, random_state=0).fit(x, y).detect(x, **policy)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5])
def test_levels_are_shares(alpha):
    x, y = rows()
    with pytest.raises(DataError, match="between 0 and 1"):
        Detector(FAST, random_state=0).fit(x, y).detect(x, alpha=alpha)


@pytest.mark.parametrize(
    ("y", "codes", "names"),
    [
        ([0, 0, 1, 2], [0, 0, 1, 2], ("1", "2")),
        ([0, 1, -1], [0, 1, -1], ("1",)),
        ([False, True], [0, 1], ("1",)),
        ([0.0, 2.0, float("nan")], [0, 1, -1], ("2",)),
        (["normal", "dos", None, "probe", ""], [0, 1, -1, 2, -1], ("dos", "probe")),
        (["0", "10", "9"], [0, 2, 1], ("9", "10")),
        (np.array(["normal", " dos "]), [0, 1], ("dos",)),
        (pd.Series(["normal", None, "b"], dtype="category"), [0, -1, 1], ("b",)),
        (pl.Series(["normal", "b"]), [0, 1], ("b",)),
        (np.array([[0], [1]]), [0, 1], ("1",)),
        (["0.0", "1.0", "-1.0"], [0, 1, -1], ("1",)),
        (["False", "true"], [0, 1], ("1",)),
        (["normal", 0, "007"], [0, 0, 1], ("007",)),
    ],
)
def test_labels_as_users_give_them(y, codes, names):
    got, classes = encode_labels(y, rows=len(y))
    assert got.tolist() == codes
    assert classes == names


def test_normal_by_another_name():
    x, y = rows()
    y[y == "normal"] = "ok"
    assert Detector(FAST, normal="ok", random_state=0).fit(x, y).classes_ == ("crack", "leak")
    with pytest.raises(DataError, match=r"0 of 312 rows .*check the name of the normal label"):
        Detector(FAST, random_state=0).fit(x, y)


def test_zero_is_a_class_where_another_name_is_normal():
    codes, classes = encode_labels([1, 0, 2, -1], rows=4, normal="1")
    assert codes.tolist() == [0, 1, 2, -1]
    assert classes == ("0", "2")


@pytest.mark.parametrize("labels", [[1, -1], ["1", "-1"], [1.0, -1.0]])
def test_only_minus_one_and_one_is_refused(labels):
    x, _ = rows(10, 0)
    with pytest.raises(DataError, match=r"scikit-learn's convention.*pass 0"):
        Detector(FAST).fit(x, labels * 5)


def test_all_rows_anomalous():
    x, _ = rows(10, 0)
    with pytest.raises(DataError, match="0 of 10 rows"):
        Detector(FAST).fit(x, ["leak"] * 10)


def test_no_normals_but_unlabelled_rows_stand_in():
    x, y = rows()
    y[y == "normal"] = None
    unlabelled = Detector(FAST, random_state=0).fit(x, y)
    assert unlabelled.detect(x[-1:], alpha=0.05).all()


def test_few_normals_warn_and_work():
    x, y = rows(20, 4)
    with pytest.warns(FewNormals, match=r"only 20 normal rows .* no p-value can be below 0.048"):
        detector = Detector(FAST, random_state=0).fit(x, y)
    assert detector.pvalue(x).min() >= 1 / 21


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("normals", [2, 3, 4])
@pytest.mark.filterwarnings("ignore::unseen.errors.FewNormals")
def test_very_few_normals_fit_or_are_refused_in_words(name, normals):
    x, y = rows(normals, 2)
    try:
        detector = Detector(brief(METHODS[name]), random_state=0).fit(x, y)
    except DataError as error:
        assert normals < 4, error  # noqa: PT017
        return
    assert np.isfinite(detector.anomaly_score(x)).all()


@pytest.mark.parametrize("name", METHODS)
def test_one_labelled_anomaly_is_enough_to_fit(name):
    x, y = rows(60, 2)
    detector = Detector(brief(METHODS[name]), random_state=0).fit(x[:61], y[:61])
    assert np.isfinite(detector.anomaly_score(x)).all()


def test_lengths_must_agree():
    x, y = rows()
    with pytest.raises(DataError, match=r"X has 312 rows, y has 5"):
        Detector(FAST).fit(x, y[:5])
    with pytest.raises(DataError, match=r"groups must have shape \(312,\)"):
        Detector(FAST).fit(x, y, groups=[1, 2])


def test_asked_before_fitted():
    with pytest.raises(NotFitted, match="call fit"):
        Detector().pvalue(np.zeros((1, 2)))


def test_missing_and_infinite_values_are_handled():
    x, y = rows()
    x[::7, 1] = np.nan
    detector = Detector(FAST, random_state=0).fit(x, y)
    extreme = np.array([[np.nan, np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0, -np.inf]])
    scores = detector.anomaly_score(extreme)
    assert np.isfinite(scores).all()
    assert scores[1] > detector.conformal_.threshold(0.01)


@pytest.mark.parametrize("name", ["evidence-stack", "multi-directional"])
def test_scores_do_not_depend_on_the_number_of_threads(name):
    x, y = rows(60, 8)
    detector = Detector(brief(METHODS[name]), random_state=0).fit(x, y)
    many = np.random.default_rng(0).normal(size=(3000, 4))
    before, scores = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            scores.append(detector.anomaly_score(many))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*scores)


def test_a_device_that_is_not_there():
    x, y = rows(60, 0)
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(Unsupported, match="cuda"):
        Detector(FAST, device="cuda").fit(x, y)
    assert Detector(FAST, device="auto").fit(x, y).pvalue(x).min() > 0


@pytest.mark.parametrize(("share", "rows_out"), [(0.2, 60), (0.5, 150), (0.7, 210), (0.001, 1)])
def test_the_share_asked_for_calibrates(share, rows_out):
    x, y = rows(300, 0)
    assert (
        len(Detector(FAST, calibration=share, random_state=0).fit(x, y).conformal_.scores)
        == rows_out
    )


def test_groups_share_the_calibration_rows():
    x, y = rows(300, 0)
    groups = np.repeat(["a", "b"], [270, 30])
    detector = Detector(FAST, calibration=0.2, random_state=0)
    codes = np.repeat([0, 1], [270, 30])
    [rows_out] = held_out(
        np.zeros(300, dtype=int), codes, np.random.default_rng(0), calibration=0.2
    )
    assert (rows_out >= 270).sum() == 6  # a fifth of the smaller group too
    assert len(detector.fit(x, y, groups=groups).conformal_.scores) == 60


@pytest.mark.parametrize("seed", [-1, 2**32, "one"])
def test_a_seed_that_is_none_is_refused_in_words(seed):
    with pytest.raises(
        DataError, match="random_state must be a whole number from 0 to 4,294,967,295, got"
    ):
        Detector(FAST, random_state=seed).fit(*rows(30, 2))


class Diverging(DevNet):
    """A method of a user's own, whose fields nobody checks, and whose weights end as no numbers."""

    def train(self, scorer, data, run):
        for parameter in scorer.parameters():
            torch.nn.init.constant_(parameter, float("nan"))


def test_scorer_that_diverges_is_refused():
    x, y = rows(60, 8)
    with pytest.raises(UnseenError, match="Diverging diverged"):
        Detector(Diverging(), random_state=0).fit(x, y)


def test_inside_scikit_learn():
    x, y = rows(120, 12)
    pipeline = make_pipeline(StandardScaler(), Detector(Nearest(), random_state=0)).fit(x, y)
    assert pipeline.predict(x[-3:]).tolist() == [-1, -1, -1]

    def unseen_auroc(estimator, X, truth):
        return roc_auc_score(truth != "normal", -estimator.score_samples(X))

    scores = cross_val_score(
        clone(pipeline), x, y, scoring=unseen_auroc, cv=StratifiedKFold(3), error_score="raise"
    )
    assert scores.min() > 0.95


def test_labels_that_a_score_needs_and_metadata_are_said():
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(DataError, match="a score needs y"):
        cross_val_score(Detector("mahalanobis"), x, error_score="raise")
    with pytest.raises(DataError, match="sample_weight is not supported"):
        Detector("csad").partial_fit(x, sample_weight=np.ones(60))
    with pytest.raises(DataError, match="tail must be True or False, got 'yes'"):
        Detector("mahalanobis", tail="yes").fit(x)


def answers(as_table):
    """120 normal rows and 12 anomalies; one column tells which, another nearly does."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(132, 4))
    y = np.repeat(["normal", "leak", "crack"], [120, 6, 6])
    x[:, 1] = np.where(y == "normal", 3.0, rng.integers(4, 9, 132))
    x[:, 2] = np.where((y == "normal") | (np.arange(132) == 131), 3.0, 4.0)
    if not as_table:
        return x, y
    family = np.where(y == "normal", "normal", "attack")
    return pa.table({f"c{j}": x[:, j] for j in range(4)} | {"family": family}), y


@pytest.mark.parametrize("as_table", [True, False])
def test_a_column_that_gives_the_answer_away_is_told(as_table, caplog):
    with caplog.at_level(logging.WARNING, logger="unseen"):
        Detector("mahalanobis", random_state=0).fit(*answers(as_table))
    messages = [r.message for r in caplog.records if "no labelled anomaly" in r.message]
    first = "column 'c1' is 3.0, column 'family' is 'normal'" if as_table else "column 'x1' is 3.0"
    assert [message.startswith(first + " in all normal rows") for message in messages] == [True]


def test_columns_of_one_value_are_no_answer_without_labelled_anomalies(caplog):
    x, _ = answers(True)
    with caplog.at_level(logging.WARNING, logger="unseen"):
        Detector("mahalanobis", random_state=0).fit(x.slice(0, 120))
    assert not [r for r in caplog.records if "no labelled anomaly" in r.message]

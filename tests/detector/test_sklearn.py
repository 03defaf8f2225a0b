"""The detector among scikit-learn's tools: scorer, nested parameters, methods and devices in words,
names, metadata.
"""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unseen.detector.detector import Detector
from unseen.detector.devices import device_of
from unseen.detector.separation import scorer
from unseen.detector.settings import method_of
from unseen.errors import DataError, Unsupported
from unseen.methods import DEFAULT, METHODS
from unseen.methods.comet import CoMet
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.storage.bundle import Bundle

FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


def rows(n=120, anomalies=18, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + anomalies, 3))
    x[n:, 0] += 9
    return x, np.repeat([0, 1], [n, anomalies])


# the scorer


def test_the_scorer_by_hand():
    class Fixed:
        """scikit-learn's direction: low is abnormal. Scores of four rows are 3, 1, 2, 0, and of a
        fifth 9.
        """

        def get_params(self):
            return {}

        def score_samples(self, X):
            return -np.array([3.0, 1.0, 2.0, 0.0, 9.0])

    # anomalies 3 and 1, normals 2 and 0: of four pairs 3 are in order; the fifth row has no label
    assert scorer(Fixed(), None, [1, 1, 0, 0, -1]) == 0.75
    assert scorer(Fixed(), None, ["leak", "crack", "normal", "normal", None]) == 0.75
    assert scorer(Fixed(), None, [0, 0, 1, 1, None]) == 0.25


@pytest.mark.parametrize(
    "labels", [[0, 1], ["normal", "leak"], ["normal", "scratch"], [False, True], ["0", "9"]]
)
def test_labels_of_any_spelling_give_the_same(labels):
    x, y = rows()
    expected = cross_val_score(
        Detector("mahalanobis", random_state=0), x, y, scoring=scorer, cv=FOLDS
    )
    assert expected.min() > 0.99
    named = np.array(labels)[y]
    found = cross_val_score(
        Detector("mahalanobis", random_state=0), x, named, scoring=scorer, cv=FOLDS
    )
    assert found.tolist() == expected.tolist()
    assert (
        cross_val_score(Detector("mahalanobis", random_state=0), x, named, cv=FOLDS).tolist()
        == expected.tolist()
    )


def test_the_scorer_knows_what_is_normal_inside_pipelines_and_searches():
    x, y = rows()
    y = 1 - y  # 1 is normal
    detector = Detector(Mahalanobis(), normal=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), detector)
    for estimator in (
        detector,
        pipeline,
        GridSearchCV(pipeline, {"detector__tail": [False]}, scoring=scorer, cv=FOLDS),
    ):
        assert scorer(estimator.fit(x, y), x, y) > 0.99
        assert estimator.score(x, y) == scorer(estimator, x, y)
    assert scorer(IsolationForest(random_state=0).fit(x), x, 1 - y) > 0.9


def test_scikit_learns_own_labels_score_the_right_way_up_everywhere():
    x, y = rows()
    signs = np.where(y == 1, -1, 1)
    detector = Detector(Mahalanobis(), normal=1, random_state=0)
    for scoring in (scorer, "roc_auc"):
        assert cross_val_score(detector, x, signs, scoring=scoring, cv=FOLDS).min() > 0.99
    assert (detector.fit(x, signs).predict(x)[y == 1] == -1).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0] * 138, "y labels 138 and 0 of these.*StratifiedKFold"),
        (
            ["bad"] * 138,
            r"y labels 0 and 138 of these: check the label of normal rows \(normal='normal'\)",
        ),
        ([0, 1], "X has 138 rows, y has 2"),
        (None, "a score needs y"),
    ],
)
def test_a_score_that_cannot_be(y, message):
    x, truth = rows()
    with pytest.raises(DataError, match=message):
        Detector("mahalanobis", random_state=0).fit(x, truth).score(x, y)


# parameters


def test_fields_of_the_method_are_parameters():
    detector = Detector(CoMet(DevNet(margin=4.0)), random_state=0)
    params = detector.get_params()
    assert params["method__base__margin"] == 4.0
    assert params["method__kappa"] == CoMet(DevNet()).kappa
    assert "method__base__margin" not in detector.get_params(deep=False)
    assert detector.set_params(method__base__margin=3.0, method__kappa=2.0, tail=True) is detector
    assert detector.method == CoMet(DevNet(margin=3.0), kappa=2.0)
    assert detector.tail
    assert detector.set_params(method=Nearest(), method__k=7).method == Nearest(k=7)
    assert Detector().set_params(**detector.get_params()).method == Nearest(k=7)
    assert Detector("devnet").set_params(method__margin=3.0).method == DevNet(margin=3.0)
    assert clone(detector).method == Nearest(k=7)


def test_a_base_is_exchanged_and_changed_at_once():
    detector = Detector(CoMet(DevNet())).set_params(
        method__base=DevNet(steps=7), method__base__margin=2.0
    )
    assert detector.method == CoMet(DevNet(steps=7, margin=2.0))


def test_a_search_over_fields_of_the_method():
    x, y = rows()
    pipeline = make_pipeline(StandardScaler(), Detector(Nearest(), random_state=0))
    grid = GridSearchCV(
        pipeline, {"detector__method__k": [1, 5]}, scoring=scorer, cv=FOLDS, error_score="raise"
    )
    grid.fit(x, y)
    assert [params["detector__method__k"] for params in grid.cv_results_["params"]] == [1, 5]
    assert grid.best_estimator_[-1].method == Nearest(k=grid.best_params_["detector__method__k"])
    methods = {"method": ["mahalanobis", Nearest(k=3)]}
    assert (
        GridSearchCV(Detector(random_state=0), methods, scoring=scorer, cv=FOLDS)
        .fit(x, y)
        .best_score_
        > 0.99
    )


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        (None, {"method__k": 3}, "method is None, the default of what fit is given"),
        (
            Nearest(),
            {"method__kk": 3},
            r"Nearest has no field 'kk' \(did you mean 'k'\?\); its fields are k, ",
        ),
        (
            CoMet(DevNet()),
            {"method__base__marjin": 3},
            r"DevNet has no field 'marjin' \(did you mean 'margin'\?\)",
        ),
        (Nearest(), {"method__k__deep": 3}, "Nearest has no field 'k__deep'"),
        (
            "nearst",
            {"method__k": 3},
            r"method='nearst': there is no method of that name \(did you mean 'nearest'",
        ),
    ],
)
def test_fields_that_are_not_there(method, params, message):
    with pytest.raises(DataError, match=message):
        Detector(method).set_params(**params)


def test_the_default_has_no_fields_of_its_own():
    assert not [name for name in Detector().get_params() if name.startswith("method__")]
    assert (
        Detector("evidence-stack").get_params()["method__seen_class_weight"]
        == DEFAULT.seen_class_weight
    )


# methods by name


@pytest.mark.parametrize("name", METHODS)
def test_a_method_by_its_name(name):
    assert method_of(name) == METHODS[name]


def test_a_name_scores_as_the_method_does(tmp_path):
    x, y = rows()
    named, plain = (Detector(method, random_state=0).fit(x, y) for method in ("nearest", Nearest()))
    assert named.anomaly_score(x).tolist() == plain.anomaly_score(x).tolist()
    assert clone(named).method == "nearest"
    Bundle(named, {}).save(tmp_path / "m")
    assert Bundle.load(tmp_path / "m").detector.method == Nearest()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "mahalonobis",
            (
                r"method='mahalonobis': there is no method of that name \(did you mean "
                r"'mahalanobis'\?\)"
            ),
        ),
        ("Forest", r"did you mean 'forest'.*; the names are evidence-stack, multi-directional"),
        (
            Mahalanobis,
            (
                r"method is the class Mahalanobis: pass an object of it, such as "
                r"METHODS\['mahalanobis'\] or"
            ),
        ),
        (
            IsolationForest(),
            (
                r"got IsolationForest\(\); the method of unseen with that name is "
                r"unseen.IsolationForest\(\)"
            ),
        ),
        (
            StandardScaler(),
            r"method must be the name of a method of unseen.*got StandardScaler\(\)$",
        ),
        (IsolationForest, "method must be the name of a method of unseen"),
        (torch.nn.Linear(2, 1), "method must be the name of a method of unseen"),
        (3, "got 3$"),
        (["nearest"], r"got \['nearest'\]$"),
        ({}, "got {}$"),
    ],
)
def test_what_is_no_method(method, message):
    x, y = rows()
    with pytest.raises(DataError, match=message):
        Detector(method, random_state=0).fit(x, y)


# devices


@pytest.mark.parametrize("device", ["cpu", "auto", torch.device("cpu"), torch.device("cpu", 0)])
def test_devices_that_are_there(device):
    x, y = rows()
    detector = Detector("mahalanobis", device=device, random_state=0)
    assert clone(detector).fit(x, y).score(x, y) > 0.99


@pytest.mark.parametrize("device", ["gpu", "GPU", "cuda:x", "cuda:", "", None, 0, "tpu", "Cuda"])
def test_devices_that_nobody_knows(device):
    x, y = rows()
    with pytest.raises(
        DataError,
        match=r"is not known; use 'cpu', 'cuda', one of several such as 'cuda:1', or 'auto'",
    ):
        Detector("mahalanobis", device=device).fit(x, y)


@pytest.mark.parametrize("device", ["mps", "mps:0", torch.device("mps"), "xpu", "meta"])
def test_devices_that_are_not_for_us(device):
    with pytest.raises(Unsupported, match="computes on CPUs and CUDA devices only"):
        device_of(device)


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:7", torch.device("cuda", 1)):
        with pytest.raises(
            Unsupported, match=r"torch finds no CUDA device here; use 'cpu', or 'auto'"
        ):
            device_of(device)
    assert device_of("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        Unsupported, match=r"device='cuda:7': torch finds 2 CUDA devices here, 'cuda:0', 'cuda:1'"
    ):
        device_of("cuda:7")
    assert [device_of(name) for name in ("cuda", "cuda:1", "auto")] == [
        torch.device("cuda"),
        torch.device("cuda:1"),
        torch.device("cuda"),
    ]


# names of columns


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"]
)
def test_names_of_features(kind, tmp_path):
    x, y = rows()
    table = {"c": x[:, 0], "a": x[:, 1], "b": x[:, 2]}
    detector = Detector("mahalanobis", random_state=0).fit(kind(table), y)
    assert detector.feature_names_in_.tolist() == ["c", "a", "b"]
    assert detector.feature_names_in_.dtype == object
    assert detector.n_features_in_ == 3
    other = kind({name: table[name] for name in ("b", "c", "a")})
    assert detector.anomaly_score(other).tolist() == detector.anomaly_score(kind(table)).tolist()
    assert pickle.loads(pickle.dumps(detector)).feature_names_in_.tolist() == ["c", "a", "b"]
    Bundle(detector, {}).save(tmp_path / "m")
    assert Bundle.load(tmp_path / "m").detector.feature_names_in_.tolist() == ["c", "a", "b"]


def test_no_names_without_names(tmp_path):
    x, y = rows()
    detector = Detector("mahalanobis", random_state=0).fit(pd.DataFrame(x, columns=list("abc")), y)
    for nameless in (x, x.tolist(), pd.DataFrame(x)):  # whose names are numbers
        detector.fit(nameless, y)
        assert not hasattr(detector, "feature_names_in_")
        assert detector.n_features_in_ == 3
    Bundle(Detector("mahalanobis", random_state=0).fit(x, y), {}).save(tmp_path / "m")
    assert not hasattr(Bundle.load(tmp_path / "m").detector, "feature_names_in_")


def test_a_column_of_the_label_dropped_still_counts_as_a_feature():
    x, y = rows()
    table = pd.DataFrame(x, columns=list("abc")).assign(same=1)
    detector = Detector("mahalanobis", random_state=0).fit(table, y)
    # as fit was given, not as it is used
    assert detector.feature_names_in_.tolist() == ["a", "b", "c", "same"]
    assert detector.n_features_in_ == 4


# metadata, and predictions


def test_metadata_is_refused_in_a_sentence():
    x, y = rows()
    for estimator, name in (
        (Detector("mahalanobis"), "sample_weight"),
        (make_pipeline(StandardScaler(), Detector("mahalanobis")), "detector__sample_weight"),
    ):
        with pytest.raises(
            DataError, match="sample_weight is not supported: p-values count normal rows"
        ):
            estimator.fit(x, y, **{name: np.ones(len(x))})
    with pytest.raises(DataError, match="fit takes X, y and groups, and no 'weights'"):
        Detector("mahalanobis").fit(x, y, weights=1)


@pytest.mark.parametrize("n", [6, 18, 19, 20, 40, 150, 1200])
@pytest.mark.parametrize("calibration", [None, 0.5])
@pytest.mark.filterwarnings("ignore::unseen.errors.FewNormals")
def test_predictions_follow_the_pvalues(n, calibration):
    rng = np.random.default_rng(n)
    x = pd.DataFrame(
        {
            "a": rng.choice(list("xyz"), n, p=[0.6, 0.3, 0.1]),
            "b": rng.integers(0, 2, n),
            "c": np.arange(n) % 5,
        }
    )
    detector = Detector("mahalanobis", calibration=calibration, random_state=0).fit(x)
    new = pd.concat([x, x.assign(c=9.0 + x["c"])])
    outlier = detector.pvalue(new) <= 0.05
    assert ((detector.predict(new) == -1) == outlier).all()
    assert ((detector.decision_function(new) < 0) == outlier).all()
    assert outlier.any() == (detector.conformal_.finest <= 0.05)

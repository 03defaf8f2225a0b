"""Methods of other libraries, each with preparation that suits it and the settings that it advises.

`python -m bench side_by_side` runs them beside ours. A peer that is broken as shipped
stands here twice: as shipped, and repaired, with the reason. Packages are imported when a peer
trains, so that those which are absent are skipped.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor

from bench.peers import deep
from bench.peers.preparation import Transform, gaps, native, plain, scaled

Scores = NDArray[np.float64]
Score = Callable[[Any], Any]


@dataclass(frozen=True)
class Peer:
    """A method of a package: what its rows are turned into, and what learns from them."""

    package: str  # the distribution whose version the result carries
    prepare: Callable[[pa.Table], Transform]
    learn: Callable[
        [Any, NDArray[np.int64], int], Score
    ]  # (rows, y (n,) 1 = labelled anomaly, seed) -> scores of rows
    uses_labels: bool = True

    def version(self) -> str | None:
        """`catboost 1.2.10`; None where the package is not installed."""
        try:
            return f"{self.package} {importlib.metadata.version(self.package)}"
        except importlib.metadata.PackageNotFoundError:
            return None

    def fit(
        self, table: pa.Table, kinds: NDArray[np.object_], seed: int
    ) -> Callable[[pa.Table], Scores]:
        """Learn; a peer without use for labels is not shown the labelled anomalies at all."""
        y = (kinds != "normal").astype(np.int64)
        if not self.uses_labels:
            table, y = table.take(np.flatnonzero(y == 0)), y[y == 0]
        rows = self.prepare(table)
        np.random.seed(seed)  # noqa: NPY002  several peers draw from the global generators
        torch.manual_seed(seed)
        score = self.learn(rows(table), y, seed)
        return lambda other: np.asarray(score(rows(other)), dtype=np.float64).ravel()


def isolation_forest(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """scikit-learn's isolation forest as shipped."""
    model = IsolationForest(random_state=seed).fit(x)
    return lambda rows: -model.score_samples(rows)


def local_outlier_factor(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """scikit-learn's local outlier factor for new rows; 20 neighbours as shipped."""
    model = LocalOutlierFactor(novelty=True).fit(x)
    return lambda rows: -model.score_samples(rows)


def random_forest(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """Labelled anomalies against the rest; classes weighted in each tree, 300 trees against ties."""
    model = RandomForestClassifier(
        n_estimators=300, class_weight="balanced_subsample", random_state=seed
    ).fit(x, y)
    return lambda rows: model.predict_proba(rows)[:, 1]


def logistic_regression(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """Labelled anomalies against the rest, classes weighted."""
    return LogisticRegression(class_weight="balanced", max_iter=2000).fit(x, y).decision_function


def catboost(x: Any, y: NDArray[np.int64], seed: int) -> Score:
    """Labelled anomalies against the rest; as shipped (1,000 trees), categories as they are."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False
    )
    model.fit(x, y, cat_features=[name for name in x if x[name].dtype.kind != "f"])
    return lambda rows: model.predict(rows, prediction_type="RawFormulaVal")


def xgboost(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """Labelled anomalies against the rest; classes weighted, as its notes on such data advise."""
    from xgboost import XGBClassifier

    weight = (y == 0).sum() / (y == 1).sum()
    model = XGBClassifier(random_state=seed, n_jobs=1, scale_pos_weight=weight).fit(x, y)
    return lambda rows: model.predict(rows, output_margin=True)


def pyod(name: str) -> Callable[[Scores, NDArray[np.int64], int], Score]:
    """A detector of PyOD without labels, as shipped."""

    def learn(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
        from pyod.models import ecod, iforest, knn

        model = {
            "ECOD": ecod.ECOD,
            "IForest": lambda: iforest.IForest(random_state=seed),
            "KNN": knn.KNN,
        }[name]()
        return model.fit(x).decision_function

    return learn


def ecod_repaired(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """ECOD's tail probabilities among the training rows alone.

    As shipped, `decision_function` puts the rows to score among the training rows and ranks them
    all together: the score of a row depends on what else is scored with it, and a test set full of
    anomalies makes them common.
    """
    columns = np.sort(x, axis=0)
    n = len(x)
    skewness = np.sign(((x - x.mean(axis=0)) ** 3).mean(axis=0))

    def score(rows: Scores) -> Scores:
        pairs = list(zip(columns.T, rows.T, strict=True))
        left = np.column_stack([np.searchsorted(train, new, side="right") for train, new in pairs])
        right = n - np.column_stack(
            [np.searchsorted(train, new, side="left") for train, new in pairs]
        )
        low, high = (-np.log((count + 1) / (n + 1)) for count in (left, right))  # (n, d) each
        skewed = low * -np.sign(skewness - 1) + high * np.sign(skewness + 1)
        return np.maximum(np.maximum(low, high), skewed).sum(axis=1)

    return score


def xgbod(x: Scores, y: NDArray[np.int64], seed: int) -> Score:
    """PyOD's XGBOD as shipped: scores of 41 detectors beside the columns, for boosted trees."""
    from pyod.models.xgbod import XGBOD

    return XGBOD(random_state=seed).fit(x, y).decision_function


PEERS: dict[str, Peer] = {  # those that are fast come first, and are run first
    "sklearn-isolation-forest": Peer("scikit-learn", plain, isolation_forest, uses_labels=False),
    "logistic-regression": Peer("scikit-learn", scaled, logistic_regression),
    "xgboost": Peer("xgboost", gaps, xgboost),
    "random-forest": Peer("scikit-learn", plain, random_forest),
    "pyod-iforest": Peer("pyod", plain, pyod("IForest"), uses_labels=False),
    "pyod-knn": Peer("pyod", scaled, pyod("KNN"), uses_labels=False),
    "sklearn-lof": Peer("scikit-learn", scaled, local_outlier_factor, uses_labels=False),
    "pyod-ecod": Peer("pyod", scaled, pyod("ECOD"), uses_labels=False),
    "pyod-ecod-repaired": Peer("pyod", scaled, ecod_repaired, uses_labels=False),
    "pyod-devnet": Peer("pyod", scaled, deep.pyod_devnet),
    "pyod-devnet-repaired": Peer("pyod", scaled, deep.pyod_devnet_repaired),
    "catboost": Peer("catboost", native, catboost),
    "deepod-devnet": Peer("deepod", scaled, deep.deepod("DevNet")),
    "deepod-devnet-repaired": Peer("deepod", scaled, deep.deepod_devnet_repaired),
    "deepod-deepsad": Peer("deepod", scaled, deep.deepod("DeepSAD")),
    "deepod-rosas": Peer("deepod", scaled, deep.deepod("RoSAS")),
    "deepod-prenet": Peer("deepod", scaled, deep.deepod("PReNet")),
    "pyod-xgbod": Peer("pyod", scaled, xgbod),
}

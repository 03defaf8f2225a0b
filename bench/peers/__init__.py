"""Methods of other libraries, each with rows prepared for it and the settings that it advises.

`python -m bench side_by_side` runs them beside ours. A peer that is broken as shipped stands here
twice: as shipped, and repaired, with the reason. Packages are imported when a peer trains, so that
those that are absent are skipped.
"""

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.peers import deep
from bench.peers.preparation import Transform, gaps, native, plain, scaled

Score = Callable[[Any], Any]
Learn = Callable[[Any, Any, int], Score]  # (rows, y (n,) 1 = labelled anomaly, seed) -> scores


@dataclass(frozen=True)
class Peer:
    """A method of a package: what its rows are turned into, and what learns from them."""

    package: str  # the distribution whose version the result carries
    prepare: Callable[[pa.Table], Transform]
    learn: Learn
    uses_labels: bool = True

    def version(self) -> str | None:
        """`catboost 1.2.10`; None where the package is not installed."""
        try:
            return f"{self.package} {importlib.metadata.version(self.package)}"
        except importlib.metadata.PackageNotFoundError:
            return None

    def fit(self, table: pa.Table, kinds: Any, seed: int) -> Score:
        """Learn; a peer without use for labels is not shown the labelled anomalies at all."""
        y = (kinds != "normal").astype(np.int64)
        if not self.uses_labels:
            table, y = table.take(np.flatnonzero(y == 0)), y[y == 0]
        rows = self.prepare(table)
        np.random.seed(seed)  # noqa: NPY002  several peers draw from the global generators
        torch.manual_seed(seed)
        score = self.learn(rows(table), y, seed)
        return lambda other: np.asarray(score(rows(other)), dtype=np.float64).ravel()


def found(path: str) -> Any:
    """A class, by the module that holds it."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def model(path: str, seeded: str = "", *, labels: bool = False, **settings: Any) -> Learn:
    """A class that is fitted as it comes; `seeded` names its seed; scikit-learn's sign turned."""

    def learn(x: Any, y: Any, seed: int) -> Score:
        arguments = settings | ({seeded: seed} if seeded else {})
        fitted = found(path)(**arguments).fit(x, *([y] if labels else []))
        outliers = path.startswith("sklearn") and not labels  # low where rows are anomalous
        return lambda rows: fitted.decision_function(rows) * (-1 if outliers else 1)

    return learn


def random_forest(x: Any, y: Any, seed: int) -> Score:
    """Labelled anomalies against the rest; classes weighted in each tree, 300 against ties."""
    settings = {"n_estimators": 300, "class_weight": "balanced_subsample", "random_state": seed}
    model = found("sklearn.ensemble.RandomForestClassifier")(**settings).fit(x, y)
    return lambda rows: model.predict_proba(rows)[:, 1]


def catboost(x: Any, y: Any, seed: int) -> Score:
    """Labelled anomalies against the rest; as shipped (1,000 trees), categories as they are."""
    quiet = {"verbose": False, "allow_writing_files": False}
    model = found("catboost.CatBoostClassifier")(random_seed=seed, thread_count=1, **quiet)
    model.fit(x, y, cat_features=[name for name in x if x[name].dtype.kind != "f"])
    return lambda rows: model.predict(rows, prediction_type="RawFormulaVal")


def xgboost(x: Any, y: Any, seed: int) -> Score:
    """Labelled anomalies against the rest; classes weighted, as its notes on such data advise."""
    weight = (y == 0).sum() / (y == 1).sum()
    settings = {"random_state": seed, "n_jobs": 1, "scale_pos_weight": weight}
    model = found("xgboost.XGBClassifier")(**settings).fit(x, y)
    return lambda rows: model.predict(rows, output_margin=True)


def ecod_repaired(x: Any, y: Any, seed: int) -> Score:
    """ECOD's tail probabilities among the training rows alone.

    As shipped, `decision_function` puts the rows to score among the training rows and ranks them
    together: the score of a row depends on what else is scored with it, and a test set full of
    anomalies makes them common.
    """
    columns = np.sort(x, axis=0)
    n = len(x)
    skewness = np.sign(((x - x.mean(axis=0)) ** 3).mean(axis=0))

    def score(rows: Any) -> Any:
        pairs = list(zip(columns.T, rows.T, strict=True))
        left = np.column_stack([np.searchsorted(old, new, "right") for old, new in pairs])
        right = n - np.column_stack([np.searchsorted(old, new, "left") for old, new in pairs])
        low, high = (-np.log((count + 1) / (n + 1)) for count in (left, right))  # (n, d) each
        skewed = low * -np.sign(skewness - 1) + high * np.sign(skewness + 1)
        return np.maximum(np.maximum(low, high), skewed).sum(axis=1)

    return score


FOREST = model("sklearn.ensemble.IsolationForest", "random_state")
LOGISTIC = {"class_weight": "balanced", "max_iter": 2000}
REGRESSION = model("sklearn.linear_model.LogisticRegression", labels=True, **LOGISTIC)
LOF = model("sklearn.neighbors.LocalOutlierFactor", novelty=True)  # 20 neighbours
IFOREST = model("pyod.models.iforest.IForest", "random_state")
XGBOD = model("pyod.models.xgbod.XGBOD", "random_state", labels=True)  # 41 detectors, boosted trees
PEERS: dict[str, Peer] = {  # those that are fast come first, and are run first
    "sklearn-isolation-forest": Peer("scikit-learn", plain, FOREST, uses_labels=False),
    "logistic-regression": Peer("scikit-learn", scaled, REGRESSION),
    "xgboost": Peer("xgboost", gaps, xgboost),
    "random-forest": Peer("scikit-learn", plain, random_forest),
    "pyod-iforest": Peer("pyod", plain, IFOREST, uses_labels=False),
    "pyod-knn": Peer("pyod", scaled, model("pyod.models.knn.KNN"), uses_labels=False),
    "sklearn-lof": Peer("scikit-learn", scaled, LOF, uses_labels=False),
    "pyod-ecod": Peer("pyod", scaled, model("pyod.models.ecod.ECOD"), uses_labels=False),
    "pyod-ecod-repaired": Peer("pyod", scaled, ecod_repaired, uses_labels=False),
    "pyod-devnet": Peer("pyod", scaled, deep.pyod_devnet),
    "pyod-devnet-repaired": Peer("pyod", scaled, deep.pyod_devnet_repaired),
    "catboost": Peer("catboost", native, catboost),
    "deepod-devnet": Peer("deepod", scaled, deep.deepod("DevNet")),
    "deepod-devnet-repaired": Peer("deepod", scaled, deep.deepod_devnet_repaired),
    "deepod-deepsad": Peer("deepod", scaled, deep.deepod("DeepSAD")),
    "deepod-rosas": Peer("deepod", scaled, deep.deepod("RoSAS")),
    "deepod-prenet": Peer("deepod", scaled, deep.deepod("PReNet")),
    "pyod-xgbod": Peer("pyod", scaled, XGBOD),
}

"""ADBench's setting with few labels: one anomaly class, the unlabelled ones among the normals.

python -m bench adbench          # CatBoost, random forest, Mahalanobis, the default
python -m bench adbench --sets 4_breastw 6_cardio --labels 5 --methods catboost
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from bench.data import data_folder, matrix
from bench.runs.command import finish, resumable
from bench.runs.entrants import ENTRANTS, installed
from bench.runs.open_set import timed
from bench.runs.store import SPENT, STAMPS, Record, Store, schema

FILE = "adbench/classical/{}.npz"
MOST, TEST_SHARE = 10_000, 0.3
LABELS = (5, 10, 20)
METHODS = ("evidence-stack", "catboost", "random-forest", "mahalanobis")
KEY = ("set", "seed", "labels", "method", "version")
SCHEMA = schema(
    text=["set", "method", "version", "error", *STAMPS],
    whole=["seed", "labels", "train_rows", "hidden_rows", "test_rows"],
    real=["auroc", "ap", *SPENT],
)


class Draw(NamedTuple):
    """Row numbers of training and test, and which training rows are labelled anomalies (n,)."""

    train: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    test: NDArray[np.int64]


def main() -> None:
    parser = resumable(__doc__, "adbench.parquet")
    add = parser.add_argument
    add("--sets", nargs="+", help="as the files are called; all, if not given")
    add("--methods", nargs="+", choices=ENTRANTS, default=list(METHODS))
    add("--labels", nargs="+", type=int, default=list(LABELS))
    add("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    there = [path.stem for path in data_folder().glob(FILE.format("*"))]
    jobs = [
        dict(zip(KEY, (data, seed, labels, name, ENTRANTS[name].version()), strict=True))
        for name in installed(chosen.methods)
        for data in chosen.sets or sorted(there, key=lambda name: int(name.split("_")[0]))
        for seed in range(chosen.seeds)
        for labels in chosen.labels
        if draw_rows(matrix(FILE.format(data))[1], labels, seed) is not None
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)


def draw_rows(y: NDArray[np.int64], labels: int, seed: int) -> Draw | None:
    """One seed's rows; None where training would hold fewer anomalies than are to be labelled."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(y))[:MOST])
    if (y[rows] == 1).sum() * (1 - TEST_SHARE) < labels:
        return None
    split = {"test_size": TEST_SHARE, "stratify": y[rows], "random_state": seed}
    train, test = train_test_split(rows, **split)
    anomalies = rng.permutation(np.flatnonzero(y[train] == 1))
    if len(anomalies) < labels:
        return None
    labelled = np.zeros(len(train), dtype=bool)
    labelled[anomalies[:labels]] = True
    return Draw(train, labelled, test)


def one_run(job: Record) -> Record:
    """Fit and score once."""
    x, y = matrix(FILE.format(job["set"]))
    draw = draw_rows(y, job["labels"], job["seed"])
    assert draw is not None
    kinds = np.where(draw.labelled, "anomaly", "normal").astype(object)
    train, test = (
        pa.table({f"x{j}": column for j, column in enumerate(x[rows].T)})
        for rows in (draw.train, draw.test)
    )
    scores, spent = timed(ENTRANTS[job["method"]], (train, kinds, test), job["seed"])
    return {
        "auroc": float(roc_auc_score(y[draw.test], scores)),
        "ap": float(average_precision_score(y[draw.test], scores)),
        "train_rows": len(draw.train),
        "hidden_rows": int(y[draw.train].sum() - draw.labelled.sum()),
        "test_rows": len(draw.test),
        **spent,
        "version": ENTRANTS[job["method"]].version(),
    }

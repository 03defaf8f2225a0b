"""ADBench's setting with few labels: one anomaly class, some labelled, the others unlabelled among the training rows.

As published (Han et al., NeurIPS 2022): sets above 10,000 rows are sampled down to that; 70% train and 30% test, split
within each class; all training anomalies but the labelled ones stay, taken for normal. Two things differ. Sets below
1,000 rows are not filled up by drawing rows again, which puts copies of test rows into training. And more labels
include those of fewer, so that what changes is their number.

python -m bench.adbench                                       # CatBoost, random forest, Mahalanobis, our default
python -m bench.adbench --sets 4_breastw 6_cardio --labels 5 --methods catboost
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from bench import data_file, data_folder
from bench.devnet_table import load
from bench.entrants import ENTRANTS
from bench.side_by_side import finish, installed, limits, timed
from bench.store import Record, Store
from unseen.data.frames import tabulate
from unseen.data.split import Rows

RESULTS = Path("docs/benchmarks/adbench.parquet")
FOLDER = "adbench/classical"
MOST, TEST_SHARE = 10_000, 0.3
LABELS = (5, 10, 20)
METHODS = ("evidence-stack", "catboost", "random-forest", "mahalanobis")
KEY = ("set", "seed", "labels", "method", "version")
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("set", "method", "version", "error")],
        *[(name, pa.int32()) for name in ("seed", "labels", "train_rows", "hidden_rows", "test_rows")],
        *[(name, pa.float64()) for name in ("auroc", "ap", "fit_seconds", "fit_cpu_seconds", "rows_per_second")],
        *[(name, pa.string()) for name in ("versions", "machine", "date")],
    ]
)


@dataclass(frozen=True)
class Job:
    """One run: a method on one split of one data set, with so many labelled anomalies."""

    set: str
    seed: int
    labels: int
    method: str


@dataclass(frozen=True)
class Draw:
    """Row numbers of training and test, and which training rows are labelled anomalies (n,)."""

    train: Rows
    labelled: NDArray[np.bool_]
    test: Rows


def main() -> None:
    """Run methods on the classical data sets of ADBench, and append AUROC and average precision to a Parquet file."""
    options = argparse.ArgumentParser(prog="python -m bench.adbench", description=main.__doc__)
    options.add_argument("--sets", nargs="+", help="as the files are called; all, if not given")
    options.add_argument("--methods", nargs="+", choices=ENTRANTS, default=list(METHODS))
    options.add_argument("--labels", nargs="+", type=int, default=list(LABELS))
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--retry", action="store_true", help="runs that failed, too")
    limits(options, RESULTS)
    chosen = options.parse_args()
    jobs = [
        Job(data, seed, labels, method)
        for method in installed(chosen.methods)
        for data in chosen.sets or available()
        for seed in range(chosen.seeds)
        for labels in chosen.labels
        if draw_rows(read(data)[1], labels, seed) is not None
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)


def available() -> list[str]:
    """The data sets that there are, by their published number."""
    names = [path.stem for path in (data_folder() / FOLDER).glob("*.npz")]
    return sorted(names, key=lambda name: int(name.split("_")[0]))


@cache
def read(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features (n, d) and labels (n,), 1 for anomalies."""
    return load(data_file(f"{FOLDER}/{name}.npz"))


def draw_rows(y: NDArray[np.int64], labels: int, seed: int) -> Draw | None:
    """One seed's rows; None where training would hold fewer anomalies than are to be labelled."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(y))[:MOST])
    if (y[rows] == 1).sum() * (1 - TEST_SHARE) < labels:
        return None
    train, test = train_test_split(rows, test_size=TEST_SHARE, stratify=y[rows], random_state=seed)
    anomalies = rng.permutation(np.flatnonzero(y[train] == 1))
    if len(anomalies) < labels:
        return None
    labelled = np.zeros(len(train), dtype=bool)
    labelled[anomalies[:labels]] = True
    return Draw(train, labelled, test)


def one_run(job: Job) -> Record:
    """Fit and score once."""
    logging.getLogger("unseen").setLevel(logging.ERROR)
    x, y = read(job.set)
    draw = draw_rows(y, job.labels, job.seed)
    assert draw is not None
    names = [f"x{j}" for j in range(x.shape[1])]
    kinds = np.where(draw.labelled, "anomaly", "normal").astype(object)
    tables = tabulate(x[draw.train], names), tabulate(x[draw.test], names)
    scores, spent = timed(ENTRANTS[job.method], tables[0], kinds, tables[1], job.seed)
    return {
        "version": ENTRANTS[job.method].version(),
        "train_rows": len(draw.train),
        "hidden_rows": int(y[draw.train].sum() - draw.labelled.sum()),
        "test_rows": len(draw.test),
        "auroc": float(roc_auc_score(y[draw.test], scores)),
        "ap": float(average_precision_score(y[draw.test], scores)),
        **spent,
    }


if __name__ == "__main__":
    main()

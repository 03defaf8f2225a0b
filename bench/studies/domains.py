"""Moving to a category that was never seen, from 4 or 8 normal rows of it.

python -m bench domains                       # MVTec AD's 15 categories; then the page
python -m bench domains --seeds 1 --methods resad nearest --out quick/domains.parquet
"""

import time
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.data import matrix
from bench.pages.domains import domains
from bench.runs.command import finish, resumable
from bench.runs.entrants import scored, trained
from bench.runs.store import Record, Store, schema
from unseen import Detector, Samples
from unseen.methods import Mahalanobis, MultiDirectional, Nearest, ResAD, ResADPlusPlus

FOLDER = "adbench/mvtec_resnet18"
CATEGORIES = ["bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"]
CATEGORIES += ["pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"]
ROTATIONS, SHOTS = 3, (4, 8)
Array = NDArray[np.float64]
KEY = ("category", "shots", "seed", "method")
SCHEMA = schema(
    text=["category", "method", "error", "machine", "date"],
    whole=["shots", "seed"],
    real=["auroc", "ap", "flagged", "fit_seconds", "adapt_seconds"],
)
MOVED = {
    "resad": ResAD(),
    "resad-pp": ResADPlusPlus(),
    "multi-directional": MultiDirectional(),
    "mahalanobis": Mahalanobis(),
    "nearest": Nearest(k=1),
}
ALONE = {"mahalanobis alone": Mahalanobis(shrinkage=0.1), "nearest alone": Nearest(k=1)}


def main() -> None:
    parser = resumable(__doc__, "domains.parquet")
    every = [*MOVED, *ALONE]
    parser.add_argument("--methods", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    jobs = [
        dict(zip(KEY, (category, shots, seed, method), strict=True))
        for seed in range(chosen.seeds)
        for method in chosen.methods
        for rotation in range(ROTATIONS)  # targets of one fit follow one another
        for category in CATEGORIES[rotation::ROTATIONS]
        for shots in SHOTS
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    chosen.out.with_suffix(".md").write_text(domains(chosen.out, chosen.out.parent))


@cache
def read(category: str) -> tuple[Array, NDArray[np.int64]]:
    """Vectors (n, 512) and labels (n,), 1 for anomalies."""
    return matrix(f"{FOLDER}/MVTec-AD_{category}.npz")


def one_run(job: Record) -> Record:
    """Show some normal rows of the target, and test on its others; 8 rows include the 4."""
    x, y = read(job["category"])
    order = np.random.default_rng(job["seed"]).permutation(np.flatnonzero(y == 0))
    shown = order[: job["shots"]]
    tested = np.setdiff1d(np.arange(len(y)), shown)
    scores, found = scored_by(job, x[shown], x[tested], y[tested] == 0)
    auroc, ap = (f(y[tested], scores) for f in (roc_auc_score, average_precision_score))
    return {"auroc": float(auroc), "ap": float(ap), **found}


def scored_by(job: Record, shown: Array, test: Array, normal: Any) -> tuple[Array, Record]:
    """Scores by what the shown rows teach, or by a detector of other categories moved to them."""
    if method := ALONE.get(job["method"]):
        known, rows = (torch.from_numpy(each).float() for each in (shown, test))
        return scored(trained(method, Samples.of(known), job["seed"]), rows), {}
    rotation = CATEGORIES.index(job["category"]) % ROTATIONS
    detector, fit_seconds = fitted(job["method"], rotation, job["seed"])
    start = time.perf_counter()
    here = detector.adapt(shown)
    seconds = {"fit_seconds": fit_seconds, "adapt_seconds": time.perf_counter() - start}
    flagged = float(np.mean(here.pvalue(test[normal]) <= 1 / (len(shown) + 1)))
    return here.anomaly_score(test), {"flagged": flagged, **seconds}


@lru_cache(maxsize=1)
def fitted(method: str, rotation: int, seed: int) -> tuple[Detector, float]:
    """A detector of all categories but the rotation's, and its seconds."""
    targets = CATEGORIES[rotation::ROTATIONS]
    others = {category: read(category) for category in CATEGORIES if category not in targets}
    x = np.concatenate([rows for rows, _ in others.values()])
    kinds = np.repeat(list(others), [len(y) for _, y in others.values()])
    anomaly = np.concatenate([y for _, y in others.values()]) == 1
    start = time.perf_counter()
    labels = np.where(anomaly, kinds, "normal")
    detector = Detector(MOVED[method], random_state=seed).fit(x, labels, groups=kinds)
    return detector, time.perf_counter() - start

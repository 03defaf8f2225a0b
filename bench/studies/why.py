"""Why methods lie below their baseline: which unseen anomalies they miss, by where these lie.

python -m bench why                       # some minutes of one core
python -m bench why --methods devnet ahl

The words for each method stand in bench/pages/why_causes.md.
"""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from bench.pages.results import CELL, load, of_cell
from bench.pages.why import ALONG, baseline, below, by_set, causes, gaps
from bench.runs.command import FOLDER, finish, resumable
from bench.runs.entrants import Ours, Scores, own_version
from bench.runs.open_set import HEADLINE, drawn, read, timed
from bench.runs.store import REAL, SPENT, STAMPS, TEXT, Record, Store, schema
from unseen import Protocol, Schema
from unseen.evaluation.choices import LEAST
from unseen.evaluation.draws import Draw
from unseen.methods import METHODS

WIDEST = 2  # sets of each method
KEY = ("set", "seed", "method", "version")
THIRDS = [(f"{along}_thirds", pa.list_(REAL)) for along in ALONG]
# scorer: the method, the method with a change, the baseline; blind: share of unseen anomalies below
# the median normal
ONE_SCORER = [("scorer", TEXT), ("auroc", REAL), ("blind", REAL), *THIRDS]
SCHEMA = schema(
    text=["set", "method", "baseline", "version", "error", *STAMPS],
    whole=["seed", "train_rows", "unseen_rows"],
    real=SPENT,
    scorers=pa.list_(pa.struct(ONE_SCORER)),
)


def main() -> None:
    parser = resumable(__doc__, "why.parquet")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--results", type=Path, default=FOLDER / "side_by_side.parquet")
    chosen = parser.parse_args()
    due = jobs(chosen.results, chosen.methods)
    finish(Store(chosen.out, SCHEMA, KEY), due, one_run, chosen)


def jobs(results: Path, names: list[str]) -> list[Record]:
    """The widest gaps of each method that lies below its baseline, quick fits first."""
    runs = of_cell(load(results, CELL), HEADLINE)
    seconds = runs.groupby(["method", "set"])["fit_seconds"].mean()
    found = []
    for name in set(names) & set(below(runs)):
        widest = by_set(gaps(runs, name))[:WIDEST]
        found += [(seconds[name, data], data, name) for data in widest[widest < 0].index]
    return [
        {
            "set": data,
            "seed": 0,
            "method": name,
            "baseline": baseline(name),
            "version": own_version(),
        }
        for _, data, name in sorted(found)
    ]


def one_run(job: Record) -> Record:
    """Scores of the method, of what it is with a change, and of the baseline, on the same rows."""
    data, name = read(job["set"]), job["method"]
    seen, shots, contamination = HEADLINE
    protocol = Protocol(seen=seen, shots=shots, contamination=contamination)
    draw, inputs = drawn(data, protocol, job["seed"])
    own, spent = timed(Ours(METHODS[name]), inputs, job["seed"])
    scores = {name: own}
    for label, method in (*changed(name).items(), (job["baseline"], METHODS[job["baseline"]])):
        scores[label] = timed(Ours(method), inputs, job["seed"])[0]
    answers = data.answers[draw.test]
    unseen = counted(answers, draw)
    schema = Schema.infer(inputs[0], normals=draw.y <= 0)
    train, x = (schema.encode(rows) for rows in (inputs[0], inputs[2].filter(pa.array(unseen))))
    places, weight = where(train.astype(float), x.astype(float), draw.y), even(answers[unseen])
    return {
        **spent,
        "train_rows": len(draw.train),
        "unseen_rows": int(unseen.sum()),
        "scorers": [
            {"scorer": label, **measured(score[answers == 0], score[unseen], weight, places)}
            for label, score in scores.items()
        ],
    }


def changed(name: str) -> dict[str, Any]:
    """The method with its cause removed, by a label; empty where nothing can be changed.

    >>> list(changed("devnet")), list(changed("cl-flow")), list(changed("ahl"))
    (['cut=0.5'], ['flow'], ['devnet steps=300'])
    """
    label = causes().get(name, ("", ""))[0]
    words = label.replace(",", "").split()
    fields = dict(word.split("=") for word in words if "=" in word)
    other = words[0] if words and "=" not in words[0] else name
    values = {field: ast.literal_eval(value) for field, value in fields.items()}
    return {label: dataclasses.replace(METHODS[other], **values)} if words else {}


def counted(answers: NDArray[np.int64], draw: Draw) -> NDArray[np.bool_]:
    """Which test rows are anomalies of unseen classes with enough rows: (n,)."""
    rows = np.bincount(answers, minlength=1)
    return (answers > 0) & ~np.isin(answers, draw.seen) & (rows[answers] >= LEAST)


def where(train: Scores, x: Scores, y: NDArray[np.int64]) -> dict[str, Scores]:
    """Where anomalies x lie, along each of ALONG: (m, d), (n, d), (m,) -> (n,) each."""
    normals = train[y <= 0]
    mean, spread = normals.mean(axis=0), normals.std(axis=0) + 1e-6
    values, vectors = np.linalg.eigh(np.cov(normals.T).reshape(2 * [x.shape[1]]))
    values = values.clip(0) + METHODS["mahalanobis"].shrinkage * values.clip(0).mean()
    matrix = vectors / np.sqrt(np.where(values > 1e-12, values, 1.0))
    white, shown, there = ((rows - mean) @ matrix for rows in (x, train[y > 0], normals))
    unit, labels = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (white, shown))
    return {
        "direction": (unit @ labels.T).max(axis=1),
        "distance": NearestNeighbors(n_neighbors=1).fit(there).kneighbors(white)[0][:, 0],
        "column": np.abs((x - mean) / spread).max(axis=1),
    }


def even(classes: NDArray[Any]) -> Scores:
    """Weights that sum to 1 and are the same for each class: (n,) -> (n,)."""
    _, own, rows = np.unique(classes, return_inverse=True, return_counts=True)
    return 1 / (len(rows) * rows[own])


def measured(normal: Scores, anomaly: Scores, weight: Scores, places: dict[str, Scores]) -> Record:
    """What a scorer finds, in all and by where anomalies lie: (m,), (n,), (n,), (n,) each."""
    found = outscored(normal, anomaly)
    thirds = {f"{name}_thirds": by_thirds(found, value, weight) for name, value in places.items()}
    return {"auroc": float(weight @ found), "blind": float(weight @ (found < 0.5)), **thirds}


def outscored(normal: Scores, anomaly: Scores) -> Scores:
    """Share of the normals that each anomaly outscores, ties half: (m,), (n,) -> (n,)."""
    ordered = np.sort(normal)
    sides = [np.searchsorted(ordered, anomaly, side) for side in ("left", "right")]
    return (sides[0] + sides[1]) / (2 * len(ordered))


def by_thirds(found: Scores, value: Scores, weight: Scores) -> list[float]:
    """Mean of `found` in each third of the weight, lowest values first; a row may be in two."""
    order = np.argsort(value, kind="stable")
    ends = np.cumsum(weight[order]) / weight.sum()
    share = np.array([np.clip(ends, low / 3, (low + 1) / 3) for low in range(3)])  # (3, n)
    inside = np.diff(share, axis=1, prepend=np.arange(3)[:, None] / 3)
    return (inside @ found[order] * 3).tolist()

"""Why methods lie below their baseline: on which unseen anomalies, told by where these lie.

Each method of `unseen.methods` that lies below its baseline (docs/methods) is fitted once more, and so is the baseline,
on the draw of seed 0 of the two sets where it is furthest behind; where bench/causes.py suspects something that can be
changed, the method with that changed as well. Test anomalies of unseen classes are then cut in thirds by

- direction: the largest cosine between a row's deviation from the normals' mean and that of a labelled anomaly,
- distance: to the nearest training normal, both whitened as for Mahalanobis,
- column: the largest deviation in a single column, in standard deviations of the normals.

Each class weighs the same, and only classes with enough test rows count, so that thirds average to the AUROC that
bench.side_by_side reports. docs/methods show it.

python -m bench.why                       # some minutes of one core; what is done already is not done again
python -m bench.why --methods devnet ahl
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from bench.causes import changed, label
from bench.entrants import ENTRANTS, Ours, Scores
from bench.explain import ALONG, EVIDENCE
from bench.pages import baseline
from bench.sets import SETS
from bench.side_by_side import HEADLINE, RESULTS, drawn, finish, limits, read, timed
from bench.standing import headline_runs, standing
from bench.store import Record, Store
from bench.thirds import class_weights, measured
from unseen.data.schema import Schema
from unseen.evaluation.choices import LEAST, Protocol
from unseen.evaluation.draws import Draw
from unseen.methods import METHODS
from unseen.parts.bank import Bank, Whitening

WIDEST = 2  # sets of each method
SHRINKAGE = METHODS["mahalanobis"].shrinkage
KEY = ("set", "seed", "method", "version")
ONE_SCORER = [
    ("scorer", pa.string()),  # the method, the method with a change, the baseline
    ("auroc", pa.float64()),
    ("blind", pa.float64()),  # share of unseen anomalies below the median normal
    *[(f"{along}_thirds", pa.list_(pa.float64())) for along in ALONG],
    *[(f"{along}_rank", pa.float64()) for along in ALONG],  # rank correlation with the score
]
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("set", "method", "baseline", "version", "error")],
        *[(name, pa.int32()) for name in ("seed", "train_rows", "unseen_rows")],
        ("scorers", pa.list_(pa.struct(ONE_SCORER))),
        *[(name, pa.float64()) for name in ("fit_seconds", "fit_cpu_seconds", "rows_per_second")],
        *[(name, pa.string()) for name in ("versions", "machine", "date")],
    ]
)


@dataclass(frozen=True)
class Job:
    """One run: a method and its baseline on one draw of one data set."""

    set: str
    seed: int
    method: str
    baseline: str


def main() -> None:
    """Fit what lies below its baseline, and the baseline, once more, and append what tells them apart to a file."""
    options = argparse.ArgumentParser(prog="python -m bench.why", description=main.__doc__)
    options.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--retry", action="store_true", help="runs that failed, too")
    limits(options, EVIDENCE)
    chosen = options.parse_args()
    due = jobs(chosen.results, chosen.methods)
    for name in {job.set for job in due}:
        SETS[name].tables()  # says now, not once a run, which file is missing
    finish(Store(chosen.out, SCHEMA, KEY), due, one_run, chosen)


def jobs(results: Path, names: list[str]) -> list[Job]:
    """The widest gaps of each method that lies below its baseline, quick fits first."""
    runs, found = headline_runs(results), []
    for name in names:
        stands = standing(runs, name, *baseline(name))
        if stands and stands.is_below():
            gaps = stands.by_gap("unseen_auroc")[:WIDEST]
            seconds = stands.of_sets["mean"]["fit_seconds"].loc[name]
            found += [(seconds[data], Job(data, 0, name, stands.baseline)) for data in gaps[gaps < 0].index]
    return [job for _, job in sorted(found, key=lambda each: each[0])]


def one_run(job: Job) -> Record:
    """Scores of the method, of what it is with a change, and of the baseline, on the same rows."""
    logging.getLogger("unseen").setLevel(logging.ERROR)
    data = read(job.set)
    seen, shots, contamination = HEADLINE
    draw, inputs = drawn(data, Protocol(seen=seen, shots=shots, contamination=contamination), job.seed)
    own, spent = timed(ENTRANTS[job.method], *inputs, job.seed)
    scores = {job.method: own}
    if method := changed(job.method):
        scores[label(job.method)] = timed(Ours(method), *inputs, job.seed)[0]
    scores[job.baseline] = timed(ENTRANTS[job.baseline], *inputs, job.seed)[0]
    answers = data.answers[draw.test]
    schema = Schema.infer(inputs[0], normals=draw.y <= 0)
    unseen = counted(answers, draw)
    rows = (schema.encode(table) for table in (inputs[0], inputs[2].filter(pa.array(unseen))))
    places, weight = where(*map(torch.from_numpy, rows), draw.y), class_weights(answers[unseen])
    return {
        "version": ENTRANTS[job.method].version(),  # of this process, which may have started before a change
        "train_rows": len(draw.train),
        "unseen_rows": int(unseen.sum()),
        "scorers": [
            {"scorer": name, **measured(score[answers == 0], score[unseen], weight, places)}
            for name, score in scores.items()
        ],
        **spent,
    }


def counted(answers: NDArray[np.int64], draw: Draw) -> NDArray[np.bool_]:
    """Which test rows are anomalies of unseen classes with enough rows: (n,)."""
    rows = np.bincount(answers, minlength=1)
    return (answers > 0) & ~np.isin(answers, draw.seen) & (rows[answers] >= LEAST)


def where(train: torch.Tensor, x: torch.Tensor, y: NDArray[np.int64]) -> dict[str, Scores]:
    """Where anomalies x lie, along each of ALONG: (m, d), (n, d), (m,) -> (n,) each."""
    normals, shown = train[torch.from_numpy(y <= 0)], train[torch.from_numpy(y > 0)]
    white, near = Whitening(x.shape[1]), Bank(x.shape[1])
    white.fit(normals, shrinkage=SHRINKAGE)
    near.fill(white(normals))
    cosines = F.normalize(white(x)) @ F.normalize(white(shown)).T  # (n, shown)
    spread = normals.std(dim=0, correction=0) + 1e-6
    found = {
        "direction": cosines.amax(dim=1),
        "distance": near.distances(white(x), k=1)[:, 0],
        "column": ((x - normals.mean(dim=0)) / spread).abs().amax(dim=1),
    }
    return {name: value.double().numpy() for name, value in found.items()}


if __name__ == "__main__":
    main()

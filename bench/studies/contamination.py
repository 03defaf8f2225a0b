"""Anomalies among the training normals: what CoMet's weights, and its tasks, save of the AUROC.

python -m bench contamination            # all of it, an hour or two of one core
python -m bench contamination --sets shuttle --rates 0 0.1 --seeds 2 --methods devnet
"""

import time

import numpy as np
from numpy.typing import NDArray

from bench.pages.contamination import AUDIT_RATE, AUDITED, VARIANTS, contamination
from bench.runs.command import finish, resumable
from bench.runs.entrants import own_version
from bench.runs.open_set import Data, auroc, read
from bench.runs.store import SPENT, STAMPS, Record, Store, schema
from unseen import Detector, Protocol
from unseen.data.split import class_halves
from unseen.evaluation.choices import LEAST
from unseen.evaluation.draws import Draw, draw_rows
from unseen.methods import METHODS, CoMet

CHOSEN = ("nsl_kdd", "unsw_nb15", "shuttle", "thyroid0387")
AROUND = ("autoencoder", "deep-svdd", "devnet", "flow")
AUDITOR = "evidence-stack"  # runs for its audit alone
RATES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
NORMALS = 1200
KEY = ("set", "seed", "rate", "method", "version")
SCHEMA = schema(
    text=["set", "method", "version", "error", *STAMPS],
    whole=["seed", "train_rows", "hidden_rows", "labelled_rows", "test_rows"],
    real=["rate", *VARIANTS, *(f"audit: {variant}" for variant in AUDITED), *SPENT],
)


def main() -> None:
    parser = resumable(__doc__, "contamination.parquet")
    add = parser.add_argument
    add("--sets", nargs="+", choices=CHOSEN, default=list(CHOSEN))
    add("--methods", nargs="+", choices=[*AROUND, AUDITOR], default=[*AROUND, AUDITOR])
    add("--rates", nargs="+", type=float, default=list(RATES))
    add("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    jobs = [
        dict(zip(KEY, (data, seed, rate, method, own_version()), strict=True))
        for seed in range(chosen.seeds)  # a run that is stopped early has all sets and rates
        for data in chosen.sets
        for method in chosen.methods
        for rate in (chosen.rates if method != AUDITOR else [AUDIT_RATE])
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    chosen.out.with_suffix(".md").write_text(contamination(chosen.out, chosen.out.parent))


def one_run(job: Record) -> Record:
    """Train and score each variant once, as a user would."""
    data, start, cpu = read(job["set"]), time.perf_counter(), time.process_time()
    draw, hidden = drawn(data, job)
    train = data.train.take(draw.train)
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    rows, base = np.arange(len(train)), METHODS[job["method"]]

    def fitted(method: object, kept: NDArray[np.int64] = rows) -> Detector:
        return Detector(method, random_state=job["seed"]).fit(train.take(kept), kinds[kept])

    found = {"plain": fitted(base)}
    doubted = found["plain"].audit_
    if job["method"] != AUDITOR:
        beyond = doubted["row"].to_numpy()[doubted["weight"].to_numpy() < 1]
        found["trimmed"] = fitted(base, np.setdiff1d(rows, beyond))
        found["soft"] = fitted(CoMet(base, meta="none", penalty="none"))
        found["soft + meta"] = fitted(CoMet(base, meta="reptile", penalty="det"))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    test, answers = data.tested.take(draw.test), data.answers[draw.test]
    scores = {name: detector.anomaly_score(test) for name, detector in found.items()}
    rate = len(found) * len(test) / (time.perf_counter() - start - seconds)
    audits = {name: share_found(found[name], hidden) for name in AUDITED if name in found}
    return {
        **{name: over_all(score, answers) for name, score in scores.items()},
        **{f"audit: {name}": share for name, share in audits.items() if hidden.any()},
        "train_rows": len(train),
        "hidden_rows": int(hidden.sum()),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(test),
        **dict(zip(SPENT, (seconds, cpu_seconds, rate), strict=True)),
    }


def drawn(data: Data, job: Record) -> tuple[Draw, NDArray[np.bool_]]:
    """A draw with anomalies of all classes hidden among its normals, and which rows they are."""
    rngs = [np.random.default_rng(job["seed"]) for _ in range(3)]
    draw = draw_rows(data.codes, data.answers, Protocol(normals=NORMALS), rngs[0], data.alike)
    split = class_halves(data.codes, rngs[1])  # the very split of draw_rows
    half = np.arange(len(data.codes)) if data.alike is None else split[0]
    spare = np.setdiff1d(half[data.codes[half] > 0], draw.train)
    wanted = round(NORMALS * job["rate"] / (1 - job["rate"]))
    hidden = rngs[2].permutation(spare)[:wanted]
    if len(hidden) < wanted or (draw.y == 0).sum() < NORMALS:
        raise ValueError(f"{job['set']} cannot hold {NORMALS} normal and {wanted} hidden rows")
    train = np.concatenate([draw.train, hidden])
    y = np.concatenate([draw.y, np.zeros_like(hidden)])
    return Draw(train, y, draw.seen, draw.test), np.arange(len(train)) >= len(draw.train)


def over_all(score: NDArray[np.float64], answers: NDArray[np.int64]) -> float:
    """Mean AUROC over all anomaly classes with enough test rows."""
    normal = score[answers == 0]
    each = [score[answers == code] for code in np.unique(answers[answers > 0])]
    return float(np.mean([auroc(normal, rows) for rows in each if len(rows) >= LEAST]))


def share_found(detector: Detector, hidden: NDArray[np.bool_]) -> float:
    """Share of the hidden rows among the tenth of the training normals that it doubts most."""
    rows = detector.audit_["row"].to_numpy()
    return float(hidden[rows[: round(AUDIT_RATE * len(rows))]].sum() / max(1, hidden.sum()))

"""Labels needed where advice, the highest scores, or chance choose what to label.

python -m bench advice                  # five sets, 5 seeds
python -m bench advice --short          # a minute
python -m bench advice --sets penbased vowel texture segment --out tried.parquet   # development

A detector begins with normal rows alone. In each round it names 10 rows of a pool of which 5% are
anomalies, as unevenly from all classes as the set has them, learns their labels, and is judged by
the mean recall over all classes of a test at 5% false alarms, and by the classes it has met.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runs.command import finish, resumable
from bench.runs.entrants import own_version
from bench.runs.store import STAMPS, Record, Store, schema
from bench.studies.blindspots import data_of, names_of
from unseen import Detector
from unseen.data.split import class_halves

FIVE = ("nsl_kdd", "tep", "unsw_nb15", "thyroid0387", "digits")
STRATEGIES = ("advice", "top scores", "random")
NORMALS, POOL, SHARE = 1000, 2000, 0.05  # to begin with, and in the pool; its anomalies
BATCH, ROUNDS = 10, 6
LEAST = 10  # test rows of a class that counts
KEY = ("set", "seed", "strategy", "version")
SCHEMA = schema(
    text=["set", "strategy", "version", "error", *STAMPS],
    whole=["seed", "classes"],
    real=[f"recall {BATCH * k}" for k in range(ROUNDS + 1)]
    + [f"met {BATCH * k}" for k in range(ROUNDS + 1)],
)


def main() -> None:
    parser = resumable(__doc__, "advice.parquet", limit=900)
    add = parser.add_argument
    add("--sets", nargs="+", default=list(FIVE))
    add("--seeds", type=int, default=5)
    add("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    add("--short", action="store_true", help="one small set, one seed")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.sets, chosen.seeds = ["digits"], 1
    jobs = [
        dict(zip(KEY, (name, seed, strategy, own_version()), strict=True))
        for seed in range(chosen.seeds)
        for name in chosen.sets
        for strategy in chosen.strategies
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)


def split(name: str, seed: int) -> tuple[Any, ...]:
    """Rows of the start, of the pool with their codes, and of the test."""
    family = next(f for f in ("six", "classes", "clustered") if name in names_of(f))
    data, rng = data_of(family, name), np.random.default_rng(seed)
    train, test = np.arange(len(data.codes)), np.arange(len(data.answers))
    if data.alike is not None:
        train, test = class_halves(data.codes, rng)
        test = test[~np.isin(data.alike[test], data.alike[train])]
    shuffled = rng.permutation(train)
    normals, others = (shuffled[(data.codes[shuffled] > 0) == side] for side in (False, True))
    begin = normals[: min(NORMALS, len(normals) // 2)]
    calm = normals[len(begin) : len(begin) + POOL]
    wanted = max(30, round(SHARE * len(calm)))
    counts = np.bincount(data.codes[others])
    least = np.concatenate([others[data.codes[others] == c][:3] for c in np.flatnonzero(counts)])
    rest = others[~np.isin(others, least)]
    pool = np.concatenate([calm, least, rest[: max(0, wanted - len(least))]])
    return data, begin, pool, test


def one_run(job: Record) -> Record:
    data, begin, pool, test = split(job["set"], job["seed"])
    names = np.array(["normal", *data.names], dtype=object)
    answers = data.answers[test]
    rng = np.random.default_rng([job["seed"], 1])
    asked: list[int] = []
    found: Record = {"classes": int((np.bincount(data.codes[pool])[1:] > 0).sum())}
    for k in range(ROUNDS + 1):
        rows = np.concatenate([begin, np.array(asked, dtype=np.int64)])
        detector = Detector(random_state=job["seed"])
        kinds = names[data.codes[rows]]
        kinds[len(begin) :][data.codes[asked] == 0] = None  # as `learn` does: they do not calibrate
        detector.fit(data.train.take(rows), kinds)
        pvalues = detector.pvalue(data.tested.take(test))
        counted = [
            c for c in np.unique(answers[answers > 0]).tolist() if (answers == c).sum() >= LEAST
        ]
        recall = [float((pvalues[answers == c] <= 0.05).mean()) for c in counted]
        met = np.unique(data.codes[np.array(asked, dtype=np.int64)])
        found[f"recall {BATCH * k}"] = float(np.mean(recall))
        found[f"met {BATCH * k}"] = float((met > 0).sum())
        if k < ROUNDS:
            left = pool[~np.isin(pool, asked)]
            asked += left[chosen_by(job["strategy"], detector, data.train.take(left), rng)].tolist()
    return found


def chosen_by(
    strategy: str, detector: Detector, rows: Any, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which rows to label, by number."""
    if strategy == "random":
        return rng.choice(len(rows), BATCH, replace=False)
    if strategy == "top scores":
        return np.argsort(-detector.anomaly_score(rows), kind="stable")[:BATCH]
    return detector.advise(rows, BATCH)["row"].to_numpy()


if __name__ == "__main__":
    main()

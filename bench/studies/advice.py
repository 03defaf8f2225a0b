"""Labels needed where advice, the highest scores, or chance choose what to label.

python -m bench advice                  # five sets, 5 seeds
python -m bench advice --short          # a minute
python -m bench advice --sets penbased vowel texture segment landsat --out tried.parquet

A detector begins with normal rows alone. In each round it names 10 rows of a pool of which 5% are
anomalies, as unevenly from all classes as the set has them, learns their labels, and is judged by
the mean recall over all classes of a test at 5% false alarms, and by the classes it has met.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.pages.text import show
from bench.runs.command import finish, resumable
from bench.runs.entrants import own_version
from bench.runs.store import STAMPS, Record, Store, schema
from bench.studies.blindspots import data_of, names_of
from unseen import Detector
from unseen.data.split import class_halves

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FIVE = ("nsl_kdd", "tep", "unsw_nb15", "thyroid0387", "digits")
STRATEGIES = ("advice", "top scores", "random")
NORMALS, POOL, SHARE = 1000, 2000, 0.05  # to begin with, and in the pool; its anomalies
BATCH, ROUNDS = 10, 6
LEAST = 10  # test rows of a class that counts
FIGURES = ("recall", "met", "false alarms")  # after each round
KEY = ("set", "seed", "strategy")  # not the version: chance and scores choose as they did before
SCHEMA = schema(
    text=["set", "strategy", "version", "error", *STAMPS],
    whole=["seed", "classes"],
    real=[f"{what} {BATCH * k}" for what in FIGURES for k in range(ROUNDS + 1)],
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
        dict(zip(KEY, (name, seed, strategy), strict=True))
        for seed in range(chosen.seeds)
        for name in chosen.sets
        for strategy in chosen.strategies
    ]
    store = Store(chosen.out, SCHEMA, KEY)
    finish(store, jobs, one_run, chosen)
    wanted = {store.key_of(job) for job in jobs}
    runs = [r for r in store.records() if store.key_of(r) in wanted and r["error"] is None]
    tell(pd.DataFrame(runs), chosen.out.with_suffix(".png"))


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
    found: Record = {
        "version": own_version(),
        "classes": int((np.bincount(data.codes[pool])[1:] > 0).sum()),
    }
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
        found[f"false alarms {BATCH * k}"] = float((pvalues[answers == 0] <= 0.05).mean())
        found[f"met {BATCH * k}"] = float((met > 0).sum())
        if k < ROUNDS:
            shown = np.where(np.isin(pool, asked), names[data.codes[pool]], None)
            chosen = chosen_by(job["strategy"], detector, data.train.take(pool), shown, rng)
            asked += pool[chosen].tolist()
    return found


def chosen_by(
    strategy: str, detector: Detector, rows: Any, y: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Which rows to label, by number, of those that have no label in y (m,)."""
    left = np.flatnonzero(y == None)  # noqa: E711, elementwise
    if strategy == "random":
        return left[rng.choice(len(left), BATCH, replace=False)]
    if strategy == "top scores":
        scores = detector.anomaly_score(rows)
        return left[np.argsort(-scores[left], kind="stable")[:BATCH]]
    return detector.advise(rows, BATCH, y)["row"].to_numpy()


def needed(curve: NDArray[np.float64], goal: float) -> float:
    """Labels at which a curve (rounds + 1,) first reaches a goal, by straight lines; infinite where
    it never does.
    """
    reached = np.flatnonzero(curve >= goal - 1e-9)
    if not len(reached):
        return np.inf
    k = int(reached[0])
    if k == 0:
        return 0.0
    part = (goal - curve[k - 1]) / (curve[k] - curve[k - 1])
    return BATCH * (k - 1 + float(part))


def curve(runs: pd.DataFrame, figure: str) -> NDArray[np.float64]:
    """Means over seeds, one for each round (rounds + 1,)."""
    return runs[[f"{figure} {BATCH * k}" for k in range(ROUNDS + 1)]].mean().to_numpy()


def paired(runs: pd.DataFrame) -> None:
    """Means over the rounds, and how much more advice has than the others with the same seed."""
    rows = []
    for name, part in runs.groupby("set", sort=False):
        for figure in FIGURES:
            every = [f"{figure} {BATCH * k}" for k in range(1, ROUNDS + 1)]
            means = part.assign(mean=part[every].mean(axis=1)).pivot(
                index="seed", columns="strategy", values="mean"
            )
            means = means.reindex(columns=STRATEGIES)  # some may not have been asked for
            row = [f"{name}, {figure}", str(len(means)), f"{means['advice'].mean():.3g}"]
            for other in STRATEGIES[1:]:
                more = (means["advice"] - means[other]).dropna()
                row.append(f"{more.mean():+.3f} ± {more.sem():.3f}")
            rows.append(row)
    heads = ["mean of rounds", "seeds", "advice", *(f"more than {s}" for s in STRATEGIES[1:])]
    show("With each seed's pool and test, ± the standard error over seeds", heads, rows)


def tell(runs: pd.DataFrame, picture: Path) -> None:
    """Labels that each strategy needs for what the worst of them has in the end, and curves."""
    rows, names = [], list(dict.fromkeys(runs["set"]))
    for name in names:
        for figure in ("recall", "met"):
            part = runs[runs["set"] == name]
            every = {s: curve(part[part["strategy"] == s], figure) for s in STRATEGIES}
            goal = min(each[-1] for each in every.values())
            labels = [f"{needed(each, goal):.0f}" for each in every.values()]
            ends = [f"{each[-1]:.3g}" for each in every.values()]
            rows.append([f"{name}, {figure}", f"{goal:.3g}", *labels, *ends])
    heads = [f"{what}, {s}" for what in ("labels", "in the end") for s in STRATEGIES]
    heads = ["set", "goal", *heads]
    show("Labels needed to reach the goal, the least that any has in the end", heads, rows)
    paired(runs)
    figure, axes = plt.subplots(2, len(names), figsize=(3 * len(names), 5), squeeze=False)
    for k, name in enumerate(names):
        for j, what in enumerate(("recall", "met")):
            for strategy in STRATEGIES:
                own = runs[(runs["set"] == name) & (runs["strategy"] == strategy)]
                axes[j, k].plot(BATCH * np.arange(ROUNDS + 1), curve(own, what), label=strategy)
            axes[j, k].set_title(name if j == 0 else "")
        axes[1, k].set_xlabel("labels")
    axes[0, 0].set_ylabel("recall over all classes at 5%")
    axes[1, 0].set_ylabel("classes met")
    axes[0, 0].legend(frameon=False)
    figure.savefig(picture, dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()

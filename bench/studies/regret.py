"""What the default loses to the best of six methods, over a pool that takes part in no other page.

python -m bench regret                                   # hours; what is done is not done again
python -m bench regret --share 0.1                       # a tenth of the pool
python -m bench regret --only wide                       # few normals with many columns
python -m bench regret --name tried --methods default    # the default as it is, under another name
python -m bench regret --beside tried --methods          # tables of what there is, side by side
python -m bench regret --variant "all equally" --name equal --methods default
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.data.pool import Case, Trial, cases
from bench.pages.text import show
from bench.runs.command import options
from bench.runs.entrants import ENTRANTS, Ours, Scores
from bench.runs.open_set import auroc
from bench.runs.store import Record
from bench.runs.workers import run_all
from bench.studies.ablation import STACK, WHOLE_METHOD
from unseen.evaluation.metrics import average_precision, tpr_at_fpr

REFERENCES = (
    "mahalanobis",
    "nearest",
    "isolation-forest",
    "forest",
    "logistic",
    "multi-directional",
)
FREE = REFERENCES[:3]
FIGURES = ("unseen_auroc", "seen_auroc", "unseen_tpr_at_5_fpr", "unseen_ap_1")
LEAST = 5  # rows of a class in half of the test, below which it does not count
MARGIN = 0.01  # AUROC by which the default may be below the best label-free method
LIMIT = 600  # seconds of a run


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--methods", nargs="*", choices=["default", *REFERENCES], default=["default", *REFERENCES])
    add("--name", default="default", help="under which scores of the default are kept")
    add("--variant", choices=STACK, default=WHOLE_METHOD, help="of the default, as in ablation")
    add("--beside", nargs="*", default=[], help="names of other defaults that are shown, too")
    add("--share", type=float, default=1.0, help="how much of the pool")
    add("--only", nargs="*", default=[], help="draws whose names have these texts, as in wide")
    add("--seeds", type=int, default=1)
    add("--jobs", type=int, default=2, choices=(1, 2), help="runs at a time")
    add("--out", type=Path, default=Path("regret"), help="folder that keeps all scores")
    chosen = parser.parse_args()
    pool = [case for case in cases() if all(text in str(case) for text in chosen.only)]
    pool = pool[: round(chosen.share * len(pool))]
    trials = [(case, seed) for seed in range(chosen.seeds) for case in pool]
    names = {chosen.name if name == "default" else name: name for name in chosen.methods}
    jobs = [
        {"method": name, "case": case, "seed": seed, "file": file, "variant": chosen.variant}
        for label, name in names.items()
        for case, seed in trials
        if not (file := kept(chosen.out, label, case, seed)).exists()
    ]
    print(f"{len(names) * len(trials)} runs, {len(jobs)} of them due", flush=True)
    run_all(one_run, jobs, workers=chosen.jobs, limit=LIMIT, done=told)
    for name in dict.fromkeys([*chosen.beside, chosen.name]):
        report(chosen.out, name, trials)


def kept(folder: Path, name: str, case: Case, seed: int) -> Path:
    return folder / name / f"{str(case).replace('/', '~')}~{seed}.npy"


def told(job: Record, record: Record) -> None:
    print(f"{job['method']} {job['case']} {job['seed']}: {record['error'] or 'done'}", flush=True)


def one_run(job: Record) -> Record:
    """Fit and score once; a method that does not learn from such rows has no scores."""
    trial = job["case"].trial(job["seed"])
    own = job["method"] == "default"
    entrant = Ours(STACK[job["variant"]]) if own else ENTRANTS[job["method"]]
    scores: Scores = np.zeros(0)
    if len(trial.seen) or not entrant.uses_labels or own:
        scores = entrant.fit(trial.train, trial.kinds, job["seed"])(trial.test)
    job["file"].parent.mkdir(parents=True, exist_ok=True)
    partial = job["file"].with_suffix(f".{os.getpid()}.npy")
    np.save(partial, scores)
    partial.replace(job["file"])
    return {}


def report(folder: Path, name: str, trials: list[tuple[Case, int]]) -> None:
    """Tables of regret: of all, and by family and cell."""
    found = [
        {"family": case.family, "cell": case.cell, "table": case.table, **regrets(*scores)}
        for case, seed in trials
        if (scores := read(folder, name, case, seed)) is not None
    ]
    if not found:
        return
    table = pd.DataFrame(found)
    groups = {"all": table}
    groups |= {"/".join(key): part for key, part in table.groupby(["family", "cell"])}
    rows = [[group, str(len(part)), *map(summary, columns(part))] for group, part in groups.items()]
    heads = [f"{figure}: mean, 95% quantile" for figure in FIGURES]
    show(f"\nRegret of {name}", ["draws", "number", *heads, "below label-free"], rows)
    worst = table.dropna(subset="unseen_auroc").nlargest(8, "unseen_auroc")
    for row in worst.itertuples():
        print(f"  {row.family}/{row.table}/{row.cell}: {row.unseen_auroc:.3f}")


def columns(part: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    return [(name, part[name].dropna()) for name in (*FIGURES, "below")]


def summary(column: tuple[str, pd.Series]) -> str:
    name, values = column
    if not len(values):
        return "-"
    if name == "below":
        return f"{values.mean():.1%}"
    return f"{values.mean():+.4f}, {values.quantile(0.95):.3f}"


def read(folder: Path, name: str, case: Case, seed: int) -> Any:
    """The trial, the scores of the default and of each method that has some; None without any."""
    files = {each: kept(folder, each, case, seed) for each in (name, *REFERENCES)}
    if not all(file.exists() for file in files.values()):
        return None
    scores = {each: np.load(file) for each, file in files.items()}
    own = scores.pop(name)
    others = {each: values for each, values in scores.items() if len(values)}
    return case.trial(seed), seed, own, others


def regrets(trial: Trial, seed: int, own: Scores, others: dict[str, Scores]) -> Record:
    """By how much the best of the others, picked on half of the test rows, is better on the other
    half: mean over both ways. `below`: whether that holds for the label-free ones, beyond doubt.
    """
    halves = halved(trial.answers, seed)
    figures = {
        method: [measured(scores, trial, half) for half in halves]
        for method, scores in {"": own, **others}.items()
    }
    found: Record = {}
    for figure in FIGURES:
        gaps = [gap(figures, figure, others, way)[1] for way in (0, 1)]
        found[figure] = float(np.mean(gaps))
    free = [method for method in others if method in FREE]
    ways = [gap(figures, "judged_auroc", free, way) for way in (0, 1)]
    errors = [paired_error(others[ways[w][0]], own, trial, halves[1 - w]) for w in (0, 1)]
    mean = float(np.mean([value for _, value in ways]))
    found["below"] = float(mean > max(MARGIN, 2 * np.hypot(*errors) / 2))
    return found


def gap(figures: Any, figure: str, others: Any, way: int) -> tuple[str, float]:
    """The best method by one half, and what it is better by on the other."""
    best = max(others, key=lambda method: np.nan_to_num(figures[method][way][figure], nan=-1))
    return best, figures[best][1 - way][figure] - figures[""][1 - way][figure]


def halved(answers: NDArray[np.int64], seed: int) -> list[NDArray[np.bool_]]:
    """Two halves of the rows, of every class."""
    first = np.zeros(len(answers), dtype=bool)
    rng = np.random.default_rng(seed)
    for code in np.unique(answers):
        rows = rng.permutation(np.flatnonzero(answers == code))
        first[rows[::2]] = True
    return [first, ~first]


def measured(scores: Scores, trial: Trial, half: NDArray[np.bool_]) -> dict[str, float]:
    """Figures on half of the rows: means over classes, NaN without any."""
    normal = scores[half & (trial.answers == 0)]
    found: dict[str, list[float]] = {name: [] for name in (*FIGURES, "judged_auroc")}
    for code in counted(trial, half) if len(normal) >= LEAST else []:
        rows = scores[half & (trial.answers == code)]
        role = "seen" if code in trial.seen else "unseen"
        found[f"{role}_auroc"].append(auroc(normal, rows))
        if code in judged(trial, half):
            found["judged_auroc"].append(found[f"{role}_auroc"][-1])
        if role == "unseen":
            found["unseen_tpr_at_5_fpr"].append(tpr_at_fpr(normal, rows, 0.05))
            found["unseen_ap_1"].append(average_precision(normal, rows, 0.01))
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}


def counted(trial: Trial, half: NDArray[np.bool_]) -> list[int]:
    codes, counts = np.unique(trial.answers[half], return_counts=True)
    return [int(code) for code, n in zip(codes, counts, strict=True) if code and n >= LEAST]


def judged(trial: Trial, half: NDArray[np.bool_]) -> list[int]:
    """Classes by which label-free methods are compared: the unseen ones, or all without any."""
    codes = counted(trial, half)
    return [code for code in codes if code not in trial.seen] or codes


def paired_error(one: Scores, other: Scores, trial: Trial, half: NDArray[np.bool_]) -> float:
    """Standard error of the difference of two mean AUROCs on the same rows (DeLong et al. 1988)."""
    codes = judged(trial, half)
    normal, of_anomalies = np.zeros((half & (trial.answers == 0)).sum()), 0.0
    for code in codes:
        both = [placements(scores, trial, half, code) for scores in (one, other)]
        normal += (both[0][0] - both[1][0]) / len(codes)
        apart = both[0][1] - both[1][1]
        of_anomalies += apart.var() / len(apart) / len(codes) ** 2
    return float(np.sqrt(normal.var() / len(normal) + of_anomalies))


def placements(
    scores: Scores, trial: Trial, half: NDArray[np.bool_], code: int
) -> tuple[Scores, Scores]:
    """For each normal row the share of anomalies above it, for each anomaly of normals below."""
    normal, anomaly = (scores[half & (trial.answers == side)] for side in (0, code))
    above = 1 - share_below(np.sort(anomaly), normal)
    return above, share_below(np.sort(normal), anomaly)


def share_below(ordered: Scores, values: Scores) -> Scores:
    """Share of ordered values (m,) below each value, ties half: (n,)."""
    ranks = [np.searchsorted(ordered, values, side) for side in ("left", "right")]
    return np.asarray((ranks[0] + ranks[1]) / 2 / len(ordered))

"""Learning on without the old rows: NSL-KDD as a stream of tasks, and what each strategy forgets.

python -m bench.stream                       # docs/benchmarks/stream.md, three seeds
python -m bench.stream --seeds 5 --out s.md

A task is a family of attacks, with labelled rows of it, and normal rows of services of its own. After each task the
detector is tested on all tasks so far: rows of the task's family against normals of its services, from the test file.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench import data_file, spread
from bench.machine import machine, now, versions
from bench.tables import markdown
from unseen.data.split import take
from unseen.detector.detector import Detector
from unseen.io import read
from unseen.methods.csad import CSAD
from unseen.parts.ranking import auroc

PAGE = Path("docs/benchmarks/stream.md")
NORMALS, SHOTS = 1500, 50  # training rows of a task, at most
TASKS = {  # family of attacks -> services of the task's normal rows; None: all that no other task has
    "dos": ("http",),
    "probe": ("domain_u", "private"),
    "r2l": ("smtp", "ftp_data", "ftp"),
    "u2r": None,
}
STRATEGIES = {
    "replay": "`CSAD()`, `partial_fit` on each task",
    "no replay": "`CSAD(replay=False)`, `partial_fit` on each task",
    "retrained": "`CSAD()`, fitted anew on the rows of all tasks so far: the bound",
}


@dataclass(frozen=True)
class Task:
    """Training rows, their labels, and the test rows with which are anomalies."""

    table: pa.Table
    y: NDArray[np.object_]
    test: pa.Table
    anomaly: NDArray[np.bool_]


def main() -> None:
    """AUROC on every task after every task, and forgetting, as a page."""
    options = argparse.ArgumentParser(prog="python -m bench.stream", description=main.__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--out", type=Path, default=PAGE)
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("unseen").setLevel(logging.ERROR)
    found = {name: np.array([run(name, seed) for seed in range(chosen.seeds)]) for name in STRATEGIES}
    chosen.out.write_text(page(found))
    print(f"written to {chosen.out}")


def page(found: dict[str, NDArray[np.float64]]) -> str:
    """The page, from AUROC of task j after task i (seeds, i, j) for each strategy."""
    names = list(TASKS)
    ends = {
        name: [spread(each[:, -1].mean(axis=1)), spread(forgetting(each)), *(spread(task) for task in each[:, -1].T)]
        for name, each in found.items()
    }
    columns = ["AUROC, mean of tasks", "forgetting", *names]
    parts = [
        "# A stream of tasks: what is forgotten",
        f"NSL-KDD in four tasks, one after another: {', '.join(f'`{name}`' for name in names)}. Each has up to {SHOTS} "
        f"labelled rows of that family of attacks, and up to {NORMALS:,} normal rows of services that the other tasks "
        "do not show. After each task the detector is tested on all tasks so far, each task's attacks against normal "
        "rows of its services, all from the test file. Rows of earlier tasks are gone, but for the bound.",
        "```sh\npython -m bench.stream --seeds " + str(len(next(iter(found.values())))) + "\n```",
        f"Machine: {machine()}. {now()[:10]}. Versions: {versions()}.",
        "## After the last task",
        "Mean ± standard deviation over seeds, which draw training rows and initial weights. *Forgetting* is the mean "
        "drop of a task's AUROC from when it was learned to the end, over all tasks but the last.",
        markdown(pd.DataFrame.from_dict(ends, orient="index", columns=columns), "strategy"),
        "\n".join(f"* {name}: {words}" for name, words in STRATEGIES.items()),
        reading({name: forgetting(each) for name, each in found.items()}),
        "## After each task",
    ]
    for name, each in found.items():
        cells = [["" if np.isnan(task[0]) else spread(task) for task in after.T] for after in each.swapaxes(0, 1)]
        table = pd.DataFrame(cells, columns=names, index=[f"after {task}" for task in names])
        parts += [f"### {name}", markdown(table, "AUROC on")]
    return "\n\n".join(parts) + "\n"


def reading(forgotten: dict[str, NDArray[np.float64]]) -> str:
    """What the figures say of replay, and whether all seeds say so."""
    gain = forgotten["no replay"] - forgotten["replay"]
    words = f"Replay forgets {abs(gain.mean()):.3f} {'less' if gain.mean() > 0 else 'MORE'} than no replay on average"
    return f"{words}, and less on {(gain > 0).sum()} of {len(gain)} seeds."


def tasks(seed: int) -> list[Task]:
    """The tasks in order, their training rows drawn."""
    rng = np.random.default_rng(seed)
    tables = [read.table(data_file(f"nsl_kdd/{part}.parquet")) for part in ("train", "test")]
    return [task(name, *tables, rng) for name in TASKS]


def task(name: str, train: pa.Table, test: pa.Table, rng: np.random.Generator) -> Task:
    parts = [(np.flatnonzero(normals_of(name, t)), np.flatnonzero(family(t) == name)) for t in (train, test)]
    (normal, attacks), (fresh, unknown) = parts
    normal, attacks = rng.permutation(normal)[:NORMALS], rng.permutation(attacks)[:SHOTS]
    y = np.array(["normal"] * len(normal) + [name] * len(attacks), dtype=object)
    anomaly = np.arange(len(fresh) + len(unknown)) >= len(fresh)
    return Task(rows(train, normal, attacks), y, rows(test, fresh, unknown), anomaly)


def family(table: pa.Table) -> NDArray[np.object_]:
    return np.array(table["family"].to_pylist(), dtype=object)


def normals_of(name: str, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows are the task's normal ones (n,)."""
    service = np.array(table["service"].to_pylist(), dtype=object)
    taken = [s for services in TASKS.values() if services for s in services]
    own = ~np.isin(service, taken) if TASKS[name] is None else np.isin(service, TASKS[name])
    return np.asarray((family(table) == "normal") & own)


def rows(table: pa.Table, *parts: NDArray[np.int64]) -> pa.Table:
    return take(table.drop_columns(["attack", "family"]), np.concatenate(parts))


def run(strategy: str, seed: int) -> NDArray[np.float64]:
    """AUROC of task j after task i, NaN before it was learned: (tasks, tasks)."""
    stream = tasks(seed)
    found = np.full((len(stream), len(stream)), np.nan)
    detector = Detector(CSAD(replay=strategy != "no replay"), calibration=0.2, random_state=seed)
    for i, new in enumerate(stream):
        if strategy == "retrained":
            past = stream[: i + 1]
            detector.fit(pa.concat_tables([t.table for t in past]), np.concatenate([t.y for t in past]))
        else:
            detector.partial_fit(new.table, new.y)
        for j, old in enumerate(stream[: i + 1]):
            score = detector.anomaly_score(old.test)
            found[i, j] = auroc(score[~old.anomaly], score[old.anomaly])
    return found


def forgetting(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean drop of a task's AUROC from when it was learned to the end, over all tasks but the last: (s, t, t) -> (s,).

    >>> forgetting(np.array([[[0.9, np.nan], [0.7, 0.8]]]))
    array([0.2])
    """
    learned = np.diagonal(found, axis1=1, axis2=2)
    return np.asarray((learned - found[:, -1])[:, :-1].mean(axis=1), dtype=np.float64)


if __name__ == "__main__":
    main()

"""Learning on without the old rows: NSL-KDD as a stream of tasks, and what is forgotten.

python -m bench stream                       # docs/benchmarks/stream.md, three seeds
python -m bench stream --seeds 5 --out s.md
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.data import data_file
from bench.pages.text import fill, gain, markdown, sections, spread, table
from bench.runs.command import FOLDER, options
from bench.runs.machine import machine, now, versions
from bench.runs.open_set import auroc
from unseen import Detector, read_table
from unseen.methods import CSAD

NORMALS, SHOTS = 1500, 50  # training rows of a task, at most
TASKS = {  # family of attacks -> services of the task's normal rows; None: all others
    "dos": ("http",),
    "probe": ("domain_u", "private"),
    "r2l": ("smtp", "ftp_data", "ftp"),
    "u2r": None,
}
STRATEGIES = ("replay", "no replay", "retrained")
Array = NDArray[np.float64]
Task = tuple[pa.Table, Any, pa.Table, Any]  # rows, labels, test rows, which are anomalies


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=FOLDER / "stream.md")
    chosen = parser.parse_args()
    runs = {name: [run(name, seed) for seed in range(chosen.seeds)] for name in STRATEGIES}
    chosen.out.write_text(page({name: np.array(each) for name, each in runs.items()}))


def page(found: dict[str, Array]) -> str:
    """The page, from AUROC of task j after task i (seeds, i, j) for each strategy."""
    names, ends, parts = list(TASKS), {}, []
    lost = {name: forgetting(each) for name, each in found.items()}
    for name, each in found.items():
        last = each[:, -1]
        totals = [spread(last.mean(axis=1)), spread(lost[name])]
        ends[name] = [*totals, *map(spread, last.T)]
        rows = [[spread(task).strip("-") for task in after.T] for after in each.swapaxes(0, 1)]
        after = pd.DataFrame(rows, [f"after {task}" for task in names], names)
        parts += [f"### {name}", markdown(after, "AUROC on")]
    return fill(
        "stream",
        tasks=", ".join(f"`{name}`" for name in names),
        shots=SHOTS,
        normals=f"{NORMALS:,}",
        seeds=len(lost["replay"]),
        machine=f"{machine()}. {now()[:10]}. Versions: {versions()}",
        ends=table(ends, "strategy", ["AUROC, mean of tasks", "forgetting", *names]),
        gain=gain(lost["no replay"] - lost["replay"]),
        each=sections(*parts),
    )


def task(name: str, train: pa.Table, test: pa.Table, rng: np.random.Generator) -> Task:
    normal, attacks = (rng.permutation(rows) for rows in parts_of(name, train))
    normal, attacks = normal[:NORMALS], attacks[:SHOTS]
    y = np.array(["normal"] * len(normal) + [name] * len(attacks), dtype=object)
    fresh, unknown = parts_of(name, test)
    anomaly = np.arange(len(fresh) + len(unknown)) >= len(fresh)
    shown, tested = np.concatenate([normal, attacks]), np.concatenate([fresh, unknown])
    plain = [table.drop_columns(["attack", "family"]) for table in (train, test)]
    return plain[0].take(shown), y, plain[1].take(tested), anomaly


def parts_of(name: str, table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the task's normal rows, and of its attacks."""
    family, service = (np.array(table[n].to_pylist(), object) for n in ("family", "service"))
    taken = [each for services in TASKS.values() if services for each in services]
    services = TASKS[name]
    own = ~np.isin(service, taken) if services is None else np.isin(service, services)
    return np.flatnonzero((family == "normal") & own), np.flatnonzero(family == name)


def run(strategy: str, seed: int) -> Array:
    """AUROC of task j after task i, NaN before it was learned: (tasks, tasks)."""
    rng, parts = np.random.default_rng(seed), ("train", "test")
    tables = [read_table(data_file(f"nsl_kdd/{part}.parquet")) for part in parts]
    stream = [task(name, *tables, rng) for name in TASKS]
    found = np.full((len(stream), len(stream)), np.nan)
    method = CSAD(replay=strategy != "no replay")
    detector = Detector(method, calibration=0.2, random_state=seed)
    for i, (new, y, _, _) in enumerate(stream):
        past = stream[: i + 1]
        if strategy == "retrained":
            every = pa.concat_tables([old[0] for old in past])
            detector.fit(every, np.concatenate([old[1] for old in past]))
        else:
            detector.partial_fit(new, y)
        for j, (_, _, test, anomaly) in enumerate(past):
            score = detector.anomaly_score(test)
            found[i, j] = auroc(score[~anomaly], score[anomaly])
    return found


def forgetting(found: Array) -> Array:
    """Mean drop of a task's AUROC from when it was learned to the end: (s, t, t) -> (s,).

    >>> forgetting(np.array([[[0.9, np.nan], [0.7, 0.8]]]))
    array([0.2])
    """
    learned = np.diagonal(found, axis1=1, axis2=2)
    return (learned - found[:, -1])[:, :-1].mean(axis=1)

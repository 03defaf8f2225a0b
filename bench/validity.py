"""Conformal validity: the share of fresh normal rows with p <= alpha, for every method, and what a new value costs.

`fixed`: a trained scorer is kept, and each of many independent groups from a large pool gives m calibration scores and
one fresh row, so that the count is exactly binomial with chance floor(alpha (m + 1)) / (m + 1).
`split`, `folds`: whole refits of the Detector on independent draws, with one split and cross-conformal. `twice` and
`ten times`: split, every normal row that often in training. `discrete`: split, rows of few values, which repeat by
nature. Fresh rows of one refit share its calibration set, so their count is not binomial: the interval is that of as
many independent rows as have the same variance as the refits show.

`new value`: of fresh discrete rows with a value that training never showed, the share with p <= 0.05.

Two things make p-values larger than they need be, which is safe: ties between scores (a forest's votes, discrete rows),
and, across folds, scorers that disagree on how normal rows rank: Vovk's cross-conformal p-value averages their ranks.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.stats import binom

from bench.store import Store
from bench.workers import Record, run_all
from unseen import __version__
from unseen.detector.conformal import Conformal
from unseen.detector.detector import Detector
from unseen.methods import METHODS
from unseen.methods.evidence import VIEWS
from unseen.types import Method

Array = NDArray[np.float64]
PAGE = Path("docs/benchmarks/validity.md")
ALPHAS = (0.01, 0.05, 0.1, 0.2)
COLUMNS, LABELLED = 6, 12
FRESH = 100  # fresh rows of a refit
CHEAP = {"steps": 200, "episodes": 4, "inner_steps": 15, "outer_steps": 15, "batch": 64, "trees": 20, "folds": 2}
KINDS = ("fixed", "split", "folds", "twice", "ten times", "discrete")
FIELDS = {"method": pa.string(), "kind": pa.string(), "refits": pa.int64(), "version": pa.string(), "m": pa.int64()}
RESULTS = {"shares": pa.list_(pa.float64()), "rows": pa.list_(pa.int64()), "power": pa.float64(), "error": pa.string()}
SCHEMA = pa.schema(list((FIELDS | RESULTS).items()))


def main() -> None:
    """Share of normals flagged, with the binomial 99% interval around the share that is due."""
    options = argparse.ArgumentParser(prog="python -m bench.validity", description=main.__doc__)
    options.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    options.add_argument("--groups", type=int, default=5_000, help="fixed: independent calibration sets")
    options.add_argument("--refits", type=int, default=40, help="all others: independent fits")
    options.add_argument("--jobs", type=int, default=2, help="processes")
    options.add_argument("--out", type=Path, default=PAGE, help="page to write, beside it the results")
    chosen = options.parse_args()
    store = Store(chosen.out.with_suffix(".parquet"), SCHEMA, ("method", "kind", "refits", "version"))
    done = store.keys(failed=False)
    jobs = [
        {"method": method, "kind": kind, "refits": chosen.groups if kind == "fixed" else chosen.refits}
        for kind in chosen.kind
        for method in chosen.method
    ]
    jobs = [job | {"version": __version__} for job in jobs]
    jobs = [job for job in jobs if store.key_of(job) not in done]
    run_all(measured, jobs, workers=chosen.jobs, limit=3600, done=lambda job, found: keep(store, job, found))
    records = [r for r in store.records() if r["error"] is None and r["method"] in METHODS]
    chosen.out.write_text(page(records), encoding="utf-8")
    print(f"written to {chosen.out}")


def keep(store: Store, job: Record, found: Record) -> None:
    empty = dict.fromkeys(SCHEMA.names)
    store.append(empty | job | found)
    print(job["kind"], job["method"], found.get("shares") or found["error"], flush=True)


def measured(job: Record) -> Record:
    """Shares of fresh normals flagged at each alpha, and the number of independent rows that they are worth."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    method, kind, count = METHODS[job["method"]], job["kind"], job["refits"]
    power = None
    if kind == "fixed":
        m, shares = 199, fixed(method, count, 199, seed=list(METHODS).index(job["method"]))
    else:
        m, shares, power = refits(cheap(method), kind, count)
    variance = shares.var(axis=0, ddof=1)
    mean = shares.mean(axis=0)
    clustered = (variance > 0) & (kind != "fixed")
    rows = np.where(clustered, mean * (1 - mean) / np.where(variance > 0, variance, 1) * len(shares), len(shares))
    return {"m": m, "shares": mean.tolist(), "rows": rows.round().astype(int).tolist(), "power": power}


def normals(n: int, rng: np.random.Generator) -> Array:
    """Correlated rows with heavy tails and one skewed column: (n, d)."""
    mix = np.random.default_rng(0).normal(size=(COLUMNS, COLUMNS))
    x = rng.standard_t(5, size=(n, COLUMNS)) @ mix
    x[:, 0] = np.exp(x[:, 0] / 3)
    return x


def training(n: int, rng: np.random.Generator, times: int = 1) -> tuple[Array, NDArray[np.int64]]:
    """n normals, each so many times, and a few labelled anomalies of three classes."""
    y = np.repeat([0, 1, 2, 3], [n, *[LABELLED // 3] * 3])
    x = normals(len(y), rng)
    x[y > 0] += 6.0 * (np.arange(COLUMNS) % 3 == y[y > 0, None] - 1)
    return np.r_[np.repeat(x[:n], times, 0), x[n:]], np.r_[np.zeros(n * times, int), y[n:]]


def discrete(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of few values: two categories, of which one hangs on the other, a flag, a small number and a setting."""
    state = rng.choice(["idle", "run", "stop"], n, p=[0.6, 0.3, 0.1])
    load = np.where(state == "run", rng.integers(1, 4, n), 0)
    return pd.DataFrame(
        {
            "state": state,
            "mode": rng.choice(["a", "b"], n, p=[0.8, 0.2]),
            "alert": rng.random(n) < 0.05,
            "load": load,
            "setting": rng.choice([0.1, 2.5, 40.0], n, p=[0.7, 0.2, 0.1]),
        }
    )


def discrete_training(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """n normals and a few labelled anomalies of three classes."""
    table, y = discrete(n + LABELLED, rng), np.repeat([0, 1, 2, 3], [n, *[LABELLED // 3] * 3])
    table.loc[y == 1, "load"] = 3
    table.loc[y == 1, "state"] = "idle"
    table.loc[y == 2, "setting"] = 40.0
    table.loc[y == 2, "alert"] = True
    table.loc[y == 3, "mode"] = "b"
    table.loc[y == 3, "state"] = "stop"
    return table, y


def with_new_value(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """In each row a value that training never shows, in a column drawn at random."""
    columns = {"state": "reset", "mode": "c", "load": 60, "setting": 900.0}
    drawn, new = rng.choice(list(columns), len(table)), table.copy()
    for name, value in columns.items():
        new.loc[drawn == name, name] = value
    return new


def fixed(method: Method, groups: int, m: int, *, seed: int) -> Array:
    """One trained scorer, independent calibration sets of m rows and one fresh row each: flags (groups, alphas)."""
    rng = np.random.default_rng([1, seed])
    detector = Detector(method, calibration=0.2, random_state=0).fit(*training(1000, rng))
    flags = []
    for part in parts(groups, 500):
        scores = detector.anomaly_score(normals(part * (m + 1), rng)).reshape(part, m + 1)
        p = [Conformal.fit(group[:-1]).pvalue(group[-1:])[0] for group in scores]
        flags.append(np.asarray(p)[:, None] <= ALPHAS)
    return np.concatenate(flags).astype(float)


def parts(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


def refits(method: Method, kind: str, count: int) -> tuple[int, Array, float | None]:
    """Independent fits, each judged on fresh rows: calibration rows, shares flagged (count, alphas), power at 0.05."""
    times = {"twice": 2, "ten times": 10}.get(kind, 1)
    n = 400 // min(times, 4)
    shares, found, m = [], [], 0
    for seed in range(count):
        rng = np.random.default_rng([2, seed])
        rows: Any = discrete_training(n, rng) if kind == "discrete" else training(n, rng, times)
        detector = Detector(method, calibration=5 if kind == "folds" else 0.5, random_state=seed).fit(*rows)
        fresh: Any = discrete(FRESH, rng) if kind == "discrete" else normals(FRESH, rng)
        shares.append((detector.pvalue(fresh)[:, None] <= ALPHAS).mean(axis=0))
        if kind == "discrete":
            found.append((detector.pvalue(with_new_value(fresh, rng)) <= 0.05).mean())
        m = len(detector.conformal_.scores)
    return m, np.array(shares), float(np.mean(found)) if found else None


def cheap(method: Method) -> Method:
    """The same method with fewer steps and trees, of a stack its learners too, for refits: validity needs no skill."""
    less = {k: v for k, v in CHEAP.items() if v < getattr(method, k, 0)}
    for field in VIEWS:
        if learners := getattr(method, field, ()):
            less[field] = tuple(cheap(learner) for learner in learners)
    return dataclasses.replace(method, **less)  # type: ignore[type-var]


def judged(record: Record) -> list[str]:
    """For each alpha whether the share lies in the 99% interval around what is due: "", "above" or "below"."""
    found = []
    for alpha, share, n in zip(ALPHAS, record["shares"], record["rows"], strict=True):
        due = np.floor(alpha * (record["m"] + 1) + 1e-9) / (record["m"] + 1)
        low, high = binom.interval(0.99, n, due)
        count = round(share * n)
        found.append("" if low <= count <= high else "below" if count < low else "above")
    return found


def page(records: list[Record]) -> str:
    """A table of the shares at 0.05 by method and kind, and how many of all shares are above their interval."""
    by = {(r["method"], r["kind"]): r for r in records}
    kinds = [kind for kind in KINDS if any(key[1] == kind for key in by)]
    verdicts = {key: judged(r) for key, r in by.items()}
    every = [each for said in verdicts.values() for each in said]
    lines = [f"| method | {' | '.join(kinds)} | new value |", f"|---|{'---:|' * (len(kinds) + 1)}"]
    for method in METHODS:
        cells = [cell(by.get((method, kind)), verdicts.get((method, kind), [])) for kind in kinds]
        power = by.get((method, "discrete"), {}).get("power")
        if any(cells):
            lines.append(f"| `{method}` | {' | '.join(cells)} | {'' if power is None else f'{power:.2f}'} |")
    refit = sorted({r["refits"] for r in records if r["kind"] != "fixed"})
    groups = sorted({r["refits"] for r in records if r["kind"] == "fixed"})
    return TEMPLATE.format(
        version=", ".join(sorted({r["version"] for r in records})),
        groups=", ".join(f"{n:,}" for n in groups),
        refits=", ".join(map(str, refit)),
        fresh=FRESH,
        cheap=", ".join(f"{name} {value}" for name, value in CHEAP.items()),
        table="\n".join(lines),
        count=len(every),
        above=every.count("above"),
        below=every.count("below"),
    )


def cell(record: Record | None, verdicts: list[str]) -> str:
    if record is None:
        return ""
    mark = " ▲" if "above" in verdicts else " ▽" if "below" in verdicts else ""
    return f"{record['shares'][ALPHAS.index(0.05)]:.3f}{mark}"


TEMPLATE = """# Validity of p-values

Version {version}. `python -m bench.validity` measures this and writes this page; it goes on where it was stopped.

Of fresh normal rows, the share with p <= 0.05, which is to be at most 0.05. Made-up rows, correlated and heavy-tailed,
with 12 labelled anomalies of three classes in training:

* **fixed**: one trained scorer, {groups} independent calibration sets of 199 rows, one fresh row each.
* **split**, **folds**: {refits} fits to 400 normal rows, of which half calibrate, or 5 folds; {fresh} fresh rows each.
* **twice**, **ten times**: split, but every normal row is in training that often. Copies count once.
* **discrete**: split, rows of few values, which repeat by nature and count each time.
* **new value**: of fresh discrete rows with a value that training never showed, the share with p <= 0.05.

Refits train with less, as validity needs no skill: at most {cheap}.

▲: at 0.01, 0.05, 0.1 or 0.2 the share is above its 99% interval: p-values too small. ▽: below it, which is safe: ties
between scores, and folds whose scorers disagree, make p-values larger than they need be.

{table}

Of {count} shares (four levels each) {above} are above their interval and {below} below. By chance 1 in 200 would be
above.
"""


if __name__ == "__main__":
    main()

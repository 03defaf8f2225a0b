"""Conformal validity: the share of fresh normal rows with p <= alpha, for every method.

python -m bench validity --kind discrete --refits 10 --jobs 2
python -m bench validity --kind "one pass" "one pass, twice"
"""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.pages.validity import ALPHAS, CHEAP, FRESH, KINDS, LABELLED, ONE_PASS, validity
from bench.runs.command import finish, resumable
from bench.runs.store import REAL, Record, Store, schema
from unseen import Conformal, Detector, Method, __version__
from unseen.methods import METHODS

Array = NDArray[np.float64]
COLUMNS = 6
CALIBRATED = 199  # rows that calibrate, of kind `fixed`
PART = 500  # calibration sets scored at once
KEY = ("method", "kind", "refits", "version")
LISTS = {"shares": pa.list_(REAL), "rows": pa.list_(pa.int64())}
WHOLES = {"refits": pa.int64(), "m": pa.int64()}
SCHEMA = schema(text=["method", "kind", "version", "error"], real=["power"], **LISTS, **WHOLES)


def main() -> None:
    parser = resumable(__doc__, "validity.parquet", limit=3600)
    add = parser.add_argument
    add("--method", nargs="+", choices=METHODS, default=list(METHODS))
    add("--kind", nargs="+", choices=[*KINDS, *ONE_PASS], default=[*KINDS, *ONE_PASS])
    add("--groups", type=int, default=5_000, help="fixed: independent calibration sets")
    add("--refits", type=int, default=40, help="all others: independent fits")
    chosen = parser.parse_args()
    sizes = dict.fromkeys([*KINDS, *ONE_PASS], chosen.refits) | {"fixed": chosen.groups}
    jobs = [
        dict(zip(KEY, (method, kind, sizes[kind], __version__), strict=True))
        for kind in chosen.kind
        for method in chosen.method
        if kind not in ONE_PASS or hasattr(METHODS[method], "train_calibrated")
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    chosen.out.with_suffix(".md").write_text(validity(chosen.out, chosen.out.parent))


def one_run(job: Record) -> Record:
    """Shares flagged at each alpha, and the number of independent rows that they are worth."""
    method, count, power = METHODS[job["method"]], job["refits"], None
    if job["kind"] == "fixed":
        m, shares = CALIBRATED, fixed(method, count, seed=list(METHODS).index(job["method"]))
    else:
        m, shares, power = refits(
            cheap(method) if job["kind"] in KINDS else method, job["kind"], count
        )
    variance, mean = shares.var(axis=0, ddof=1), shares.mean(axis=0)
    clustered = (variance > 0) & (job["kind"] != "fixed")
    worth = mean * (1 - mean) / np.where(variance > 0, variance, 1) * len(shares)
    rows = np.where(clustered, worth, len(shares)).round().astype(int)
    return {"m": m, "shares": mean.tolist(), "rows": rows.tolist(), "power": power}


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
    """Rows of few values: categories, of which one depends on another, and small numbers."""
    state = rng.choice(["idle", "run", "stop"], n, p=[0.6, 0.3, 0.1])
    load = np.where(state == "run", rng.integers(1, 4, n), 0)
    setting = [0.1, 2.5, 40.0]
    table = pd.DataFrame({"state": state, "mode": rng.choice(["a", "b"], n, p=[0.8, 0.2])})
    table = table.assign(alert=rng.random(n) < 0.05, load=load)
    return table.assign(setting=rng.choice(setting, n, p=[0.7, 0.2, 0.1]))


def discrete_training(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """n normals and a few labelled anomalies of three classes."""
    y = np.repeat([0, 1, 2, 3], [n, *[LABELLED // 3] * 3])
    table = discrete(len(y), rng)
    table.loc[y == 1, ["load", "state"]] = [3, "idle"]
    table.loc[y == 2, ["setting", "alert"]] = [40.0, True]
    table.loc[y == 3, ["mode", "state"]] = ["b", "stop"]
    return table, y


def with_new_value(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """In each row a value that training never shows, in a column drawn at random."""
    values = {"state": "reset", "mode": "c", "load": 60, "setting": 900.0}
    drawn = rng.choice(list(values), len(table))
    return table.assign(**{n: table[n].where(drawn != n, value) for n, value in values.items()})


def fixed(method: Method, groups: int, *, seed: int) -> Array:
    """One trained scorer, independent calibration sets and a fresh row each: (groups, alphas)."""
    rng = np.random.default_rng([1, seed])
    detector = Detector(method, calibration=0.2, random_state=0).fit(*training(1000, rng))
    p: list[float] = []
    while len(p) < groups:
        part = min(PART, groups - len(p))
        scores = detector.anomaly_score(normals(part * (CALIBRATED + 1), rng))
        each = scores.reshape(part, CALIBRATED + 1)
        p += [Conformal.fit(group[:-1]).pvalue(group[-1:])[0] for group in each]
    return (np.array(p)[:, None] <= ALPHAS).astype(float)


def refits(method: Method, kind: str, count: int) -> tuple[int, Array, float | None]:
    """Independent fits: calibration rows, shares flagged (count, alphas), power at 0.05."""
    rows_of = kind.removeprefix("one pass, ")
    times = {"twice": 2, "ten times": 10}.get(rows_of, 1)
    n = 400 // min(times, 4)
    shares, power, m = [], [], 0
    for seed in range(count):
        rng, few = np.random.default_rng([2, seed]), rows_of == "discrete"
        rows: Any = discrete_training(n, rng) if few else training(n, rng, times)
        calibration = None if kind in ONE_PASS else 5 if kind == "folds" else 0.5
        detector = Detector(method, calibration=calibration, random_state=seed).fit(*rows)
        fresh: Any = discrete(FRESH, rng) if few else normals(FRESH, rng)
        shares.append((detector.pvalue(fresh)[:, None] <= ALPHAS).mean(axis=0))
        if few:
            power.append((detector.pvalue(with_new_value(fresh, rng)) <= 0.05).mean())
        m = len(detector.conformal_.scores)
    return m, np.array(shares), float(np.mean(power)) if power else None


def cheap(method: Method) -> Method:
    """The same method with fewer steps and trees, and so the methods in its tuples."""
    values = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    less: dict[str, Any] = {k: v for k, v in CHEAP.items() if v < values.get(k, 0)}
    for name, value in values.items():
        if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            less[name] = tuple(cheap(inner) for inner in value)
    return dataclasses.replace(method, **less)

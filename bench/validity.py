"""Conformal validity: the share of fresh normal rows with p <= alpha, for every method.

`fixed`: a trained scorer is kept, and each of many independent groups from a large pool gives m calibration scores and
one fresh row, so that the count is exactly binomial with chance floor(alpha (m + 1)) / (m + 1).
`split`, `folds`: whole refits of the Detector on independent draws, with one split and cross-conformal. Fresh rows of
one refit share its calibration set, so their count is not binomial: the interval is that of as many independent rows as
have the same variance as the refits show (`n`).

Two things make p-values larger than they need be, which is safe: ties between scores (a forest's votes), and, across
folds, scorers that disagree on how normal rows rank: Vovk's cross-conformal p-value averages their ranks.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom

from bench import show, verdict
from unseen.calibrate import Conformal
from unseen.detector import Detector
from unseen.methods import METHODS
from unseen.methods.evidence import LEARNERS
from unseen.types import Method

Array = NDArray[np.float64]
ALPHAS = (0.01, 0.05, 0.1, 0.2)
COLUMNS, LABELLED = 6, 12
FRESH = 100  # fresh rows of a refit
INSIDE = 6  # the column of the table that judges
CHEAP = {"steps": 200, "episodes": 4, "inner_steps": 15, "outer_steps": 15, "batch": 64, "trees": 20, "folds": 2}


def main() -> None:
    """Share of normals flagged, with the binomial 99% interval around the share that is due."""
    options = argparse.ArgumentParser(prog="python -m bench.validity", description=main.__doc__)
    options.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--groups", type=int, default=20_000, help="fixed: independent calibration sets")
    options.add_argument("--refits", type=int, default=100, help="split and folds: independent fits")
    options.add_argument("--normals", type=int, default=400, help="split and folds: normals of a fit")
    options.add_argument("--calibration", type=int, default=199, help="fixed: calibration normals m")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for name in chosen.method:
        flags = fixed(METHODS[name], chosen.groups, chosen.calibration, seed=list(METHODS).index(name))
        rows += lines(name, "fixed", chosen.calibration, flags)
        for kind, calibration in {"split": 0.5, "folds": 5}.items():
            m = chosen.normals if kind == "folds" else (chosen.normals + 1) // 2
            shares = refits(cheap(METHODS[name]), calibration, chosen.refits, chosen.normals)
            rows += lines(name, kind, m, shares)
    print(f"{COLUMNS} columns, {LABELLED} labelled anomalies; refits with at most {CHEAP}")
    columns = ["method", "calibration", "alpha", "due", "share", "99% interval", "inside", "n"]
    show("Share of fresh normals with p <= alpha", columns, rows)
    outside = [row[INSIDE] for row in rows if row[INSIDE] != "yes"]
    low = sum(word != "NO" for word in outside)
    print(f"{len(rows)} shares: {len(outside) - low} above their interval, {low} below; 1 in 100 would be by chance")


def normals(n: int, rng: np.random.Generator) -> Array:
    """Correlated rows with heavy tails and one skewed column: (n, d)."""
    mix = np.random.default_rng(0).normal(size=(COLUMNS, COLUMNS))
    x = rng.standard_t(5, size=(n, COLUMNS)) @ mix
    x[:, 0] = np.exp(x[:, 0] / 3)
    return x


def training(n: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """n normals and a few labelled anomalies of three classes."""
    y = np.repeat([0, 1, 2, 3], [n, *[LABELLED // 3] * 3])
    x = normals(len(y), rng)
    x[y > 0] += 6.0 * (np.arange(COLUMNS) % 3 == y[y > 0, None] - 1)
    return x, y


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


def refits(method: Method, calibration: float | int, count: int, n: int) -> Array:
    """Independent fits, each judged on fresh rows: shares flagged (count, alphas)."""
    shares = []
    for seed in range(count):
        rng = np.random.default_rng([2, seed])
        detector = Detector(method, calibration=calibration, random_state=seed).fit(*training(n, rng))
        shares.append((detector.pvalue(normals(FRESH, rng))[:, None] <= ALPHAS).mean(axis=0))
    return np.array(shares)


def cheap(method: Method) -> Method:
    """The same method with fewer steps and trees, of a stack its learners too, for refits: validity needs no skill."""
    less = {k: v for k, v in CHEAP.items() if v < getattr(method, k, 0)}
    for field in LEARNERS:
        if learners := getattr(method, field, ()):
            less[field] = tuple(cheap(learner) for learner in learners)
    return dataclasses.replace(method, **less)  # type: ignore[type-var]


def lines(name: str, kind: str, m: int, shares: Array) -> list[list[str]]:
    """Rows of the table from shares of independent draws (draws, alphas)."""
    rows = []
    for alpha, share, variance in zip(ALPHAS, shares.mean(axis=0), shares.var(axis=0, ddof=1), strict=True):
        due = np.floor(alpha * (m + 1) + 1e-9) / (m + 1)
        clustered = kind != "fixed" and variance > 0
        n = round(share * (1 - share) / variance * len(shares)) if clustered else len(shares)
        low, high = binom.interval(0.99, n, due)
        inside = "yes" if low <= round(share * n) <= high else "LOW (safe)" if share < due else verdict(False)
        bounds = f"{low / n:.4f} - {high / n:.4f}"
        rows.append([name, f"{kind}, m={m}", f"{alpha}", f"{due:.4f}", f"{share:.4f}", bounds, inside, f"{n:,}"])
    return rows


if __name__ == "__main__":
    main()

"""Seconds to fit and rows scored per second, method by method: 10,000 rows x 120 columns, 30 of them labelled.

python -m bench.speed --profile        # and where the time of the default goes
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bench import show, verdict
from unseen.detector import Detector
from unseen.methods import DEFAULT, METHODS
from unseen.parts.scoring import CHUNK, scores

ROWS, COLUMNS, LABELLED, CLASSES = 10_000, 120, 30, 3
FIT_SECONDS, DEFAULT_RATE, LIGHT_RATE = 15.0, 50_000, 500_000
LIGHT = {"mahalanobis", "devnet", "multi-directional", "isolation-forest"}


def main() -> None:
    """Time every method: median over repetitions, and the range."""
    options = argparse.ArgumentParser(prog="python -m bench.speed", description=main.__doc__)
    options.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--rows", type=int, default=65_536, help="rows scored at once")
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--profile", action="store_true", help="show what each part of the default costs")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    x, y = sample(ROWS, LABELLED)
    fresh, _ = sample(chosen.rows, 0)
    fitted = {}
    rows = []
    for name in chosen.method:
        fitted[name] = Detector(METHODS[name], random_state=0)
        seconds = timed(lambda name=name: fitted[name].fit(x, y), chosen.repeat)
        fitted[name].anomaly_score(fresh[:CHUNK])
        rates = [len(fresh) / s for s in timed(lambda name=name: fitted[name].anomaly_score(fresh), chosen.repeat)]
        rows.append(line(name, seconds, rates))
    title = f"{ROWS:,} x {COLUMNS} with {LABELLED} labels, {chosen.threads} threads: median of {chosen.repeat} (range)"
    show(title, ["method", "fit s", "target", "rows/s", "target"], rows)
    if chosen.profile:
        detector = fitted.get("evidence-stack") or Detector(random_state=0).fit(x, y)
        show(
            "Scoring: parts of the default",
            ["part", "µs a row", "share"],
            scoring_parts(detector, fresh, chosen.repeat),
        )
        show("Fitting: parts of the default", ["part", "seconds", "share"], fitting_parts(x, y))


def sample(rows: int, labelled: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Correlated normals with heavy tails, the last `labelled` rows of three shifted classes: (n, d), (n,)."""
    mix = np.random.default_rng(0).normal(size=(COLUMNS // 4, COLUMNS))
    rng = np.random.default_rng(rows)
    x = rng.standard_t(4, size=(rows, COLUMNS // 4)) @ mix + 0.3 * rng.normal(size=(rows, COLUMNS))
    y = np.zeros(rows, dtype=np.int64)
    if labelled:
        y[-labelled:] = 1 + np.arange(labelled) % CLASSES
    x += np.where(y > 0, 8.0, 0.0)[:, None] * (np.arange(COLUMNS) % (CLASSES + 1) == y[:, None])
    return x.astype(np.float32), y


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each repetition."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def line(name: str, seconds: list[float], rates: list[float]) -> list[str]:
    """A method's row of the table."""
    fit, rate = float(np.median(seconds)), float(np.median(rates))
    least = LIGHT_RATE if name in LIGHT else DEFAULT_RATE
    limit = f"{FIT_SECONDS:.0f} {verdict(fit <= FIT_SECONDS)}" if METHODS[name] is DEFAULT else "-"
    spans = f"{fit:.2f} ({min(seconds):.2f}-{max(seconds):.2f})", f"{rate:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
    return [name, spans[0], limit, spans[1], f"{least:,} {verdict(rate >= least)}"]


def scoring_parts(detector: Detector, fresh: NDArray[np.float32], repeat: int) -> list[list[str]]:
    """Encoding and each member of the stack, apart."""
    [fold] = detector.members_
    encoded = torch.from_numpy(fold.schema.encode(fresh))
    device = torch.device("cpu")
    parts = {"encode": lambda: fold.schema.encode(fresh)}
    for number, (method, member) in enumerate(zip(DEFAULT.members, fold.scorer.members, strict=True)):
        weight = float(fold.scorer.weights[number])
        parts[f"{method} (weight {weight:.2f})"] = lambda member=member: scores(member, encoded, device)
    costs = {name: 1e6 * float(np.median(timed(part, repeat))) / len(fresh) for name, part in parts.items()}
    return shares(costs, 2)


def fitting_parts(x: NDArray[np.float32], y: NDArray[np.int64]) -> list[list[str]]:
    """What a stack of each member alone takes: its cross-fitting and its final fit, beside the schema's share."""
    costs = {"schema (inferred, relearned, encoded)": timed(lambda: Detector(METHODS["mahalanobis"]).fit(x, y), 1)[0]}
    for method in DEFAULT.members:
        alone = Detector(type(DEFAULT)(members=(method,)), random_state=0)
        costs[str(method)] = max(timed(lambda alone=alone: alone.fit(x, y), 1)[0] - next(iter(costs.values())), 0.0)
    return shares(costs, 2)


def shares(costs: dict[str, float], digits: int) -> list[list[str]]:
    total = sum(costs.values())
    rows = [[name, f"{cost:.{digits}f}", f"{cost / total:.0%}"] for name, cost in costs.items()]
    return [*rows, ["sum", f"{total:.{digits}f}", "100%"]]


if __name__ == "__main__":
    main()

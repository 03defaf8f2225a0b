"""Seconds to fit and rows scored per second, method by method: 5,000 rows x 120 columns, 30 of them labelled.

python -m bench.speed --profile        # and where the time of the default goes

Where PyOD is installed, its XGBOD is fitted beside ours, in the same run. Other programs that keep the cores busy lower
the rows scored per second; they leave the processor time of a row as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bench import show, verdict
from bench.machine import machine, now, versions
from bench.peers import PEERS
from unseen.detector.detector import Detector
from unseen.methods import DEFAULT, METHODS
from unseen.methods.evidence import VIEWS, EvidenceStack
from unseen.parts.evidence import seen_as
from unseen.parts.scoring import CHUNK, scores

ROWS, COLUMNS, LABELLED, CLASSES = 5000, 120, 30, 3
FIT_SECONDS, DEFAULT_RATE, LIGHT_RATE = 10.0, 50_000, 500_000
LIGHT = {"mahalanobis", "devnet", "isolation-forest"}
RIVAL = "pyod-xgbod"
BLOCK = 50_000  # rows drawn at once


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
    Detector(random_state=0).fit(x[-500:], y[-500:])  # imports and thread pools
    print(f"{machine()}; {versions()}; {now()}")
    rows = [timed_method(name, x, y, fresh, chosen.repeat) for name in chosen.method]
    rows += rival(x, y, chosen.repeat)
    title = f"{ROWS:,} x {COLUMNS} with {LABELLED} labels, {chosen.threads} threads: median of {chosen.repeat} (range)"
    show(title, ["method", "fit s", "target", "rows/s", "target", "CPU µs a row"], rows)
    if chosen.profile:
        detector = Detector(random_state=0).fit(x, y)
        parts = scoring_parts(detector, fresh, chosen.repeat)
        show("Scoring: parts of the default", ["part", "µs a row", "share"], parts)
        show("Fitting: parts of the default", ["part", "seconds", "share"], fitting_parts(x, y, chosen.repeat))


def sample(rows: int, labelled: int, columns: int = COLUMNS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Correlated normals with heavy tails, the last `labelled` rows of three shifted classes: (n, d), (n,)."""
    mix = np.random.default_rng(0).normal(size=(columns // 4, columns))
    rng = np.random.default_rng(rows)
    x = np.empty((rows, columns), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        n = len(x[start : start + BLOCK])
        x[start : start + n] = rng.standard_t(4, size=(n, columns // 4)) @ mix + 0.3 * rng.normal(size=(n, columns))
    y = np.zeros(rows, dtype=np.int64)
    if labelled:
        y[-labelled:] = 1 + np.arange(labelled) % CLASSES
        x[-labelled:] += 8.0 * (np.arange(columns) % (CLASSES + 1) == y[-labelled:, None])
    return x, y


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each repetition."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def timed_method(
    name: str, x: NDArray[np.float32], y: NDArray[np.int64], fresh: NDArray[np.float32], repeat: int
) -> list[str]:
    """A method's row of the table."""
    detector = Detector(METHODS[name], random_state=0)
    seconds = timed(lambda: detector.fit(x, y), repeat)
    detector.anomaly_score(fresh[:CHUNK])
    before = time.process_time()
    rates = [len(fresh) / s for s in timed(lambda: detector.anomaly_score(fresh), repeat)]
    spent = 1e6 * (time.process_time() - before) / repeat / len(fresh)
    fit, rate = float(np.median(seconds)), float(np.median(rates))
    least = LIGHT_RATE if name in LIGHT else DEFAULT_RATE
    limit = f"{FIT_SECONDS:.0f} {verdict(fit <= FIT_SECONDS)}" if METHODS[name] is DEFAULT else "-"
    goal = f"{least:,} {verdict(rate >= least)}"
    return [name, spanned(seconds, ".2f"), limit, spanned(rates, ",.0f"), goal, f"{spent:.1f}"]


def rival(x: NDArray[np.float32], y: NDArray[np.int64], repeat: int) -> list[list[str]]:
    """XGBOD's row of the table, which the default should not be slower than; none where it is not installed."""
    peer = PEERS[RIVAL]
    if peer.version() is None:
        return []
    table = pa.table({f"x{j}": column for j, column in enumerate(x.T)})
    kinds = np.where(y > 0, "anomaly", "normal").astype(object)
    seconds = timed(lambda: peer.fit(table, kinds, 0), repeat)
    return [[f"{RIVAL} ({peer.version()})", spanned(seconds, ".2f"), *["-"] * 4]]


def spanned(values: list[float], form: str) -> str:
    """Median and range."""
    return f"{np.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def scoring_parts(detector: Detector, fresh: NDArray[np.float32], repeat: int) -> list[list[str]]:
    """Encoding and each part of the stack, apart."""
    [fold] = detector.members_
    stack, device = fold.scorer, torch.device("cpu")
    deviation = stack.deviation
    encoded = torch.from_numpy(fold.schema.encode(fresh))
    described = torch.cat([deviation(chunk) for chunk in encoded.split(CHUNK)])
    both = torch.cat([encoded, described], dim=1)
    d = encoded.shape[1]
    said = torch.cat([stack.evidence(b[:, :d], b[:, d:]) for b in both.split(CHUNK)], dim=1).T
    measured = {
        "whitening": (deviation.whiten, encoded),
        "neighbours": (deviation.raw, encoded),
        "neighbours, whitened": (deviation.whitened, encoded),
        "without flags": (deviation.numbers, encoded),
        "without logarithms": (deviation.plain, encoded),
        "ratio": (lambda b: stack.ratio(b[:, :d], deviation, b[:, d:]), both),
        **{
            f"{method} of {view}": (learner, seen_as(encoded, described)[view])
            for (method, view), learner in zip(DEFAULT.learners, stack.learners, strict=True)
        },
        "surprises": (lambda s: stack.surprise(s.T).T, said),
    }
    costs = {"encoding": min(timed(lambda: fold.schema.encode(fresh), repeat))}
    for name, (part, rows) in measured.items():
        costs[name] = min(timed(lambda part=part, rows=rows: scores(part, rows, device), repeat))
    return shares({name: 1e6 * seconds / len(fresh) for name, seconds in costs.items()}, 2)


def fitting_parts(x: NDArray[np.float32], y: NDArray[np.int64], repeat: int) -> list[list[str]]:
    """What the schema takes, what measures add, and what each learner adds to a stack of measures alone."""

    def fitting(method: object) -> float:
        return min(timed(lambda: Detector(method, random_state=0).fit(x, y), repeat))

    bare = EvidenceStack()
    schema, measures = fitting(METHODS["mahalanobis"]), fitting(bare)
    costs = {"schema (inferred, relearned, encoded)": schema, "base_scores": max(measures - schema, 0.0)}
    for field, view in VIEWS.items():
        for learner in getattr(DEFAULT, field):
            more = fitting(dataclasses.replace(bare, **{field: (learner,)}))  # type: ignore[arg-type]
            costs[f"{learner} of {view}"] = max(more - measures, 0.0)
    return shares(costs, 2)


def shares(costs: dict[str, float], digits: int) -> list[list[str]]:
    total = sum(costs.values())
    rows = [[name, f"{cost:.{digits}f}", f"{cost / total:.0%}"] for name, cost in costs.items()]
    return [*rows, ["sum", f"{total:.{digits}f}", "100%"]]


if __name__ == "__main__":
    main()

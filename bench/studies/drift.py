"""Drift: false alarms of the monitor, rows until it tells of a change, p-values made anew.

python -m bench drift
python -m bench drift --short
python -m bench drift --part false --streams 50

Data sets: normals of the train file that did not train, then normals of the test file; each part in
random order, so that rows depend on one another in time no more than calibration rows do.
"""

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.data.sets import SETS
from bench.pages.text import show, spread
from bench.runs.command import options
from bench.runs.machine import machine, now, versions
from unseen import Detector
from unseen.detector.drift import ScoreRanks
from unseen.detector.martingale import Martingale
from unseen.detector.recalibrate import left_out

Array = NDArray[np.float64]
Draw = Callable[[int], Array]
LEVELS, LENGTH, CALIBRATION = (0.05, 0.01), 5_000, (200, 1_000)
# normals that train, and that come before the change; three in ten of the former calibrate
NORMALS = {"nsl_kdd": (4_000, 2_000), "tep": (350, 150)}
AFTER, RECENT = 2_000, 1_000  # later normals
METHODS = ("mahalanobis", "evidence-stack")
SHARE = 0.02  # anomalies among recent rows


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--part", nargs="+", choices=PARTS, default=list(PARTS))
    add("--streams", type=int, default=200, help="null streams of each sort")
    add("--seeds", type=int, default=5, help="draws of each data set")
    add("--method", nargs="+", choices=METHODS, default=list(METHODS))
    add("--short", action="store_true", help="20 streams, one draw, one method")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.streams, chosen.seeds, chosen.method = 20, 1, METHODS[:1]
    print(f"{machine()}; {versions()}; {now()}\n")
    for name in chosen.part:
        start = time.monotonic()
        PARTS[name](chosen)
        print(f"\n{name}: {time.monotonic() - start:.0f} s\n", flush=True)


def false_alarms(chosen) -> None:
    """How many null streams reach each level: simulated scores, and whole detectors."""
    rows = []
    for m in CALIBRATION:
        found = np.array([null_stream(m, seed) for seed in range(chosen.streams)])
        for level in LEVELS:
            online, fixed = (found <= level).sum(axis=0)
            rows.append([f"scores, {m:,} calibration rows", f"{level}", f"{online}", f"{fixed}"])
    for m in CALIBRATION:
        told = [whole_detector(m, seed) for seed in range(chosen.streams)]
        for k, level in enumerate(LEVELS):
            alarms = sum(each[k] for each in told)
            name = f"mahalanobis, {m:,} calibration rows, all tests"
            rows.append([name, f"{level}", f"{alarms}", ""])
    title = f"Of {chosen.streams} streams of {LENGTH:,} rows without a change, alarms"
    columns = ["stream", "level", "monitor", "ranks in the calibration alone"]
    show(title, columns, rows)


def null_stream(m: int, seed: int) -> tuple[float, float]:
    """The lowest chance that the monitor ever states, and by ranks in fixed calibration rows."""
    rng = np.random.default_rng([1, m, seed])
    calibration, scores = rng.normal(size=m), rng.normal(size=LENGTH)
    ranks = ScoreRanks(calibration, LEVELS[0], rng)
    ranks.see(scores, np.arange(LENGTH))
    above = m - np.searchsorted(np.sort(calibration), scores)
    fixed = Martingale().play((above + rng.random(LENGTH)) / (m + 1)).max()
    return ranks.found(0.0)["chance"], float(np.exp(-fixed))


def mixed_rows(n: int, rng: np.random.Generator) -> pa.Table:
    """Correlated numbers with heavy tails, a category with rare levels, yes and no, and gaps."""
    x = rng.standard_t(5, size=(n, 4)) @ np.random.default_rng(0).normal(size=(4, 4))
    gap = np.where(rng.random(n) < 0.1, np.nan, rng.exponential(size=n))
    kind = rng.choice([*"abcdefgh"], n, p=[0.5, 0.3, 0.1, 0.06, 0.02, 0.01, 0.005, 0.005])
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    return pa.table(columns | {"gap": gap, "kind": kind, "on": rng.random(n) < 0.2})


def whole_detector(m: int, seed: int) -> list[bool]:
    """Whether a fresh detector calls fresh rows drift, for each level."""
    rng = np.random.default_rng([2, m, seed])
    detector = Detector("mahalanobis", calibration=m / (m + 500), random_state=seed)
    detector.fit(mixed_rows(m + 500, rng))
    stream = mixed_rows(LENGTH, rng)
    return [detector.drift(stream, level=level).drifted for level in LEVELS]


def normals_and_anomalies(name: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Normals of the train file and of the test file, and the test file's anomalies, each once."""
    source = SETS[name]
    parts = []
    for table in source.tables():
        normal = np.array([str(v) == "normal" for v in table[source.label].to_pylist()])
        rows = table.drop_columns([source.label])
        parts += [rows.take(np.flatnonzero(mask)) for mask in (normal, ~normal)]
    return parts[0], parts[2], parts[3]


def shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    return table.take(rng.permutation(len(table)))


def fitted(method: str, rows: pa.Table, seed: int) -> Detector:
    name = None if method == "evidence-stack" else method
    return Detector(name, calibration=0.3, random_state=seed).fit(rows)


def delays(chosen) -> None:
    """Rows from a change to the alarm, and what is found."""
    rows = []
    for name in NORMALS:
        train, test, _ = normals_and_anomalies(name)
        training, before = NORMALS[name]
        for method in chosen.method:
            found = []
            for seed in range(chosen.seeds):
                rng = np.random.default_rng([3, seed])
                old, new = shuffled(train, rng), shuffled(test, rng)
                detector = fitted(method, old.slice(0, training), seed)
                held = old.slice(training, before)
                drift = detector.drift(pa.concat_tables([held, new.slice(0, AFTER)]))
                quiet = detector.drift(held).drifted
                found.append((len(held), drift, quiet))
            late = [d.alarm - n for n, d, _ in found if d.alarm is not None and d.alarm > n]
            early = sum(d.alarm is not None and d.alarm <= n for n, d, _ in found)
            begins = [d.since - n - 1 for n, d, _ in found if d.since is not None]
            rows.append(
                [
                    f"{name}, {method}",
                    f"{sum(d.drifted for _, d, _ in found)} of {len(found)}",
                    f"{len(late)} of {len(found)}",
                    spread(late, 0),
                    spread(begins, 0),
                    str(early + sum(quiet for _, _, quiet in found)),
                    spread([d.flagged for _, d, _ in found]),
                    spread([d.far / d.rows for _, d, _ in found]),
                    spread([len(d.moved) for _, d, _ in found], 1),
                ]
            )
    columns = ["data", "drift found", "by the martingale", "rows until its alarm"]
    columns += ["stated beginning, rows off", "alarms before", "flagged", "far out", "columns"]
    show(f"Normals of another time, {chosen.seeds} draws, level 0.01", columns, rows)


def recalibrations(chosen) -> None:
    """Share of the test file's normals with p <= 0.05 before and after, with anomalies inside."""
    rows = []
    for name in NORMALS:
        train, test, anomalies = normals_and_anomalies(name)
        training, _ = NORMALS[name]
        for method in chosen.method:
            found = []
            for seed in range(chosen.seeds):
                rng = np.random.default_rng([4, seed])
                old, new, odd = (shuffled(t, rng) for t in (train, test, anomalies))
                detector = fitted(method, old.slice(0, training), seed)
                bad = round(SHARE * RECENT)
                given = pa.concat_tables([odd.slice(0, bad), new.slice(0, RECENT - bad)])
                fresh = new.slice(RECENT - bad)
                each = [detector, detector.recalibrate(given)]
                each.append(detector.recalibrate(given, anomalies=SHARE))
                found.append([(d.pvalue(fresh) <= 0.05).mean() for d in each])
            cells = (spread(column) for column in zip(*found, strict=True))
            rows.append([f"{name}, {method}", *cells])
    columns = ["data", "before", "recalibrated, nothing said", f"anomalies={SHARE}"]
    show(f"Normals with p <= 0.05, {chosen.seeds} draws", columns, rows)


SHAPES = {
    "exponential": lambda rng: rng.exponential,
    "normal": lambda rng: lambda size: rng.normal(size=size),
    "|t|, 4 degrees": lambda rng: lambda size: np.abs(rng.standard_t(4, size=size)),
    "log-normal": lambda rng: lambda size: rng.lognormal(size=size),
}


def corrections(chosen) -> None:
    """The same with simulated scores: what leaving out all, none, or `left_out` rows gives."""
    rows = []
    for name, shape in SHAPES.items():
        for there in (0.0, 0.5, 1.0):
            found = []
            for seed in range(chosen.streams):
                rng = np.random.default_rng([5, seed])
                draw = shape(rng)
                far = round(there * SHARE * RECENT)
                scores = np.sort(np.r_[draw(size=RECENT - far), np.full(far, 1e3)])
                most, fresh = round(SHARE * RECENT), draw(size=10_000)
                cuts = [scores[: RECENT - n] for n in (0, most, left_out(scores, SHARE))]
                found.append([(fresh > c[-int(0.05 * (len(c) + 1))]).mean() for c in cuts])
            cells = (spread(column) for column in zip(*found, strict=True))
            rows.append([f"{name}, {100 * there * SHARE:.0f}% anomalies", *cells])
    columns = ["scores", "none left out", f"{100 * SHARE:.0f}% left out", "as `recalibrate` does"]
    show(f"New normals with p <= 0.05, {chosen.streams} draws of {RECENT:,} rows", columns, rows)


PARTS = {
    "false": false_alarms,
    "delay": delays,
    "recalibrate": recalibrations,
    "correction": corrections,
}

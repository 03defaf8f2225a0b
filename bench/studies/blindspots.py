"""Expected recall on unseen kinds beside what came: does the stated interval cover?

python -m bench blindspots                     # six sets and development/classes, all rotations
python -m bench blindspots --families clustered --out pool.parquet    # chose the prior, too
python -m bench blindspots --families images --seen 2 3    # tiles and boards: 2 minutes a draw
python -m bench blindspots --short             # a minute

Classes of a set stand in a random order, and `--seen` neighbours in it are labelled, in every
rotation. What a detector expects of unseen kinds is compared with the share that it finds, on the
mean of a draw's unseen classes with 20 test rows or more. Of images 120 normal ones train, so that
a fit takes a minute, and at most 60 of a class test, 200 normal ones.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.data.pool import CLASSES, stems, table_of
from bench.data.products import product
from bench.data.sets import DEVELOPMENT, SETS
from bench.pages.text import show
from bench.runs.command import finish, resumable
from bench.runs.entrants import own_version
from bench.runs.open_set import Data, read
from bench.runs.store import STAMPS, Record, Store, schema
from unseen import Detector
from unseen.data.split import class_halves
from unseen.detector.blindspots import BlindSpots, HiddenClass
from unseen.evaluation.choices import LEAST
from unseen.evaluation.draws import Draw

LEVELS = (0.01, 0.05, 0.1)
NORMALS = 2000
# by level, the one interval that scores best on the development tables, of 2 to 6 labelled classes
CONSTANT = {0.01: (0.0, 1.0), 0.05: (0.03, 1.0), 0.1: (0.07, 1.0)}
FAMILIES = ("six", "classes", "clustered", "images")
IMAGES = ("magnetic_tile", "boards")  # the second is development data
FEW = 120  # normal images that train
TESTED, TESTED_NORMALS = 60, 200  # images of a class, and normal ones, that test
KEY = ("family", "set", "seed", "rotation", "seen", "shots", "version")
SCHEMA = schema(
    text=["family", "set", "version", "error", *STAMPS],
    whole=["seed", "rotation", "seen", "shots", "train_rows", "test_rows"],
    real=["fit_seconds"],
    hidden=pa.list_(pa.list_(pa.float64())),  # split, class and p-value of what was held out
    found=pa.list_(pa.list_(pa.float64())),  # of each unseen class the share found, by level
    flagged=pa.list_(pa.float64()),  # of the test normals, by level
)


def names_of(family: str) -> list[str]:
    """The sets of a family."""
    tables = {"six": list(SETS), "classes": stems(CLASSES), "clustered": list(DEVELOPMENT)}
    return (tables | {"images": list(IMAGES)})[family]


@cache
def data_of(family: str, name: str, maps: Path | None = None) -> Data:
    """A set with a number for each row, the same for copies; of images their maps, kept there."""
    if family == "six":
        return read(name)
    if family == "images":
        seen, labels = product(name, maps)
        classes = ["normal", *sorted(set(labels) - {"normal"})]
        of_class = {label: code for code, label in enumerate(classes)}
        codes = np.array([of_class[label] for label in labels])
        return Data(seen, codes, seen, codes, tuple(classes[1:]), seen.identical())
    rows, codes, alike = table_of(family, name)
    return Data(
        rows, codes, rows, codes, tuple(f"class {k}" for k in range(1, codes.max() + 1)), alike
    )


def eligible(data: Data, shots: int) -> list[int]:
    """Codes of classes with enough rows to be labelled."""
    halved = 1 if data.alike is None else 2
    counts = np.bincount(data.codes) // halved
    return [c for c in range(1, len(counts)) if counts[c] >= shots]


def rotated(data: Data, seed: int, rotation: int, seen: int, shots: int) -> Draw:
    """The rows of one rotation; normals and test rows stay through all of a seed's."""
    rng = np.random.default_rng(seed)
    train, test = np.arange(len(data.codes)), np.arange(len(data.answers))
    if data.alike is not None:
        train, test = class_halves(data.codes, rng)
        test = test[~np.isin(data.alike[test], data.alike[train])]
    order = rng.permutation(eligible(data, shots))
    shown = tuple(sorted(np.roll(order, -rotation)[:seen].tolist()))
    shuffled = rng.permutation(train)
    rows = [shuffled[data.codes[shuffled] == c][: shots if c else NORMALS] for c in (0, *shown)]
    y = np.repeat([0, *shown], [len(r) for r in rows]).astype(np.int64)
    return Draw(np.concatenate(rows), y, shown, test)


def rotated_images(data: Data, seed: int, rotation: int, seen: int, shots: int) -> Draw:
    """The same of images: few as they are, those that do not train may test."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(eligible(data, shots))
    shown = tuple(sorted(np.roll(order, -rotation)[:seen].tolist()))
    shuffled = rng.permutation(len(data.codes))
    of = [shuffled[data.codes[shuffled] == c] for c in range(len(data.names) + 1)]
    rows = [of[c][: shots if c else FEW] for c in (0, *shown)]
    y = np.repeat([0, *shown], [len(r) for r in rows]).astype(np.int64)
    train = np.concatenate(rows)
    assert data.alike is not None
    rest = [each[~np.isin(data.alike[each], data.alike[train])] for each in of]
    tests = [each[: TESTED if c else TESTED_NORMALS] for c, each in enumerate(rest)]
    return Draw(train, y, shown, np.concatenate(tests))


def one_run(job: Record) -> Record:
    """Fit once: what was held out, and what is found of each unseen class."""
    data = data_of(job["family"], job["set"], job.get("cache"))
    rotate = rotated_images if job["family"] == "images" else rotated
    draw = rotate(data, *(job[name] for name in ("seed", "rotation", "seen", "shots")))
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    detector = Detector(random_state=job["seed"]).fit(data.train.take(draw.train), kinds)
    pvalues = detector.pvalue(data.tested.take(draw.test))
    answers = data.answers[draw.test]
    counts = np.bincount(answers, minlength=len(data.names) + 1)
    unseen = [c for c in range(1, len(counts)) if counts[c] >= LEAST and c not in draw.seen]
    hidden = detector.members_[0].hidden
    return {
        "hidden": None if hidden is None else hidden.tolist(),
        "found": [shares(pvalues[answers == c]) for c in unseen],
        "flagged": shares(pvalues[answers == 0]),
        "train_rows": len(draw.train),
        "test_rows": len(draw.test),
    }


def shares(pvalues: NDArray[np.float64]) -> list[float]:
    """The shares of rows flagged at each level."""
    return [float((pvalues <= level + 1e-12).mean()) for level in LEVELS]


def outcomes(record: Record) -> list[Record]:
    """For each level what was foretold of one draw, and what came: the mean over its unseen
    classes.
    """
    hidden = np.array(record["hidden"])
    halved = len(np.unique(hidden[:, 1])) == 1
    kind = hidden[:, 0] if halved else hidden[:, 1]
    classes = tuple(
        HiddenClass("one" if halved else str(k), hidden[kind == k, 2], hidden[0, 3])
        for k in np.unique(kind)
    )
    found = []
    for j, level in enumerate(LEVELS):
        if level < classes[0].finest:
            continue
        spots, came = BlindSpots(level, classes), float(np.mean([f[j] for f in record["found"]]))
        found.append(
            {"family": record["family"], "set": record["set"], "seen": record["seen"]}
            | {"level": level, "came": came, "expected": spots.expected}
            | {"low": spots.low, "high": spots.high}
        )
    return found


def interval_score(low: Any, high: Any, came: Any) -> Any:
    """Width, and 20 times what lies outside of a 90% interval (Gneiting & Raftery 2007, eq. 43)."""
    return (high - low) + 20 * np.maximum(low - came, 0) + 20 * np.maximum(came - high, 0)


def tell(records: list[Record]) -> None:
    """A row for each family and level."""
    useful = [r for r in records if r["error"] is None and r["hidden"] and r["found"]]
    cases, rows = pd.DataFrame([case for r in useful for case in outcomes(r)]), []
    if cases.empty:
        return
    if cases["family"].nunique() > 1:
        cases = pd.concat([cases, cases.assign(family="all of these")])
    for (family, seen, level), part in cases.groupby(["family", "seen", "level"]):
        came = part["came"]
        covered = part["low"].le(came + 1e-9) & part["high"].ge(came - 1e-9)
        constant = interval_score(*CONSTANT[level], came).mean()
        figures = [covered.mean(), (part["high"] - part["low"]).mean()]
        figures += [interval_score(part["low"], part["high"], came).mean(), constant]
        figures += [part["expected"].mean(), came.mean()]
        name = f"{family}, {seen} labelled, {level:.0%}"
        rows.append([name, str(len(part)), *(f"{value:.3f}" for value in figures)])
    heads = ["coverage", "width", "interval score", "one interval", "expected", "came"]
    show("90% intervals for the recall of unseen classes", ["cases", "draws", *heads], rows)


def main() -> None:
    parser = resumable(__doc__, "blindspots.parquet")
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES[:2]))
    add("--sets", nargs="+", default=[], help="of them, these alone")
    add("--seen", nargs="+", type=int, default=[3], help="classes with labels")
    add("--shots", type=int, default=10, help="labelled rows of each")
    add("--seeds", type=int, default=1)
    add("--rotations", type=int, default=40, help="most of a set")
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of images")
    add("--short", action="store_true", help="two small tables, two rotations")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.families, chosen.sets, chosen.rotations = ["classes"], ["vowel", "segment"], 2
    jobs = [
        dict(zip(KEY, (family, name, seed, turn, seen, chosen.shots, own_version()), strict=True))
        for seed in range(chosen.seeds)
        for seen in chosen.seen
        for turn in range(chosen.rotations)
        for family in chosen.families
        for name in names_of(family)
        if not chosen.sets or name in chosen.sets
        if turn < len(eligible(data_of(family, name, chosen.cache), chosen.shots)) > seen
    ]
    store = Store(chosen.out, SCHEMA, KEY)
    finish(store, [job | {"cache": chosen.cache} for job in jobs], one_run, chosen)
    wanted = {store.key_of(job) for job in jobs}
    tell([record for record in store.records() if store.key_of(record) in wanted])


if __name__ == "__main__":
    main()

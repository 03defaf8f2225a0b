"""The page of `bench.studies.validity`."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from scipy.stats import binom

from bench.pages.text import fill, table
from bench.runs.store import Record
from unseen.methods import METHODS

ALPHAS = (0.01, 0.05, 0.1, 0.2)
MARK = {"": "", "above": " ▲", "below": " ▽"}
LABELLED, FRESH = 12, 100  # labelled anomalies, fresh rows of a refit
CHEAP = {"steps": 200, "episodes": 4, "inner_steps": 15, "outer_steps": 15, "batch": 64}
CHEAP |= {"trees": 20, "folds": 2}
KINDS = ("fixed", "split", "folds", "twice", "ten times", "discrete")
# of methods that calibrate themselves
ONE_PASS = ("one pass", "one pass, twice", "one pass, ten times", "one pass, discrete")


def validity(results: Path, out: Path) -> str:
    """A table of the shares at 0.05 by method and kind, and how many are above their interval."""
    records = [r for r in parquet.read_table(results).to_pylist() if r["error"] is None]
    every_kind = {(r["method"], r["kind"]): r for r in records if r["method"] in METHODS}
    by = {key: record for key, record in every_kind.items() if key[1] in KINDS}
    kinds = [kind for kind in KINDS if any(key[1] == kind for key in by)]
    judged = {key: outside(record) for key, record in by.items()}
    every = [each for marks in judged.values() for each in marks]
    rows = {}
    for method in METHODS:
        cells = [cell(by.get((method, k)), judged.get((method, k), [])) for k in kinds]
        if any(cells):
            rows[method] = cells
    count = len(METHODS) * len(KINDS)
    sizes = {
        kind: sorted({r["refits"] for r in by.values() if r["kind"] == kind}) for kind in KINDS
    }
    refits = sorted({n for kind in KINDS[1:] for n in sizes[kind]})
    return fill(
        "validity",
        version=", ".join(sorted({r["version"] for r in by.values()})),
        missing=""
        if len(by) == count
        else f"Not all runs are done yet; so far there are {len(by)}.",
        labelled=LABELLED,
        groups=", ".join(f"{n:,}" for n in sizes["fixed"] or [5000]),
        refits=", ".join(map(str, refits)),
        fresh=FRESH,
        cheap=", ".join(f"{name} {value}" for name, value in CHEAP.items()),
        table=table(rows, "method", kinds),
        power=f"{min((r['power'] for r in every_kind.values() if r['power']), default=0):.2f}",
        passes=", ".join(
            sorted({str(r["refits"]) for (_, kind), r in every_kind.items() if kind in ONE_PASS})
        ),
        one_pass=one_pass(every_kind),
        count=len(every),
        above=every.count("above"),
        below=every.count("below"),
    )


def one_pass(by: dict[tuple[str, str], Record]) -> str:
    """A table of the shares at all levels, by method and what repeats."""
    found = {f"{key[0]}, {key[1]}": record for key, record in by.items() if key[1] in ONE_PASS}
    rows = {}
    for name, record in found.items():
        marks = outside(record)
        cells = [
            f"{share:.3f}{MARK[mark]}" for share, mark in zip(record["shares"], marks, strict=True)
        ]
        rows[name] = [str(record["m"]), *cells]
    return table(rows, "of", ["normals", *map(str, ALPHAS)]) if rows else "None yet."


def outside(record: Record) -> list[str]:
    """For each alpha where the share lies by its 99% interval: "", "above" or "below" it."""
    found = []
    for alpha, share, n in zip(ALPHAS, record["shares"], record["rows"], strict=True):
        due = np.floor(alpha * (record["m"] + 1) + 1e-9) / (record["m"] + 1)
        low, high = binom.interval(0.99, n, due)
        flagged = round(share * n)
        found.append("" if low <= flagged <= high else "below" if flagged < low else "above")
    return found


def cell(record: Record | None, marks: list[str]) -> str:
    if record is None:
        return ""
    mark = " ▲" if "above" in marks else " ▽" if "below" in marks else ""
    return f"{record['shares'][ALPHAS.index(0.05)]:.3f}{mark}"

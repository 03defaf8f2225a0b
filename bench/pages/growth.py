"""The page of `bench.studies.growth`."""

from pathlib import Path

import pandas as pd

from bench.data.sets import SETS
from bench.pages.results import DEFAULT, failures, load, provenance
from bench.pages.text import fill, gain, sections, spread, table
from bench.runs.entrants import OURS

RIVAL = "catboost"
ROLES = ("unseen", "seen")


def growth(results: Path, out: Path) -> str:
    runs = load(results, ["labels"])
    done = runs[runs["error"].isna()]
    good = done[done["seen_auroc"].notna()]  # none where copies of training rows leave no test
    shown = good["set"].isin(SETS)
    groups = {"the six sets": good[shown], "development tables, which choose": good[~shown]}
    parts = []
    for words, part in groups.items():
        if len(part):
            parts += [curves(part, role, words) for role in ROLES]
            parts += [f"## The default less CatBoost: {words}", less(part)]
    return fill(
        "growth",
        provenance=provenance(good, OURS),
        spent=f"Fitting took {good['fit_cpu_seconds'].sum() / 60:.0f} minutes of one core.",
        parts=sections(*parts),
        ends=ends(good),
        without=", ".join(sorted({*done["set"]} - {*good["set"]})) or "none",
        failed=failures(results, ["set", "labels", "seed"]),
    )


def by_labels(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {f"{n} ({part['set'].nunique()} sets)": part for n, part in runs.groupby("labels")}


def curves(runs: pd.DataFrame, role: str, words: str) -> str:
    """A row for each method, a column for each number of labels: means over sets."""
    points, figure = by_labels(runs), f"{role}_auroc"
    means = {name: part.groupby(["method", "seed"])[figure].mean() for name, part in points.items()}
    rows = {
        str(method): [spread(each.get(method, [])).replace(" ", "") for each in means.values()]
        for method in runs["method"].unique()
    }
    return f"## AUROC of {role} classes: {words}\n\n{table(rows, 'method', list(points))}"


def less(runs: pd.DataFrame) -> str:
    """A row for each kind of class: what the default is above CatBoost, by labels."""
    points = by_labels(runs)
    rows = {}
    for role in ROLES:
        cells = []
        for part in points.values():
            pivot = {"index": ["set", "seed"], "columns": "method", "values": f"{role}_auroc"}
            paired = part.pivot_table(**pivot).reindex(columns=[DEFAULT, RIVAL])
            cells.append(gain(paired[DEFAULT] - paired[RIVAL]).replace(" ± ", "±"))
        rows[role] = cells
    return table(rows, "classes", list(points))


def ends(runs: pd.DataFrame) -> str:
    """Sets by the most labels that three classes of them can give."""
    most = runs.groupby("set")["labels"].max()
    lines = [f"* {n} rows a class: {', '.join(part.index)}" for n, part in most.groupby(most)]
    return "\n".join(lines)

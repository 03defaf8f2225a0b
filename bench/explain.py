"""On a method's page: why it lies below its baseline on unseen classes, from the runs of bench.why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.causes import CAUSES, changed, label
from bench.results import load
from bench.standing import Standing, link
from bench.tables import markdown, spelled
from unseen.evaluation.choices import LEAST
from unseen.methods import METHODS

EVIDENCE = Path("docs/benchmarks/why.parquet")
ALONG = {  # where an anomaly lies -> its thirds, lowest values first
    "direction": ("in directions least like a labelled anomaly's", "in between", "most like"),
    "distance": ("nearest to the normals", "in between", "farthest"),
    "column": ("least extreme in every single column", "in between", "most extreme in some column"),
}
RANKS = {"direction": "likeness of direction", "distance": "distance to the normals", "column": "the largest column"}
MEANING = {
    "direction": "*direction* (the largest cosine between a row's deviation from the normals' mean and that of a "
    "labelled anomaly, both whitened)",
    "distance": "*distance* to the nearest training normal, between whitened rows",
    "column": "their largest deviation in a single *column* (in standard deviations)",
}
CLASSES = 4  # of the unseen ones, furthest behind


def evidence(path: Path) -> pd.DataFrame:
    """Runs of bench.why that did not fail, of one version of each method; none where there is no file."""
    if not path.exists():
        return pd.DataFrame(columns=["set", "seed", "method", "baseline", "unseen_rows", "scorers"])
    runs = load(path, [])
    return runs[runs["error"].isna()]


def section(stands: Standing | None, found: pd.DataFrame) -> list[str]:
    """Paragraphs and tables: the cause in words, the classes that it loses, and where the anomalies lie that it loses.

    Nothing for a method that is not below its baseline.
    """
    if stands is None or not stands.is_below():
        return []
    mine = found[(found["method"] == stands.name) & (found["baseline"] == stands.baseline)]
    cause = CAUSES.get(stands.name)
    words = [cause.words] if cause and len(mine) else []
    return ["## Why it lies below", *words, *on_raw_features(stands, mine), *by_class(stands)]


def by_class(stands: Standing) -> list[str]:
    """The unseen classes that it is furthest behind in, from the runs behind the figures."""
    behind = classes(stands).sort_values("gap", kind="stable")[:CLASSES]
    rows = {
        f"{data}, {one}": [spelled(row[stands.name]), spelled(row[stands.baseline]), f"{row['gap']:+.3f}"]
        for (data, one), row in behind[behind["gap"] < 0].iterrows()
    }
    names = [f"`{stands.name}`", link(stands.baseline), "gap"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    words = f"Unseen classes, of at least {LEAST} test rows, where it is furthest behind; AUROC, mean over seeds:"
    return [words, markdown(table, "set, class")]


def classes(stands: Standing) -> pd.DataFrame:
    """AUROC of both in each unseen class with enough rows, over the seeds in which both met it, and the gap."""
    both = [stands.name, stands.baseline]
    found = [
        (run.set, one["class"], run.seed, run.method, one["auroc"])
        for run in stands.runs[stands.runs["method"].isin(both)].itertuples()
        for one in run.classes
        if one["role"] == "unseen" and one["rows"] >= LEAST
    ]
    table = pd.DataFrame(found, columns=["set", "class", "seed", "method", "auroc"])
    means = table.pivot_table(index=["set", "class", "seed"], columns="method", values="auroc", sort=False).dropna()
    means = means.groupby(level=["set", "class"], sort=False).mean()
    return means.assign(gap=means[stands.name] - means[stands.baseline])


def on_raw_features(stands: Standing, runs: pd.DataFrame) -> list[str]:
    """Where the anomalies lie that each scorer finds, in the sets with a run, furthest behind first."""
    if runs.empty:
        return []
    along = ["direction" if METHODS[stands.baseline].uses_labels else "column", "distance"]
    order = {data: place for place, data in enumerate(stands.by_gap("unseen_auroc").index)}
    columns = {
        f"{run.set}: {named(stands, one['scorer'])}": cells(one, along)
        for run in sorted(runs.itertuples(), key=lambda run: order.get(run.set, len(order)))
        for one in run.scorers
    }
    table = pd.DataFrame(columns, index=titles(along))
    seeds = " and ".join(str(seed) for seed in sorted(runs["seed"].unique()))
    words = (
        f"AUROC by where the unseen anomalies lie, on the draw of seed {seeds} (`python -m bench.why`): in thirds by "
        f"{' and by '.join(MEANING[name] for name in along)}. Each class weighs the same, so that thirds average to "
        f"the whole. {beside(stands.name)}"
    )
    return [words.strip(), markdown(table, "AUROC", quote=False)]


def titles(along: list[str]) -> list[str]:
    """What the cells of a column say."""
    thirds = [f"third {words}" if place != 1 else words for name in along for place, words in enumerate(ALONG[name])]
    ranks = [f"rank correlation with {RANKS[name]}" for name in along]
    return ["all", *thirds, "*share below the median normal*", *(f"*{words}*" for words in ranks)]


def cells(one: dict[str, Any], along: list[str]) -> list[str]:
    """A scorer's figures, in the order of `titles`."""
    thirds = [f"{value:.2f}" for name in along for value in one[f"{name}_thirds"]]
    return [spelled(one["auroc"]), *thirds, f"{one['blind']:.0%}", *(f"{one[f'{name}_rank']:+.2f}" for name in along)]


def beside(name: str) -> str:
    """What the scorer in between is."""
    if not changed(name):
        return ""
    what = "the method with that changed" if type(changed(name)) is type(METHODS[name]) else "another method"
    return f"`{label(name)}`, {what}, tests the cause."


def named(stands: Standing, scorer: str) -> str:
    return link(scorer) if scorer != stands.name and scorer in METHODS else f"`{scorer}`"

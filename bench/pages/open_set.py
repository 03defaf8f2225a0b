"""The pages of all methods beside peers: the headline cell, fewer labels, ADBench."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench.data.sets import DEVELOPMENT
from bench.pages import picture
from bench.pages.results import (
    CELL,
    DEFAULT,
    blocks,
    failures,
    load,
    of_cell,
    ordered,
    over_seeds,
    over_sets,
    provenance,
    safety,
)
from bench.pages.text import fill, gain, markdown, number, sections, table
from bench.runs.entrants import ENTRANTS, OURS
from bench.runs.open_set import HEADLINE, ROLES
from unseen.evaluation.choices import LEAST

KEY = ["set", *CELL, "seed"]
SAFETY = {
    (1, 1, 0.0): "One labelled row in all",
    (1, 10, 0.0): "Ten labelled rows of one class",
    (3, 10, 0.05): "5% unlabelled anomalies among the training normals",
    (1, 1, 0.05): "One labelled row, and 5% unlabelled anomalies among the training normals",
}
HEADLINES = {  # figure -> words
    "unseen_auroc": "AUROC, unseen classes",
    "seen_auroc": "AUROC, seen classes",
    "unseen_tpr_at_5_fpr": "TPR at 5% FPR, unseen classes",
    "seen_tpr_at_5_fpr": "TPR at 5% FPR, seen classes",
}
SHOWN = [DEFAULT, "evidence-stack-unlabelled", "multi-directional", "catboost", "random-forest"]
SHOWN += ["pyod-xgbod", "deepod-deepsad", "deepod-devnet-repaired", "pyod-knn"]
BEST = 15  # methods, by AUROC of unseen classes, whose rates are shown beside those of peers
FREE = [name for name, entrant in ENTRANTS.items() if not entrant.uses_labels]


def open_set(results: Path, out: Path) -> str:
    """The page of the headline cell."""
    head = of_cell(load(results, CELL), HEADLINE)
    order = ordered(over_seeds(head, "unseen_auroc")).index
    picture.draw(picture.points(head), out / "picture.png")
    parts, best = [], [name for k, name in enumerate(order) if k < BEST or name not in OURS]
    for figure, words in HEADLINES.items():
        shown = order if figure.endswith("auroc") else best
        parts += [f"## {words}", spread_table(head, figure, shown)]
    return fill(
        "open_set",
        seeds=head["seed"].nunique(),
        least=LEAST,
        provenance=provenance(head, OURS),
        figures=sections(*parts),
        beside=beside(head, order),
        failed=failures(results, KEY),
    )


def spread_table(runs: pd.DataFrame, figure: str, order: Iterable[str]) -> str:
    """Mean ± sd of each set, and the mean over the sets."""
    means, sd = over_seeds(runs, figure), over_seeds(runs, figure, "std")
    spread = sd.reindex_like(means).map(lambda value: "" if value != value else f" ± {value:.3f}")
    cells = means.map(number) + spread
    return markdown(cells.assign(mean=over_sets(means).map(number)).reindex(order), "method")


def beside(head: pd.DataFrame, order: pd.Index) -> str:
    """How far the default is above each other method; and what both take."""
    figures = ("fit_cpu_seconds", "rows_per_second")
    seconds, rates = (over_sets(over_seeds(head, figure)) for figure in figures)
    rows = {name: [number(seconds[name], 1), number(rates[name], 0)] for name in order}
    for role in ROLES if DEFAULT in rows else ():
        draws = blocks(head, f"{role}_auroc", ["set", "seed"], whole=False)
        sets = draws.rsub(draws[DEFAULT], axis=0).groupby(level="set").mean()
        for name, cells in rows.items():
            cells += [""] if name == DEFAULT else [gain(sets[name])]
    heads = ["CPU seconds to fit", "rows scored a second", *(f"{role} classes" for role in ROLES)]
    return table(rows, "method", heads[: len(rows[order[0]])])


def labels(results: Path, out: Path) -> str:
    """The page of fewer labels, and of labels that are not clean."""
    runs = load(results, CELL)
    parts = []
    for cell, words in SAFETY.items():
        there = of_cell(runs, cell)
        if DEFAULT not in set(there["method"]):
            continue
        for role in ROLES:
            found = safety(there, f"{role}_auroc", FREE)
            if len(found):
                parts += [f"## {words}: AUROC, {role} classes", safety_table(found)]
    return fill(
        "labels",
        provenance=provenance(runs, OURS),
        cells=sections(*parts),
        unseen=by_labels(runs, "unseen"),
        seen=by_labels(runs, "seen"),
    )


def safety_table(found: pd.DataFrame) -> str:
    rows = {}
    for name, row in found.iterrows():
        gap = f"{row['gap']:+.3f}" + ("" if row["gap"] >= -0.01 else " **below**")
        figures = [number(row["free"]), number(row["default"]), gap, str(row["seeds"])]
        rows[name] = [f"`{row['method']}`", *figures]
    columns = ["label-free method", "its AUROC", "default", "default above it", "seeds"]
    return table(rows, "set", columns)


def by_labels(runs: pd.DataFrame, role: str) -> str:
    """AUROC of some methods by seen classes x labelled rows, without contamination."""
    clean = runs[(runs["contamination"] == 0) & runs["method"].isin(SHOWN)]
    cells = sorted(set(zip(clean["seen"], clean["shots"], strict=True)))
    each = {cell: over_seeds(of_cell(clean, (*cell, 0.0)), f"{role}_auroc") for cell in cells}
    means = pd.DataFrame({f"{seen} x {n}": over_sets(m) for (seen, n), m in each.items()})
    return markdown(means.reindex(SHOWN).dropna(how="all").map(number), "method")


def adbench(results: Path, out: Path) -> str:
    """The page of ADBench's setting."""
    runs = load(results, ["labels"])
    good = runs[runs["error"].isna()]
    chose = good["set"].str.partition("_")[2].isin(DEVELOPMENT)
    of = {"outside of the pool that chose the default": good[~chose], "of the pool": good[chose]}
    figures = {"auroc": "AUROC", "ap": "Average precision"}
    parts = [
        f"## {words}, sets {which}: mean over sets\n\n{means(some, figure)}"
        for which, some in of.items()
        for figure, words in figures.items()
        if len(some)
    ]
    ends = good["labels"].isin(good["labels"].agg(["min", "max"]))
    for count, part in good[ends].groupby("labels"):
        each = blocks(part, "auroc", ["set"], whole=False)
        each = each.loc[sorted(each.index, key=lambda name: int(name.split("_")[0]))]
        parts += [f"## AUROC, {count} labels, set by set", markdown(each.map(number), "set")]
    return fill(
        "adbench",
        provenance=provenance(good, OURS),
        figures=sections(*parts),
        failed=failures(results, ["set", "labels", "seed"]),
    )


def means(runs: pd.DataFrame, figure: str) -> str:
    """A row for each method, a column for each number of labels: mean over the common sets."""
    tables = {count: blocks(part, figure, ["set"]) for count, part in runs.groupby("labels")}
    columns = {f"{count} labels ({len(each)} sets)": each.mean() for count, each in tables.items()}
    found = pd.DataFrame(columns)
    return markdown(found.sort_values(found.columns[0], ascending=False).map(number), "method")

"""The page of `bench.studies.adbench`."""

from pathlib import Path

import pandas as pd

from bench.pages.results import blocks, failures, load, provenance
from bench.pages.text import fill, markdown, number, sections
from bench.runs.entrants import OURS

FIGURES = {"auroc": "AUROC", "ap": "Average precision"}


def adbench(results: Path, out: Path) -> str:
    runs = load(results, ["labels"])
    good = runs[runs["error"].isna()]
    parts = [f"## {words}: mean over sets\n\n{means(good, f)}" for f, words in FIGURES.items()]
    each = []
    for count, part in good.groupby("labels"):
        for figure, words in FIGURES.items():
            whole = blocks(part, figure, ["set"], whole=False)
            whole = whole.loc[sorted(whole.index, key=lambda name: int(name.split("_")[0]))]
            each += [f"## {words}, {count} labels, set by set", markdown(whole.map(number), "set")]
    return fill(
        "adbench",
        provenance=provenance(good, OURS),
        figures=sections(*parts, *each),
        failed=failures(results, ["set", "labels", "seed"]),
    )


def means(runs: pd.DataFrame, figure: str) -> str:
    """A row for each method, a column for each number of labels: mean over the common sets."""
    tables = {count: blocks(part, figure, ["set"]) for count, part in runs.groupby("labels")}
    columns = {f"{count} labels ({len(each)} sets)": each.mean() for count, each in tables.items()}
    found = pd.DataFrame(columns)
    return markdown(found.sort_values(found.columns[0], ascending=False).map(number), "method")

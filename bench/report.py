"""Pages and plots from what `bench.side_by_side` and `bench.adbench` measured.

python -m bench.report                                            # docs/benchmarks
python -m bench.report --results quick.parquet --out quick        # another run, another folder
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from bench import adbench, plots, side_by_side
from bench.ranks import compare
from bench.results import CELL, DEFAULT, blocks, load, of_cell, ordered, over_seeds, safety
from bench.sections import FREE, HEADLINES, ROLES, curve_parts, pictures, ranking
from bench.side_by_side import HEADLINE
from bench.tables import (
    binary_means,
    code,
    failed,
    hindsight_lines,
    markdown,
    provenance,
    safety_table,
    spelled,
    spread_table,
    verdict,
)
from unseen.evaluation.choices import LEAST

SAFETY = {
    (1, 1, 0.0): "One labelled row in all",
    (1, 10, 0.0): "Ten labelled rows of one class",
    (3, 10, 0.05): "5% unlabelled anomalies among the training normals",
}


def main() -> None:
    """Write Markdown pages and PNG plots of all runs so far."""
    options = argparse.ArgumentParser(prog="python -m bench.report", description=main.__doc__)
    options.add_argument("--results", type=Path, default=side_by_side.RESULTS)
    options.add_argument("--adbench", type=Path, default=adbench.RESULTS)
    options.add_argument("--out", type=Path, default=side_by_side.RESULTS.parent)
    options.add_argument("--command", default="make bench", help="what made the results, for the pages to say")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    pages = {}
    if chosen.results.exists():
        runs = load(chosen.results, CELL)
        pages["open-set.md"] = open_set(runs, chosen)
        pages["labels.md"] = labels(runs, chosen)
    if chosen.adbench.exists():
        pages["adbench.md"] = binary(load(chosen.adbench, ["labels"]), chosen)
    for name, page in pages.items():
        (chosen.out / name).write_text(page.rstrip() + "\n")
        print(f"written to {chosen.out / name}")


def open_set(runs: pd.DataFrame, chosen: argparse.Namespace) -> str:
    """The page of the headline cell."""
    head = of_cell(runs, HEADLINE)
    means = {figure: over_seeds(head, figure) for figure in HEADLINES}
    order = ordered(means["unseen_auroc"])
    parts = [
        "# Side by side: classes with labels, and classes without",
        "[The open-set protocol](../guides/evaluating.md): 3 seen classes x 10 labelled rows, "
        f"{head['seed'].nunique()} seeds. All methods get the same rows, seeds and labels. An anomaly class counts "
        f"from {LEAST} test rows on. Mean ± standard deviation over seeds; the last column is the mean over the sets, "
        "of methods that have them all. Methods of this package go through `Detector`, so that their times include "
        "schema and calibration. A figure without ± is of one seed. Peers, their preparation and settings are in "
        "bench/: `-repaired` stands beside a peer that is broken as shipped.",
        code(chosen.command),
        provenance(head),
    ]
    for figure, words in HEADLINES.items():
        parts += [f"## {words}", spread_table(means[figure], over_seeds(head, figure, "std"), order.index)]
        parts += hindsight_lines(means[figure])
    parts += [*pictures(head, means, order, chosen.out), *ranking(head, chosen.out), *failed(chosen.results)]
    return "\n\n".join(parts)


def labels(runs: pd.DataFrame, chosen: argparse.Namespace) -> str:
    """The page of fewer labels, and of labels that are not clean."""
    parts = [
        "# Fewer labels, and dirty normals",
        "What the default loses or gains with few labels, beside methods that use none. A label-free method here is "
        "whichever of the label-free ones, ours and peers', the default compares worst with on that set, on the seeds "
        "that both have. At least -.01 in every row is what we ask for.",
        code(chosen.command),
        provenance(runs),
    ]
    for cell, words in SAFETY.items():
        there = of_cell(runs, cell)
        if DEFAULT not in set(there["method"]):
            continue
        for role in ROLES:
            found = safety(there, f"{role}_auroc", FREE)
            parts += [] if found.empty else [f"## {words}: AUROC, {role} classes", safety_table(found)]
    return "\n\n".join([*parts, *curve_parts(runs, chosen.out)])


def binary(runs: pd.DataFrame, chosen: argparse.Namespace) -> str:
    """The page of ADBench's setting."""
    good = runs[runs["error"].isna()]
    doc = (adbench.__doc__ or "").split("\n\n")
    parts = [
        "# One anomaly class, few labels: ADBench's classical sets",
        doc[0],
        doc[1],
        "Means are over the sets that all methods have. A set needs as many training anomalies as labels. The default "
        "was chosen partly on some of these sets: see [how](ablation.md#how-its-parts-and-numbers-were-chosen).",
        code(chosen.command),
        provenance(good),
    ]
    for figure, words in {"auroc": "AUROC", "ap": "Average precision"}.items():
        parts += [f"## {words}: mean over sets", binary_means(good, figure)]
    for count, part in good.groupby("labels"):
        for figure, words in {"auroc": "AUROC", "ap": "average precision"}.items():
            table = blocks(part, figure, ["set"])
            if table.shape[1] >= 3 and len(table) >= 3:
                name = f"adbench-{figure}-{count}.png"
                found = compare(list(table), table.to_numpy())
                title = f"{words}, {count} labels: mean rank over {len(table)} sets"
                plots.critical_difference(chosen.out / name, found, title)
                parts += [f"## Ranks by {words}, {count} labels", verdict(found), f"![Ranks by {words}]({name})"]
    for count, part in good.groupby("labels"):
        for figure, words in {"auroc": "AUROC", "ap": "Average precision"}.items():
            table = part.pivot_table(index="set", columns="method", values=figure, sort=False)
            table = table.loc[sorted(table.index, key=lambda name: int(name.split("_")[0]))]
            parts += [f"## {words}, {count} labels, set by set", markdown(table.map(spelled), "set")]
    return "\n\n".join([*parts, *failed(chosen.adbench)])


if __name__ == "__main__":
    main()

"""Pages and plots from what `bench.side_by_side` and `bench.adbench` measured.

python -m bench.report                                            # docs/benchmarks
python -m bench.report --results quick.parquet --out quick        # another run, another folder
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from bench import adbench, plots, side_by_side
from bench.entrants import ENTRANTS, OURS
from bench.ranks import compare
from bench.results import (
    CELL,
    DEFAULT,
    blocks,
    load,
    of_cell,
    over_seeds,
    over_sets,
    safety,
)
from bench.side_by_side import HEADLINE
from bench.tables import (
    against,
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
from unseen.measure import LEAST

ROLES = ("unseen", "seen")
HEADLINES = {  # figure -> words
    "unseen_auroc": "AUROC, unseen classes",
    "seen_auroc": "AUROC, seen classes",
    "unseen_tpr_at_5_fpr": "TPR at 5% FPR, unseen classes",
    "seen_tpr_at_5_fpr": "TPR at 5% FPR, seen classes",
}
SAFETY = {
    (1, 1, 0.0): "One labelled row in all",
    (1, 10, 0.0): "Ten labelled rows of one class",
    (3, 10, 0.05): "5% unlabelled anomalies among the training normals",
}
CURVES = (
    DEFAULT,
    "evidence-stack-unlabelled",
    "multi-directional",
    "catboost",
    "random-forest",
    "pyod-xgbod",
    "deepod-deepsad",
    "deepod-devnet-repaired",
    "pyod-knn",
)
FREE = [name for name, entrant in ENTRANTS.items() if not entrant.uses_labels]
GROUPS = {
    name: "ours" if name in OURS else "peer without labels" if name in FREE else "peer with labels" for name in ENTRANTS
}


def main() -> None:
    """Write Markdown pages and PNG plots of all runs so far."""
    options = argparse.ArgumentParser(prog="python -m bench.report", description=main.__doc__)
    options.add_argument("--results", type=Path, default=side_by_side.RESULTS)
    options.add_argument("--adbench", type=Path, default=adbench.RESULTS)
    options.add_argument("--out", type=Path, default=side_by_side.RESULTS.parent)
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    pages = {}
    if chosen.results.exists():
        runs = load(chosen.results, CELL)
        pages["open-set.md"] = open_set(runs, chosen.results, chosen.out)
        pages["labels.md"] = labels(runs, chosen.out)
    if chosen.adbench.exists():
        pages["adbench.md"] = binary(load(chosen.adbench, ["labels"]), chosen.adbench, chosen.out)
    for name, page in pages.items():
        (chosen.out / name).write_text(page.rstrip() + "\n")
        print(f"written to {chosen.out / name}")


def open_set(runs: pd.DataFrame, path: Path, out: Path) -> str:
    """The page of the headline cell."""
    head = of_cell(runs, HEADLINE)
    means = {figure: over_seeds(head, figure) for figure in HEADLINES}
    order = over_sets(means["unseen_auroc"]).fillna(means["unseen_auroc"].mean(axis=1)).sort_values(ascending=False)
    parts = [
        "# Side by side: classes with labels, and classes without",
        "[The open-set protocol](../protocol.md): 3 seen classes x 10 labelled rows, "
        f"{head['seed'].nunique()} seeds. All methods get the same rows, seeds and labels. An anomaly class counts "
        f"from {LEAST} test rows on. Mean ± standard deviation over seeds; the last column is the mean over the sets, "
        "of methods that have them all. Methods of this package go through `Detector`, so that their times include "
        "schema and calibration. Peers, their preparation and settings are in [peers.py](../../bench/peers.py) and "
        "[deep.py](../../bench/deep.py): `-repaired` stands beside a peer that is broken as shipped.",
        code("python -m bench.side_by_side --cells all", "python -m bench.report"),
        provenance(head),
    ]
    for figure, words in HEADLINES.items():
        parts += [f"## {words}", spread_table(means[figure], over_seeds(head, figure, "std"), order.index)]
        parts += hindsight_lines(means[figure])
    return "\n\n".join([*parts, *pictures(head, means, order, out), *ranking(head, out), *failed(path)])


def labels(runs: pd.DataFrame, out: Path) -> str:
    """The page of fewer labels, and of labels that are not clean."""
    parts = [
        "# Fewer labels, and dirty normals",
        "What the default loses or gains with few labels, beside methods that use none. A label-free method here is "
        "whichever of the label-free ones, ours and peers', the default compares worst with on that set, on the seeds "
        "that both have. At least -.01 in every row is what we ask for.",
        code("python -m bench.side_by_side --cells all", "python -m bench.report"),
        provenance(runs),
    ]
    for cell, words in SAFETY.items():
        chosen = of_cell(runs, cell)
        if DEFAULT not in set(chosen["method"]):
            continue
        for role in ROLES:
            parts += [f"## {words}: AUROC, {role} classes", safety_table(safety(chosen, f"{role}_auroc", FREE))]
    return "\n\n".join([*parts, *curve_parts(runs, out)])


def binary(runs: pd.DataFrame, path: Path, out: Path) -> str:
    """The page of ADBench's setting."""
    good = runs[runs["error"].isna()]
    doc = (adbench.__doc__ or "").split("\n\n")
    parts = [
        "# One anomaly class, few labels: ADBench's classical sets",
        doc[0],
        doc[1],
        "Means are over the sets that all methods have. A set needs as many training anomalies as labels.",
        code("python -m bench.adbench", "python -m bench.report"),
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
                plots.critical_difference(out / name, found, title)
                parts += [f"## Ranks by {words}, {count} labels", verdict(found), f"![Ranks by {words}]({name})"]
    for count, part in good.groupby("labels"):
        for figure, words in {"auroc": "AUROC", "ap": "Average precision"}.items():
            table = part.pivot_table(index="set", columns="method", values=figure, sort=False)
            table = table.loc[sorted(table.index, key=lambda name: int(name.split("_")[0]))]
            parts += [f"## {words}, {count} labels, set by set", markdown(table.map(spelled), "set")]
    return "\n\n".join([*parts, *failed(path)])


def pictures(head: pd.DataFrame, means: dict[str, pd.DataFrame], order: pd.Series, out: Path) -> list[str]:
    """Scatter, accuracy against time, and heat map."""
    points = pd.DataFrame(
        {
            "AUROC on seen classes, mean over sets": over_sets(means["seen_auroc"]),
            "AUROC on unseen classes, mean over sets": over_sets(means["unseen_auroc"]),
            "CPU seconds to fit, mean over sets": over_sets(over_seeds(head, "fit_cpu_seconds")),
        }
    ).dropna()
    seen, unseen, seconds = points.columns
    if len(points):
        plots.scatter(out / "scatter.png", points, GROUPS, x=seen, y=unseen, logarithmic=False)
        plots.scatter(out / "time.png", points, GROUPS, x=seconds, y=unseen, logarithmic=True)
    tables = {HEADLINES[f"{role}_auroc"]: means[f"{role}_auroc"].reindex(order.index) for role in ROLES}
    plots.heat_map(out / "heat-map.png", tables)
    times = {
        "CPU seconds to fit": over_seeds(head, "fit_cpu_seconds"),
        "rows scored a second": over_seeds(head, "rows_per_second"),
    }
    table = pd.DataFrame({words: over_sets(values).reindex(order.index) for words, values in times.items()})
    table = table.apply(lambda column: column.map("{:,.1f}".format if "CPU" in column.name else "{:,.0f}".format))
    return [
        "## Unseen against seen",
        "![AUROC on unseen classes against AUROC on seen ones, a point for each method](scatter.png)"
        if len(points)
        else "",
        "## Accuracy against time",
        "One thread; CPU seconds, as other work shared the machine. Means over the sets.",
        "![AUROC on unseen classes against CPU seconds to fit](time.png)" if len(points) else "",
        markdown(table, "method"),
        "## Set by set",
        "![AUROC of each method on each set](heat-map.png)",
    ]


def ranking(head: pd.DataFrame, out: Path) -> list[str]:
    """Ranks over sets, with tests; and what tests say of these sets alone, where each draw is a block."""
    count = head["set"].nunique()
    parts = [
        "## Ranks",
        "Blocks are the data sets, each with its mean over seeds. Seeds of one set share their rows, so a test over "
        "sets x seeds takes one set's peculiarity for many: it can say that methods differ *on these sets*, not on "
        f"others. With {count} sets the smallest p-value of Wilcoxon's test is 1/{2 ** (count - 1)}, too large for "
        "Holm's correction over so many pairs, however large the gap: bars join what cannot be told apart by sets "
        "alone. The table has p-values of both kinds of blocks. Methods that lack a block are left out.",
    ]
    for role in ROLES:
        figure = f"{role}_auroc"
        by_set = blocks(head, figure, ["set"])
        by_draw = blocks(head, figure, ["set", "seed"])[list(by_set)] if len(by_set) else by_set
        if by_set.shape[1] < 3 or len(by_set) < 3:
            continue
        sets, draws = (compare(list(table), table.to_numpy()) for table in (by_set, by_draw))
        name = f"ranks-{role}.png"
        plots.critical_difference(out / name, sets, f"AUROC, {role} classes: mean rank over {sets.blocks} sets")
        parts += [f"### {role.capitalize()} classes", verdict(sets), f"![Mean ranks, {role} classes]({name})"]
        if DEFAULT in sets.names:
            words = f"`{DEFAULT}` against each other method, Holm-corrected over all pairs:"
            parts += [words, against(sets, draws)]
    return parts


def curve_parts(runs: pd.DataFrame, out: Path) -> list[str]:
    """Label-count curves: the cells without contamination."""
    sides = sorted({seen for seen, _, dirt in side_by_side.CELLS if dirt == 0})
    panels = {
        f"AUROC, {role} classes": {
            f"{seen} seen class{'es' if seen > 1 else ''}": curve(runs, seen, f"{role}_auroc") for seen in sides
        }
        for role in ROLES
    }
    if all(part.shape[1] < 2 for row in panels.values() for part in row.values()):
        return []
    plots.curves(out / "labels.png", panels, x="labelled rows of each class")
    return ["## Label-count curves", "Means over the sets, where a method has all of them.", "![Curves](labels.png)"]


def curve(runs: pd.DataFrame, seen: int, figure: str) -> pd.DataFrame:
    """Some methods' means over sets: a column for each number of labelled rows a class."""
    shots = sorted({cell[1] for cell in side_by_side.CELLS})
    columns = {count: over_sets(over_seeds(of_cell(runs, (seen, count, 0.0)), figure)) for count in shots}
    table = pd.DataFrame(columns)
    chosen = table.reindex([name for name in CURVES if name in table.index])
    return chosen.dropna(axis=0, how="all").dropna(axis=1, how="all")


if __name__ == "__main__":
    main()

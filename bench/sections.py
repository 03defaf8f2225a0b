"""Sections with plots of the pages that `bench.report` writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench import plots, side_by_side
from bench.entrants import ENTRANTS, OURS
from bench.ranks import compare
from bench.results import DEFAULT, blocks, of_cell, over_seeds, over_sets
from bench.tables import against, markdown, verdict

ROLES = ("unseen", "seen")
HEADLINES = {  # figure -> words
    "unseen_auroc": "AUROC, unseen classes",
    "seen_auroc": "AUROC, seen classes",
    "unseen_tpr_at_5_fpr": "TPR at 5% FPR, unseen classes",
    "seen_tpr_at_5_fpr": "TPR at 5% FPR, seen classes",
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
    if count < 3:
        return []
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
        by_draw = blocks(head, figure, ["set", "seed"])
        common = [method for method in by_set if method in by_draw]
        if len(common) < 3:
            continue
        sets, draws = (compare(list(table), table.to_numpy()) for table in (by_set[common], by_draw[common]))
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

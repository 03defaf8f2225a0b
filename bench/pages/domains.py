"""The page of `bench.studies.domains`."""

from pathlib import Path

import pandas as pd

from bench.pages.text import fill, markdown, number, spread, table


def domains(results: Path, out: Path) -> str:
    """Means over categories, then each category."""
    runs = pd.read_parquet(results)
    runs = runs[runs["error"].isna()]
    shots = sorted(runs["shots"].unique())
    means = runs.groupby("method")[["auroc", "fit_seconds", "adapt_seconds"]].mean()
    means = means.sort_values("auroc", ascending=False)
    rows = {}
    for method in means.index:
        parts = [runs[(runs["method"] == method) & (runs["shots"] == n)] for n in shots]
        figures = [
            spread(part.groupby("seed")[figure].mean())
            for figure in ("auroc", "ap")
            for part in parts
        ]
        flagged = [number(part["flagged"].mean()) for part in parts]
        seconds = [f"{v:.2g}" if v == v else "-" for v in means.loc[method].iloc[1:]]
        rows[method] = [*figures, *flagged, *seconds]
    heads = [f"{words}, {n} rows" for words in ("AUROC", "AP") for n in shots]
    heads += [f"normals flagged at p <= 1/{n + 1}" for n in shots]
    most = runs[runs["shots"] == shots[-1]]
    each = most.pivot_table(index="category", columns="method", values="auroc")[means.index]
    return fill(
        "domains",
        seeds=runs["seed"].nunique(),
        categories=runs["category"].nunique(),
        machine=runs["machine"].iloc[-1],
        date=runs["date"].max()[:10],
        means=table(rows, "method", [*heads, "fit, seconds", "move, seconds"]),
        exact=" and ".join(f"{1 / (n + 1):.3f}" for n in shots),
        most=shots[-1],
        each=markdown(each.map(number), "category"),
    )

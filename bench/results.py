"""What the benchmark's Parquet files say: which rows count, and their means over seeds and sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

DEFAULT = "evidence-stack"
STACKS = (DEFAULT, "evidence-stack-unlabelled")  # all other methods are single ones
CELL = ["seen", "shots", "contamination"]
Cell = tuple[int, int, float]


def load(path: Path, cell: list[str]) -> pd.DataFrame:
    """All runs of one version of each method in each cell: of those with most runs there, the newest.

    So a version that is being measured shows once it has as many runs as the one before; failed ones count.
    """
    runs = pd.read_parquet(path)
    versions = runs.groupby([*cell, "method", "version"])["date"].agg(["size", "max"]).reset_index()
    chosen = versions.sort_values(["size", "max"]).drop_duplicates([*cell, "method"], keep="last")
    return runs.merge(chosen[[*cell, "method", "version"]], on=[*cell, "method", "version"])


def of_cell(runs: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Runs of one cell that did not fail; where the default has runs, of its seeds, so that means are of one draw."""
    chosen = runs[(runs[CELL] == list(cell)).all(axis=1) & runs["error"].isna()]
    drawn = chosen.loc[chosen["method"] == DEFAULT, ["set", "seed"]].assign(drawn=True)
    marked = chosen.merge(drawn, on=["set", "seed"], how="left")
    return marked[marked["drawn"].notna() | ~marked["set"].isin(drawn["set"])].drop(columns="drawn")


def over_seeds(runs: pd.DataFrame, figure: str | list[str], statistic: str = "mean") -> pd.DataFrame:
    """Mean or sd of a figure over seeds: a row for each method, a column for each set, or figure and set."""
    return runs.pivot_table(index="method", columns="set", values=figure, aggfunc=statistic, sort=False)


def over_sets(means: pd.DataFrame) -> pd.Series:
    """Mean over the sets, for methods that have them all: a mean over fewer is another figure."""
    return means.mean(axis=1, skipna=False)


def ordered(means: pd.DataFrame) -> pd.Series:
    """Means over the sets, best first; behind them, of methods that lack some, over those that they have."""
    whole, some = over_sets(means), means.mean(axis=1)
    return pd.concat(
        [part.sort_values(ascending=False) for part in (whole.dropna(), some[whole.isna()])],
    )


def hindsight(means: pd.DataFrame, without: Iterable[str] = ()) -> pd.DataFrame:
    """For each set: the best single method but those `without`, its figure, the default's, how far that is above.

    Sets without a run of such a method are left out.
    """
    left_out = {*STACKS, *without}
    single = means.drop(index=[name for name in means.index if name in left_out]).dropna(axis="columns", how="all")
    best = pd.DataFrame({"method": single.idxmax(), "best": single.max()})
    best["default"] = means.loc[DEFAULT, best.index] if DEFAULT in means.index else float("nan")
    return best.assign(gap=best["default"] - best["best"])


def safety(runs: pd.DataFrame, figure: str, free: list[str]) -> pd.DataFrame:
    """For each set: the label-free method that the default loses most to, or wins least from, on the draws of both."""
    paired = runs.pivot_table(index=["set", "seed"], columns="method", values=figure, sort=False)
    rows = {}
    for name, part in paired.groupby(level="set", sort=False):
        others = [method for method in free if method in part]
        gaps = part[others].rsub(part[DEFAULT], axis=0).mean().dropna()
        if gaps.empty:
            continue
        method = gaps.idxmin()
        both = part[[DEFAULT, method]].dropna()
        rows[name] = {
            "method": method,
            "free": both[method].mean(),
            "default": both[DEFAULT].mean(),
            "gap": gaps[method],
            "seeds": len(both),
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["method", "free", "default", "gap", "seeds"])


def blocks(runs: pd.DataFrame, figure: str, by: list[str]) -> pd.DataFrame:
    """A figure with a row for each block and a column for each method that has all of them."""
    return runs.pivot_table(index=by, columns="method", values=figure, sort=False).dropna(axis=1)


def failures(path: Path, key: list[str]) -> pd.DataFrame:
    """Errors by method: how many runs of how many, where, and what they say."""
    runs = pd.read_parquet(path)
    failed = runs[runs["error"].notna()]
    if failed.empty:
        return failed
    groups = failed.assign(where=failed[key].astype(str).agg(" ".join, axis=1)).groupby(["method", "error"], sort=False)
    return groups["where"].agg(runs="size", where=lambda names: ", ".join(dict.fromkeys(names))).reset_index()

"""Which runs of a Parquet file count, and their means over seeds and sets."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench.pages.text import table

DEFAULT = "evidence-stack"
CELL = ["seen", "shots", "contamination"]
Cell = tuple[int, int, float]


def load(path: Path, cell: list[str]) -> pd.DataFrame:
    """All runs of one version of each method in each cell: of those with most runs, the newest.

    So a new version shows once it has as many runs as the one before; failed ones count.
    """
    runs = pd.read_parquet(path)
    versions = runs.groupby([*cell, "method", "version"])["date"].agg(["size", "max"]).reset_index()
    chosen = versions.sort_values(["size", "max"]).drop_duplicates([*cell, "method"], keep="last")
    keys = [*cell, "method", "version"]
    return runs.merge(chosen[keys], on=keys)


def of_cell(runs: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Runs of one cell that did not fail; where the default has runs, of its seeds alone."""
    chosen = runs[(runs[CELL] == list(cell)).all(axis=1) & runs["error"].isna()]
    drawn = chosen.loc[chosen["method"] == DEFAULT, ["set", "seed"]].assign(drawn=True)
    marked = chosen.merge(drawn, on=["set", "seed"], how="left")
    kept = marked["drawn"].notna() | ~marked["set"].isin(drawn["set"])
    return marked[kept].drop(columns="drawn")


def over_seeds(runs: pd.DataFrame, figure: str, statistic: str = "mean") -> pd.DataFrame:
    """Mean or sd over seeds: a row for each method, a column for each set."""
    pivot = {"index": "method", "columns": "set", "values": figure, "aggfunc": statistic}
    return runs.pivot_table(**pivot, sort=False)


def over_sets(means: pd.DataFrame) -> pd.Series:
    """Mean over the sets, of methods that have them all: a mean over fewer is another figure."""
    return means.mean(axis=1, skipna=False)


def ordered(means: pd.DataFrame) -> pd.Series:
    """Means over the sets, best first; behind them methods that lack some sets."""
    whole, some = over_sets(means), means.mean(axis=1)
    parts = (whole.dropna(), some[whole.isna()])
    return pd.concat([part.sort_values(ascending=False) for part in parts])


def safety(runs: pd.DataFrame, figure: str, free: list[str]) -> pd.DataFrame:
    """For each set the label-free method that the default compares worst with, on common draws."""
    paired = blocks(runs, figure, ["set", "seed"], whole=False)
    rows = {}
    for name, part in paired.groupby(level="set", sort=False):
        gaps = part[[method for method in free if method in part]].rsub(part[DEFAULT], axis=0)
        gaps = gaps.mean().dropna()
        if gaps.empty:
            continue
        method = gaps.idxmin()
        both = part[[DEFAULT, method]].dropna()
        means = [both[method].mean(), both[DEFAULT].mean()]
        rows[name] = [method, *means, gaps[method], len(both)]
    columns = ["method", "free", "default", "gap", "seeds"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def blocks(runs: pd.DataFrame, figure: str, by: list[str], *, whole: bool = True) -> pd.DataFrame:
    """A row for each block, a column for each method; with `whole` those that have all blocks."""
    found = runs.pivot_table(index=by, columns="method", values=figure, sort=False)
    return found.dropna(axis=1) if whole else found


def failures(path: Path, key: list[str]) -> str:
    """A section on the runs that ended in an error or at the time limit; empty without any."""
    runs = pd.read_parquet(path)
    failed = runs[runs["error"].notna()]
    if failed.empty:
        return ""
    failed = failed.assign(where=failed[key].astype(str).agg(" ".join, axis=1))
    rows = {}
    for (method, error), part in failed.groupby(["method", "error"], sort=False):
        where = ", ".join(dict.fromkeys(part["where"]))
        where = where if len(where) <= 200 else where[:200].rsplit(",", 1)[0] + ", ..."
        rows[method, error] = [f"`{method}`", str(len(part)), error[:200], where]
    lines = table(dict(enumerate(rows.values(), 1)), "", ["method", "runs", "error", " ".join(key)])
    return f"## Runs that failed\n\nThey are not in the means.\n\n{lines}"


def provenance(runs: pd.DataFrame, ours: Iterable[str]) -> str:
    """Machine, dates, versions."""
    own = dict.fromkeys(runs.loc[runs["method"].isin(list(ours)), "version"])
    dates = f"Runs from {runs['date'].min()[:10]} to {runs['date'].max()[:10]}."
    newest = runs.loc[runs["date"].idxmax(), "versions"]
    machines = "; ".join(dict.fromkeys(runs["machine"]))
    return f"Machine: {machines}, one thread a run. {dates} Versions: {'; '.join([newest, *own])}."

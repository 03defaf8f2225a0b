"""Parts of the pages that `bench.report` writes: tables of text in Markdown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.entrants import ENTRANTS, OURS
from bench.ranks import Comparison
from bench.results import CELL, DEFAULT, blocks, failures, hindsight, over_sets


def spread_table(means: pd.DataFrame, spread: pd.DataFrame, order: pd.Index) -> str:
    """Mean ± sd of each set, and the mean over the sets."""
    cells = means.map(spelled) + spread.reindex_like(means).map(lambda sd: "" if np.isnan(sd) else f" ± {sd:.3f}")
    return markdown(cells.assign(mean=over_sets(means).map(spelled)).reindex(order), "method")


def hindsight_lines(means: pd.DataFrame) -> list[str]:
    """The best method of each set with hindsight, and the default's distance from it: of single ones, and of peers."""
    parts = []
    for words, without in {"single method, ours included": (), "peer": OURS}.items():
        best = hindsight(means, without)
        if best.empty:
            continue
        rows = best.assign(method=best["method"].map("`{}`".format))
        rows.loc["mean"] = ["", *best[["best", "default", "gap"]].mean(skipna=False)]
        named = rows.rename(columns={"method": f"best {words}", "best": "its figure", "gap": "default above it"})
        numbers = list(named)[1:]
        named[numbers] = named[numbers].map(spelled)
        parts += [
            f"Best {words}, of each set with hindsight, and how far the default is above it:",
            markdown(named, "set", quote=False),
        ]
    return parts


def safety_table(found: pd.DataFrame) -> str:
    rows = found.assign(method=found["method"].map("`{}`".format), seeds=found["seeds"].astype(str))
    rows[["free", "default"]] = rows[["free", "default"]].map(spelled)
    rows["gap"] = found["gap"].map(lambda gap: f"{gap:+.3f}" + ("" if gap >= -0.01 else " **below**"))
    named = {"method": "label-free method", "free": "its AUROC", "gap": "default above it"}
    return markdown(rows.rename(columns=named), "set", quote=False)


def binary_means(runs: pd.DataFrame, figure: str) -> str:
    """A row for each method, a column for each number of labels: mean over sets, and how many sets."""
    columns = {}
    for count, part in runs.groupby("labels"):
        table = blocks(part, figure, ["set"])
        columns[f"{count} labels ({len(table)} sets)"] = table.mean()
    return markdown(pd.DataFrame(columns).sort_values(by=next(iter(columns)), ascending=False).map(spelled), "method")


def verdict(found: Comparison) -> str:
    return f"Friedman's test over {found.blocks} blocks and {len(found.names)} methods: p = {found.friedman:.2g}."


def against(sets: Comparison, draws: Comparison) -> str:
    """The default against each other method, with both kinds of blocks."""
    ranks = dict(zip(sets.names, sets.ranks, strict=True))
    kinds = {f"p, {sets.blocks} sets": sets, f"p, {draws.blocks} draws": draws}
    rows = {
        name: {"mean rank": f"{rank:.2f}"}
        | {
            words: "-" if name == DEFAULT else f"{both.pairs.get((DEFAULT, name), both.pairs.get((name, DEFAULT))):.2g}"
            for words, both in kinds.items()
        }
        for name, rank in ranks.items()
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index"), "method")


def failed(path: Path) -> list[str]:
    """Runs that ended in an error or at the time limit."""
    key = [name for name in ("set", *CELL, "labels", "seed") if name in pd.read_parquet(path).columns]
    found = failures(path, key)
    if found.empty:
        return []
    rows = [
        f"| `{row.method}` | {row.runs} | {row.error.replace('|', '/')[:200]} | {shortened(row.where)} |"
        for row in found.itertuples()
    ]
    head = f"| method | runs | error | {' '.join(key)} |\n|---|---|---|---|"
    return ["## Runs that failed", "They are not in the means.", "\n".join([head, *rows])]


def shortened(words: str) -> str:
    return words if len(words) <= 200 else words[:200].rsplit(",", 1)[0] + ", ..."


def provenance(runs: pd.DataFrame) -> str:
    """Machine, versions, dates."""
    ours = runs[runs["method"].isin(list(OURS))]
    lines = [
        f"Machine: {'; '.join(dict.fromkeys(runs['machine']))}, one thread a run.",
        f"Runs from {runs['date'].min()[:10]} to {runs['date'].max()[:10]}.",
        f"Versions: {runs.loc[runs['date'].idxmax(), 'versions']}"
        + "".join(f"; {version}" for version in dict.fromkeys(ours["version"]))
        + ".",
    ]
    return " ".join(lines)


def code(command: str) -> str:
    return f"```sh\n{command}\n```"


def spelled(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def markdown(table: pd.DataFrame, corner: str, *, quote: bool = True) -> str:
    """A table of text as Markdown; names of methods in code type."""
    lines = [f"| {corner} | {' | '.join(map(str, table.columns))} |", "|---" * (table.shape[1] + 1) + "|"]
    for name, row in zip(table.index, table.to_numpy(), strict=True):
        lines.append(f"| {f'`{name}`' if quote and name in ENTRANTS else name} | {' | '.join(row)} |")
    return "\n".join(lines)

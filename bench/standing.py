"""How a method stands in the benchmark's headline cell: set by set, and beside the default and its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench.results import CELL, DEFAULT, load, of_cell, over_seeds, over_sets
from bench.side_by_side import HEADLINE
from bench.tables import markdown

FIGURES = {  # column of the results -> words
    "unseen_auroc": "AUROC, unseen classes",
    "seen_auroc": "AUROC, seen classes",
    "unseen_tpr_at_5_fpr": "TPR at 5% FPR, unseen classes",
    "fit_seconds": "seconds to fit",
}
DIGITS = {"fit_seconds": 1}  # of all others 3


def headline_runs(results: Path) -> pd.DataFrame:
    """Runs of the headline cell that did not fail, of one version of each method; none where there is no file."""
    if not results.exists():
        return pd.DataFrame(columns=["set", "seed", "method", *FIGURES])
    return of_cell(load(results, CELL), HEADLINE)


def standing(runs: pd.DataFrame, name: str, baseline: str, which: str) -> Standing | None:
    """A method among the runs; None without a run of it."""
    mine = runs.loc[runs["method"] == name, ["set", "seed"]]
    if mine.empty:
        return None
    compared = runs[runs["method"].isin([name, DEFAULT, baseline])].merge(mine, on=["set", "seed"])
    return Standing(name, baseline, which, compared, tuple(dict.fromkeys(runs["set"])))


@dataclass(frozen=True)
class Standing:
    """A method's runs, with those of the default and of the baseline on the same draws; `sets` are all there are."""

    name: str
    baseline: str
    which: str  # what the baseline is, in words
    runs: pd.DataFrame
    sets: tuple[str, ...]

    @cached_property
    def means(self) -> dict[str, pd.Series]:
        """Of each figure, the mean of each method over the sets on which this one ran, if it has them all."""
        return {figure: over_sets(self.of_sets["mean"][figure]) for figure in FIGURES}

    @cached_property
    def of_sets(self) -> dict[str, pd.DataFrame]:
        """Mean and sd over seeds: a row for each method, a column for each figure and set."""
        return {what: over_seeds(self.runs, list(FIGURES), what) for what in ("mean", "std")}

    def mean(self, figure: str) -> str:
        """The method's own, over all sets; "-" where it lacks one."""
        ran = set(self.runs.loc[self.runs["method"] == self.name, "set"])
        return shown(self.means[figure][self.name], figure) if ran == set(self.sets) else "-"

    def parts(self) -> list[str]:
        """Paragraphs and tables for its page."""
        return [self.setting(), self.by_set(), *self.verdict(), self.beside()]

    def setting(self) -> str:
        mine = self.runs[self.runs["method"] == self.name]
        seeds, ran = mine["seed"].nunique(), list(dict.fromkeys(mine["set"]))
        some = "" if len(ran) == len(self.sets) else f" It ran on {len(ran)} of {len(self.sets)} sets."
        seen, shots, _ = HEADLINE
        made = f"{mine['version'].iloc[0]}, {mine['date'].max()[:10]}"
        return (
            f"[The open-set protocol](../protocol.md): {seen} seen classes x {shots} labelled rows, {seeds} "
            f"seed{'s' * (seeds != 1)}, mean ± standard deviation over seeds. [All methods and peers]"
            f"(../benchmarks/open-set.md) get the same rows.{some} Runs of {made}, one thread each."
        )

    def by_set(self) -> str:
        """Figures in rows, sets in columns."""
        rows, empty = {}, pd.Series(dtype=float)
        for figure, words in FIGURES.items():
            mean, sd = (of_name(table, self.name).get(figure, empty) for table in self.of_sets.values())
            cells = {name: shown(mean[name], figure, sd.get(name, np.nan)) for name in self.sets if name in mean}
            rows[words] = cells | {"mean": shown(self.means[figure][self.name], figure)}
        return markdown(pd.DataFrame.from_dict(rows, orient="index"), "")

    def verdict(self) -> list[str]:
        """In words, how it compares with the baseline on the draws of both; in bold where it lies below."""
        if self.name == self.baseline:
            return [f"It is itself {self.which}."]
        gaps = {role: self.gaps(f"{role}_auroc") for role in ("unseen", "seen")}
        if gaps["unseen"].empty:
            return [f"There is no run of {link(self.baseline)}, {self.which}, on the same draws."]
        means = {role: round(self.by_gap(f"{role}_auroc").mean(), 3) for role in gaps}
        words = ", ".join(
            f"{means[role]:+.3f} AUROC on {role} classes (ahead in {(each > 0).sum()} of {len(each)} draws)"
            for role, each in gaps.items()
        )
        below = " and on ".join(role for role, gap in means.items() if gap < 0)
        bold = f"**It lies below {self.which} on {below} classes.** " if below else ""
        return [f"{bold}Beside {link(self.baseline)}, {self.which}: {words}."]

    def is_below(self) -> bool:
        """Whether it lies below its baseline on unseen classes."""
        gap = 0.0 if self.name == self.baseline else self.by_gap("unseen_auroc").mean()
        return bool(round(gap, 3) < 0)  # False where no draw has runs of both

    def by_gap(self, figure: str) -> pd.Series:
        """Mean over seeds of how far it is above the baseline, of each set; furthest behind first."""
        return self.gaps(figure).groupby(level="set", sort=False).mean().sort_values(kind="stable")

    def gaps(self, figure: str) -> pd.Series:
        """How far it is above the baseline, draw by draw."""
        table = self.runs.pivot_table(index=["set", "seed"], columns="method", values=figure, sort=False)
        table = table.reindex(columns=[self.name, self.baseline]).dropna()
        return table[self.name] - table[self.baseline]

    def beside(self) -> str:
        """This method, its baseline, the default: means over the sets on which it ran."""
        roles = {DEFAULT: "the default", self.baseline: "baseline"} | {self.name: "this method"}
        there = set(self.runs["method"])
        names = [name for name in dict.fromkeys((self.name, self.baseline, DEFAULT)) if name in there]
        rows = {
            name if name == self.name else link(name): {"": roles[name]}
            | {words: shown(self.means[figure][name], figure) for figure, words in FIGURES.items()}
            for name in names
        }
        return markdown(pd.DataFrame.from_dict(rows, orient="index"), "means over the sets")


def shown(value: float, figure: str, sd: float = np.nan) -> str:
    """A figure as text, with its spread where there is one."""
    digits = DIGITS.get(figure, 3)
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}f}" + ("" if np.isnan(sd) else f" ± {sd:.{digits}f}")


def link(name: str) -> str:
    """A method's page, from another one beside it.

    >>> link("nearest")
    '[`nearest`](nearest.md)'
    """
    return f"[`{name}`]({name}.md)"


def of_name(table: pd.DataFrame, name: str) -> pd.Series:
    """A method's row; without any value, as of a deviation over one seed, where pandas left it out."""
    return table.reindex([name]).loc[name]

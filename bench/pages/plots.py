"""The plots of docs/benchmarks, one file each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from bench.pages.results import DEFAULT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS = "#c1272d"
COLOURS = {"ours": OURS, "peer with labels": "#33658a", "peer without labels": "#4a8f29"}


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def scatter(path: Path, points: pd.DataFrame, groups: Mapping[str, str], *, log: bool) -> None:
    """A point for each method, named on the right; the columns of `points` name the axes x, y."""
    x, y = points.columns
    points = points.sort_values(y)
    colours = [COLOURS[groups[name]] for name in points.index]
    figure, axes = plt.subplots(figsize=(9, 8))
    axes.scatter(points[x], points[y], color=colours, zorder=3, s=28)
    axes.set_xscale("log" if log else "linear")
    line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkB": 3}
    for place, name, colour in zip(
        np.linspace(0, 1, len(points)), points.index, colours, strict=True
    ):
        axes.annotate(
            name,
            tuple(points.loc[name]),
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold" if name == DEFAULT else "normal",
            arrowprops=line,
        )
    for k, (group, colour) in enumerate(COLOURS.items()):
        axes.text(0.33 * k, 1.02, group, color=colour, transform=axes.transAxes)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    save(figure, path)


def growth(path: Path, lines: Mapping[str, pd.DataFrame]) -> None:
    """Figures over a size, both axes logarithmic: a row of panels for each table, by its index.

    The first panel has n log n beside it.
    """
    first = next(iter(lines.values()))
    size = len(lines), len(first.columns)
    figure, grid = plt.subplots(*size, figsize=(12, 6.5), constrained_layout=True)
    for row, (words, table) in zip(grid, lines.items(), strict=True):
        for axes, name in zip(row, table.columns, strict=True):
            axes.loglog(table.index, table[name], marker="o", color=OURS)
            axes.set(xlabel=words, title=name)
            axes.set_ylim(table[name].min() / 3, table[name].max() * 3)
            axes.grid(alpha=0.3, which="both")
    law = first.index * np.log(first.index)
    scaled = first.iloc[-1, 0] * law / law[-1]
    grid[0, 0].plot(first.index, scaled, linestyle=":", color="grey", label="n log n")
    grid[0, 0].legend()
    save(figure, path)

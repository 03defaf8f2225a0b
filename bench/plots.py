"""The figures of docs/benchmarks: drawn from tables of means, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from bench.ranks import Comparison
from bench.results import DEFAULT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS_COLOUR, FREE_COLOUR, PEER_COLOUR = "#c1272d", "#4a8f29", "#33658a"
GROUPS = {"ours": OURS_COLOUR, "peer with labels": PEER_COLOUR, "peer without labels": FREE_COLOUR}


def save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def scatter(path: Path, points: pd.DataFrame, groups: Mapping[str, str], *, x: str, y: str, logarithmic: bool) -> None:
    """A point for each method, named on the right; `x` and `y` are columns of `points`, and the words on the axes."""
    figure, axes = plt.subplots(figsize=(9, 7))
    if logarithmic:
        axes.set_xscale("log")
    for group, colour in GROUPS.items():
        part = points[[groups[name] == group for name in points.index]]
        axes.scatter(part[x], part[y], color=colour, label=group, zorder=3, s=28)
    name_points(axes, points[x], points[y], groups)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    save(figure, path)


def name_points(axes: Any, x: pd.Series, y: pd.Series, groups: Mapping[str, str]) -> None:
    """Names in a column right of the axes, as high as their points where there is room, with a line to each."""
    axes.figure.canvas.draw()
    order = y.sort_values().index
    low, high = axes.get_ylim()
    height = (high - low) / 28
    wanted = spaced((y[order].to_numpy() - low) / height, len(order), 28) * height + low
    for name, place in zip(order, wanted, strict=True):
        axes.annotate(
            name,
            (x[name], y[name]),
            xytext=(1.06, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=GROUPS[groups[name]],
            fontweight="bold" if name == DEFAULT else "normal",
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkB": 3},
        )


def spaced(heights: np.ndarray, count: int, room: float) -> np.ndarray:
    """Ascending heights moved as little as needed to be one apart and, as far as there is room, in [0, room]."""
    places = np.array(heights, dtype=float)
    for _ in range(200):
        close = np.flatnonzero(np.diff(places) < 1)
        if not len(close):
            break
        for j in close:
            lack = (1 - (places[j + 1] - places[j])) / 2 + 1e-6
            places[j] -= lack
            places[j + 1] += lack
    return places + max(0.0, -places[0]) - max(0.0, places[-1] - max(room, count))


def curves(path: Path, panels: Mapping[str, Mapping[str, pd.DataFrame]], *, x: str) -> None:
    """Lines of some methods: a row of panels for each figure, a column for each number of seen classes.

    `panels`: row title -> column title -> a row for each method, a column for each value of x.
    """
    size = len(panels), max(map(len, panels.values()))
    inches = 3.6 * size[1], 3.2 * size[0]
    figure, grid = plt.subplots(*size, figsize=inches, sharex=True, sharey="row", squeeze=False)
    colours = [colour for number, colour in enumerate(plt.get_cmap("tab10").colors) if number != 3]  # 3 is like ours
    names = list(dict.fromkeys(name for row in panels.values() for part in row.values() for name in part.index))
    for line, (words, row) in zip(grid, panels.items(), strict=True):
        for axes, (title, part) in zip(line, row.items(), strict=False):
            for name in part.index:
                wide = name == DEFAULT
                colour = OURS_COLOUR if wide else colours[names.index(name) % len(colours)]
                axes.plot(part.columns, part.loc[name], "o-", label=name, color=colour, lw=2.5 if wide else 1.2, ms=4)
            axes.set_title(title, fontsize=10)
            axes.grid(alpha=0.3)
        line[0].set_ylabel(words)
    for axes in grid[-1]:
        axes.set_xlabel(x)
        axes.set_xticks(sorted({value for row in panels.values() for part in row.values() for value in part.columns}))
    keys = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    figure.tight_layout()
    save(figure, path)


def heat_map(path: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Methods by sets, a panel for each figure, each value written in its field."""
    names = next(iter(tables.values())).index
    figure, grid = plt.subplots(
        1, len(tables), figsize=(6.2 * len(tables) + 1, 0.3 * len(names) + 1.2), sharey=True, squeeze=False
    )
    for axes, (title, table) in zip(grid[0], tables.items(), strict=True):
        values = table.loc[names].to_numpy(dtype=float)
        axes.imshow(values, vmin=0.4, vmax=1.0, cmap="RdYlGn", aspect="auto", alpha=0.85)
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, "-" if np.isnan(value) else f"{value:.3f}", ha="center", va="center", fontsize=8)
        axes.set_xticks(range(table.shape[1]), table.columns, fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_title(title)
    figure.tight_layout()
    save(figure, path)


def critical_difference(path: Path, comparison: Comparison, words: str) -> None:
    """Mean ranks on a line, best on the left; a bar joins neighbours of which no two differ."""
    names, ranks = comparison.names, comparison.ranks
    half = (len(names) + 1) // 2
    bars = comparison.alike()
    depth = 0.35 * len(bars) + 0.6
    figure, axes = plt.subplots(figsize=(10, 0.28 * (half + depth) + 0.9))
    low, high = np.floor(min(ranks)), np.ceil(max(ranks))
    margin = (high - low) * 0.02
    axes.plot([low, high], [0, 0], color="black", lw=1)
    for tick in range(int(low), int(high) + 1):
        axes.plot([tick, tick], [0, 0.25], color="black", lw=1)
        axes.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=9)
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        left = place < half
        level = -depth - (place if left else len(names) - 1 - place)
        edge, side = (low - margin, "right") if left else (high + margin, "left")
        axes.plot([rank, rank, edge], [0, level, level], color="0.5", lw=0.8)
        axes.text(
            edge,
            level,
            f" {name} ({rank:.1f}) ",
            ha=side,
            va="center",
            fontsize=9,
            fontweight="bold" if name == DEFAULT else "normal",
        )
    for number, (first, last) in enumerate(bars):
        ends = ranks[first] - margin / 2, ranks[last] + margin / 2
        axes.plot(ends, [-0.35 * (number + 1)] * 2, color="black", lw=3)
    axes.text((low + high) / 2, 1.6, words, ha="center", va="bottom", fontsize=10)
    axes.set_ylim(-depth - half, 2.6)
    axes.axis("off")
    save(figure, path)

"""The README's picture: AUROC on unseen against seen classes, of the default and the peers.

python -m bench.picture        # side_by_side.parquet to picture.png, both in docs/benchmarks
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd

from bench.results import CELL, DEFAULT, load, of_cell, over_seeds, over_sets
from bench.side_by_side import HEADLINE, RESULTS

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PICTURE = Path("docs/benchmarks/picture.png")
BROKEN = ("pyod-ecod", "pyod-devnet", "deepod-devnet")  # as shipped; each stands here as repaired
PEERS = ("sklearn-", "logistic-", "xgboost", "random-forest", "catboost", "pyod-", "deepod-")
FREE = {"pyod-iforest", "pyod-knn", "sklearn-lof", "pyod-ecod-repaired", "sklearn-isolation-forest"}
PLACES = {  # where a name does not stand right of its point: dx, dy in points, side
    "random-forest": (-6, -4, "right"),
    "catboost": (6, 2, "left"),
    "deepod-deepsad": (-6, -3, "right"),
    "pyod-iforest": (-6, 4, "right"),
    "sklearn-isolation-forest": (-6, -9, "right"),
    "pyod-knn": (-6, 2, "right"),
    "sklearn-lof": (-6, -7, "right"),
    "pyod-xgbod": (-6, 3, "right"),
    "deepod-rosas": (6, -6, "left"),
    "logistic-regression": (5, 4, "left"),
    "deepod-devnet-repaired": (-6, -3, "right"),
}


def points(results: Path) -> pd.DataFrame:
    """AUROC on `unseen` and `seen` classes: means over seeds, then sets; (methods, 2)."""
    runs = of_cell(load(results, CELL), HEADLINE)
    means = pd.DataFrame({role: over_sets(over_seeds(runs, f"{role}_auroc")) for role in ("unseen", "seen")})
    peers = [name for name in means.index if name.startswith(PEERS) and name not in BROKEN]
    return means.loc[[DEFAULT, *peers]].dropna()


def draw(means: pd.DataFrame, path: Path) -> None:
    """A point for each method, with its name; the default in red."""
    figure, axes = plt.subplots(figsize=(8, 5.2))
    for name, (unseen, seen) in means.iterrows():
        ours = name == DEFAULT
        colour = "#c1272d" if ours else "#4a8f29" if name in FREE else "#33658a"
        axes.scatter(seen, unseen, color=colour, s=90 if ours else 32, zorder=3)
        dx, dy, side = (-9, -3, "right") if ours else PLACES.get(str(name), (6, -3, "left"))
        words = f"unseen: {name}" if ours else str(name)
        weight = "bold" if ours else "normal"
        axes.annotate(
            words, (seen, unseen), xytext=(dx, dy), textcoords="offset points", ha=side, color=colour,
            fontsize=11 if ours else 8.5, fontweight=weight,
        )  # fmt: skip
    axes.scatter([], [], color="#33658a", label="peer that uses the labels")
    axes.scatter([], [], color="#4a8f29", label="peer that uses no label")
    axes.set_xlim(0.74, 1.0)
    axes.set_xlabel("AUROC on classes with 10 labelled rows")
    axes.set_ylabel("AUROC on classes without any label")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(points(RESULTS), PICTURE)
    print(f"written to {PICTURE}")

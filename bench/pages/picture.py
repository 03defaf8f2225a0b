"""The README's picture: AUROC on unseen against seen classes, of the default and the peers."""

from pathlib import Path

import matplotlib
import pandas as pd

from bench.pages.results import DEFAULT, over_seeds, over_sets
from bench.peers import PEERS

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS, LABELS, NO_LABELS = "#c1272d", "#33658a", "#4a8f29"
BROKEN = ("pyod-ecod", "pyod-devnet", "deepod-devnet")  # as shipped; each stands here as repaired
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


def points(head: pd.DataFrame) -> pd.DataFrame:
    """AUROC on unseen and seen classes in the headline cell: means over seeds, then sets."""
    means = {role: over_sets(over_seeds(head, f"{role}_auroc")) for role in ("unseen", "seen")}
    names = [DEFAULT, *(name for name in PEERS if name not in BROKEN)]
    return pd.DataFrame(means).reindex(names).dropna()


def draw(means: pd.DataFrame, path: Path) -> None:
    """A point for each method, with its name; the default in red."""
    figure, axes = plt.subplots(figsize=(8, 5.2))
    for name, (unseen, seen) in means.iterrows():
        ours = name == DEFAULT
        colour = OURS if ours else LABELS if PEERS[name].uses_labels else NO_LABELS
        axes.scatter(seen, unseen, color=colour, s=90 if ours else 32, zorder=3)
        dx, dy, side = (-9, -3, "right") if ours else PLACES.get(str(name), (6, -3, "left"))
        words = f"unseen: {name}" if ours else str(name)
        weight = "bold" if ours else "normal"
        style = {"fontsize": 11 if ours else 8.5, "fontweight": weight, "color": colour, "ha": side}
        place = {"xytext": (dx, dy), "textcoords": "offset points"}
        axes.annotate(words, (seen, unseen), **place, **style)
    axes.scatter([], [], color=LABELS, label="peer that uses the labels")
    axes.scatter([], [], color=NO_LABELS, label="peer that uses no label")
    axes.set_xlim(0.74, 1.0)
    axes.set_xlabel("AUROC on classes with 10 labelled rows")
    axes.set_ylabel("AUROC on classes without any label")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)

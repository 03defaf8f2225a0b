"""Moving to a category that was never seen, from 4 or 8 normal rows of it: MVTec AD's 15, a ResNet-18 vector an image.

Each detector learns from 10 categories, normals and anomalies, and moves to each of the other 5 (`Detector.adapt`);
three rotations make every category a target once. Test: the target's other normals, and all its anomalies. "alone" is
fitted on the 4 or 8 rows and nothing else, on the vectors as they are: scaling columns by so few rows would cost it
much. "no residual" is the same method on where rows lie, and so the same scorer for every category.

"resad" and "resad-pp" are flattered: the form of their residuals, density and neighbours were chosen while looking at
these categories and draws, which the baselines were not.

python -m bench.domains                                  # what is done already is not done again; then the page
python -m bench.domains --seeds 1 --methods resad nearest --out quick
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from bench import data_file, spread
from bench.machine import machine, now
from bench.store import Record, Store
from unseen.detector.detector import Detector
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.parts.described import DescribedScorer
from unseen.parts.residual import References, ResidualScorer
from unseen.types import Method, Run, Samples

FOLDER = "adbench/mvtec_resnet18"
CATEGORIES = [
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
]
ROTATIONS, SHOTS = 3, (4, 8)
KEY = ("category", "shots", "seed", "method")
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("category", "method", "error", "machine", "date")],
        *[(name, pa.int32()) for name in ("shots", "seed")],
        *[(name, pa.float64()) for name in ("auroc", "ap", "flagged", "fit_seconds", "adapt_seconds")],
    ]
)


class Placed(ResidualScorer):
    """ResAD's scorer, on the rows themselves."""

    def residual(self, x: Tensor, references: References) -> Tensor:
        return (x.square() if self.squared else x) / x.shape[1] ** 0.5


class PlacedSurface(DescribedScorer):
    """MultiDirectional's scorer, on the columns that say where a row lies."""

    def standardise(self, normals: Tensor, position: float) -> None:
        super().standardise(normals, position)
        self.trust[: self.deviation.width + 2] = 0


@dataclass(frozen=True)
class WithoutResidual:
    """A method on where rows lie; no row of a new category changes it."""

    method: ResAD | MultiDirectional
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        if isinstance(self.method, MultiDirectional):
            return PlacedSurface(*shape)
        return Placed(*shape, hidden=self.method.hidden, neighbours=1, squared=self.method.squared)

    def train(self, scorer: Any, data: Samples, run: Run) -> None:
        of_one_kind = replace(data, group=torch.zeros_like(data.group))
        self.method.train(scorer, of_one_kind if isinstance(self.method, MultiDirectional) else data, run)

    def adapt(self, scorer: nn.Module, support: Samples, run: Run) -> nn.Module:
        return scorer


MOVED: dict[str, Method] = {
    "resad": ResAD(),
    "resad-pp": ResADPlusPlus(),
    "multi-directional": MultiDirectional(),
    "mahalanobis": Mahalanobis(),
    "nearest": Nearest(k=1),
    "resad, no residual": WithoutResidual(ResAD()),
    "resad-pp, no residual": WithoutResidual(ResADPlusPlus()),
    "multi-directional, no residual": WithoutResidual(MultiDirectional()),
}
ALONE: dict[str, Method] = {"mahalanobis alone": Mahalanobis(shrinkage=0.1), "nearest alone": Nearest(k=1)}


def main() -> None:
    """Run what is missing, and write the page."""
    options = argparse.ArgumentParser(prog="python -m bench.domains", description=main.__doc__)
    options.add_argument("--methods", nargs="+", choices=[*MOVED, *ALONE], default=[*MOVED, *ALONE])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--minutes", type=float, default=math.inf, help="after which no further fit is started")
    options.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="folder of results and page")
    chosen = options.parse_args()
    logging.getLogger("unseen").setLevel(logging.ERROR)  # each fit would list its constant columns
    torch.set_num_threads(1)
    store = Store(chosen.out / "domains.parquet", SCHEMA, KEY)
    stop = time.monotonic() + 60 * chosen.minutes
    for seed in range(chosen.seeds):
        for method in chosen.methods:
            for rotation in range(ROTATIONS):
                targets = CATEGORIES[rotation::ROTATIONS]
                due = {(category, shots, seed, method) for category in targets for shots in SHOTS}
                if due <= store.keys() or time.monotonic() > stop:
                    continue
                for record in (alone if method in ALONE else moved)(method, targets, seed):
                    store.append({"machine": machine(), "date": now(), "seed": seed, "method": method} | record)
                print(f"seed {seed}, {method}: {', '.join(targets)}", flush=True)
    page = written(pd.DataFrame(store.records()))
    (chosen.out / "domains.md").write_text(page)
    print(f"written to {chosen.out / 'domains.md'}")


@cache
def read(category: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors (n, 512) and labels (n,), 1 for anomalies."""
    file = np.load(data_file(f"{FOLDER}/MVTec-AD_{category}.npz"))
    return file["X"].astype(np.float64), file["y"].astype(np.int64)


def supports(category: str, seed: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """How many normal rows are shown, which, and which rows test; 8 rows include the 4."""
    y = read(category)[1]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
    for shots in SHOTS:
        yield shots, order[:shots], np.setdiff1d(np.arange(len(y)), order[:shots])


def moved(method: str, targets: list[str], seed: int) -> Iterator[Record]:
    """Fit on all other categories, then move to each target."""
    others = [category for category in CATEGORIES if category not in targets]
    x = np.concatenate([read(category)[0] for category in others])
    kinds = np.repeat(others, [len(read(category)[1]) for category in others])
    anomaly = np.concatenate([read(category)[1] for category in others]) == 1
    start = time.perf_counter()
    detector = Detector(MOVED[method], random_state=seed).fit(x, np.where(anomaly, kinds, "normal"), groups=kinds)
    fit_seconds = time.perf_counter() - start
    for category in targets:
        rows, y = read(category)
        for shots, shown, tested in supports(category, seed):
            start = time.perf_counter()
            here = detector.adapt(rows[shown])
            adapt_seconds = time.perf_counter() - start
            pvalues = here.pvalue(rows[tested][y[tested] == 0])
            flagged = float(np.mean(pvalues <= 1 / (shots + 1)))
            found = figures(y[tested], here.anomaly_score(rows[tested]))
            seconds = {"fit_seconds": fit_seconds, "adapt_seconds": adapt_seconds}
            yield {"category": category, "shots": shots, "flagged": flagged, **seconds, **found}


def alone(method: str, targets: list[str], seed: int) -> Iterator[Record]:
    """Fit on the rows that are shown, and on nothing else."""
    for category in targets:
        rows, y = read(category)
        x = torch.from_numpy(rows).float()
        for shots, shown, tested in supports(category, seed):
            scorer = ALONE[method].build((x.shape[1],))
            ALONE[method].train(scorer, Samples.of(x[shown]), Run(torch.Generator().manual_seed(seed)))
            found = figures(y[tested], scorer(x[tested]).detach().numpy())
            yield {"category": category, "shots": shots, **found}


def figures(y: NDArray[np.int64], scores: NDArray[np.floating]) -> dict[str, float]:
    return {"auroc": float(roc_auc_score(y, scores)), "ap": float(average_precision_score(y, scores))}


def written(runs: pd.DataFrame) -> str:
    """The page: means over categories, then each category."""
    few, many = SHOTS
    means = runs.groupby("method")[["auroc", "fit_seconds", "adapt_seconds"]].mean()
    order = list(means.sort_values("auroc", ascending=False).index)
    head = [f"{what}, {shots} rows" for what in ("AUROC", "AP") for shots in SHOTS]
    rows = [
        [
            *(over_seeds(runs, method, shots, figure) for figure in ("auroc", "ap") for shots in SHOTS),
            *(share(runs, method, shots) for shots in SHOTS),
            *(f"{value:.2g}" if value == value else "-" for value in means.loc[method].iloc[1:]),
        ]
        for method in order
    ]
    each = runs[runs["shots"] == many].pivot_table(index="category", columns="method", values="auroc")[order]
    lines = [[f"{value:.3f}" for value in each.loc[category]] for category in each.index]
    finest = [f"normals flagged at p <= 1/{shots + 1}" for shots in SHOTS]
    return (
        "\n\n".join(
            [
                "# To a category that was never seen",
                __doc__.split("\n\npython -m")[0],
                "```sh\npython -m bench.domains\n```",
                f"{runs['seed'].nunique()} seeds: mean over {runs['category'].nunique()} categories ± their sd. "
                f"Machine: {runs['machine'].iloc[-1]}, one thread. Runs to {runs['date'].max()[:10]}.",
                table("method", [*head, *finest, "fit, seconds", "move, seconds"], order, rows),
                "Normals flagged: the share of the target's normal rows that have the smallest p-value there can be; "
                f"{1 / (few + 1):.3f} and {1 / (many + 1):.3f} would be exact.",
                f"## AUROC, {many} rows, category by category",
                table("category", order, list(each.index), lines),
            ]
        )
        + "\n"
    )


def over_seeds(runs: pd.DataFrame, method: str, shots: int, figure: str) -> str:
    part = runs[(runs["method"] == method) & (runs["shots"] == shots)]
    return spread(part.groupby("seed")[figure].mean().tolist())


def share(runs: pd.DataFrame, method: str, shots: int) -> str:
    value = runs[(runs["method"] == method) & (runs["shots"] == shots)]["flagged"].mean()
    return f"{value:.3f}" if value == value else "-"


def table(corner: str, columns: list[str], names: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join([corner, *columns])} |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join([name, *row])} |" for name, row in zip(names, rows, strict=True))])


if __name__ == "__main__":
    main()

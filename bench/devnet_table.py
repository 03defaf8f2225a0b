"""DevNet's published protocol (Pang, Shen & van den Hengel, KDD 2019, table 2) on five of its data sets.

An 80/20 stratified split; 30 training anomalies keep their label and the others leave; synthetic contamination, made of
pairs of training anomalies with 5% of their features swapped, is put among the unlabelled rows until it is 2% of them.
The published spread is over networks on one split; over splits it is several times larger, so both are printed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from bench import data_file, show, spread, verdict
from unseen.methods.devnet import DevNet
from unseen.parts.nets import seeded
from unseen.types import Run, Samples

Array = NDArray[np.float64]
FIXED = 42  # the published split
LABELLED, CONTAMINATION, SWAPPED = 30, 0.02, 0.05
NEAR_ROC, NEAR_AP = 0.02, 0.04


@dataclass(frozen=True)
class Published:
    """A row of the published table, and the file that holds its data."""

    file: str
    roc: float
    ap: float


ROWS = {
    "thyroid": Published("adbench/annthyroid_21feat.parquet", 0.783, 0.274),
    "campaign": Published("adbench/classical/5_campaign.npz", 0.807, 0.381),
    "backdoor": Published("adbench/backdoor.parquet", 0.969, 0.883),
    "celeba": Published("adbench/classical/8_celeba.npz", 0.951, 0.279),
    "donors": Published("adbench/classical/11_donors.npz", 1.000, 1.000),
}


def main() -> None:
    """Print AUC-ROC and average precision beside the published ones."""
    options = argparse.ArgumentParser(prog="python -m bench.devnet_table", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=ROWS, default=list(ROWS))
    options.add_argument("--seeds", type=int, default=5, help="networks on the published split")
    options.add_argument("--splits", type=int, default=5, help="further splits, one network each")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = [row for name in chosen.sets for row in compare(name, chosen.seeds, chosen.splits)]
    columns = ["data", "runs", "AUC-ROC", "published", f"within {NEAR_ROC}", "average precision", "published"]
    show("DevNet, published protocol: mean ± sd", [*columns, f"within {NEAR_AP}"], rows)


def compare(name: str, seeds: int, splits: int) -> list[list[str]]:
    """Two rows of the table: networks on the published split, and different splits."""
    published = ROWS[name]
    x, y = load(data_file(published.file))
    plans = {
        f"split {FIXED}, {seeds} networks": [(FIXED, seed) for seed in range(seeds)],
        f"{splits} splits": [(split, split) for split in range(splits)],
    }
    rows = []
    for label, plan in plans.items():
        if not plan:
            continue
        roc, ap = zip(*(run(x, y, split=split, seed=seed) for split, seed in plan), strict=True)
        near = abs(np.mean(roc) - published.roc) <= NEAR_ROC, abs(np.mean(ap) - published.ap) <= NEAR_AP
        figures = [spread(roc), f"{published.roc:.3f}", verdict(near[0])]
        rows.append([name, label, *figures, spread(ap), f"{published.ap:.3f}", verdict(near[1])])
    return rows


def run(x: Array, y: Array, *, split: int, seed: int, method: DevNet | None = None) -> tuple[float, float]:
    """AUC-ROC and average precision on the test part of one split, for one network."""
    devnet = method or DevNet()
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=split, stratify=y)
    scale = MinMaxScaler().fit(x[train])
    unlabelled, labelled = training_rows(scale.transform(x[train]), y[train], split)
    rows = torch.from_numpy(np.concatenate([unlabelled, labelled])).float()
    codes = torch.arange(len(rows)) >= len(unlabelled)
    scorer = seeded(lambda: devnet.build((x.shape[1],)), seed)
    devnet.train(scorer, Samples.of(rows, codes), Run(torch.Generator().manual_seed(seed)))
    with torch.no_grad():
        score = scorer(torch.from_numpy(scale.transform(x[test])).float()).numpy()
    return float(roc_auc_score(y[test], score)), float(average_precision_score(y[test], score))


def training_rows(x: Array, y: Array, split: int) -> tuple[Array, Array]:
    """Unlabelled rows with their contamination, and the labelled anomalies: (n, d), (30, d).

    Which anomalies lose their label is drawn as the authors' script draws it, so that the published 30 remain.
    """
    normals, anomalies = x[y == 0], x[y == 1]
    removed = np.random.RandomState(split).choice(len(anomalies), len(anomalies) - LABELLED, replace=False)
    count = int(len(normals) * CONTAMINATION / (1 - CONTAMINATION))
    hidden = swapped(anomalies, count, np.random.default_rng(split))
    return np.concatenate([normals, hidden]), np.delete(anomalies, removed, axis=0)


def swapped(anomalies: Array, count: int, rng: np.random.Generator) -> Array:
    """`count` rows, each an anomaly with some features of another one: (m, d) -> (count, d).

    At least one feature: the authors' int(0.05 d) is 0 below 20 features and makes exact copies of labelled anomalies.
    """
    d = anomalies.shape[1]
    first = rng.integers(len(anomalies), size=count)
    other = (first + rng.integers(1, len(anomalies), size=count)) % len(anomalies)
    features = rng.random((count, d)).argsort(axis=1)[:, : max(1, int(SWAPPED * d))]  # (count, swapped)
    rows = anomalies[first]
    np.put_along_axis(rows, features, np.take_along_axis(anomalies[other], features, axis=1), axis=1)
    return rows


def load(path: Path) -> tuple[Array, Array]:
    """Features (n, d) and labels (n,), 1 for anomalies."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return archive["X"].astype(np.float64), archive["y"].astype(np.int64)
    table = parquet.read_table(path)
    columns = [column.to_numpy() for column in table.columns]
    return np.column_stack(columns[:-1]).astype(np.float64), columns[-1].astype(np.int64)


if __name__ == "__main__":
    main()

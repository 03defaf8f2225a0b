"""DevNet's published protocol (Pang, Shen & van den Hengel, KDD 2019, table 2) on five data sets.

python -m bench devnet

An 80/20 stratified split; 30 training anomalies keep their label and the others leave; simulated
contamination, pairs of training anomalies with 5% of their features swapped, joins the unlabelled
rows until it is 2% of them. The published spread is over networks on one split; over splits it is
several times larger, so both are printed.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from bench.data import matrix
from bench.pages.text import show, spread
from bench.runs.command import options
from bench.runs.entrants import scored, trained
from unseen import Samples
from unseen.methods import DevNet

Array = NDArray[np.float64]
FIXED = 42  # the published split
LABELLED, CONTAMINATION, SWAPPED = 30, 0.02, 0.05
PUBLISHED = {  # file, AUC-ROC, average precision
    "thyroid": ("adbench/annthyroid_21feat.parquet", 0.783, 0.274),
    "campaign": ("adbench/classical/5_campaign.npz", 0.807, 0.381),
    "backdoor": ("adbench/backdoor.parquet", 0.969, 0.883),
    "celeba": ("adbench/classical/8_celeba.npz", 0.951, 0.279),
    "donors": ("adbench/classical/11_donors.npz", 1.000, 1.000),
}


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--sets", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    add("--seeds", type=int, default=5, help="networks on the published split")
    add("--splits", type=int, default=5, help="further splits, one network each")
    chosen = parser.parse_args()
    plans = {
        f"split {FIXED}, {chosen.seeds} networks": [(FIXED, seed) for seed in range(chosen.seeds)],
        f"{chosen.splits} splits": [(split, split) for split in range(chosen.splits)],
    }
    rows = []
    for name in chosen.sets:
        file, *published = PUBLISHED[name]
        x, y = matrix(file)
        for words, plan in plans.items():
            found = np.array([run(x, y, *each) for each in plan])  # (runs, 2)
            cells = []
            for values, due in zip(found.T, published, strict=True):
                cells += [spread(values), f"{due:.3f}", f"{values.mean() - due:+.3f}"]
            rows.append([name, words, *cells])
    figures = ["AUC-ROC", "published", "gap", "average precision", "published", "gap"]
    show("DevNet, published protocol: mean ± sd", ["data", "runs", *figures], rows)


def run(x: Array, y: Array, split: int, seed: int) -> tuple[float, float]:
    """AUC-ROC and average precision on the test part of one split, for one network."""
    shape = {"test_size": 0.2, "random_state": split, "stratify": y}
    train, test = train_test_split(np.arange(len(y)), **shape)
    scale = MinMaxScaler().fit(x[train])
    unlabelled, labelled = training_rows(scale.transform(x[train]), y[train], split)
    rows = torch.from_numpy(np.concatenate([unlabelled, labelled])).float()
    codes = torch.arange(len(rows)) >= len(unlabelled)
    scorer = trained(DevNet(), Samples.of(rows, codes), seed, initial=seed)
    score = scored(scorer, torch.from_numpy(scale.transform(x[test])).float())
    return roc_auc_score(y[test], score), average_precision_score(y[test], score)


def training_rows(x: Array, y: Array, split: int) -> tuple[Array, Array]:
    """Unlabelled rows with their contamination, and the labelled anomalies: (n, d), (30, d).

    Which anomalies lose their label is drawn as in the authors' script: the published 30 remain.
    """
    normals, anomalies = x[y == 0], x[y == 1]
    drawn = np.random.RandomState(split)
    removed = drawn.choice(len(anomalies), len(anomalies) - LABELLED, replace=False)
    count = int(len(normals) * CONTAMINATION / (1 - CONTAMINATION))
    mixed = swapped(anomalies, count, np.random.default_rng(split))
    return np.concatenate([normals, mixed]), np.delete(anomalies, removed, axis=0)


def swapped(anomalies: Array, count: int, rng: np.random.Generator) -> Array:
    """Rows, each an anomaly with some features of another one: (m, d) -> (count, d).

    At least one feature: the authors' int(0.05 d) is 0 below 20, and copies labelled anomalies.
    """
    d = anomalies.shape[1]
    first = rng.integers(len(anomalies), size=count)
    other = (first + rng.integers(1, len(anomalies), size=count)) % len(anomalies)
    features = rng.random((count, d)).argsort(axis=1)[:, : max(1, int(SWAPPED * d))]
    rows = anomalies[first]
    values = np.take_along_axis(anomalies[other], features, axis=1)
    np.put_along_axis(rows, features, values, axis=1)
    return rows

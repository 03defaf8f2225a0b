"""Data sets on which the default can be judged without looking at the six of `bench.sets`.

Binary tables of ADBench, whose anomalies are cut into classes by k-means. None is related to one of the six: shuttle,
thyroid, annthyroid, backdoor, http and smtp stay out, and so does optdigits, which holds scikit-learn's digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from bench import data_file

MOST = {0: 20_000, 1: 4_000}  # rows of normals and of anomalies: more would cost time and say little


@dataclass(frozen=True)
class Clustered:
    """A table of ADBench, its anomalies in as many clusters as there are 60 rows for, 2 to 6."""

    name: str
    label: str = "class"

    def tables(self) -> tuple[pa.Table, None]:
        with np.load(data_file(f"adbench/classical/{self.name}.npz"), allow_pickle=False) as file:
            x, y = file["X"].astype(float), file["y"].ravel().astype(int)
        rng = np.random.default_rng(0)
        kept = np.concatenate([rng.permutation(np.flatnonzero(y == side))[:most] for side, most in MOST.items()])
        x, y = x[kept], y[kept]
        logs = np.sign(x[y == 1]) * np.log1p(np.abs(x[y == 1]))
        deviations = ((logs - np.median(logs, axis=0)) / (logs.std(axis=0) + 1e-9)).clip(-10, 10)
        cluster = KMeans(int(np.clip(len(logs) // 60, 2, 6)), n_init=3, random_state=0).fit_predict(deviations)
        names: NDArray[np.object_] = np.full(len(y), "normal", dtype=object)
        names[y == 1] = [f"cluster {c}" for c in cluster]
        columns: dict[str, Any] = {f"x{j}": x[:, j] for j in range(x.shape[1])}
        return pa.table(columns | {self.label: list(names)}), None


DEVELOPMENT: dict[str, Clustered] = {
    name.partition("_")[2]: Clustered(name)
    for name in (
        *("1_ALOI", "6_cardio", "7_Cardiotocography", "12_fault", "19_landsat", "22_magic.gamma", "23_mammography"),
        *("24_mnist", "25_musk", "27_PageBlocks", "30_satellite", "35_SpamBase", "5_campaign", "8_celeba", "10_cover"),
        *("11_donors", "33_skin", "41_Waveform", "44_Wilt", "47_yeast", "29_Pima"),
    )
}

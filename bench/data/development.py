"""Data sets on which the default can be judged without looking at the six of `bench.data.sets`.

Binary tables of ADBench, whose anomalies are cut into classes by k-means. None is related to one
of the six: shuttle, thyroid, annthyroid, backdoor, http, smtp and optdigits stay out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from bench.data import matrix

MOST = {0: 20_000, 1: 4_000}  # rows of normals and of anomalies: more cost time and say little
NAMES = """1_ALOI 6_cardio 7_Cardiotocography 12_fault 19_landsat 22_magic.gamma 23_mammography
24_mnist 25_musk 27_PageBlocks 30_satellite 35_SpamBase 5_campaign 8_celeba 10_cover 11_donors
33_skin 41_Waveform 44_Wilt 47_yeast 29_Pima"""


@dataclass(frozen=True)
class Clustered:
    """A table of ADBench, its anomalies in as many clusters as there are 60 rows for, 2 to 6."""

    name: str
    label: str = "class"

    def tables(self) -> tuple[pa.Table, None]:
        x, y = matrix(f"adbench/classical/{self.name}.npz")
        rng = np.random.default_rng(0)
        sides = [rng.permutation(np.flatnonzero(y == side))[:most] for side, most in MOST.items()]
        kept = np.concatenate(sides)
        x, y = x[kept], y[kept]
        logs = np.sign(x[y == 1]) * np.log1p(np.abs(x[y == 1]))
        scaled = ((logs - np.median(logs, axis=0)) / (logs.std(axis=0) + 1e-9)).clip(-10, 10)
        count = int(np.clip(len(logs) // 60, 2, 6))
        cluster = KMeans(count, n_init=3, random_state=0).fit_predict(scaled)
        names: NDArray[np.object_] = np.full(len(y), "normal", dtype=object)
        names[y == 1] = [f"cluster {c}" for c in cluster]
        columns: dict[str, Any] = {f"x{j}": values for j, values in enumerate(x.T)}
        return pa.table(columns | {self.label: list(names)}), None


DEVELOPMENT = {name.partition("_")[2]: Clustered(name) for name in NAMES.split()}

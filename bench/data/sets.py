"""The six data sets of the open-set benchmarks, and 21 others to judge a change of the default."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from bench.data import data_file, matrix
from unseen import read_table


def identical(table: pa.Table) -> NDArray[np.int64]:
    """A number for each row, the same for rows that agree in every column: (n,).

    Stricter than `unseen.evaluate`: no test row may stand in training, whatever the reason.
    """
    codes = np.zeros(len(table), dtype=np.int64)
    for column in table.columns:
        encoded = column.combine_chunks().dictionary_encode("encode")
        values = np.asarray(encoded.indices, dtype=np.int64)
        codes = np.unique(codes * (values.max(initial=0) + 1) + values, return_inverse=True)[1]
    return codes


@dataclass(frozen=True)
class Source:
    """Where a data set lies and what its columns are."""

    train: str
    label: str
    test: str | None = None
    drop: tuple[str, ...] = ()

    def tables(self) -> tuple[pa.Table, pa.Table | None]:
        return self.table(self.train), self.table(self.test) if self.test else None

    def table(self, name: str) -> pa.Table:
        return read_table(data_file(name)).drop_columns(list(self.drop))


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits: 0 to 3 are normal, every other digit is an anomaly class."""

    label: str = "digit"

    def tables(self) -> tuple[pa.Table, None]:
        digits = load_digits()
        columns: dict[str, Any] = {f"pixel{j}": values for j, values in enumerate(digits.data.T)}
        names = ["normal" if y < 4 else str(y) for y in digits.target]
        return pa.table(columns | {self.label: names}), None


SETS: dict[str, Any] = {
    "nsl_kdd": Source("nsl_kdd/train.parquet", "attack", "nsl_kdd/test.parquet", ("family",)),
    "tep": Source("tep/train.parquet", "fault", "tep/test.parquet", ("run", "sample")),
    "unsw_nb15": Source("unsw_nb15/flows.parquet", "attack_cat"),
    "shuttle": Source("shuttle/shuttle.parquet", "Class"),
    "thyroid0387": Source("thyroid0387/thyroid.csv", "diagnosis"),
    "digits": Digits(),
}


@dataclass(frozen=True)
class Clustered:
    """A table of ADBench, its anomalies in as many clusters as there are 60 rows for, 2 to 6."""

    name: str
    label: str = "class"

    def tables(self) -> tuple[pa.Table, None]:
        x, y = matrix(f"adbench/classical/{self.name}.npz")
        rng = np.random.default_rng(0)
        most = {0: 20_000, 1: 4_000}  # rows of a side: more cost time and say little
        kept = [rng.permutation(np.flatnonzero(y == side))[:n] for side, n in most.items()]
        x, y = x[np.concatenate(kept)], y[np.concatenate(kept)]
        logs = np.sign(x[y == 1]) * np.log1p(np.abs(x[y == 1]))
        scaled = ((logs - np.median(logs, axis=0)) / (logs.std(axis=0) + 1e-9)).clip(-10, 10)
        count = int(np.clip(len(logs) // 60, 2, 6))
        cluster = KMeans(count, n_init=3, random_state=0).fit_predict(scaled)
        names: NDArray[np.object_] = np.full(len(y), "normal", dtype=object)
        names[y == 1] = [f"cluster {c}" for c in cluster]
        columns: dict[str, Any] = {f"x{j}": values for j, values in enumerate(x.T)}
        return pa.table(columns | {self.label: list(names)}), None


# None is related to one of the six: shuttle, thyroid, annthyroid, backdoor, http, smtp, optdigits.
OTHERS = """1_ALOI 6_cardio 7_Cardiotocography 12_fault 19_landsat 22_magic.gamma 23_mammography
24_mnist 25_musk 27_PageBlocks 30_satellite 35_SpamBase 5_campaign 8_celeba 10_cover 11_donors
33_skin 41_Waveform 44_Wilt 47_yeast 29_Pima"""
DEVELOPMENT = {name.partition("_")[2]: Clustered(name) for name in OTHERS.split()}

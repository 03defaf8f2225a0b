"""The six data sets of the open-set benchmarks: where each lies, and which column says what a row is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits

from bench import data_file
from unseen.data.split import Rows, encoded
from unseen.data.values import is_usable
from unseen.io import read


def identical(table: pa.Table) -> Rows:
    """A number for each row, the same for rows that agree in every column: (n,).

    For `draw_rows`, stricter than `alike`: published figures lean on no test row that also stands in training, by nature
    or not. Columns of lists and the like, which nothing is learned from, do not count.
    """
    codes = np.zeros(len(table), dtype=np.int64)
    for column in (each for each in table.columns if is_usable(each.type)):
        values = encoded(column)
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
        return read.table(data_file(name)).drop_columns(list(self.drop))


@dataclass(frozen=True)
class Digits:
    """scikit-learn's handwritten digits: 0 to 3 are normal, every other digit is an anomaly class."""

    label: str = "digit"

    def tables(self) -> tuple[pa.Table, None]:
        digits = load_digits()
        columns: dict[str, Any] = {f"pixel{j}": digits.data[:, j] for j in range(digits.data.shape[1])}
        return pa.table(columns | {self.label: ["normal" if y < 4 else str(y) for y in digits.target]}), None


SETS: dict[str, Source | Digits] = {
    "nsl_kdd": Source("nsl_kdd/train.parquet", "attack", "nsl_kdd/test.parquet", ("family",)),
    "tep": Source("tep/train.parquet", "fault", "tep/test.parquet", ("run", "sample")),
    "unsw_nb15": Source("unsw_nb15/flows.parquet", "attack_cat"),
    "shuttle": Source("shuttle/shuttle.parquet", "Class"),
    "thyroid0387": Source("thyroid0387/thyroid.csv", "diagnosis"),
    "digits": Digits(),
}

"""The six data sets of the open-set benchmarks: where each lies, and the column of labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bench.data import data_file
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

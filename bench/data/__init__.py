"""Where data sets lie: below the folder that the environment variable UNSEEN_DATA names."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray


def data_folder() -> Path:
    folder = os.environ.get("UNSEEN_DATA")
    if not folder:
        raise SystemExit(
            "set UNSEEN_DATA to the folder of the data sets: export UNSEEN_DATA=~/data"
        )
    return Path(folder).expanduser()


def data_file(name: str) -> Path:
    path = data_folder() / name
    if not path.is_file():
        where = f"UNSEEN_DATA is {str(data_folder())!r}"
        raise SystemExit(f"{path}: no such file; {where}, and this benchmark needs {name} in it")
    return path


@cache
def matrix(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features (n, d) and labels (n,), 1 for anomalies, of an .npz or a Parquet file."""
    path = data_file(name)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return file["X"].astype(np.float64), file["y"].ravel().astype(np.int64)
    columns = [column.to_numpy() for column in parquet.read_table(path).columns]
    return np.column_stack(columns[:-1]).astype(np.float64), columns[-1].astype(np.int64)

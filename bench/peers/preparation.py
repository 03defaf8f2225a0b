"""Rows of a table as other libraries take them; learned from training rows alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Transform = Callable[[pa.Table], Any]
ABSENT = ["?", ""]  # how text files write a missing value


def numbers(table: pa.Table) -> list[str]:
    """Columns whose values are numbers, or text that spells numbers; all others are categories."""
    return [
        name
        for name in table.column_names
        if parsed(table[name])[present(table[name])].notna().all()
    ]


def present(column: pa.ChunkedArray) -> Any:
    """Which values are there: (n,)."""
    return column.to_pandas().replace(ABSENT, np.nan).notna().to_numpy()


def parsed(column: pa.ChunkedArray) -> pd.Series:
    """Values as numbers, NaN where they are missing or none: (n,)."""
    values = column.to_pandas()
    plain = values if values.dtype.kind in "buif" else values.astype(object)
    return pd.to_numeric(plain, errors="coerce").astype(float)


def frame(table: pa.Table, measured: list[str]) -> pd.DataFrame:
    """Numbers as floats with NaN, categories as text, a missing one as a category of its own."""
    return pd.DataFrame(
        {
            name: parsed(table[name])
            if name in measured
            else table[name]
            .to_pandas()
            .replace(ABSENT, np.nan)
            .astype(object)
            .fillna("missing")
            .astype(str)
            for name in table.column_names
        }
    )


def matrix(table: pa.Table, numeric: Any) -> Transform:
    """Rows as a matrix: numbers through `numeric`, categories one-hot, new levels all zero."""
    measured = numbers(table)
    others = [name for name in table.column_names if name not in measured]
    one_hot = OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False)
    columns = ColumnTransformer([("numbers", numeric, measured), ("categories", one_hot, others)])
    columns.fit(frame(table, measured))
    return lambda rows: np.ascontiguousarray(
        columns.transform(frame(rows, measured)), dtype=np.float64
    )


def scaled(table: pa.Table) -> Transform:
    """For distances, gradients, regression: medians for gaps, zero mean, unit variance, one-hot."""
    return matrix(
        table,
        make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
    )


def plain(table: pa.Table) -> Transform:
    """For trees, which need no scale: medians for what is missing, one-hot."""
    return matrix(table, SimpleImputer(strategy="median", keep_empty_features=True))


def gaps(table: pa.Table) -> Transform:
    """For trees that send missing values their own way: NaN stays, one-hot."""
    return matrix(table, "passthrough")


def native(table: pa.Table) -> Transform:
    """For CatBoost, which takes categories and gaps itself: a data frame of floats and text."""
    measured = numbers(table)
    return lambda rows: frame(rows, measured)

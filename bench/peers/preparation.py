"""Rows of a table as other libraries take them; learned from training rows alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Transform = Callable[[pa.Table], Any]
MEDIANS = SimpleImputer(strategy="median", keep_empty_features=True)
ABSENT = ["?", ""]  # how text files write a missing value


def numbers(table: pa.Table) -> list[str]:
    """Columns whose values are numbers, or text that spells numbers; all others are categories."""
    present = {name: values(table[name]).notna() for name in table.column_names}
    return [name for name, there in present.items() if parsed(table[name])[there].notna().all()]


def values(column: pa.ChunkedArray) -> pd.Series:
    """Values as they are, NaN where they are missing: (n,)."""
    return column.to_pandas().replace(ABSENT, np.nan)


def parsed(column: pa.ChunkedArray) -> pd.Series:
    """Values as numbers, NaN where they are missing or none: (n,)."""
    given = column.to_pandas()
    plain = given if given.dtype.kind in "buif" else given.astype(object)
    return pd.to_numeric(plain, errors="coerce").astype(float)


def frame(table: pa.Table, measured: list[str]) -> pd.DataFrame:
    """Numbers as floats with NaN, categories as text, a missing one as a category of its own."""
    columns = {}
    for name in table.column_names:
        text = values(table[name]).astype(object).fillna("missing").astype(str)
        columns[name] = parsed(table[name]) if name in measured else text
    return pd.DataFrame(columns)


def matrix(table: pa.Table, numeric: Any) -> Transform:
    """Rows as a matrix: numbers through `numeric`, categories one-hot, new levels all zero."""
    measured = numbers(table)
    others = [name for name in table.column_names if name not in measured]
    one_hot = OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False)
    columns = ColumnTransformer([("numbers", numeric, measured), ("categories", one_hot, others)])
    columns.fit(frame(table, measured))
    return lambda rows: np.ascontiguousarray(columns.transform(frame(rows, measured)), float)


def scaled(table: pa.Table) -> Transform:
    """For distances, gradients, regression: medians for gaps, zero mean, unit variance, one-hot."""
    return matrix(table, make_pipeline(clone(MEDIANS), StandardScaler()))


def plain(table: pa.Table) -> Transform:
    """For trees, which need no scale: medians for what is missing, one-hot."""
    return matrix(table, clone(MEDIANS))


def gaps(table: pa.Table) -> Transform:
    """For trees that send missing values their own way: NaN stays, one-hot."""
    return matrix(table, "passthrough")


def native(table: pa.Table) -> Transform:
    """For CatBoost, which takes categories and gaps itself: a data frame of floats and text."""
    measured = numbers(table)
    return lambda rows: frame(rows, measured)

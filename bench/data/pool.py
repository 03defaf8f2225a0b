"""The development pool: draws that choose the default, and take part in no reported figure.

Tables with natural classes, tables of one anomaly class, and tables whose anomalies are clustered;
few normals with many columns; normals that drift, by a cluster or by time.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from bench.data import data_folder
from bench.data.sets import DEVELOPMENT, identical
from unseen import Protocol
from unseen.data.labels import encode_labels
from unseen.evaluation.draws import draw_rows

CLASSES, ODD = "development/classes/*.parquet", "development/odd/*.npz"
PLAIN = {"classes": ("3x10", "1x10", "1x1", "few"), "clustered": ("3x10",)}
SHIFTED = ("wide", "apart", "later")  # cells of both
LABELS = (0, 1, 5, 10)  # labelled rows in tables of one class
PIECES, EARLY = 5, 0.7  # clusters of normals; share of them, in file order, that trains


class Trial(NamedTuple):
    """Rows of one draw: to train on with their labels, and to test on with their codes."""

    train: pa.Table
    kinds: NDArray[np.object_]
    test: pa.Table
    answers: NDArray[np.int64]
    seen: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A table of the pool and what is drawn of it, written as `classes/vowel/3x10`."""

    family: str
    table: str
    cell: str

    def __str__(self) -> str:
        return f"{self.family}/{self.table}/{self.cell}"

    def trial(self, seed: int) -> Trial:
        if self.family == "odd":
            return odd(self.table, int(self.cell), seed)
        return of_classes(self.family, self.table, self.cell, seed)


def cases() -> list[Case]:
    """All of the pool, in an order in which the first tenths are like the whole."""
    names = {"classes": stems(CLASSES), "clustered": list(DEVELOPMENT)}
    found = [
        Case(family, name, cell)
        for family, cells in PLAIN.items()
        for name in names[family]
        for cell in (*cells, *SHIFTED)
    ]
    found += [Case("odd", name, str(count)) for name in stems(ODD) for count in LABELS]
    return [found[k] for k in np.random.default_rng(0).permutation(len(found))]


def stems(pattern: str) -> list[str]:
    return sorted(path.stem for path in data_folder().glob(pattern))


@cache
def table_of(family: str, name: str) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
    """Rows in file order, codes of their classes, and a number for each, the same for copies."""
    if family == "classes":
        table = parquet.read_table(data_folder() / Path(CLASSES).parent / f"{name}.parquet")
        labels = table["label"].to_pylist()
        rows = table.drop_columns(["label"])
    else:
        table, _ = DEVELOPMENT[name].tables()
        labels, rows = table["class"].to_pylist(), table.drop_columns(["class"])
    codes, _ = encode_labels(labels, rows=len(rows), normal="normal")
    return rows, codes, identical(rows)


def of_classes(family: str, name: str, cell: str, seed: int) -> Trial:
    """A draw as `unseen.evaluate` makes it, then what its cell changes."""
    rows, codes, alike = table_of(family, name)
    rng = np.random.default_rng(seed)
    own = np.random.default_rng([seed, sum(map(ord, name + cell))])  # of what the cell changes
    seen, shots = map(int, cell.split("x")) if "x" in cell else (3, 10)
    most = {"few": 120 if (codes == 0).sum() > 400 else 60, "wide": int(own.integers(80, 151))}
    draw = draw_rows(codes, codes, Protocol(seen, shots, 1, most.get(cell, 5000)), rng, alike)
    train, test, y = draw.train, draw.test, draw.y
    if cell in ("apart", "later"):
        early = early_normals(rows, codes, own) if cell == "apart" else by_order(codes)
        kept, tested = (y > 0) | early[train], (codes[test] > 0) | ~early[test]
        tested |= cell == "apart"  # where all normals are tested
        train, y, test = train[kept], y[kept], test[tested]
    kinds = np.array(["normal", *(f"class {k}" for k in range(1, codes.max() + 1))], object)[y]
    if cell == "wide":
        rows = widened(rows, train[y == 0], own)
    return Trial(rows.take(train), kinds, rows.take(test), codes[test], draw.seen)


def by_order(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are no normals, or among the first of them in file order: (n,)."""
    place = np.cumsum(codes == 0)
    return np.asarray((codes > 0) | (place <= EARLY * place[-1]))


def early_normals(
    rows: pa.Table, codes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which rows are outside of a cluster of normals that training does not see: (n,)."""
    values = numbers(rows)
    x = np.sign(values) * np.log1p(np.abs(values))
    normal = np.flatnonzero(codes == 0)
    scaled = ((x - x[normal].mean(axis=0)) / (x[normal].std(axis=0) + 1e-9)).clip(-10, 10)
    cluster = KMeans(PIECES, n_init=3, random_state=0).fit_predict(scaled[normal])
    sizes = np.bincount(cluster, minlength=PIECES) / len(normal)
    some = np.flatnonzero((sizes > 0.03) & (sizes < 0.5))
    early = np.ones(len(codes), dtype=bool)
    if len(some):
        early[normal[cluster == rng.choice(some)]] = False
    return early


def widened(rows: pa.Table, normals: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    """The columns, and products of random pairs of them, 100 to 500 in all."""
    x = numbers(rows)
    z = ((x - x[normals].mean(axis=0)) / (x[normals].std(axis=0) + 1e-9)).clip(-10, 10)
    more = max(int(rng.integers(100, 501)) - x.shape[1], 0)
    left, right = rng.integers(x.shape[1], size=(2, more))
    return tabled(np.c_[z, z[:, left] * z[:, right]])


def odd(name: str, labels: int, seed: int) -> Trial:
    """A table of one anomaly class, some of whose rows are labelled and leave the test."""
    with np.load(data_folder() / Path(ODD).parent / f"{name}.npz", allow_pickle=False) as file:
        train, test, answers = file["train"], file["test"], file["test_y"].astype(np.int64)
    anomalies = np.random.default_rng(seed).permutation(np.flatnonzero(answers == 1))
    labelled = anomalies[: min(labels, len(anomalies) // 2)]
    kinds = np.repeat(np.array(["normal", "anomaly"], object), [len(train), len(labelled)])
    left = np.setdiff1d(np.arange(len(test)), labelled)
    shown = tabled(np.r_[train, test[labelled]])
    return Trial(shown, kinds, tabled(test[left]), answers[left], (1,) if len(labelled) else ())


def numbers(rows: pa.Table) -> NDArray[np.float64]:
    """The values of a table of numbers: (n, d)."""
    return np.column_stack([column.to_numpy().astype(np.float64) for column in rows.columns])


def tabled(x: NDArray[Any]) -> pa.Table:
    return pa.table({f"x{j}": column for j, column in enumerate(x.T)})

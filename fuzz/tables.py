"""Random tables: types, gaps, ties, repeats, wide and tiny ones; drawn by hypothesis, so that what
fails gets small.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fuzz.laws import check_equal, check_rows, drawn
from fuzz.trial import Limits
from unseen import Bundle, Detector, UnseenError
from unseen.io import read

LIMITS = Limits(seconds=90)
EACH = 6  # tables of one case

Rng = np.random.Generator


def _text(rng: Rng, n: int) -> list[Any]:
    signs = list("ab Zéß漢\u200b\u202e\x00\n\",;'=\t1.")
    return ["".join(rng.choice(signs, rng.integers(0, 9))) for _ in range(n)]


def _mixed(rng: Rng, n: int) -> list[Any]:
    pool = [
        1,
        2.5,
        "x",
        "",
        None,
        True,
        float("nan"),
        float("inf"),
        "1,5",
        "NA",
        -(2**40),
        "0x10",
        b"z",
        dt.date.max,
    ]
    return [pool[i] for i in rng.integers(0, len(pool), n)]


def _dirty(rng: Rng, n: int) -> list[Any]:
    words = ["n/a", "?", "-", "1e999", "nan", "1 000", "#VALUE!", "", "12abc", "٣"]
    return [
        str(rng.choice(words)) if rng.random() < 0.05 else f"{x:.3f}" for x in rng.normal(size=n)
    ]


def _stamps(rng: Rng, n: int) -> pa.Array:
    return pa.array(rng.integers(-(2**40), 2**40, n)).cast(
        pa.timestamp(str(rng.choice(["s", "ms", "us"])))
    )


COLUMNS: dict[str, Any] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "single": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "half": lambda rng, n: rng.normal(size=n).astype(np.float16),
    "small whole": lambda rng, n: rng.integers(0, 4, n),
    "bytes": lambda rng, n: rng.integers(0, 256, n).astype(np.uint8),
    "large whole": lambda rng, n: rng.integers(2**53, 2**63 - 1, n),
    "unsigned": lambda rng, n: rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
    "heavy": lambda rng, n: np.exp(20 * rng.normal(size=n)),
    "huge": lambda rng, n: rng.normal(size=n) * 1e300,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-300,
    "far": lambda rng, n: 1e12 + rng.normal(size=n),
    "infinite": lambda rng, n: np.where(
        rng.random(n) < 0.2, rng.choice([np.inf, -np.inf], n), rng.normal(size=n)
    ),
    "nan": lambda rng, n: np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
    "constant": lambda rng, n: np.full(n, 7.0),
    "nearly constant": lambda rng, n: np.where(np.arange(n) == 0, 1.0, 0.0),
    "counter": lambda rng, n: np.arange(n),
    "shuffled counter": lambda rng, n: rng.permutation(n),
    "boolean": lambda rng, n: rng.random(n) < 0.3,
    "category": lambda rng, n: rng.choice(["red", "green", "Blue", ""], n),
    "levels": lambda rng, n: [f"level{i}" for i in rng.integers(0, 300, n)],
    "dictionary": lambda rng, n: pa.array(rng.choice(["a", "b"], n)).dictionary_encode(),
    "text": _text,
    "mixed": _mixed,
    "dirty numbers": _dirty,
    "decimal comma": lambda rng, n: [f"{x:.2f}".replace(".", ",") for x in rng.normal(size=n)],
    "numbers as text": lambda rng, n: [f"{x:.4f}" for x in rng.normal(size=n)],
    "yes and no": lambda rng, n: rng.choice(["yes", "no"], n),
    "stamps": _stamps,
    "days": lambda rng, n: pa.array(rng.integers(-9999, 9999, n).astype(np.int32)).cast(
        pa.date32()
    ),
    "times": lambda rng, n: pa.array(rng.integers(0, 86_399, n).astype(np.int32)).cast(
        pa.time32("s")
    ),
    "durations": lambda rng, n: pa.array(rng.integers(0, 10**9, n)).cast(pa.duration("ms")),
    "decimals": lambda rng, n: [decimal.Decimal(int(i)) / 8 for i in rng.integers(-99, 99, n)],
    "binary": lambda rng, n: [bytes(rng.integers(0, 256, 3, dtype=np.uint8)) for _ in range(n)],
    "nothing": lambda rng, n: pa.nulls(n),
    "lists": lambda rng, n: [[1.0, 2.0]] * n,
    "structs": lambda rng, n: [{"a": 1}] * n,
}
NAMES = (
    "a",
    "",
    " ",
    "score",
    "pvalue",
    "kind",
    "1",
    "a b",
    "é",
    "x" * 300,
    "a,b",
    'q"',
    "line\nbreak",
    "__index__",
)
CONTAINERS = ("arrow", "pandas", "polars", "array", "rows", "csv", "parquet")


@dataclass(frozen=True)
class Recipe:
    """What a table is made of; its numbers come from `seed`."""

    rows: int
    columns: tuple[str, ...]
    names: tuple[str, ...]
    gaps: float
    repeats: int
    anomalies: int
    labels: str
    container: str
    calibration: float | int | None
    tail: bool
    seed: int


def recipes() -> st.SearchStrategy[Recipe]:
    several = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6)
    plain = st.lists(st.sampled_from(["normal", "small whole", "category"]), min_size=1, max_size=5)
    wide = st.builds(
        lambda kind, n: [kind] * n,
        st.sampled_from(["normal", "small whole", "boolean"]),
        st.just(400),
    )
    return st.builds(
        Recipe,
        rows=st.one_of(st.integers(1, 12), st.integers(20, 150)),
        columns=st.one_of(several, plain, plain, wide).map(tuple),
        names=st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
        gaps=st.sampled_from([0.0, 0.0, 0.02, 0.5, 1.0]),
        repeats=st.sampled_from([1, 1, 1, 2, 10]),
        anomalies=st.integers(0, 6),
        labels=st.sampled_from(["names", "numbers", "none", "missing", "odd"]),
        container=st.sampled_from(CONTAINERS),
        calibration=st.sampled_from([None, None, 0.2, 5]),
        tail=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )


def ready(seed: int) -> None:
    """Nothing: each table is made anew."""


def case(rng: Rng, folder: Path) -> None:
    """Some tables; the first that fails is made as small as it can be, and its recipe is told."""

    @seed(int(rng.integers(2**63)))
    @settings(
        max_examples=EACH,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(recipes())
    def tried(recipe: Recipe) -> None:
        try:
            attempt(recipe, folder)
        except BaseException as error:
            error.add_note(brief(recipe))
            raise

    tried()


def brief(recipe: Recipe) -> str:
    """The recipe, of a wide table without the columns that are all of one kind."""
    many = len(recipe.columns)
    shown = recipe.columns if many <= 6 else (*recipe.columns[:1], f"{many - 1} more")
    return str(dataclasses.replace(recipe, columns=shown))


def attempt(recipe: Recipe, folder: Path) -> None:
    """Fit, score what was trained on and other rows, save and load: an UnseenError, or all that
    must hold.
    """
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(recipe.seed)
    table = made(recipe, rng)
    y = labelled(recipe, rng, table.num_rows)
    method = drawn(rng)
    again = rng.random() < 0.2
    try:
        given = contained(table, recipe.container, folder)
        detector = fitted(recipe, method, given, y)
    except UnseenError:
        return
    rows = given if isinstance(given, pa.Table | np.ndarray) else table
    check_rows(detector, rows, rng)
    check_rows(detector, spoilt(rows, rng), rng)
    if again:
        check_again(detector, fitted(recipe, method, given, y), rows)
        check_saved(detector, rows, folder)


def fitted(recipe: Recipe, method: Any, table: Any, y: Any) -> Detector:
    asked = {"calibration": recipe.calibration, "tail": recipe.tail, "random_state": 0}
    return Detector(method, **asked).fit(table, y)


def check_again(detector: Detector, other: Detector, rows: Any) -> None:
    """The same seed gives the same scores."""
    try:
        scores = detector.anomaly_score(rows)
    except UnseenError:
        return
    check_equal("with the same seed", scores, other.anomaly_score(rows))


def check_saved(detector: Detector, rows: Any, folder: Path) -> None:
    """A saved detector scores as before."""
    place = folder / f"saved{len(list(folder.iterdir()))}"
    try:
        scores = detector.anomaly_score(rows)
        Bundle(detector, {}).save(place)
    except UnseenError:
        return
    check_equal("after loading", scores, Bundle.load(place).detector.anomaly_score(rows))


def made(recipe: Recipe, rng: Rng) -> pa.Table:
    """The rows, repeated, some of them gone in places."""
    names = [*dict.fromkeys([*recipe.names, *(f"c{i}" for i in range(len(recipe.columns)))])][
        : len(recipe.columns)
    ]
    columns = {}
    for name, kind in zip(names, recipe.columns, strict=True):
        values = arrow(COLUMNS[kind](rng, recipe.rows))
        gone = pa.array(rng.random(recipe.rows) < recipe.gaps)
        columns[name] = pa.compute.if_else(gone, pa.nulls(recipe.rows, values.type), values)
    table = pa.table(columns)
    return pa.concat_tables([table] * recipe.repeats)


def arrow(values: Any) -> pa.Array:
    """Values as Arrow has them; mixed ones as text."""
    try:
        found = pa.array(values)
    except (pa.ArrowException, TypeError, OverflowError):
        found = pa.array([None if value is None else str(value) for value in values])
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def labelled(recipe: Recipe, rng: Rng, rows: int) -> Any:
    """Labels: none, names, numbers, some missing, or no sensible ones."""
    odd = np.zeros(rows, bool)
    odd[rng.permutation(rows)[: recipe.anomalies]] = True
    if recipe.labels == "none":
        return None
    if recipe.labels == "names":
        return np.where(odd, rng.choice(["leak", "crack"], rows), "normal")
    if recipe.labels == "numbers":
        return odd.astype(int)
    if recipe.labels == "missing":
        return [None if rng.random() < 0.3 else "leak" if each else "normal" for each in odd]
    pool = ["normal", "Normal", 0, 1, -1, "", None, float("nan"), True, 2.5, "0"]
    return [pool[i] for i in rng.integers(0, len(pool), rows)]


def contained(table: pa.Table, container: str, folder: Path) -> Any:
    """The table as users have it."""
    if container == "pandas":
        return table.to_pandas()
    if container == "polars":
        return pl.from_arrow(table)
    if container == "array":
        return array(table)
    if container == "rows":
        try:
            return table.to_pylist()
        except OverflowError:  # Python has no such dates
            return table
    if container in ("csv", "parquet"):
        return read.table(
            written(table, folder / f"table{len(list(folder.iterdir()))}.{container}")
        )
    return table


def written(table: pa.Table, file: Path) -> Path:
    if file.suffix == ".parquet":
        pyarrow.parquet.write_table(table, file)
    else:
        plain: pd.DataFrame = table.to_pandas()
        plain.to_csv(file, index=False)
    return file


def array(table: pa.Table) -> NDArray[Any]:
    """An array of numbers where all columns are, else one of objects."""
    columns = [column.to_numpy() for column in table.columns]
    numeric = all(column.dtype.kind in "biuf" for column in columns)
    return np.column_stack(columns if numeric else [column.astype(object) for column in columns])


def spoilt(rows: Any, rng: Rng) -> Any:
    """The rows in another order with gaps, extremes and new levels in places."""
    if isinstance(rows, np.ndarray):
        values = rows[rng.permutation(len(rows))].copy()
        if values.dtype.kind == "f":
            values[rng.random(values.shape) < 0.1] = rng.choice([np.nan, np.inf, -1e300, 1e38, 0.0])
        return values
    return pa.table({name: changed(rows[name].combine_chunks(), rng) for name in rows.column_names})


def changed(column: Any, rng: Rng) -> pa.Array:
    values = (
        column.chunk(0)
        if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1
        else column
    )
    where = pa.array(rng.random(len(values)) < 0.2)
    if pa.types.is_floating(values.type):
        new = pa.scalar(float(rng.choice([np.nan, np.inf, -1e30, 1e300, 0.0])), pa.float64()).cast(
            values.type, safe=False
        )
    elif pa.types.is_string(values.type):
        new = pa.scalar(str(rng.choice(["", "new level", "1e5", "\x00"])), values.type)
    else:
        new = pa.scalar(None, values.type)
    return pa.compute.if_else(where, new, values)

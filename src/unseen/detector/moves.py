"""Which deviations a detector cannot see: how far a normal row must move along a column, or a pair
of columns, before it is flagged, in the units of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from unseen.data.columns import Column
from unseen.detector.policy import check_level
from unseen.errors import Unsupported
from unseen.quiet import quiet

Array = NDArray[np.float64]
TYPICAL = 12  # normal rows that are moved
STEPS = 2.0 ** np.arange(-3, 11)  # usual ranges by which they move: from an eighth to a thousand
HALVINGS = 3  # of the last step, to place where it is flagged
LEVELS = 30  # most frequent levels of a category that are tried
RELATED = 0.5  # rank correlation from which on two columns are a pair
PAIRS = 10  # such pairs that are tried, the most related ones
AT_ONCE = 20_000  # rows that are scored together
SIGNS = {1.0: "up", -1.0: "down"}


@dataclass(frozen=True)
class Direction:
    """A way to move: columns by name, and for each +1 or -1 usual ranges a step."""

    columns: tuple[str, ...]
    signs: tuple[float, ...]

    @property
    def words(self) -> str:
        each = zip(self.columns, self.signs, strict=True)
        return ", ".join(f"{name} {SIGNS[sign]}" for name, sign in each)


@dataclass(frozen=True)
class Ground:
    """Typical normal rows (t), and what is known of each column of numbers.

    Parameters
    ----------
    rows : Table
        The rows that move (t).
    values : dict of str to array
        Values (t,) from which columns move; gaps hold the median.
    given : dict of str to array
        Values (t,) as the rows have them, NaN where missing, of columns that stay.
    range : dict of str to float
        From the 5% to the 95% quantile of all normals, or what stands in for it.
    floor : dict of str to float
        0 for columns that are never negative, as counts are: no row moves below; else -inf.
    whole : set of str
        Columns whose values are whole numbers, and stay so.
    """

    rows: pa.Table
    values: dict[str, Array]
    given: dict[str, Array]
    range: dict[str, float]
    floor: dict[str, float]
    whole: frozenset[str]

    def has_room(self, way: Direction) -> bool:
        """Whether most rows can move: not where a count is 0 already."""
        room = [
            sign > 0 or np.median(self.values[name]) > self.floor[name]
            for name, sign in zip(way.columns, way.signs, strict=True)
        ]
        return all(room)

    def at(self, way: Direction, steps: Array) -> dict[str, Array]:
        """Values of the columns of a direction after so many usual ranges (t,)."""
        found = {}
        for name, sign in zip(way.columns, way.signs, strict=True):
            moved = self.values[name] + sign * steps * self.range[name]
            moved = np.maximum(moved, self.floor[name])
            found[name] = np.round(moved) if name in self.whole else moved
        return found


Judge = Callable[[pa.Table], Array]  # p-values of rows


def smallest_moves_of(detector: Any, alpha: float) -> pa.Table:
    """`Detector.smallest_moves` of a fitted detector."""
    check_level("alpha", alpha)
    if detector.schema_.noun != "rows":
        raise Unsupported(
            "moves are told by the columns of a table, and images have none: look at heat maps "
            "(Detector.heat)"
        )
    if not hasattr(detector, "references_"):
        raise Unsupported(
            "this detector was saved by an earlier release, without rows that could move: fit again"
        )
    with quiet():
        normals = detector.references_.normals
        return _moves(detector.schema_.columns, normals, detector.pvalue, alpha)


def _moves(columns: Sequence[Column], normals: pa.Table, judge: Judge, alpha: float) -> pa.Table:
    """All moves of normal rows (k), judged by p-values."""
    numbers = {c.name: _values(c, normals) for c in columns if c.kind == "number"}
    numbers = {name: values for name, values in numbers.items() if not np.isnan(values).all()}
    ground = _ground(normals, numbers, _typical(judge(normals)))
    ways = [Direction((name,), (sign,)) for name in numbers for sign in SIGNS]
    for a, b in _pairs(numbers):
        ways += [Direction((a, b), (one, other)) for one in SIGNS for other in SIGNS]
    ways = [way for way in ways if ground.has_room(way)]
    found = [
        *_moved(ways, ground, judge, alpha),
        *_replaced(columns, normals, ground, judge, alpha),
    ]
    kinds = {
        "what": pa.string(),
        "column": pa.string(),
        "usual_range": pa.float64(),
        "distance": pa.float64(),
        "ranges": pa.float64(),
        "caught": pa.float64(),
    }
    return pa.Table.from_pylist(found, pa.schema(list(kinds.items())))


def _moved(
    ways: Sequence[Direction], ground: Ground, judge: Judge, alpha: float
) -> list[dict[str, Any]]:
    """For each direction how far the middle one of the rows moves until it is flagged."""
    t = len(ground.rows)
    grid = np.broadcast_to(STEPS[None, :, None], (len(ways), len(STEPS), t))
    flagged = _tried_at(ways, ground, grid, judge) <= alpha  # (w, s, t)
    caught, first = np.asarray(flagged.any(axis=1)), flagged.argmax(axis=1)  # (w, t)
    high = STEPS[first]
    low = np.where(first > 0, STEPS[np.maximum(first - 1, 0)], 0.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _tried_at(ways, ground, middle[:, None], judge)[:, 0] <= alpha
        high, low = np.where(below, middle, high), np.where(below, low, middle)
    found = []
    for k, way in enumerate(ways):
        steps = np.where(caught[k], high[k], np.inf)
        ranges = float(np.sort(steps)[t // 2])  # inf where most are never flagged
        name = way.columns[0]
        shift = np.abs(
            ground.at(way, np.where(caught[k], high[k], 0.0))[name] - ground.values[name]
        )
        reached = np.sort(np.where(caught[k], shift, np.inf))[t // 2]
        found.append(
            {
                "what": way.words,
                "column": name,
                "usual_range": ground.range[name],
                "distance": float(reached),
                "ranges": ranges,
                "caught": float(caught[k].mean()),
            }
        )
    return found


def _tried_at(ways: Sequence[Direction], ground: Ground, steps: Array, judge: Judge) -> Array:
    """p-values of all rows moved by steps (w, s, t), a block of directions at a time: (w, s, t)."""
    _, s, t = steps.shape
    block, parts = max(1, AT_ONCE // (s * t)), []
    tiled = np.tile(np.arange(t), s)
    for start in range(0, len(ways), block):
        here = ways[start : start + block]
        base = ground.rows.take(np.tile(tiled, len(here)))
        changed: dict[str, Array] = {}
        for k, way in enumerate(here):
            own = slice(k * s * t, (k + 1) * s * t)
            each = [ground.at(way, steps[start + k, j]) for j in range(s)]
            for name in way.columns:
                if name not in changed:
                    changed[name] = np.tile(ground.given[name], s * len(here))
                changed[name][own] = np.concatenate([one[name] for one in each])
        parts.append(judge(_with(base, changed)).reshape(len(here), s, t))
    return np.concatenate(parts)


def _replaced(
    columns: Sequence[Column], normals: pa.Table, ground: Ground, judge: Judge, alpha: float
) -> list[dict[str, Any]]:
    """For each level of a category, and for a gap in each column, how many rows it gets flagged."""
    trials: list[tuple[str, str, Any]] = []
    for column in columns:
        values = normals[column.name]
        if column.kind in ("category", "boolean"):
            counts = values.drop_null().value_counts().to_pylist()
            counts.sort(key=lambda each: (-each["counts"], str(each["values"])))
            trials += [
                (column.name, f"{column.name} = {each['values']}", each["values"])
                for each in counts[:LEVELS]
            ]
        trials.append((column.name, f"{column.name} missing", None))
    t, found = len(ground.rows), []
    for name, words, value in trials:
        values = pa.array([value] * t, normals[name].type)
        place = ground.rows.column_names.index(name)
        pvalues = judge(ground.rows.set_column(place, name, values))
        found.append({"what": words, "column": name, "caught": float((pvalues <= alpha).mean())})
    return found


def _values(column: Column, rows: pa.Table) -> Array:
    """A column of numbers as numbers, NaN where missing: (n,)."""
    return np.asarray(column.raw(rows[column.name])[:, 0], dtype=np.float64)


def _typical(pvalues: Array) -> NDArray[np.int64]:
    """Numbers of rows in the middle of the normals, by their p-values (k,), always the same."""
    order = np.argsort(-pvalues, kind="stable")
    k = len(order)
    middle = order[k // 4 : k - k // 4] if k >= 2 * TYPICAL else order
    return np.sort(middle[np.linspace(0, len(middle) - 1, min(TYPICAL, len(middle))).astype(int)])


def _ground(normals: pa.Table, numbers: dict[str, Array], chosen: NDArray[np.int64]) -> Ground:
    values, given, ranges, floor, whole = {}, {}, {}, {}, set()
    for name, every in numbers.items():
        known = every[np.isfinite(every)]
        low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
        span = high - low or known.max() - known.min() or abs(middle) or 1.0
        ranges[name] = float(span)
        floor[name] = 0.0 if known.min() >= 0 else -np.inf
        if (known == np.round(known)).all():
            whole.add(name)
        given[name] = np.where(np.isfinite(every[chosen]), every[chosen], np.nan)
        values[name] = np.where(np.isnan(given[name]), middle, given[name])
    return Ground(normals.take(chosen), values, given, ranges, floor, frozenset(whole))


def _pairs(numbers: dict[str, Array]) -> list[tuple[str, str]]:
    """The most related pairs of columns, by Spearman's rank correlation."""
    names = [name for name, values in numbers.items() if np.ptp(values[np.isfinite(values)]) > 0]
    if len(names) < 2:
        return []
    filled = [
        np.where(np.isfinite(numbers[name]), numbers[name], np.nanmedian(numbers[name]))
        for name in names
    ]
    related = np.triu(np.abs(np.corrcoef(np.array([rankdata(each) for each in filled]))), 1)
    order = np.argsort(-related, axis=None, kind="stable")[:PAIRS]
    places = [np.unravel_index(k, related.shape) for k in order if related.flat[k] >= RELATED]
    return [(names[i], names[j]) for i, j in places]


def _with(rows: pa.Table, changed: dict[str, Array]) -> pa.Table:
    """The rows with other values in some columns, NaN for gaps."""
    for name, values in changed.items():
        array = pa.array(values, from_pandas=True)
        rows = rows.set_column(rows.column_names.index(name), name, array)
    return rows

"""One column of a table: what kind of thing it holds, and how its values become numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.scaling import Scale
from unseen.data.values import FACTS, booleans, facts, floats, is_text, is_usable, labels, numbers, seconds, written
from unseen.errors import DataError

LEVELS = 50  # most levels of a category that get a feature of their own
SEEN = 2  # rows in which a level must occur for that
OTHER, ABSENT = "<other>", "<missing>"
PAIRS = ({"t", "f"}, {"true", "false"}, {"yes", "no"}, {"y", "n"})
HEAD = 1000  # first rows of a column
ROW_NUMBERS = 20  # fewer equally spaced whole numbers may be chance

Kind = Literal["number", "boolean", "category", "text"]

REASONS = {
    "nested": "its values are of a type that cannot be used; turn them into columns of numbers or text",
    "missing": "wholly missing",
    "constant": "constant",
    "date": "a date: derive columns such as the hour from it, or ask for kind 'number' (seconds since 1970)",
    "identifier": "an identifier: no value occurs twice, or it counts the rows; ask for a kind to keep it",
}


@dataclass(frozen=True)
class Column:
    """One column: its kind, the levels of a category, whether values were missing, and a scale for each feature."""

    name: str
    kind: Kind
    levels: tuple[str, ...]
    missing: bool
    scales: tuple[Scale, ...]

    @classmethod
    def learn(cls, name: str, kind: Kind, array: pa.ChunkedArray, normals: NDArray[np.bool_]) -> Column:
        """Levels and missingness from all rows (n,), scales from the normal ones."""
        levels, missing = frequent(array) if kind == "category" else ((), False)
        bare = cls(name, kind, levels, missing, ())
        raw = bare.raw(array)
        if np.isnan(raw).any():
            bare = replace(bare, missing=True)
            raw = bare.raw(array)
        measured = {"number": 1, "text": len(FACTS)}.get(kind, 0)  # leading features that are not just 0 or 1
        scales = [Scale.learn(x, normals, plain=None if j < measured else True) for j, x in enumerate(raw.T)]
        return replace(bare, scales=tuple(scales))

    @property
    def features(self) -> tuple[str, ...]:
        if self.kind == "category":
            shown = (*self.levels, *((ABSENT,) if self.missing else ()), OTHER)
            return tuple(f"{self.name}={level}" for level in shown)
        values = tuple(f"{fact} of {self.name}" for fact in FACTS) if self.kind == "text" else (self.name,)
        return (*values, f"{self.name} is missing") if self.missing else values

    def raw(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        """Values before scaling, NaN where missing: (n,) -> (n, len(features))."""
        if not is_usable(array.type):
            raise DataError(f"column {self.name!r}: expected values of kind {self.kind!r}, got {array.type}")
        if self.kind == "category":
            return self.one_hot(array)
        if self.kind == "text":
            values = facts(array)
        else:
            values = (numbers if self.kind == "number" else booleans)(self.name, array)[:, None]  # (n, 1)
        return np.column_stack([values, np.isnan(values[:, 0])]) if self.missing else values

    def one_hot(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        codes, found = labels(array)
        place = {level: j for j, level in enumerate(self.levels)}
        other = len(self.levels) + self.missing
        absent = len(self.levels) if self.missing else other
        columns = np.array([*(place.get(level, other) for level in found), absent])[codes]  # code -1 is the last
        hot = np.zeros((len(columns), other + 1))
        hot[np.arange(len(columns)), columns] = 1.0
        return hot


def frequent(array: pa.ChunkedArray) -> tuple[tuple[str, ...], bool]:
    """The levels of a category that get a column, most frequent first, and whether any value is missing."""
    codes, found = labels(array)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    ranked = sorted((-count, level) for count, level in zip(counts, found, strict=True) if count >= SEEN)
    levels = tuple(level for _, level in ranked if level not in (OTHER, ABSENT))
    return levels[:LEVELS], bool((codes < 0).any())


def fate(array: pa.ChunkedArray, asked: str | None) -> str:
    """The kind of a column, or the key of REASONS why it is dropped."""
    return emptiness(array) or asked or nature(array)


def nature(array: pa.ChunkedArray) -> str:
    """The kind of a column ("number", "boolean", "category" or "text"), or the key of REASONS why it has none.

    >>> nature(pa.chunked_array([["1", "?", "2.5"]])), nature(pa.chunked_array([["f", "T", "f"]]))
    ('number', 'boolean')
    """
    if pa.types.is_boolean(array.type):
        return "boolean"
    if pa.types.is_temporal(array.type) and not pa.types.is_duration(array.type):
        return "date"
    if is_text(array.type):
        words = written(array)
        if (values := floats(words)) is None:
            return "date" if seconds(words) is not None else wording(words)
    else:
        values = numbers("", array)
    return "identifier" if counts_rows(values) else "number"


def wording(words: pa.ChunkedArray) -> str:
    """The kind of a column of trimmed text that holds neither numbers nor dates."""
    levels = [level for level in pc.unique(words).to_pylist() if level is not None]
    if {level.lower() for level in levels} in PAIRS:
        return "boolean"
    filled = len(words) - words.null_count
    if 2 * len(levels) >= filled and 2 * pc.sum(pc.match_substring(words, " ")).as_py() > filled:
        return "text"
    return "identifier" if len(levels) == filled and 2 * filled > len(words) else "category"


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether (n,) are whole numbers, equally spaced, that rise or fall all the way: the number of a row."""
    if len(values) < ROW_NUMBERS or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    return bool(steps[0] != 0 and (steps == steps[0]).all() and (values == np.rint(values)).all())


def emptiness(array: pa.ChunkedArray) -> str:
    """Why a column cannot tell rows apart: "nested", "missing" or "constant", keys of REASONS; "" when it can."""
    if not is_usable(array.type):
        return "nested"
    if len(array) > HEAD and not emptiness(array.slice(0, HEAD)):
        return ""  # two values are enough, and most columns show them at once
    values = pc.unique(written(array) if is_text(array.type) else array)
    if pa.types.is_floating(values.type):
        values = pc.unique(pc.if_else(pc.is_nan(values), None, values))
    if values.null_count == len(values):
        return "missing"
    return "constant" if len(values) == 1 else ""

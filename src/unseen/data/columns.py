"""One column of a table: what kind of thing it holds, and how its values become numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.scaling import Scale, scales_of
from unseen.data.spelling import PLAIN, Spelling
from unseen.data.values import FACTS, NOTHING, booleans, facts, is_usable, labels, numbers
from unseen.errors import DataError

LEVELS = 50  # most levels of a category that get a feature of their own
SEEN = 2  # rows in which a level must occur for that
OTHER, ABSENT = "<other>", "<missing>"

Kind = Literal["number", "boolean", "category", "text"]


@dataclass(frozen=True)
class Column:
    """One column: what it holds, and how that becomes features.

    Parameters
    ----------
    name : str
        What the table calls it.
    kind : {"number", "boolean", "category", "text"}
        What it holds.
    levels : tuple of str
        Levels of a category that have a feature of their own, most frequent first; none for other
        kinds.
    missing : bool
        Whether training lacked a value: then one more feature says where values are missing.
    scales : tuple of Scale
        A scale for each feature.
    spelling : Spelling
        How text spells its numbers.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...]
    missing: bool
    scales: tuple[Scale, ...]
    spelling: Spelling = PLAIN

    @classmethod
    def learn(
        cls,
        name: str,
        kind: Kind,
        array: pa.ChunkedArray,
        normals: NDArray[np.bool_],
        spelling: Spelling = PLAIN,
    ) -> Column:
        """Levels and missingness from all rows (n,), scales from the normal ones."""
        levels, missing = _frequent(array) if kind == "category" else ((), False)
        bare = cls(name, kind, levels, missing, (), spelling)
        raw = bare.raw(array)
        if np.isnan(raw).any():
            bare = replace(bare, missing=True)
            raw = bare.raw(array)
        # leading features that are not just 0 or 1
        measured = {"number": 1, "text": len(FACTS)}.get(kind, 0)
        scales = scales_of(raw[:, :measured], normals) + scales_of(
            raw[:, measured:], normals, plain=True
        )
        return replace(bare, scales=tuple(scales))

    @classmethod
    def learn_numbers(
        cls,
        names: Sequence[str],
        values: NDArray[np.float64],
        normals: NDArray[np.bool_],
        spellings: Sequence[Spelling] | None = None,
    ) -> list[Column]:
        """`learn` of many columns of numbers at once: values (n, k), NaN where missing."""
        scales = scales_of(values, normals)
        gaps = np.isnan(values)
        lacking = np.flatnonzero(gaps.any(axis=0))
        absent = dict(
            zip(
                lacking.tolist(),
                scales_of(gaps[:, lacking].astype(float), normals, plain=True),
                strict=True,
            )
        )
        spelled = spellings or [PLAIN] * len(names)
        return [
            cls(
                name,
                "number",
                (),
                j in absent,
                (scales[j], *((absent[j],) if j in absent else ())),
                spelled[j],
            )
            for j, name in enumerate(names)
        ]

    @property
    def features(self) -> tuple[str, ...]:
        if self.kind == "category":
            shown = (*self.levels, *((ABSENT,) if self.missing else ()), OTHER)
            return tuple(f"{self.name}={level}" for level in shown)
        values = (
            tuple(f"{fact} of {self.name}" for fact in FACTS)
            if self.kind == "text"
            else (self.name,)
        )
        return (*values, f"{self.name} is missing") if self.missing else values

    def raw(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        """Values before scaling, NaN where missing: (n,) -> (n, len(features))."""
        values = np.empty((len(array), len(self.features)))
        self.write(values, array)
        return values

    def write(self, block: NDArray[np.float64], array: pa.ChunkedArray) -> None:
        """`raw` of an array (n,) into a block (n, len(features))."""
        if not is_usable(array.type):
            raise DataError(
                f"column {self.name!r}: expected values of kind {self.kind!r}, got {array.type}"
            )
        if self.kind == "category":
            block[:] = self.one_hot(array)
        elif self.kind == "text":
            block[:, : len(FACTS)] = facts(array)
        elif self.kind == "number":
            block[:, 0] = numbers(self.name, array, self.spelling)
        else:
            block[:, 0] = booleans(self.name, array)
        if self.missing and self.kind != "category":
            np.isnan(block[:, 0], out=block[:, -1], casting="unsafe")

    def one_hot(self, array: pa.ChunkedArray) -> NDArray[np.float64]:
        codes, found = labels(array, self.levels)
        place = {level: j for j, level in enumerate(self.levels)}
        other = len(self.levels) + self.missing
        absent = len(self.levels) if self.missing else other
        # code -1 is the last
        columns = np.array([*(place.get(level, other) for level in found), absent])[codes]
        hot = np.zeros((len(columns), other + 1))
        hot[np.arange(len(columns)), columns] = 1.0
        return hot


def _frequent(array: pa.ChunkedArray) -> tuple[tuple[str, ...], bool]:
    """The levels of a category that get a column, most frequent first, and whether any value is
    missing.
    """
    codes, found = labels(array, NOTHING)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    ranked = sorted(
        (-count, level) for count, level in zip(counts, found, strict=True) if count >= SEEN
    )
    levels = tuple(level for _, level in ranked if level not in (OTHER, ABSENT))[:LEVELS]
    return levels, bool((codes < 0).any()) or any(
        level in NOTHING and level not in levels for level in found
    )

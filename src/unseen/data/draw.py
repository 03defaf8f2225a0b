"""A draw from rows that are too many to hold: in one pass, at most so many of each class.

Each row has a key, a random number that its place among all rows gives (Philox: Salmon et al.
2011), and the rows with the smallest keys stay. So a draw is uniform, without replacement, the same
however the rows are cut into files and batches, and draws from parts of the rows merge exactly
(bottom-k: Cohen & Kaplan 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.labels import spellings
from unseen.errors import DataError
from unseen.wording import option

Keys = NDArray[np.uint64]
Codes = NDArray[np.int64]

FLOOR = (
    100  # rows that a stratum keeps at least: a fifth of them calibrate, 20 for p-values of 0.05
)
# part of the rows, 1 / SPARE, that strata may add to the uniform draw: normal rows as they come
# then have P(p <= a) <= (1 + 1 / SPARE) a, whatever the strata add
SPARE = 20
# rows of each kind of anomaly, where others do not all stay: what learns from labels looks at no
# more normal ones, and with more of a kind training takes longer and finds no more
LABELLED = 10_000
CLASSES = 10_000  # of one data set: with more of them a column is none of labels
MOST = np.uint64(2**64 - 1)
# rows and bytes held beyond those that stay, before they are thinned out
SLACK, ROOM = 1 << 16, 1 << 25


@dataclass(frozen=True)
class Plan:
    """What is drawn.

    Parameters
    ----------
    most : int
        Rows of each class, at most: of normal ones, of those without a label, of each kind of
        anomaly. Where no class has more, all rows stay.
    seed : int
        Where the randomness comes from.
    most_anomalies : int
        Rows of each kind of anomaly, at most, where some class has more than `most`.
    label : str, optional
        The column of labels; without one all rows are normal.
    normal : str
        What it calls normal.
    strata : tuple of str
        Columns, each combination of whose values keeps at least `FLOOR` rows of a class, or all it
        has, beside the uniform draw; fewer where there are so many that they would add more than
        one row in `SPARE`.
    """

    most: int
    seed: int = 0
    most_anomalies: int = LABELLED
    label: str | None = None
    normal: str = "normal"
    strata: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """Rows that stay so far, with their places, keys, classes and strata (k,)."""

    rows: pa.Table
    number: Codes
    key: Keys
    kind: Codes
    stratum: Codes

    def take(self, stay: NDArray[np.bool_]) -> _Piece:
        """Some of them, as a copy, so that nothing holds the others; the same where all stay."""
        if stay.all():
            return self
        here = np.flatnonzero(stay)
        each = (self.number[here], self.key[here], self.kind[here], self.stratum[here])
        return _Piece(self.rows.take(here), *each)


class Draw:
    """Rows as they are drawn.

    Parameters
    ----------
    plan : Plan
        What is drawn.
    admit : callable
        Is told how many bytes the rows take that are held, and may raise.

    Raises
    ------
    DataError
        For a seed out of range, and a column with too many labels.

    >>> draw = Draw(Plan(most=2, seed=0))
    >>> for start in (0, 3):
    ...     draw.add(pa.table({"load": np.arange(start, start + 3)}), start)
    >>> draw.table().to_pydict(), draw.numbers().tolist(), draw.seen
    ({'load': [0, 2]}, [0, 2], {'normal': 6})
    """

    def __init__(self, plan: Plan, admit: Callable[[int], None] = lambda size: None) -> None:
        if not 0 <= plan.seed < 2**32:
            raise DataError(
                f"{option('random_state')} must be a whole number from 0 to {2**32 - 1:,}, got "
                f"{plan.seed}"
            )
        self.plan = plan
        self._admit = admit
        self._pieces: list[_Piece] = []
        self._none: pa.Table | None = None  # without rows, for their columns
        self._held = self._bytes = 0
        self._thin_at = (0, 0)  # rows held, and rows seen, when they were thinned out
        self._room, self._byte_room = plan.most + plan.most // 2 + SLACK, ROOM
        self.normal = spellings([plan.normal])[0]
        self._normal = {self.normal, "0"} if self.normal == "normal" else {self.normal}
        self._kinds: dict[str | None, int] = {}
        self._counts: list[int] = []
        self._limits: list[np.uint64] = []  # by class: no larger key can stay
        self._strata: dict[tuple[int, *tuple[object, ...]], int] = {}
        self._strata_of: list[int] = []  # by class: how many there are
        self._low: list[np.uint64] = []  # by stratum: no larger key stays as one of the floor

    @property
    def seen(self) -> dict[str | None, int]:
        """How many rows there were of each class by the one spelling of its label, None for rows
        without one.
        """
        return {name: self._counts[code] for name, code in self._kinds.items()}

    @property
    def columns(self) -> list[str]:
        """The names of the columns of the rows that came first."""
        return [] if self._none is None else list(self._none.column_names)

    @property
    def whole(self) -> bool:
        """Whether all rows stay."""
        self.thin()
        return self._held == sum(self._counts)

    @property
    def strata(self) -> tuple[int, int]:
        """How many strata of normal rows there are, and how many rows each keeps at least; 0 rows
        where there are too many to keep some of each.
        """
        code = self._kinds.get(self.normal)
        return (0, 0) if code is None else (self._strata_of[code], self._floor(code))

    def add(self, rows: pa.Table, start: int) -> None:
        """Draw from the next rows (n), the first of which is number `start` of all, from 0."""
        n = len(rows)
        if self._none is None:
            self._none = rows.slice(0, 0)
        if not n:
            return
        key, kind = row_keys(self.plan.seed, start, n), self._kind_of(rows)
        for code, count in enumerate(np.bincount(kind, minlength=len(self._counts)).tolist()):
            self._counts[code] += count
        stratum = self._stratum_of(rows, kind)
        stay = key <= np.array(self._limits)[kind]
        if self._low:
            stay |= (stratum >= 0) & (key <= np.array(self._low)[stratum])
        self._hold(_Piece(rows, np.arange(start, start + n), key, kind, stratum).take(stay))

    def merge(self, other: Draw) -> None:
        """Draw from what another draw of this plan has, of other rows."""
        kinds = {code: self._kind(name) for name, code in other._kinds.items()}
        for code, count in enumerate(other._counts):
            self._counts[kinds[code]] += count
        as_kind = np.array([kinds[code] for code in range(len(kinds))], dtype=np.int64)
        as_stratum = np.full(len(other._strata) + 1, -1)  # the last one stands for none
        for (kind, *values), code in other._strata.items():
            as_stratum[code] = self._stratum(kinds[kind], tuple(values))
        self._none = other._none if self._none is None else self._none
        for piece in other._pieces:
            each = (piece.number, piece.key, as_kind[piece.kind], as_stratum[piece.stratum])
            self._hold(_Piece(piece.rows, *each))

    def table(self) -> pa.Table:
        """The rows that stay, in their order; columns that came late have gaps before.

        Raises
        ------
        DataError
            Where a column is of types that do not go together.
        """
        self.thin()
        assert self._none is not None  # there was something to draw from
        return concatenated([piece.rows for piece in self._pieces] or [self._none])

    def numbers(self) -> Codes:
        """Their places among all rows, from 0 (n,)."""
        self.thin()
        return np.concatenate([piece.number for piece in self._pieces] or [np.zeros(0, np.int64)])

    def _hold(self, piece: _Piece) -> None:
        if len(piece.number):
            self._pieces.append(piece)
            self._held += len(piece.number)
            self._bytes += piece.rows.nbytes
        if self._held > self._room or self._bytes > self._byte_room:
            self.thin()
        self._admit(self._bytes)

    def thin(self) -> None:
        """Let go of rows that cannot stay, and learn which keys still can."""
        before, self._thin_at = self._thin_at, (self._held, sum(self._counts))
        if self._thin_at == before or not self._pieces:  # nothing came since
            return
        self._pieces.sort(key=lambda piece: int(piece.number[0]))
        number, key, kind, stratum = (
            np.concatenate([getattr(piece, name) for piece in self._pieces])
            for name in ("number", "key", "kind", "stratum")
        )
        rank = _ranks(kind, key, number)
        most = np.array([self._most(name) for name in self._kinds])[kind]
        stay, last = rank < most, rank == most - 1
        for code, limit in zip(kind[last].tolist(), key[last], strict=True):
            self._limits[code] = limit
        if self._low:
            floors = np.array([self._floor(code) for code in range(len(self._counts))])[kind]
            floors[stratum < 0] = 0
            rank = _ranks(stratum, key, number)
            stay |= rank < floors
            last = rank == floors - 1
            for code, limit in zip(stratum[last].tolist(), key[last], strict=True):
                self._low[code] = limit
        ends = np.cumsum([len(piece.number) for piece in self._pieces])[:-1]
        parts = zip(self._pieces, np.split(stay, ends), strict=True)
        self._pieces = [piece.take(here) for piece, here in parts if here.any()]
        self._held = int(stay.sum())
        self._thin_at = (self._held, self._thin_at[1])
        self._bytes = sum(piece.rows.nbytes for piece in self._pieces)
        self._room = self._held + self.plan.most // 2 + SLACK
        self._byte_room = 2 * self._bytes + ROOM

    def _most(self, name: str | None) -> int:
        """How many rows of a class stay, at most, beside those of strata."""
        anomalies = name not in (self.normal, None, "-1")
        if anomalies and max(self._counts) > self.plan.most:
            return min(self.plan.most, self.plan.most_anomalies)
        return self.plan.most

    def _floor(self, kind: int) -> int:
        """How many rows each stratum of a class keeps at least."""
        return min(FLOOR, self.plan.most // (SPARE * max(1, self._strata_of[kind])))

    def _kind_of(self, rows: pa.Table) -> Codes:
        """The class of each row (n,)."""
        if self.plan.label not in rows.column_names:
            name = self.normal if self.plan.label is None else None
            return np.full(len(rows), self._kind(name), dtype=np.int64)
        code, values = _coded(rows[self.plan.label])
        names = [self.normal if name in self._normal else name for name in spellings(values)]
        return np.array([self._kind(name) for name in names], dtype=np.int64)[code]

    def _kind(self, name: str | None) -> int:
        if name not in self._kinds:
            if len(self._kinds) >= CLASSES and sum(self._counts) > self.plan.most:
                raise DataError(
                    f"column {self.plan.label!r} holds more than {CLASSES:,} different labels, "
                    "each of which would be a kind of anomaly: name the column that says what each "
                    "row is"
                )
            self._kinds[name] = len(self._kinds)
            self._counts.append(0)
            self._limits.append(MOST)
            self._strata_of.append(0)
        return self._kinds[name]

    def _stratum_of(self, rows: pa.Table, kind: Codes) -> Codes:
        """The stratum of each row (n,); -1 where there are none, or too many."""
        columns = [name for name in self.plan.strata if name in rows.column_names]
        if not columns:
            return np.full(len(rows), -1, dtype=np.int64)
        coded = [_coded(rows[name]) for name in columns]
        both = kind
        for code, values in coded:
            both = both * len(values) + code
        _, first, place = np.unique(both, return_index=True, return_inverse=True)
        codes = [
            self._stratum(int(kind[row]), tuple(values[code[row]] for code, values in coded))
            for row in first.tolist()
        ]
        return np.array(codes, dtype=np.int64)[place]

    def _stratum(self, kind: int, values: tuple[object, ...]) -> int:
        """The number of a stratum; -1 for a new one where there are too many to keep rows of
        each.
        """
        if (kind, *values) not in self._strata:
            if SPARE * self._strata_of[kind] > self.plan.most:
                return -1
            self._strata[kind, *values] = len(self._strata)
            self._strata_of[kind] += 1
            self._low.append(MOST)
        return self._strata[kind, *values]


def row_keys(seed: int, start: int, n: int) -> Keys:
    """The keys of rows `start` to `start + n`, which hang on the seed and on nothing else: (n,).

    >>> bool((row_keys(3, 0, 9)[5:] == row_keys(3, 5, 4)).all())
    True
    """
    skip = start % 4  # a step of the generator gives four
    return np.random.Philox(key=seed, counter=start // 4).random_raw(skip + n)[skip:]


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables one below the other, with gaps where one lacks a column that another has.

    Raises
    ------
    DataError
        Where a column is of types that do not go together.

    >>> concatenated([pa.table({"a": [1]}), pa.table({"a": [0.5], "b": ["x"]})]).to_pylist()
    [{'a': 1.0, 'b': None}, {'a': 0.5, 'b': 'x'}]
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"files of one data set differ in the type of a column ({error}): write them anew with "
            "one type, or leave the column out"
        ) from error


def _coded(column: pa.ChunkedArray) -> tuple[Codes, list[object]]:
    """Codes of a column's values (n,), and the values."""
    if pa.types.is_nested(column.type):
        raise DataError(f"expected a column of numbers or texts, found one of {column.type}")
    coded = pa.chunked_array(column).combine_chunks().dictionary_encode(null_encoding="encode")
    return np.asarray(coded.indices, dtype=np.int64), coded.dictionary.to_pylist()


def _ranks(part: Codes, key: Keys, number: Codes) -> Codes:
    """The rank of each row among those of its part, by key, from 0: (n,)."""
    order = np.lexsort((number, key, part))
    ordered = part[order]
    rank = np.empty(len(part), dtype=np.int64)
    rank[order] = np.arange(len(part)) - np.searchsorted(ordered, ordered)
    return rank

"""What becomes of each column of a training table: a kind of values, or the reason why it is not
used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.columns import Kind
from unseen.data.identifiers import SHUFFLED, counter_kind, suspect_columns
from unseen.data.scaling import CELLS
from unseen.data.spelling import PLAIN, UNREAD, Reading, Spelling, read_as, thousands
from unseen.data.split import encoded
from unseen.data.values import floats, is_number, is_text, is_usable, numbers, seconds, written
from unseen.wording import option

log = logging.getLogger("unseen")

PAIRS = ({"t", "f"}, {"true", "false"}, {"yes", "no"}, {"y", "n"})
HEAD = 1000  # first rows of a column
SHOWN = 20  # columns that a note names
DISTINCT = 0.95  # share of values that differ, from which on they name rows
ENOUGH = 20  # values from which on that share says something
DATES = 0.9  # share of values that are dates where the others are slips
DATE = r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$"

DAY, YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:19|20)\d\d"
TWO = r"(?:0[1-9]|[12]\d|3[01])"
CLOCK = (
    r"[ T,:]+\d?\d:\d\d(?::\d\d(?:[.,]\d+)?)?"
    r"(?: ?[AaPp]\.?[Mm]\.?)?"
    r"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
# one line each: 1.3.2024 9:05 or 01/Mar/2024:09:05:00 +0100; 2024/03/01; 01.03.24; 2024-W09-1;
# 1.3.24 9:05; Mar 1 09:05:00
LOCAL = (
    rf"^(?:{DAY}[./ -](?:{DAY}|{MONTH})[./ -]{YEAR}(?:{CLOCK})?"
    rf"|{YEAR}[./]{DAY}[./]{DAY}(?:{CLOCK})?"
    rf"|{TWO}[./-]{TWO}[./-]\d\d"
    rf"|{YEAR}-?W\d\d(?:-?[1-7])?"
    rf"|{DAY}[./-]{DAY}[./-]\d\d{CLOCK}"
    rf"|{MONTH} +{DAY}(?:,? {YEAR})?{CLOCK})$"
)

KINDS = frozenset(get_args(Kind))
REASONS = {
    "nested": (
        "its values are of a type that cannot be used; turn them into columns of numbers or text"
    ),
    "missing": "wholly missing",
    "constant": "constant",
    "date": (
        "a date: derive columns such as the hour from it, or ask for kind 'number' (seconds "
        "since 1970)"
    ),
    "local date": "a date: derive columns such as the hour from it",
    "identifier": (
        "an identifier: hardly a value occurs twice, or it counts the rows; ask for a kind "
        "to keep it"
    ),
}


@dataclass(frozen=True)
class _Fate:
    """A kind or a key of REASONS; how text spells its numbers; and a doubt that is told."""

    kind: str
    reading: Reading = UNREAD
    doubt: str = ""

    @property
    def spelling(self) -> Spelling:
        return self.reading.spelling or PLAIN

    @property
    def used(self) -> bool:
        return self.kind in KINDS


UNDECIDED, NUMBER = _Fate(""), _Fate("number", Reading(PLAIN))


def fates(table: pa.Table, kinds: Mapping[str, str], drop: Iterable[str]) -> dict[str, _Fate]:
    """The fate of each column, in order; all that was understood in another way than as plain
    values is told.
    """
    columns, dropped = dict(zip(table.column_names, table.columns, strict=True)), set(drop)
    found = {name: _Fate("asked") if name in dropped else UNDECIDED for name in columns}
    undecided = [name for name, each in found.items() if each is UNDECIDED]
    typed = [name for name in undecided if name not in kinds and is_number(columns[name].type)]
    step = max(CELLS // max(len(table), 1), 1)
    for block in (typed[start : start + step] for start in range(0, len(typed), step)):
        found |= _number_fates(
            np.column_stack([numbers(name, columns[name]) for name in block]), block
        )
    found |= {
        name: _fate(name, columns[name], kinds.get(name))
        for name in undecided
        if found[name] is UNDECIDED
    }
    if any(
        each.used and each.spelling.decimal == "," and each.reading.sure for each in found.values()
    ):
        for name, each in found.items():  # a table has one decimal mark
            if (
                each.kind == "number"
                and is_text(columns[name].type)
                and each.spelling.decimal == "."
            ):
                found[name] = _beside_commas(name, columns[name], each)
    found |= _of_copies(
        table, [name for name in undecided if name not in kinds and found[name].used]
    )
    _warn_of_fates(found)
    return found


def matrix_fates(array: NDArray[Any], names: Sequence[str]) -> dict[str, _Fate]:
    """The fates of the columns of a matrix (n, k), all of them numbers: none is taken for an
    identifier.
    """
    found = _number_fates(array, names)
    for name, each in found.items():
        if each.kind in ("identifier", "date", "local date"):
            found[name] = _Fate(
                "number", each.reading, f"it looks like {REASONS[each.kind].partition(':')[0]}"
            )
    _warn_of_fates(found)
    return found


def _of_copies(table: pa.Table, names: Sequence[str]) -> dict[str, _Fate]:
    """The fates of columns that name or count the rows once copies are left out, as of a file that
    is there twice.

    Rows that agree in such a column agree in all.
    """
    usable = table.select([name for name in table.column_names if is_usable(table[name].type)])
    found: dict[str, _Fate] = {}
    # where little else is there, rows may agree by their nature
    for name in names if len(names) > 2 else ():
        head = pc.unique(table[name].slice(0, HEAD))
        if len(head) < SHUFFLED or not _names_rows(nature(name, pa.chunked_array([head]))):
            continue
        sample = usable.filter(pc.is_in(table[name], value_set=head[:SHUFFLED]))
        if _first(sample, name) is not None and (first := _first(usable, name)) is not None:
            once = nature(name, table[name].take(first))
            found |= {name: once} if _names_rows(once) else {}
    return found


def _first(table: pa.Table, name: str) -> NDArray[np.int64] | None:
    """Where each value of a column first occurs, rising, if it says what the others are."""
    _, first, place = np.unique(encoded(table[name]), return_index=True, return_inverse=True)
    copied = all(
        np.array_equal(codes, codes[first[place]]) for codes in map(encoded, table.columns)
    )
    return np.sort(first) if copied else None


def _names_rows(found: _Fate) -> bool:
    return found.kind in ("identifier", "date", "local date") or bool(found.doubt)


def _fate(name: str, array: pa.ChunkedArray, kind: str | None) -> _Fate:
    """What becomes of a column for which a kind may be asked."""
    if reason := _emptiness(array):
        return _Fate(reason)
    if kind is None:
        return nature(name, array)
    if kind == "number" and is_text(array.type):
        words = written(array)
        plain = floats(words) is not None or seconds(words) is not None
        return _Fate(kind, Reading(PLAIN) if plain else read_as(words))
    return _Fate(kind)


def nature(name: str, array: pa.ChunkedArray) -> _Fate:
    """What becomes of a column by its values alone.

    >>> (
    ...     nature("a", pa.chunked_array([["1", "?", "2.5"]])).kind,
    ...     nature("b", pa.chunked_array([["f", "T", "f"]])).kind,
    ... )
    ('number', 'boolean')
    """
    if pa.types.is_boolean(array.type):
        return _Fate("boolean")
    if pa.types.is_temporal(array.type) and not pa.types.is_duration(array.type):
        return _Fate("date")
    if not is_text(array.type):
        return _number_fate(name, numbers(name, array), Reading(PLAIN))
    words = written(array)
    if (values := floats(words)) is not None:
        return _number_fate(name, values, Reading(PLAIN))
    if seconds(words) is not None:
        return _Fate("date")
    reading = read_as(words)
    if reading.spelling is not None and (values := floats(words, reading.spelling)) is not None:
        return _number_fate(name, values, reading)
    return _Fate(_wording(words), reading)


def _number_fates(array: NDArray[Any], names: Sequence[str]) -> dict[str, _Fate]:
    """The fates of columns of numbers (n, k), NaN where missing."""
    gaps = (
        np.isnan(array).all(axis=0)
        if array.dtype.kind == "f"
        else np.zeros(array.shape[1], dtype=bool)
    )
    same = (array == array[0]).all(axis=0)
    kinds = np.where(gaps, "missing", np.where(same, "constant", "number")).tolist()
    found = {
        name: NUMBER if kind == "number" else _Fate(kind)
        for name, kind in zip(names, kinds, strict=True)
    }
    for j in suspect_columns(array):
        if kinds[j] == "number":
            found[names[j]] = _number_fate(names[j], array[:, j].astype(np.float64), NUMBER.reading)
    return found


def _emptiness(array: pa.ChunkedArray) -> str:
    """Why a column cannot tell rows apart: "nested", "missing" or "constant", keys of REASONS; ""
    when it can.
    """
    if not is_usable(array.type):
        return "nested"
    if len(array) > HEAD and not _emptiness(array.slice(0, HEAD)):
        return ""  # two values are enough, and most columns show them at once
    values = pc.unique(written(array) if is_text(array.type) else array)
    if pa.types.is_floating(values.type):
        values = pc.unique(pc.if_else(pc.is_nan(values), None, values))
    if values.null_count == len(values):
        return "missing"
    return "constant" if len(values) == 1 else ""


def _number_fate(name: str, values: NDArray[np.float64], reading: Reading) -> _Fate:
    """Numbers, unless they only count."""
    reason, doubt = counter_kind(name, values)
    return _Fate(reason or "number", reading, doubt)


def _wording(words: pa.ChunkedArray) -> str:
    """The kind of a column of trimmed text that holds neither numbers nor dates."""
    levels = pc.unique(words).drop_null()
    filled = len(words) - words.null_count
    if len(levels) == 2 and {level.lower() for level in levels.to_pylist()} in PAIRS:
        return "boolean"
    if pc.sum(pc.match_substring_regex(words, DATE)).as_py() >= DATES * filled:
        return "date"
    if pc.sum(pc.match_substring_regex(words, LOCAL)).as_py() >= DATES * filled:
        return "local date"
    if 2 * len(levels) >= filled and 2 * pc.sum(pc.match_substring(words, " ")).as_py() > filled:
        return "text"
    distinct = len(levels) == filled or (filled >= ENOUGH and len(levels) >= DISTINCT * filled)
    return "identifier" if distinct and 2 * filled > len(words) else "category"


def _beside_commas(name: str, array: pa.ChunkedArray, before: _Fate) -> _Fate:
    """The fate of a column of numbers without decimal commas of its own, where another column has
    some.
    """
    words = written(array)
    if before.reading.sure:
        return before if before.reading.example else replace(before, reading=thousands(words))
    reading = read_as(words, commas=True)
    values = floats(words, reading.spelling or PLAIN)
    return before if values is None else _number_fate(name, values, reading)


def _warn_of_fates(found: Mapping[str, _Fate]) -> None:
    """One warning for each sort of thing that was not plain to see."""
    how = option("kinds", ...)
    notes: tuple[tuple[str, Callable[[_Fate], str]], ...] = (
        (
            "numbers with marks of their own are read so: %s; ask for kind 'category' where they "
            f"are none ({how})",
            _example,
        ),
        (f"cells that are no numbers: %s; correct them, or ask for a kind ({how})", _dirty),
        (
            "columns that are used, and should perhaps be left out: %s; ask for kind 'number' "
            f"where they measure ({how})",
            _doubted,
        ),
        ("columns that are not used: %s", _why_unused),
    )
    for sentence, part in notes:
        parts = [f"{name!r}: {text}" for name, each in found.items() if (text := part(each))]
        if parts:
            more = f"; and {len(parts) - SHOWN:,} more columns" if len(parts) > SHOWN else ""
            log.warning(sentence, "; ".join(parts[:SHOWN]) + more)


def _example(each: _Fate) -> str:
    if not (each.used and each.reading.example):
        return ""
    return each.reading.example + ("" if each.reading.sure else " (nothing in the column shows it)")


def _dirty(each: _Fate) -> str:
    note = each.reading.note
    return f"{note}, it is taken for {each.kind}" if note and each.kind != "number" else note


def _doubted(each: _Fate) -> str:
    return each.doubt if each.used else ""


def _why_unused(each: _Fate) -> str:
    return "" if each.used or each.kind == "asked" else REASONS[each.kind]

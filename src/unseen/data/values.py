"""What the values of one column say: as text, numbers, yes or no, levels of a category, or facts of
a text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.data.spelling import COMMAS, PLAIN, Spelling, beginning, reads, respelled
from unseen.errors import DataError
from unseen.wording import option

# missing, unless a category has them as levels
NOTHING = ("None", "none", "NONE", "missing", "Missing", "MISSING")
_GAPS = (
    "? - -- . NA N/A n/a <NA> NaN nan NaT NULL Null null \\N "
    "#N/A #VALUE! #DIV/0! #REF! #NAME? #NUM! #NULL!"
)
MISSING = ("", *_GAPS.split(), *NOTHING)
YES = frozenset({"t", "true", "yes", "y", "1"})
NO = frozenset({"f", "false", "no", "n", "0"})
FACTS = ("length", "words", "digits", "punctuation")
WHOLE = re.compile(r"[+-]?\d+\.0+")
LARGE = re.compile(r"[+-]?\d(\.\d+)?e\+\d\d")  # as a large number that came as a float is written


@lru_cache(maxsize=256)
def is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


@lru_cache(maxsize=256)
def is_number(kind: pa.DataType) -> bool:
    return any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )


@lru_cache(maxsize=256)
def is_usable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_boolean, pa.types.is_temporal, pa.types.is_null)
    return is_text(kind) or is_number(kind) or any(test(kind) for test in tests)


def written(array: pa.ChunkedArray, levels: Collection[str] = ()) -> pa.ChunkedArray:
    """Values as trimmed text, null where missing, which no level is: (n,) -> (n,)."""
    words = pc.utf8_trim_whitespace(array.cast(pa.large_string()))
    tokens = pa.array([token for token in MISSING if token not in levels], pa.large_string())
    return pc.if_else(pc.is_in(words, value_set=tokens), pa.scalar(None, pa.large_string()), words)


def floats(words: pa.ChunkedArray, spelling: Spelling = PLAIN) -> NDArray[np.float64] | None:
    """The numbers that trimmed text spells, NaN for null, or None when some of it spells none."""
    if spelling.gaps:
        gaps = pa.array(spelling.gaps, words.type)
        words = pc.if_else(pc.is_in(words, value_set=gaps), pa.scalar(None, words.type), words)
    if spelling.decimal == "." and (plain := _cast(words)) is not None:
        return plain
    return _cast(respelled(words, spelling))


def _cast(words: pa.ChunkedArray) -> NDArray[np.float64] | None:
    try:
        return np.asarray(words.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        return None


def seconds(array: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Seconds since 1970 (of a duration: its seconds) for times or ISO 8601 text; None when some of
    it is neither.
    """
    unit: Any = pa.timestamp("us")
    if pa.types.is_duration(array.type):
        unit = pa.duration("us")
    if pa.types.is_time(array.type):
        unit = pa.time64("us")
    for target in (unit, pa.timestamp("us", "UTC")):
        try:
            ticks = array.cast(target, safe=False).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        return np.asarray(ticks.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64) / 1e6
    return None


def numbers(name: str, array: pa.ChunkedArray, spelling: Spelling = PLAIN) -> NDArray[np.float64]:
    """Values as float64, NaN where missing: (n,) -> (n,)."""
    if pa.types.is_temporal(array.type):
        values = seconds(array)
    elif is_text(array.type):
        words = written(array)
        values = floats(words, spelling)
        values = seconds(words) if values is None else values
    else:
        typed = array if pa.types.is_float64(array.type) else array.cast(pa.float64(), safe=False)
        values = np.asarray(typed.to_numpy(), dtype=np.float64)
    if values is None:
        unread = _unread(words := written(array), spelling)
        commas = spelling.decimal == "," or reads(pa.array(list(unread), words.type), COMMAS).all()
        expected = {",": "numbers with a decimal comma, as in training"}.get(
            spelling.decimal, "numbers"
        )
        hint = " (training showed no decimal commas)" if commas and spelling.decimal == "." else ""
        raise _unreadable(name, words, unread, expected + hint)
    return values


def _unread(words: pa.ChunkedArray, spelling: Spelling) -> set[str]:
    """The words that are no numbers."""
    texts = pc.unique(words.drop_null())
    return set(texts.filter(pa.array(~reads(texts, spelling))).to_pylist()) - set(spelling.gaps)


def booleans(name: str, array: pa.ChunkedArray) -> NDArray[np.float64]:
    """1 for yes, 0 for no, NaN where missing: (n,) -> (n,)."""
    codes, levels = labels(array)
    lower = [level.lower() for level in levels]
    if any(level not in YES | NO for level in lower):
        words = written(array)
        unread = {
            word
            for word in pc.unique(words.drop_null()).to_pylist()
            if _value_spelling(word).lower() not in YES | NO
        }
        raise _unreadable(name, words, unread, "yes or no")
    return np.array([*(level in YES for level in lower), np.nan], dtype=np.float64)[codes]


def _unreadable(
    name: str, words: pa.ChunkedArray, unread: Collection[str], expected: str
) -> DataError:
    """The error for text in which some words are not what its column holds; rows are counted from
    1.
    """
    rows = np.flatnonzero(pc.is_in(words, value_set=pa.array(list(unread), words.type)).to_numpy())
    return DataError(
        f"column {name!r}: {len(rows)} of {len(words)} values are not {expected}, first "
        f"{beginning(words[rows[0]].as_py())!r} in row {rows[0] + 1}; correct them, leave them "
        f"empty if they are unknown, or fit with {option('kinds', {name: 'category'})}"
    )


def labels(
    array: pa.ChunkedArray, keep: Collection[str] = ()
) -> tuple[NDArray[np.int64], list[str]]:
    """Number of each value's level, -1 where missing, and the levels: (n,) -> (n,), levels in order
    of appearance.

    `keep`: levels that would stand for a missing value elsewhere.

    >>> labels(pa.chunked_array([["80", " 80.0", "http", None]]))
    (array([ 0,  0,  1, -1]), ['80', 'http'])
    """
    words = written(array, keep)
    encoded = pc.unique(words).drop_null()
    codes = np.asarray(
        pc.fill_null(pc.index_in(words, value_set=encoded), -1).to_numpy(), dtype=np.int64
    )
    texts = [_value_spelling(text) for text in encoded.to_pylist()]
    levels = list(dict.fromkeys(texts))
    place = {level: code for code, level in enumerate(levels)}
    return np.array([*(place[text] for text in texts), -1], dtype=np.int64)[codes], levels


def _value_spelling(text: str) -> str:
    """One spelling for one value, whether it came typed or as text: "80" for 80.0, "true" for
    True.
    """
    if text in {"True", "TRUE", "False", "FALSE"}:
        return text.lower()
    if LARGE.fullmatch(text) and abs(number := float(text)) < 2**53 and number.is_integer():
        return str(int(number))
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def facts(array: pa.ChunkedArray) -> NDArray[np.float64]:
    """Characters, words, share of digits and of punctuation, NaN where missing: (n,) -> (n, 4)."""
    words = written(array)
    length = pc.utf8_length(words).cast(pa.float64())
    digits, marks = (
        pc.count_substring_regex(words, pattern) for pattern in (r"[0-9]", r"[[:punct:]]")
    )
    parts = (
        length,
        pc.count_substring_regex(words, r"\S+"),
        pc.divide(digits, length),
        pc.divide(marks, length),
    )
    return np.column_stack([part.cast(pa.float64()).to_numpy() for part in parts])

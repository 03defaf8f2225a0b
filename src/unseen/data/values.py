"""What the values of one column say: as text, numbers, yes or no, levels of a category, or facts of a text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.options import option

MISSING = ("", "?", "-", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "Null", "null", "None", "none")
YES = frozenset({"t", "true", "yes", "y", "1"})
NO = frozenset({"f", "false", "no", "n", "0"})
FACTS = ("length", "words", "digits", "punctuation")
WHOLE = re.compile(r"[+-]?\d+\.0+")


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_usable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_temporal)
    return is_text(kind) or any(test(kind) for test in (*tests, pa.types.is_null))


def written(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as trimmed text, null where missing: (n,) -> (n,)."""
    words = pc.utf8_trim_whitespace(array.cast(pa.large_string()))
    tokens = pa.array(MISSING, pa.large_string())
    return pc.if_else(pc.is_in(words, value_set=tokens), pa.scalar(None, pa.large_string()), words)


def floats(words: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """The numbers that trimmed text spells, NaN for null, or None when some of it spells none."""
    try:
        return np.asarray(words.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        return None


def seconds(array: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """Seconds since 1970 (of a duration: its seconds) for times or ISO 8601 text; None when some of it is neither."""
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


def numbers(name: str, array: pa.ChunkedArray) -> NDArray[np.float64]:
    """Values as float64, NaN where missing: (n,) -> (n,)."""
    if pa.types.is_temporal(array.type):
        values = seconds(array)
    elif is_text(array.type):
        words = written(array)
        values = floats(words)
        values = seconds(words) if values is None else values
    else:
        values = np.asarray(array.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    if values is None:
        raise unreadable(name, written(array), "numbers")
    return values


def booleans(name: str, array: pa.ChunkedArray) -> NDArray[np.float64]:
    """1 for yes, 0 for no, NaN where missing: (n,) -> (n,)."""
    codes, levels = labels(array)
    lower = [level.lower() for level in levels]
    if any(level not in YES | NO for level in lower):
        raise unreadable(name, written(array), "yes or no")
    return np.array([*(level in YES for level in lower), np.nan], dtype=np.float64)[codes]


def unreadable(name: str, words: pa.ChunkedArray, expected: str) -> DataError:
    """The error for text that is not what its column holds; rows are counted from 1."""
    verdicts = {word: readable(word, expected) for word in pc.unique(words).to_pylist()}
    bad = [row for row, word in enumerate(words.to_pylist(), start=1) if not verdicts[word]]
    return DataError(
        f"column {name!r}: {len(bad)} of {len(words)} values are not {expected}, "
        f"first {words[bad[0] - 1].as_py()!r} in row {bad[0]}; correct them, leave them empty if they are unknown, "
        f"or fit with {option('kinds', {name: 'category'})}"
    )


def readable(word: str | None, expected: str) -> bool:
    if word is None:
        return True
    if expected == "numbers":
        return floats(pa.chunked_array([[word]])) is not None
    return spelled(word).lower() in YES | NO


def labels(array: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Number of each value's level, -1 where missing, and the levels: (n,) -> (n,), levels in order of appearance.

    >>> labels(pa.chunked_array([["80", " 80.0", "http", None]]))
    (array([ 0,  0,  1, -1]), ['80', 'http'])
    """
    words = written(array)
    encoded = pc.unique(words).drop_null()
    codes = np.asarray(pc.fill_null(pc.index_in(words, value_set=encoded), -1).to_numpy(), dtype=np.int64)
    texts = [spelled(text) for text in encoded.to_pylist()]
    levels = list(dict.fromkeys(texts))
    place = {level: code for code, level in enumerate(levels)}
    return np.array([*(place[text] for text in texts), -1], dtype=np.int64)[codes], levels


def spelled(text: str) -> str:
    """One spelling for one value, whether it came typed or as text: "80" for 80.0, "true" for True."""
    if text in {"True", "TRUE", "False", "FALSE"}:
        return text.lower()
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def facts(array: pa.ChunkedArray) -> NDArray[np.float64]:
    """Characters, words, share of digits and of punctuation, NaN where missing: (n,) -> (n, 4)."""
    words = written(array)
    length = pc.utf8_length(words).cast(pa.float64())
    digits, marks = (pc.count_substring_regex(words, pattern) for pattern in (r"[0-9]", r"[[:punct:]]"))
    parts = (length, pc.count_substring_regex(words, r"\S+"), pc.divide(digits, length), pc.divide(marks, length))
    return np.column_stack([part.cast(pa.float64()).to_numpy() for part in parts])

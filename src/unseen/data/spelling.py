"""How the text of a column spells numbers: by which mark, and what else stands in it for a missing
value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FEW = 0.01  # share of values that may be no numbers in a column of numbers
WORDS = 20  # most different ones among them
CODES = 50  # different numbers up to which they may be codes, and what is no number a further one
LONG = 60  # characters of a value that a message shows

NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity|nan))$"
SPACED = r"^[+-]?[1-9]\d{0,2}(?:[ '\x{2019}\x{a0}\x{202f}]\d{3})+(?:[.,]\d*)?$"  # 1 234 567,8
SPACES = r"[ '\x{2019}\x{a0}\x{202f}]"
LIKE = r"^[+-]?(?:[.,]?\d|(?i:inf))"
UNIT = r"^[^\w.,]*(?P<number>\d[\d.,]*)(?P<unit>[^\d]{0,8})$"
UNITS = 5  # different ones in a column of measurements
COMMA = r"^([+-]?\d*),(\d*(?:[eE][+-]?\d+)?)$"


@dataclass(frozen=True)
class Spelling:
    """How a column of text spells numbers, and which further words stand for a missing value.

    Parameters
    ----------
    decimal : {".", ","}
        The decimal mark.
    grouped : bool
        Whether a lone other mark groups thousands: "1,234" is 1234, or "1.234" beside a decimal
        comma. In "1,234.5" or "1.234,5" the other mark always does, and so does the space in
        "1 234".
    gaps : tuple of str
        What training showed in few cells of the column that is no number: taken for missing.
    """

    decimal: Literal[".", ","] = "."
    grouped: bool = False
    gaps: tuple[str, ...] = ()


PLAIN = Spelling()
GROUPED, COMMAS, POINTED = Spelling(".", True), Spelling(",", False), Spelling(",", True)


def respelled(words: pa.ChunkedArray, spelling: Spelling) -> pa.ChunkedArray:
    """Trimmed text with its numbers spelled as computers do; what this spelling cannot read stays
    or becomes "no".

    >>> respelled(
    ...     pa.chunked_array([["-0,3", "1.234,5", "1 000", "2.5", "1.234"]]), COMMAS
    ... ).to_pylist()
    ['-0.3', '1234.5', '1000', '2.5', 'no']
    """
    spaced = pc.match_substring_regex(words, SPACED)
    words = pc.if_else(spaced, pc.replace_substring_regex(words, SPACES, ""), words)
    other = "," if spelling.decimal == "." else "."
    mark, group = re.escape(spelling.decimal), rf"^[+-]?[1-9]\d{{0,2}}(?:{re.escape(other)}\d{{3}})"
    sure = rf"(?:{group}+{mark}\d+$)|(?:{group}{{2,}}$)"
    lone = pc.match_substring_regex(words, f"{group}$")
    apart = pc.match_substring_regex(words, sure)
    if spelling.grouped:
        apart = pc.or_(apart, lone)
    joined = pc.if_else(apart, pc.replace_substring(words, other, ""), words)
    if spelling.decimal == ".":
        return joined
    # beside a decimal comma "1.234" says nothing, and "2.5" is a typed number
    pointed = pc.match_substring(words, ".")
    refused = pc.and_(pointed, pc.invert(apart)) if spelling.grouped else lone
    joined = pc.if_else(refused, pa.scalar("no", joined.type), joined)
    return pc.replace_substring_regex(joined, COMMA, r"\1.\2")


def reads(words: pa.ChunkedArray, spelling: Spelling) -> NDArray[np.bool_]:
    """Which words (n,), none of them null, are numbers in this spelling."""
    spelled = respelled(words, spelling)
    return _matches(spelled, NUMBER)


@dataclass(frozen=True)
class Reading:
    """How a column of text was read, and what to say of it.

    Parameters
    ----------
    spelling : Spelling or None
        How it spells numbers; None for a column that holds none.
    sure : bool
        Whether no other spelling reads the column as well: "1,234" alone may be 1234 or 1.234.
    note : str
        What to say of cells that are no numbers, or of numbers in a column that is none.
    example : str
        A number as the text has it, and its meaning; empty where a computer would read the same.
    """

    spelling: Spelling | None = None
    sure: bool = True
    note: str = ""
    example: str = ""


UNREAD = Reading()


def read_as(words: pa.ChunkedArray, *, commas: bool = False) -> Reading:
    """What spells the numbers in trimmed text (n,), null where missing, that are not all plain
    ones.

    `commas`: another column of the table has decimal commas, which decides what "1,234" is; else it
    is 1234.

    >>> read_as(pa.chunked_array([["12,5", "3", "1.000,5"]])).spelling
    Spelling(decimal=',', grouped=True, gaps=())
    >>> read_as(pa.chunked_array([["1,234", "950"]]))
    Reading(spelling=Spelling(decimal='.', grouped=True, gaps=()), sure=False, ...)
    """
    counted = pc.value_counts(words.drop_null())
    texts, counts = counted.field("values"), counted.field("counts").to_numpy(zero_copy_only=False)
    if 2 * counts[_matches(texts, LIKE)].sum() < counts.sum():
        return _with_unit(words, texts, counts) or UNREAD
    masks = {spelling: reads(texts, spelling) for spelling in (PLAIN, GROUPED, COMMAS, POINTED)}
    # the first of those that read most
    best = max(masks, key=lambda spelling: counts[masks[spelling]].sum())
    unsure = (
        best is GROUPED
        and (masks[COMMAS] >= masks[GROUPED]).all()
        and not _matches(texts, r"\.").any()
    )
    best = COMMAS if unsure and commas else _with_groups(best, texts, masks)
    unread = ~masks[best]
    reading = _reading(
        best, texts.filter(pa.array(masks[best] & ~_matches(texts, NUMBER))), sure=not unsure
    )
    if not unread.any():
        return reading
    note = _note(words, texts, unread)
    if _is_dirt(counts, unread):
        gaps = tuple(texts.filter(pa.array(unread)).to_pylist())
        return replace(
            reading, spelling=replace(best, gaps=gaps), note=f"{note}: taken for missing"
        )
    if 2 * counts[~unread].sum() < counts.sum():
        return _with_unit(words, texts, counts) or UNREAD
    return Reading(note=f"{note}: too many for a column of numbers")


def thousands(words: pa.ChunkedArray) -> Reading:
    """The reading of plain numbers where other columns have decimal commas: a point before three
    digits is no comma.
    """
    pointed = pc.unique(words.filter(pc.match_substring(words, ".")))
    if (
        len(pointed)
        and pc.all(pc.match_substring_regex(pointed, r"^[+-]?[1-9]\d{0,2}\.\d{3}$")).as_py()
    ):
        return _reading(POINTED, pointed, sure=False)
    return Reading(PLAIN)


def _with_unit(
    words: pa.ChunkedArray, texts: pa.Array, counts: NDArray[np.int64]
) -> Reading | None:
    """The doubt that most values are numbers beside a unit or a sign, such as 42.7%; None where
    they are not.
    """
    parts = pc.extract_regex(texts, UNIT)
    found = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    if 10 * counts[found].sum() < 9 * counts.sum():
        return None
    beside, of = (
        pc.struct_field(parts, name).filter(pa.array(found)) for name in ("unit", "number")
    )
    if len(pc.unique(of)) <= CODES or len(pc.unique(beside)) > UNITS:
        return None
    marked = texts.filter(pa.array(found & ~_matches(texts, NUMBER)))
    row = int(pc.is_in(words, value_set=marked).to_numpy().argmax())
    first = beginning(words[row].as_py())
    return Reading(
        note=(
            f"most values look like numbers beside a unit or sign, first {first!r} in row "
            f"{row + 1:,}"
        )
    )


def _matches(words: pa.Array | pa.ChunkedArray, pattern: str) -> NDArray[np.bool_]:
    return np.array(pc.match_substring_regex(words, pattern), dtype=bool)


def _with_groups(
    best: Spelling, texts: pa.Array, masks: Mapping[Spelling, NDArray[np.bool_]]
) -> Spelling:
    """The spelling in which thousands are grouped by the other mark, where that occurs and none
    speaks against it.
    """
    grouped = GROUPED if best.decimal == "." else POINTED
    occurs = _matches(texts, "," if best.decimal == "." else r"\.") & masks[best]
    return grouped if occurs.any() and (masks[grouped] >= masks[best]).all() else best


def _reading(spelling: Spelling, marked: pa.Array, *, sure: bool) -> Reading:
    """A reading with the first of the words that it reads otherwise than a computer would."""
    if not len(marked):
        return Reading(PLAIN)
    first = marked[:1]
    return Reading(
        spelling, sure, example=f"{first[0].as_py()!r} is {respelled(first, spelling)[0].as_py()}"
    )


def _is_dirt(counts: NDArray[np.int64], unread: NDArray[np.bool_]) -> bool:
    """Whether what is no number is a slip among numbers, and no level among codes."""
    few = counts[unread].sum() <= FEW * counts.sum() and unread.sum() <= WORDS
    return bool(few and ((~unread).sum() > CODES or (counts[unread] == 1).all()))


def _note(words: pa.ChunkedArray, texts: pa.Array, unread: NDArray[np.bool_]) -> str:
    unlike = pc.is_in(words, value_set=texts.filter(pa.array(unread))).to_numpy()
    row = int(unlike.argmax())
    k, n = int(unlike.sum()), len(words) - words.null_count
    first = beginning(words[row].as_py())
    return (
        f"{k:,} of {n:,} values {'is' if k == 1 else 'are'} no number, first {first!r} in row "
        f"{row + 1:,}"
    )


def beginning(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= LONG else f"{text[:LONG]}..."

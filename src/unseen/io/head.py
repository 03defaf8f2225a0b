"""What the first lines of a CSV file say: names, delimiter, and where the rows begin."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

from unseen.errors import DataError
from unseen.io import text
from unseen.io.text import Text, shown, too_long, zeros
from unseen.names import distinct_names

log = logging.getLogger("unseen")
DELIMITERS = ",;\t|"
LOOKED_AT = 20  # lines below the names that tell names from data
_NEAR = 1 << 16  # letters that tell what separates names
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SEP = re.compile(r'"?sep=([^"\r\n]*)"?\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Head:
    """What the first lines say: names, what separates fields, the bytes before the first row;
    whether names were there, and whether these look like a row.
    """

    names: list[str]
    delimiter: str
    start: int
    named: bool
    doubtful: bool


def head(source: Text, *, header: bool) -> Head:
    """Names, delimiter and first row; without a header the names are x0, x1, ..."""
    block = source.peek()
    opening, where = block.decode(errors="ignore"), shown(source.file)
    place, delimiter = _begin(source.file, opening, header)
    if place == len(opening):
        raise DataError(
            f"{where}: the file is empty; expected a header line with the names of the columns"
        )
    skipped = len(_LINE.findall(opening, 0, place))
    ends: list[int] = []
    records = csv.reader(_lines(opening, place, ends), delimiter=delimiter)
    try:
        names = next(records)
    except csv.Error as error:
        if ends[-1] == len(opening) and len(block) >= text.BLOCK:
            raise too_long(source.file, skipped + 1) from error
        raise DataError(
            f"{where}, line {skipped + 1}: expected names of columns, found no such line ({error})"
        ) from error
    if ends[-1] == len(opening) and len(block) >= text.BLOCK:
        raise too_long(source.file, skipped + 1)
    _check(
        f"{where}, line {skipped + 1}",
        source.file,
        opening[place : ends[-1]],
        lines=records.line_num,
    )
    if len(names) == 1 and (words := _words(opening[place : place + _NEAR])) > 1:
        log.warning(
            "%s: no comma, semicolon, tab or | separates columns, so each line is one value; if "
            "spaces do, as each line has %d words, separate them by commas: "
            "sed 's/^ *//; s/  */,/g' %s > separated.csv",
            *(where, words, source.file.name),
        )
    if header:
        start = len(opening[: ends[-1]].encode())
        return Head(
            names, delimiter, start, named=True, doubtful=_like_data(names, _first_records(records))
        )
    # there, a blank line is a row
    start = 0 if skipped and len(names) == 1 else len(opening[:place].encode())
    return Head([f"x{j}" for j in range(len(names))], delimiter, start, named=False, doubtful=False)


def column_names(names: Sequence[str], file: Path) -> list[str]:
    """A name for each column, each its own: those without one are called by their place, repeated
    ones are numbered.

    >>> column_names(["a", "", "a", "unnamed_2"], Path("flows.csv"))
    ['a', 'unnamed_2_2', 'a_2', 'unnamed_2']
    """
    taken = set(names)
    given = [
        name if name.strip() else _unused(f"unnamed_{place}", taken)
        for place, name in enumerate(names, start=1)
    ]
    filled = [repr(new) for name, new in zip(names, given, strict=True) if name != new]
    if filled:
        more = f", and {len(filled) - 5:,} more" if len(filled) > 5 else ""
        log.warning(
            "%s: columns without a name are called by their place: %s",
            shown(file),
            ", ".join(filled[:5]) + more,
        )
    given, note = distinct_names(given)
    if note:
        log.warning("%s: %s", shown(file), note)
    return given


def _unused(name: str, taken: Set[str]) -> str:
    return next(new for new in chain([name], (f"{name}_{k}" for k in count(2))) if new not in taken)


def _begin(file: Path, opening: str, header: bool) -> tuple[int, str]:
    """Where the first record begins, and the delimiter: said by a line `sep=;` before it, or the
    usual one.
    """
    place = _first_line(opening, 0, header)
    line = _LINE.match(opening, place)
    named = _SEP.fullmatch(line[0]) if line else None
    if line and named:
        if len(named[1]) != 1 or not named[1].isascii():
            raise DataError(
                f"{shown(file)}: expected one character after 'sep=' in the first line, found "
                f"{named[1]!r}"
            )
        return _first_line(opening, line.end(), header), named[1]
    if file.name.lower().endswith((".tsv", ".tsv.gz")):
        return place, "\t"
    return place, _usual_delimiter(re.sub(r'"[^"]*"', "", opening[place : place + _NEAR]))


def _usual_delimiter(bare: str) -> str:
    """What separates fields of these lines without quoted parts: as often in each, decimal commas
    apart, and often.
    """
    lines = [line for line in re.split(r"[\r\n]+", bare)[: LOOKED_AT + 1] if line]
    points = [re.sub(r"(?<=\d),(?=\d)", ".", line) for line in lines]

    def fit(delimiter: str) -> tuple[bool, bool, int]:
        often = lines[0].count(delimiter) if lines else 0
        alike = (all(line.count(delimiter) == often for line in text) for text in (points, lines))
        return often > 0 and next(alike), often > 0 and next(alike), often

    return max(DELIMITERS, key=fit)


def _words(bare: str) -> int:
    """How many words each of the first lines has, most of them numbers below the first line; 0 if
    not so.
    """
    lines = [line.split() for line in re.split(r"[\r\n]+", bare)[: LOOKED_AT + 1] if line.strip()]
    below = list(chain.from_iterable(lines[1:]))
    alike = len({len(line) for line in lines}) == 1
    return len(lines[0]) if alike and below and sum(map(_is_number, below)) > len(below) / 2 else 0


def _first_line(opening: str, place: int, header: bool) -> int:
    """Where the first line begins that is not blank; before names, lines of nothing but delimiters
    are blank too.
    """
    blank = "\r\n" + (" " + DELIMITERS if header else "")
    while (line := _LINE.match(opening, place)) and not line[0].strip(blank):
        place = line.end()
    return place if line else len(opening)


def _lines(opening: str, place: int, ends: list[int]) -> Iterator[str]:
    """Lines from a place on; where each ends is noted when it is taken."""
    for line in _LINE.finditer(opening, place):
        ends.append(line.end())
        yield line[0]


def _check(where: str, file: Path, record: str, *, lines: int) -> None:
    """DataError for a first record that has no end, or is no text."""
    if "\0" in record:
        raise zeros(where, file)
    if lines > 1 and record.count('"') % 2:
        raise DataError(f"{where}: a quote opens here and is not closed; correct the line")


def _first_records(records: Iterator[list[str]]) -> list[list[str]]:
    try:
        return list(islice(records, LOOKED_AT))
    except csv.Error:
        return []


def _like_data(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether most names are numbers, or values of the rows below."""
    like = {j for j, name in enumerate(names) if _is_number(name)}
    for row in rows:
        like |= {
            j
            for j, (name, value) in enumerate(zip(names, row, strict=False))
            if name == value != ""
        }
    return len(like) > sum(map(bool, map(str.strip, names))) / 2


def _is_number(name: str) -> bool:
    try:
        float(name.replace(",", "."))
    except ValueError:
        return False
    return any(letter.isdigit() for letter in name)

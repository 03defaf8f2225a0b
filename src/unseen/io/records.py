"""Rows of CSV text below its header, a block of whole rows at a time.

A row may go over several lines, in quotes. Arrow's reader of streams would find where it ends, but
it reads ahead in a thread; where the text is decoded in Python, such a thread may wait for ever
when an error ends the reading."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from unseen.errors import DataError
from unseen.io import text
from unseen.io.head import Head
from unseen.io.text import Text, lines_in, shown, too_long


def text_fields(source: Text, top: Head, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows, every field as text, empty ones as null."""
    # a blank line is a row without a value where there is one column, and nothing elsewhere
    several = len(schema) > 1
    parse = arrow_csv.ParseOptions(
        delimiter=top.delimiter, newlines_in_values=True, ignore_empty_lines=several
    )
    convert = arrow_csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, null_values=[""]
    )
    done = 0
    with source:
        for line, block in _row_blocks(source, top, len(schema)):
            if several and not block.strip(b"\r\n"):
                continue
            read = arrow_csv.ReadOptions(
                block_size=len(block) + 1, column_names=schema.names, use_threads=False
            )
            buffer = pa.BufferReader(block)
            try:
                table = arrow_csv.read_csv(
                    buffer, read_options=read, parse_options=parse, convert_options=convert
                )
            except pa.ArrowInvalid as error:
                raise _misfit_row(source, top, line, block) or _arrow_error(
                    source, done, str(error)
                ) from error
            yield from table.to_batches()
            done += len(table)


def _row_blocks(source: Text, top: Head, width: int) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole rows, each with the number of its first line."""
    size = text.BLOCK * min(4, 1 + width // 4096)  # each column of each block costs time
    line, rest = 1 + lines_in(source.read(top.start)), b""
    if not source.filled():
        return
    while more := source.read(size):
        block = rest + more
        end, _ = last_end(block, top.delimiter)
        if len(block) - end > text.BLOCK:
            raise too_long(source.file, line + lines_in(block[:end]))
        if end:
            yield line, block[:end]
        line, rest = line + lines_in(block[:end]), block[end:]
    end, still_open = last_end(rest, top.delimiter)
    if still_open:
        raise DataError(
            f"{shown(source.file)}, line {line + lines_in(rest[:end])}: expected a quote that "
            "closes, found none up to the end of the file; correct the line where the quote opens"
        )
    if rest:
        yield line, rest


def last_end(block: bytes, delimiter: str) -> tuple[int, bool]:
    """Where the last whole row of a block ends that begins with a row, and whether a quote is open
    at its end.

    >>> last_end(b'1,"a\\nb"\\n2,"c\\n', ","), last_end(b'5" pipe,1\\n6" pipe', ",")
    ((8, True), (10, False))
    """
    end = len(block) - block.endswith(b"\r")  # a line feed may follow
    if b'"' not in block:
        return 1 + max(block.rfind(b"\n", 0, end), block.rfind(b"\r", 0, end)), False
    letters = np.frombuffer(block, dtype=np.uint8)
    quotes = _quotes(letters, delimiter)
    ends = np.flatnonzero((letters[:end] == ord("\n")) | (letters[:end] == ord("\r")))
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return 1 + int(outside[-1]) if len(outside) else 0, len(quotes) % 2 == 1


def _quotes(letters: NDArray[np.uint8], delimiter: str) -> NDArray[np.int64]:
    """Where a quote opens or closes, by turns: one within a field that does not begin with it is a
    letter.
    """
    quotes = np.flatnonzero(letters == ord('"'))
    begins = np.isin(letters[quotes - 1], [ord(letter) for letter in f"{delimiter}\r\n"]) | (
        quotes == 0
    )
    doubled = np.append(False, np.diff(quotes) == 1)
    if (begins | doubled)[::2].all():
        return quotes
    turns: list[int] = []
    places, starts, at = quotes.tolist(), begins.tolist(), 0
    while at < len(places):
        if len(turns) % 2 and at + 1 < len(places) and places[at + 1] == places[at] + 1:
            at += 1  # two quotes in quotes are one letter
        elif len(turns) % 2 or starts[at]:
            turns.append(places[at])
        at += 1
    return np.array(turns, dtype=np.int64)


def _misfit_row(source: Text, top: Head, line: int, block: bytes) -> DataError | None:
    """The error for the first row in a block whose number of fields is not the first row's."""
    reader = csv.reader(io.StringIO(block.decode(), newline=""), delimiter=top.delimiter)
    expected, end = len(top.names), 0
    try:
        for record in reader:
            start, end = end, reader.line_num
            if record and len(record) != expected:
                break
        else:
            return None
    except csv.Error:  # a field longer than that module takes
        return None
    where = (
        f"line {line + start}" if end == start + 1 else f"lines {line + start} to {line + end - 1}"
    )
    advice = f"quote fields that contain {top.delimiter!r}, or correct the line"
    if len(record) == expected + 1 and not record[-1]:
        advice = f"the line ends in {top.delimiter!r}, and the first does not: end them alike"
    if end > start + 2:
        advice += "; is a quote not closed?"
    model = "header" if top.named else "first row"
    return DataError(
        f"{shown(source.file)}, {where}: expected {expected} fields as in the {model}, found "
        f"{len(record)}; {advice}"
    )


def _arrow_error(source: Text, done: int, message: str) -> DataError:
    """The error by Arrow's words, which count the rows of a block."""
    found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if not found:
        return DataError(f"{shown(source.file)}, below row {done:,}: {message}")
    row, expected, got = map(int, found.groups())
    return DataError(
        f"{shown(source.file)}, row {done + row:,}: expected {expected} fields, found {got}; "
        "correct it"
    )

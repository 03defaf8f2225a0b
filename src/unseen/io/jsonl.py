"""JSON Lines: one flat object a line. As in CSV files, every value is read as text, and `Schema`
says what it means.

A value that is an object or a list is kept as its JSON, in a column of bytes, which the schema
leaves out as nested."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa

from unseen.errors import DataError
from unseen.io.head import column_names
from unseen.io.text import BLOCK, Text, shown

log = logging.getLogger("unseen")
ROWS = 16384  # objects of one batch at most
SPARSE = 100  # columns for each value of an object, at most, where there are many columns
MANY = 1000


class _Line(NamedTuple):
    """An object, its numbers as they are spelled, and where it stands."""

    number: int
    text: str
    values: dict[str, Any]


def opened_jsonl(
    source: Text, expected: Collection[str] = ()
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Columns and rows in constant memory: the keys of the first block, and those `expected`, are
    the columns.

    A key that comes first in a later block is left out, with a note: the rows before it are gone by
    then."""
    blocks = _object_blocks(source)
    first = next(blocks, None)
    if first is None:
        raise _nothing(source)
    keys = list(_keys(first))
    absent = [key for key in expected if key not in set(keys)]
    if 0 < len(absent) < len(expected):
        keys += absent
        log.warning(
            "%s: no object among the first %s has the keys %s: these values are taken for missing",
            *(shown(source.file), f"{len(first):,}", ", ".join(map(repr, absent))),
        )
    nested = _nested(first) - set(expected)
    schema = _schema(column_names(keys, source.file), keys, nested)
    return schema, _batches(source, chain([first], blocks), keys, schema)


def growing(source: Text, admit: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """All rows, a block at a time, with a column for each key that occurred so far; `admit` is told
    how many bytes they take at least.
    """
    keys: dict[str, None] = {}
    nested: set[str] = set()
    rows = size = 0
    for block in _object_blocks(source):
        keys |= _keys(block)
        nested |= _nested(block)
        batch = _batch(source, block, list(keys), _schema(keys, keys, nested))
        rows, size = rows + len(block), size + batch.nbytes
        admit(max(size, 4 * rows * len(keys)))
        yield batch
    if not rows:
        raise _nothing(source)


def whole(source: Text, admit: Callable[[int], None]) -> pa.Table:
    """All rows, with a column for each key that occurs; `admit` is told how many bytes they take at
    least.
    """
    pending = list(growing(source, admit))
    last = pending[-1].schema
    schema = pa.schema(list(zip(column_names(last.names, source.file), last.types, strict=True)))
    return pa.Table.from_batches([_completed(batch, schema) for batch in pending], schema)


def _nothing(source: Text) -> DataError:
    return DataError(
        f"{shown(source.file)}: the file is empty; expected a JSON object in each line"
    )


def _batches(
    source: Text, blocks: Iterable[list[_Line]], keys: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    known, noted = set(keys), False
    for block in blocks:
        late = [] if noted else [key for key in _keys(block) if key not in known]
        if late:
            line = next(line.number for line in block if late[0] in line.values)
            log.warning(
                "%s: keys that do not occur at the start of the file are left out, such as %s, "
                "first in line %s",
                *(shown(source.file), ", ".join(map(repr, late[:5])), f"{line:,}"),
            )
            noted = True
        yield _batch(source, block, keys, schema)


def _object_blocks(source: Text) -> Iterator[list[_Line]]:
    """Objects of about a block of text each."""
    decoder = json.JSONDecoder(
        parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique_keys
    )
    pending, size = list[_Line](), 0
    with source:
        for number, line in enumerate(source.lines(), start=1):
            if line.isspace():
                continue
            pending.append(_Line(number, line, _parsed(decoder, source, number, line)))
            size += len(line)
            if size >= BLOCK or len(pending) == ROWS:
                yield pending
                pending, size = [], 0
    if pending:
        yield pending


def _parsed(decoder: json.JSONDecoder, source: Text, number: int, line: str) -> dict[str, Any]:
    """The object in a line; DataError for anything else."""
    where = f"{shown(source.file)}, line {number:,}"
    try:
        values = decoder.decode(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"{where}: expected a JSON object in each line, found {line[:40]!r} ({error})"
        ) from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if not isinstance(values, dict):
        raise DataError(
            f'{where}: expected a JSON object such as {{"bytes": 10}}, found '
            f"{line[:40].strip()!r}; of a list of objects write one a line, for example: jq -c "
            "'.[]'"
        )
    return values


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise DataError(f"the key {twice!r} occurs twice in one object; rename one of them")
    return values


def _keys(block: Iterable[_Line]) -> dict[str, None]:
    """The keys in the order in which they appear."""
    keys: dict[str, None] = {}
    for line in block:
        if not line.values.keys() <= keys.keys():
            keys |= dict.fromkeys(line.values)
    return keys


def _nested(block: Iterable[_Line]) -> set[str]:
    """Keys of objects and lists."""
    return {
        key for line in block for key, value in line.values.items() if type(value) in (dict, list)
    }


def _schema(names: Iterable[str], keys: Iterable[str], nested: Collection[str]) -> pa.Schema:
    types = (pa.binary() if key in nested else pa.string() for key in keys)
    return pa.schema(list(zip(names, types, strict=True)))


def _batch(source: Text, block: list[_Line], keys: list[str], schema: pa.Schema) -> pa.RecordBatch:
    values = sum(len(line.values) for line in block)
    if len(keys) > MANY and SPARSE * (values + MANY) < len(keys) * len(block):
        raise DataError(
            f"{shown(source.file)}, lines {block[0].number:,} to {block[-1].number:,}: expected "
            f"objects with the same keys, found {len(keys):,}, and {values / len(block):.3g} of "
            "them in an object; make what varies a value"
        )
    columns = []
    for key, kind in zip(keys, schema.types, strict=True):
        column = [line.values.get(key) for line in block]
        if not set(map(type, column)) <= {str, type(None)}:
            column = [_spelled(source, line, key) for line in block]
        columns.append(pa.array(column, kind))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _spelled(source: Text, line: _Line, key: str) -> str | None:
    """A value as text: true, false, and what is nested as JSON."""
    value: Any = line.values.get(key)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, dict | list):
        return value
    try:
        return json.dumps(json.loads(line.text)[key], ensure_ascii=False)
    except ValueError as error:  # a number of thousands of digits
        raise DataError(
            f"{shown(source.file)}, line {line.number:,}: key {key!r}: {error}"
        ) from error


def _completed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with gaps in the columns that came later."""
    known = [column.cast(kind) for column, kind in zip(batch.columns, schema.types, strict=False)]
    gaps = [pa.nulls(len(batch), kind) for kind in schema.types[len(known) :]]
    return pa.RecordBatch.from_arrays(known + gaps, schema=schema)

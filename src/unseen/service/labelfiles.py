"""Files of labels: CSV that runs nothing in a spreadsheet, and Label Studio's JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from unseen.errors import DataError
from unseen.service.answers import KEY, Answer, check_values

HEADS = ("request", "row", "key", "answer", "kind", "by", "at", "values")
MOST = 20_000  # labels of a file
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # what a spreadsheet runs, however often quoted before


@dataclass(frozen=True)
class Line:
    """One label of a file.

    Parameters
    ----------
    answer : Answer
        The answer.
    request, row : str and int, or None
        Of the alert: the request that it came with, and its row there.
    key : str or None
        What the row is called.
    values : dict
        The row, by column.
    """

    answer: Answer
    request: str | None
    row: int | None
    key: str | None
    values: dict[str, Any]

    def cells(self, *names: str) -> dict[str, Any]:
        """Some of it, or all, as the database names it."""
        found = {"request": self.request, "row": self.row, "key": self.key, "values": self.values}
        found |= {"answer": self.answer.answer, "kind": self.answer.kind}
        return {name: found[name] for name in names} if names else found


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> safe_cell("=1+1"), safe_cell("'=1"), safe_cell("'s-Hertogenbosch")
    ("'=1+1", "''=1", "'s-Hertogenbosch")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """What `safe_cell` was given.

    >>> [plain_cell(safe_cell(text)) for text in ("=1", "'=1", "'s", "a", "")]
    ['=1', "'=1", "'s", 'a', '']
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def as_csv(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Labels as a table, a line at a time; the row itself is one cell of JSON."""
    yield _written(HEADS)
    for line in lines:
        values = json.dumps(line["values"], ensure_ascii=False)
        yield _written([(line | {"values": values})[name] for name in HEADS])


def of_csv(body: bytes) -> list[Line]:
    """The labels of such a table; DataError, with the line, for what is none."""
    how = ParseOptions(newlines_in_values=True)
    try:
        whole = ReadOptions(block_size=len(body) + 1)
        names = read_csv(BytesIO(body), whole, how).column_names
        texts = ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        table = read_csv(BytesIO(body), whole, how, texts)
    except pa.ArrowException as error:
        raise DataError(f"labels: the file is no CSV ({str(error)[:200]})") from error
    if "answer" not in names or len(set(names)) < len(names):
        raise DataError(f"labels: expected a table with the columns {', '.join(HEADS)}, once each")
    _check_number(len(table))
    kept = table.select([name for name in HEADS if name in names]).to_pylist()
    plain = ({name: plain_cell(cell) for name, cell in cells.items()} for cells in kept)
    return [_line(cells, number) for number, cells in enumerate(plain, start=2)]


def of_tasks(body: bytes) -> list[Line]:
    """The labels of Label Studio's tasks, of each the last annotation; tasks without one are left
    out. DataError, with the task, for what is none.
    """
    try:
        tasks = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"labels: the file is no JSON ({str(error)[:200]})") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError("labels: expected a list of tasks, as Label Studio exports it")
    _check_number(len(tasks))
    found = []
    for number, task in enumerate(tasks, start=1):
        if said := _annotated(task, number):
            found.append(_line(task["data"] | said, number))
    return found


def _line(cells: dict[str, Any], number: int) -> Line:
    """A label of a file; DataError, with its number there, for what is none."""
    try:
        values = cells.get("values") or {}
        values = json.loads(values) if isinstance(values, str) else values
        if not isinstance(values, dict):
            raise DataError("expected the values of the row by column")
        check_values(values)
        request, key, kind = (_cell_text(cells.get(name)) for name in ("request", "key", "kind"))
        row = _row_number(cells["row"]) if request and cells.get("row") else None
        line = Line(Answer(str(cells.get("answer")), kind), request, row, key, values)
        if row is None and not values:
            raise DataError("expected request and row of an alert, or the values of a row")
        return line
    except (DataError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"labels, line {number}: {str(error)[:200]}") from error


def _row_number(value: Any) -> int:
    """The number of a row in its request."""
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise DataError(f"expected the number of a row in its request, found {text[:40]!r}")
    return int(text)


def _cell_text(value: Any) -> str | None:
    """A text of a cell, bounded, without what no database keeps."""
    if value is None or value == "":
        return None
    if len(text := str(value)) > KEY or "\0" in text:
        raise DataError(f"expected texts of up to {KEY:,} characters, none of them NUL")
    return text


def _check_number(count: int) -> None:
    if count > MOST:
        raise DataError(f"labels: expected up to {MOST:,} of them in a file, found {count:,}")


def _written(cells: Sequence[Any]) -> str:
    """A line of CSV."""
    file = StringIO()
    csv.writer(file).writerow("" if cell is None else safe_cell(str(cell)) for cell in cells)
    return file.getvalue()


def task_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """A task of Label Studio; of a label with its annotation."""
    data = {name: line[name] for name in ("request", "row", "key", "values")}
    if line["answer"] is None:
        return {"data": data, "annotations": []}
    said = [_result("answer", "choices", line["answer"])]
    if line["kind"]:
        said.append(_result("kind", "text", line["kind"]))
    made = {"created_at": line["at"], "completed_by": {"email": line["by"]}, "result": said}
    return {"data": data, "annotations": [made]}


def _result(name: str, form: str, value: str) -> dict[str, Any]:
    what = "textarea" if form == "text" else form
    return {"from_name": name, "to_name": "row", "type": what, "value": {form: [value]}}


def _annotated(task: dict[str, Any], number: int) -> dict[str, Any]:
    """What the last annotation of a task says: "answer", and perhaps "kind". DataError for a task
    of another form, whose label would be lost without a word.
    """
    if not isinstance(task.get("data"), dict):
        raise DataError(
            f"labels, task {number}: expected a task with its 'data', as Label Studio exports it "
            "as JSON, which is not JSON-MIN"
        )
    made = task.get("annotations")
    last = made[-1] if isinstance(made, list) and made else {}
    results = last.get("result") if isinstance(last, dict) and not last.get("was_cancelled") else []
    found = {}
    for each in results if isinstance(results, list) else []:
        name, value = (
            each.get(k) if isinstance(each, dict) else None for k in ("from_name", "value")
        )
        if name in ("answer", "kind") and isinstance(value, dict):
            first = next(iter(value.values()), None)
            found[name] = first[0] if isinstance(first, list) and first else first
    if results and "answer" not in found:
        raise DataError(
            f"labels, task {number}: expected a result named 'answer', as the exported tasks have "
            "it, and found none in its annotation: name the choices 'answer' in the labelling setup"
        )
    return found

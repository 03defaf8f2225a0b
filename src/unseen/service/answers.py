"""Answers: what people may say of an alert or a row, and why one may be refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from unseen.errors import DataError, UnseenError

ANSWERS = ("normal", "known", "new", "unsure")
RESERVED = ("normal", "new kind", "unsure")  # what the detector itself calls rows
LARGEST = 1 << 53  # number of an alert, a revision, or anything else
LONGEST = 120  # characters of a kind's name
KEY = 2000  # characters of what a row is called


def check_values(values: dict[str, Any]) -> None:
    """DataError for values of a row that a request to score could not bring either: numbers without
    an end, halves of characters, lists within lists without an end. Some way out would stumble over
    them: JSON, CSV, the page, or a detector that learns.

    >>> check_values({"load": float("nan")})
    Traceback (most recent call last):
    unseen.errors.DataError: the values of a row: expected finite numbers, whole characters ...
    """
    try:
        from_json(json.dumps(values), allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "the values of a row: expected finite numbers, whole characters and little nesting, as "
            "JSON has them; write null for a number that is missing"
        ) from error


class NoAlert(DataError):
    """There is no alert of that number, or no label of that act."""


class NotYours(UnseenError):
    """Somebody else's label, which an administrator may undo."""


class Undone(UnseenError):
    """The label was undone before."""


class Stale(UnseenError):
    """Somebody answered meanwhile; nothing was overwritten.

    Parameters
    ----------
    message : str
        What happened, and what to do.
    alert : dict
        The newest state: number, revision, answer, kind, and by whom.
    """

    def __init__(self, message: str, alert: dict[str, Any]) -> None:
        super().__init__(message)
        self.alert = alert


@dataclass(frozen=True)
class Answer:
    """What somebody says of a row.

    Parameters
    ----------
    answer : str
        One of `ANSWERS`.
    kind : str or None
        The kind of anomaly, of "known" and "new" alone.

    >>> Answer("new", "  slow  leak ").kind
    'slow leak'
    """

    answer: str
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            expected = ", ".join(ANSWERS)
            raise DataError(f"expected an answer of {expected}, found {str(self.answer)[:40]!r}")
        named = self.answer in ("known", "new")
        kind = " ".join((self.kind or "").split()) or None
        if named != (kind is not None):
            raise DataError(
                f"the answer {self.answer!r} {'needs the' if named else 'has no'} name of a kind"
            )
        if kind is not None and (len(kind) > LONGEST or not kind.isprintable() or kind in RESERVED):
            raise DataError(
                f"kind {kind[:40]!r}: expected up to {LONGEST} printable characters, and none of "
                f"{', '.join(map(repr, RESERVED))}"
            )
        object.__setattr__(self, "kind", kind)

    def __str__(self) -> str:
        return self.answer if self.kind is None else f"{self.answer} kind {self.kind!r}"

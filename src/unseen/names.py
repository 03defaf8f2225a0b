"""Names of columns: required ones, repeated ones, and those that look alike."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from unseen.errors import DataError

_SHOWN = 12  # names that a list gives before it says how many more there are


def first_few(names: Iterable[str]) -> str:
    """The first names, and how many more there are; "none" without any."""
    everything = list(names)
    more = f" and {len(everything) - _SHOWN:,} more" if len(everything) > _SHOWN else ""
    return ", ".join(everything[:_SHOWN]) + more or "none"


def require(wanted: Collection[str], present: Sequence[str], *, where: str) -> None:
    """DataError unless every wanted name is present; it names those that look alike.

    >>> require(["byte"], ["bytes", "service"], where="the table")
    Traceback (most recent call last):
    unseen.errors.DataError: the table has no column 'byte' (did you mean 'bytes'?); it has ...
    """
    there = set(present)
    absent = [name for name in wanted if name not in there]
    if not absent:
        return
    shown = ", ".join(repr(name) + resembling(str(name), present) for name in absent[:5])
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    present_names = ", ".join(map(repr, present[:20])) + (", ..." if len(present) > 20 else "")
    raise DataError(f"{where} has no column {shown}{more}; it has {present_names or 'no columns'}")


def resembling(name: str, present: Sequence[str]) -> str:
    """The names that look like this one, as a hint in an error; empty where none does."""
    folded = {other.casefold(): other for other in present}
    close = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=3)]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def distinct_names(names: Iterable[object]) -> tuple[list[str], str]:
    """The names as text, repeated ones numbered, and a note that says so, empty where none was.

    >>> distinct_names(["a", "a", "b", "a_2", 1])
    (['a', 'a_3', 'b', 'a_2', '1'], "columns that have ... are numbered: 'a' is now 'a_3'")
    """
    spelled = [str(name) for name in names]
    taken = set(spelled)
    if len(taken) == len(spelled):
        return spelled, ""
    count, given, renamed = Counter[str](), list[str](), list[str]()
    for name in spelled:
        count[name] += 1
        new = name
        while count[name] > 1 and new in taken:
            new = f"{name}_{count[name]}"
            count[name] += new in taken
        taken.add(new)
        given.append(new)
        renamed += [f"{name!r} is now {new!r}"] * (new != name)
    more = f", and {len(renamed) - 5} more" if len(renamed) > 5 else ""
    note = (
        f"columns that have the name of an earlier one are numbered: {', '.join(renamed[:5])}{more}"
    )
    return given, note

"""Contaminated calibration: which few rows to check, and which rows calibrate after the answers.

Anomalies among the calibration rows make p-values too large: cautious, at a loss of power (Bashari,
Sesia & Romano 2025, arXiv 2502.04807, who check the highest scores and drop the anomalies among
them). Here the answers also tell how many anomalies are among the rows that nobody checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.split import Rows
from unseen.detector.members import Member
from unseen.errors import DataError, Unsupported

ZONE = 0.2  # share of the calibration, from the highest score down, in which rows are checked
ANSWERS = (6, 5, 4, 3, 2)  # of 20, in parts of the zone, each twice as large as the one above


def places_to_check(count: int, n: int) -> Rows:
    """Places in the calibration, 0 the highest score, of n rows to check: in rising order (n,).

    The highest fifth is cut into five parts of a doubling size. Of 20 rows they give 6, 5, 4, 3 and
    2, from the highest down, evenly spaced: wherever anomalies end and normal rows begin, both
    sides are seen, and most answers are where small p-values are decided.

    Parameters
    ----------
    count : int
        Calibration rows.
    n : int
        Rows to check.

    Returns
    -------
    array
        Places (n,), fewer where there are fewer rows.

    Raises
    ------
    DataError
        Unless n is a whole number from 1.

    >>> places_to_check(1000, 10)
    array([  3,   8,  12,  16,  20,  24,  36,  48,  95, 190])
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"the number of rows to check must be a whole number from 1, got {n!r}")
    ends, found = _ends(count), set[int]()
    shares = np.diff(np.ceil(n * np.cumsum([0, *ANSWERS]) / sum(ANSWERS))).astype(np.int64)
    for begin, end, share in zip([0, *ends[:-1]], ends, shares, strict=True):
        found |= set(np.floor(begin + (np.arange(share) + 0.9) * (end - begin) / max(share, 1)))
    rest = (place for place in range(count) if place not in found)
    while len(found) < min(n, count):  # parts smaller than their share
        found.add(next(rest))
    return np.array(sorted(found), dtype=np.int64)


def kept_after(count: int, places: Rows, normal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which calibration rows, highest score first, still calibrate: (count,).

    Checked rows stay if they are normal. The share of normal rows is taken to fall with the score
    (isotonic regression over the parts of the zone); of the others in a run of parts with x normal
    rows of k, (x + 1) / (k + 1) stay, the more the lower they score: on a straight line, and where
    none of at least two is normal, so that normal rows can but begin at the lower end, with the
    square of the place. The 1 is on the cautious side, and keeps all where every checked row is
    normal.

    Parameters
    ----------
    count : int
        Calibration rows.
    places : array
        Places of the rows that were checked (k,), each once.
    normal : array
        Whether each of them is normal (k,).

    Returns
    -------
    array
        Whether each row stays (count,).

    >>> answers = np.array([False, False, False, True, True])
    >>> np.flatnonzero(~kept_after(40, np.arange(1, 10, 2), answers))
    array([0, 1, 2, 3, 4, 5])
    """
    kept, checked = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    checked[places] = True
    kept[places[~normal]] = False
    for begin, end, x, k in _runs(count, places, normal):
        free = begin + np.flatnonzero(~checked[begin:end])
        share, t = (x + 1) / (k + 1), np.linspace(0, 1, len(free) + 1)
        low = max(2 * share - 1, 0.0)  # at the upper end, and 2 * share - low at the lower one
        staying = share * t**3 if x == 0 and k > 1 else low * t + (share - low) * t**2
        kept[free] = np.diff(np.floor(len(free) * staying + 1e-9)) > 0
    return kept


def rows_to_check(members: Sequence[Member], n: int) -> pa.Table:
    """`row` in the training table, and `pvalue` among the calibration rows of its own member, of n
    calibration rows to check, the highest first.
    """
    member, place, share = _from_the_top(members)
    chosen = places_to_check(len(share), n)
    rows = [_held_out(members[k])[j] for k, j in zip(member[chosen], place[chosen], strict=True)]
    return pa.table({"row": np.array(rows, dtype=np.int64), "pvalue": share[chosen]})


def members_after(
    members: Sequence[Member], rows: Rows, normal: NDArray[np.bool_]
) -> tuple[Member, ...]:
    """The members with the calibration rows that stay once it is known whether some training rows
    (k,) are normal (k,).
    """
    member, place, _ = _from_the_top(members)
    held_out = np.concatenate([_held_out(each) for each in members])
    first = np.cumsum([0, *(len(each.calibration) for each in members)])
    order = held_out[first[member] + place]
    if strange := np.setdiff1d(rows, order).tolist():
        raise DataError(
            f"row {strange[0] + 1:,} was not to be checked: it is no calibration row of this "
            "detector; give the answers to the rows that check named"
        )
    where = np.argsort(order)[np.searchsorted(np.sort(order), rows)]
    kept = kept_after(len(order), where, normal)
    found = []
    for k, each in enumerate(members):
        own = np.sort(place[kept & (member == k)])
        if not len(own):
            raise DataError(
                "by these answers no calibration row is normal: check the answers, or fit again on "
                "rows that are"
            )
        found.append(_only(each, own))
    return tuple(found)


def _from_the_top(
    members: Sequence[Member],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Calibration rows of all members, the highest in its own first: member, place in its
    calibration, and p-value (m,) each.
    """
    counts = [len(each.calibration) for each in members]
    member = np.repeat(np.arange(len(members)), counts)
    place = np.concatenate([np.arange(m) for m in counts])
    share = np.concatenate([1 - np.arange(m) / m for m in counts])
    order = np.lexsort((member, share))
    return member[order], place[order], share[order]


def _held_out(member: Member) -> Rows:
    if member.held_out is None:
        raise Unsupported(
            "this detector is of an earlier release and does not say which rows it held out: fit "
            "again"
        )
    return member.held_out


def _only(member: Member, places: Rows) -> Member:
    """A member with these of its calibration rows, in rising order. Peaks are in an order of their
    own, nearly that of the scores.
    """
    parts: dict[str, Any] = {
        name: None if (of := getattr(member, name)) is None else of[places]
        for name in ("held_out", "peaks", "in_training", "group")
    }
    return replace(member, calibration=member.calibration[places], **parts)


def _ends(count: int) -> list[int]:
    """Where the parts of the zone end."""
    zone = int(np.ceil(ZONE * count))
    return [int(np.ceil(zone / 2**k)) for k in reversed(range(len(ANSWERS)))]


def _runs(count: int, places: Rows, normal: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Parts of the zone, those together in which the share of normal rows would fall: begin, end,
    normal rows, and checked ones.
    """
    ends, runs = _ends(count), list[tuple[int, int, int, int]]()
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        own = (places >= begin) & (places < end)
        run = (begin, end, int(normal[own].sum()), int(own.sum()))
        while runs and (
            run[3] == 0 or runs[-1][3] == 0 or runs[-1][2] / runs[-1][3] >= run[2] / run[3]
        ):
            before = runs.pop()
            run = (before[0], end, before[2] + run[2], before[3] + run[3])
        runs.append(run)
    return runs

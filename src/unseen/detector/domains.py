"""p-values by domain: a row's rank among the calibration normals of its own group (Mondrian)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.labels import encode_groups
from unseen.data.news import NotedOnce
from unseen.detector.conformal import ROWS, Conformal, outranked
from unseen.detector.members import Member
from unseen.errors import Unsupported

Array = NDArray[np.float64]
LEAST = 19  # calibration normals of a domain below which it has no p-value of 0.05


def pvalues_by_domain(
    members: Sequence[Member],
    known: Sequence[str],
    each: Sequence[Array],
    groups: Any,
    overall: Array,
    *,
    tail: bool,
    once: NotedOnce,
) -> Array:
    """p-values of rows, each among calibration normals of its own domain (Vovk et al. 2005, 4.5).

    For a normal row of a domain like its calibration normals, P(p <= a) <= a in every domain, and
    not just on average over them. Rows of a domain that training did not show, or with fewer than
    19 calibration normals, keep the p-value among all normals; that is logged with `once`.

    Parameters
    ----------
    members : sequence of Member
        Trained, with the domains of their calibration rows.
    known : sequence of str
        The domains' names by their codes.
    each : sequence of array
        Scores of the rows by each member (n,).
    groups : sequence (n,)
        Their domains.
    overall : array
        Their p-values among all normals (n,).
    tail : bool
        Whether a model goes on beyond the highest, where a domain has enough rows for one.
    once : NotedOnce
        What was said already.

    Returns
    -------
    array
        p-values (n,).

    Raises
    ------
    Unsupported
        For a detector that was fitted without groups, or saved by an earlier release.
    DataError
        For another number of groups than rows, and rows without one.
    """
    found = overall.copy()
    for rows, parts in by_domain(members, known, groups, len(overall), once):
        if parts is not None:
            found[rows] = _pvalues(parts, [scores[rows] for scores in each], tail=tail)
    return found


def by_domain(
    members: Sequence[Member], known: Sequence[str], groups: Any, n: int, once: NotedOnce
) -> Iterator[tuple[NDArray[np.bool_], list[Array] | None]]:
    """Which of n rows are of each domain, and the calibration scores of its normals by each member,
    sorted; None of one with too few, which is logged in the end. Raises as `pvalues_by_domain`.
    """
    if len(known) == 0 or any(member.group is None for member in members):
        raise Unsupported(
            "this detector does not know the domains of its calibration rows: fit again with "
            "groups (--group COL), or judge all rows together"
        )
    codes, names = encode_groups(groups, rows=n, known=tuple(known))
    alone = []
    for code in np.unique(codes):
        parts = [member.calibration[member.group == code] for member in members]
        few = min(map(len, parts)) == 0 or sum(map(len, parts)) < LEAST
        if few:
            alone.append(names[code])
        yield codes == code, None if few else parts
    if alone:
        once.warn(
            f"fewer than {LEAST} calibration rows are of domain %s: its rows are judged beside "
            "those of all domains, and how often its normal ones are flagged is not promised",
            ", ".join(map(repr, alone[:5])) + (f" and {len(alone) - 5} more" * (len(alone) > 5)),
            alone,
        )


def conformal_of(parts: list[Array], *, tail: bool) -> Conformal:
    """What p-values follow from among such calibration scores of each member."""
    tail = tail and sum(map(len, parts)) >= ROWS
    if len(parts) == 1:
        return Conformal.fit(parts[0], tail=tail)
    return Conformal.across(parts, tail=tail)


def _pvalues(parts: list[Array], each: list[Array], *, tail: bool) -> Array:
    """p-values of rows with these scores by each member, among such calibration scores."""
    found = each[0] if len(parts) == 1 else outranked(parts, each)
    return conformal_of(parts, tail=tail).pvalue(found)

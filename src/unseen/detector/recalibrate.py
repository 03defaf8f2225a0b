"""New calibration of what is trained, from recent rows among which a few may be anomalies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq

from unseen.data.split import Rows, spread_over, take
from unseen.detector.members import Member
from unseen.detector.references import References
from unseen.errors import DataError
from unseen.wording import option

log = logging.getLogger("unseen")

Array = NDArray[np.float64]

MOST = 0.2  # share of anomalies from which on the rest does not tell what is normal
FEWEST = 20  # rows that calibrate, at least
UPPER = 0.1  # share of the rows below that shows how the tail goes on
ROWS = 5  # rows of it, at least


def check_share(share: float) -> None:
    """DataError unless this is a share of anomalies that leaves enough."""
    if not isinstance(share, float | int | np.number) or not 0 <= share <= MOST:
        raise DataError(
            f"{option('anomalies')} must lie between 0 and {MOST}, the share of anomalies among "
            f"the recent rows, got {share!r}: 0.02 means up to two in a hundred. Where there may "
            "be more, take rows that somebody has looked at"
        )


def recalibrated(
    members: Sequence[Member],
    rows: Any,
    calibrating: Rows,
    share: float,
    device: torch.device,
    rng: np.random.Generator,
) -> tuple[Member, ...]:
    """The same scorers, calibrated on recent rows; folds share them, as they share training rows.

    `calibrating` are numbers of rows that may be normal, but for a share of anomalies.
    """
    part = spread_over(np.zeros_like(calibrating), len(members), rng)
    found = tuple(
        _with_calibration(member, rows, calibrating[part == k], share, device)
        for k, member in enumerate(members)
    )
    count = sum(len(member.calibration) for member in found)
    if count < FEWEST:
        raise DataError(
            f"recalibrate needs at least {FEWEST} recent rows that look normal, and found {count}: "
            "no p-value is below 1 / (rows + 1); add rows"
        )
    _tell_beyond(found[0].calibration, members[0].calibration)
    return found


def _with_calibration(
    member: Member, rows: Any, own: Rows, share: float, device: torch.device
) -> Member:
    """A member whose calibration are these rows, but for those left out; what they show is nothing
    new to it.
    """
    if not len(own):
        raise DataError("recalibrate was given fewer rows than the detector has folds: add rows")
    recent = take(rows, own)
    scores = member.scores(recent, device, member.encoder.unprecedented(recent))
    kept = own[np.argsort(scores, kind="stable")[: len(own) - left_out(scores, share)]]
    recent = take(rows, kept)
    encoder = member.encoder.widened(recent)
    encoder = encoder.limited(encoder.encode(recent), np.ones(len(kept), bool), member.encoder)
    new = replace(member, encoder=encoder, in_training=None)
    scores = new.scores(recent, device)
    order = np.argsort(scores, kind="stable")
    return replace(
        new,
        calibration=scores[order],
        held_out=kept[order],
        peaks=None if member.peaks is None else new.peaks_of(recent, device),
    )


def _tell_beyond(calibration: Array, before: Array) -> None:
    """Warn where recent rows score higher than all normal rows did before."""
    if np.median(calibration) > before[-1]:
        log.warning(
            "most of these rows score higher than every row that calibrated the detector before: "
            "only anomalies that lie farther out still can be found. Check that these rows are "
            "normal and in the units of the training rows, or fit anew on rows of this kind"
        )


def renewed(before: References | None, new: References) -> References:
    """Recent normals beside the labelled anomalies that stayed from training."""
    if before is None or not (before.codes > 0).any():
        return new
    stay = np.flatnonzero(before.codes > 0)
    both = [name for name in new.rows.column_names if name in before.rows.column_names]
    parts = [new.rows.select(both), before.rows.take(stay).select(both)]
    try:
        parts[1] = parts[1].cast(parts[0].schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):  # as of a CSV file: as text
        words = pa.schema([(name, pa.large_string()) for name in both])
        parts = [each.cast(words) for each in parts]
    return References(
        pa.concat_tables(parts),
        np.concatenate([new.codes, before.codes[stay]]),
        np.concatenate([new.numbers, before.numbers[stay]]),
    )


def left_out(scores: Array, share: float) -> int:
    """How many of the highest scores (m,) are anomalies, if a share of the rows may be.

    With t = share m highest scores, all of them left out would be too many where anomalies are
    fewer or score low: then p-values come out too small. So only those count that the tail of the
    others does not account for. The scores between the 90% quantile u of the m - t others and their
    highest q are taken for exponential, cut off at q: with L = q - u and k of them, the scale
    solves

        mean excess = scale - L / (exp(L / scale) - 1),

    normal rows beyond q are expected to be k / (exp(L / scale) - 1), and t less those are left out.

    Parameters
    ----------
    scores : array
        Scores of recent rows (m,), in any order.
    share : float
        The share of anomalies that may be among them.

    Returns
    -------
    int
        At most share * m.

    >>> normals = -np.log((np.arange(980) + 0.5) / 980)  # exponential, evenly spaced
    >>> left_out(np.r_[normals, np.full(20, 30.0)], 0.02)  # 20 anomalies far out
    19
    >>> left_out(-np.log((np.arange(1000) + 0.5) / 1000), 0.02)  # none
    0
    """
    most = int(share * len(scores) + 1e-9)
    ordered = np.sort(scores)
    others = ordered[: len(ordered) - most]
    k = min(max(ROWS, int(UPPER * len(others))), len(others) - 1)
    if not most or k < 1:
        return 0
    excess = others[-k:] - others[-k - 1]
    length, mean = float(excess[-1]), float(excess.mean())
    if length <= 0 or mean >= length / 2:  # flat or rising up to where it is cut: all goes on
        return 0 if length > 0 else most
    x = brentq(lambda x: 1 / x - 1 / np.expm1(x) - mean / length, 1e-6, 700.0)  # length / scale
    return max(0, most - round(float(k / np.expm1(x))))

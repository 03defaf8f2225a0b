"""Which rows to label next: likely anomalies that differ, and rows that stand for many others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.labels import encode_labels
from unseen.data.split import take
from unseen.detector.looks import kept_images
from unseen.detector.references import kept_rows
from unseen.errors import DataError

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LIKELY, NEW = "likely anomaly", "unlike what is labelled"
STOOD_FOR = 2000  # highest rows that the chosen ones are to stand for
LIKELIEST = 200  # highest rows that tell how far apart likely anomalies are
NEAR = 40  # which nearest row is a typical distance away


def advised(detector: Any, X: Any, n: int, y: Any) -> pa.Table:
    """`Detector.advise` of rows (m), some of which have a label in y (m,)."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n, how many rows to name, must be a whole number from 1, got {n!r}")
    encoder = detector.members_[0].encoder
    rows = encoder.admit(X)
    scores = detector.anomaly_score(rows)
    answered = np.zeros(len(scores), dtype=bool)
    if y is not None:
        answered = encode_labels(y, rows=len(scores), normal=detector.normal)[0] >= 0
    if answered.all():
        raise DataError(
            f"expected {encoder.noun} without a label, found {len(scores):,} with one: name "
            f"{encoder.noun} that nobody has looked at"
        )
    left = np.flatnonzero(~answered)
    highest = left[np.argsort(-scores[left], kind="stable")[: max(STOOD_FOR, 2 * n)]]
    x = detector.compared(take(rows, highest))
    labelled = [x[:0], *_labelled(detector)]
    if answered.any():  # normal ones, too: they were asked about
        labelled.append(detector.compared(take(rows, np.flatnonzero(answered))))
    places, why = worth_labelling(x, len(left), np.concatenate(labelled), int(n))
    chosen = highest[places]
    pvalues = detector.conformal_.pvalue(scores[chosen])
    return pa.table({"row": chosen, "score": scores[chosen], "pvalue": pvalues, "why": why})


def _labelled(detector: Any) -> list[NDArray[Any]]:
    """Labelled anomalies that stay with a detector, as rows are compared."""
    known = getattr(detector, "references_", None)
    if detector.schema_.noun != "rows":
        kept = kept_images(kept_rows(detector))
        return [kept.look[kept.codes > 0]]
    if known is None or not (known.codes > 0).any():
        return []
    return [detector.compared(known.rows.take(np.flatnonzero(known.codes > 0)))]


def worth_labelling(x: Array, m: int, labelled: Array, n: int) -> tuple[Rows, list[str]]:
    """Places of n candidates to label, and why each: likely anomalies, and as many that tell most
    of what nobody has labelled, in turn.

    Likely are the highest scores that are far from what is labelled or chosen: a k-center in which
    what scores higher counts for more (Gonzalez 1985). The others stand for
    most rows that none of the labelled or chosen ones is near to: facility location, by greedy
    choice (Nemhauser et al. 1978), in which rows that score higher count for more. So not the
    farthest rows are asked about, which are found anyway and of which there are few, but the
    middle of many that stand together, also near the threshold.

    Parameters
    ----------
    x : array
        Encoded candidates, those that score highest of all rows, the highest first (k, d).
    m : int
        How many rows there are.
    labelled : array
        Encoded rows that somebody has looked at (l, d); there may be none.
    n : int
        How many to choose.
    """
    height = -np.log((np.arange(len(x)) + 1) / (m + 1)) / np.log(m + 1)  # 1 for the highest
    z = squeezed(x)
    away = _distances(z, z[:STOOD_FOR])  # (c, r)
    unit = float(np.median(np.sort(away, axis=1)[:, min(NEAR, away.shape[1] - 1)])) or 1.0
    near, worth = np.exp(-((away / unit) ** 2) / 2), height[:STOOD_FOR] ** 2
    from_known = np.full(len(z), np.inf)
    if len(labelled):
        from_known = _distances(z, squeezed(labelled)).min(axis=1)
    stood_for = np.exp(-((from_known[:STOOD_FOR] / unit) ** 2) / 2)
    gain = np.maximum(near - stood_for, 0) @ worth  # (c,)
    apart = float(np.median(away[:LIKELIEST, : LIKELIEST // 4].min(axis=1))) or 1.0
    left, chosen, why = np.ones(len(z), dtype=bool), [], []
    for turn in range(min(n, len(x))):
        likely = turn % 2 == 0
        other = 1 - np.exp(-((from_known / apart) ** 2) / 2)
        value = np.where(left, height * other if likely else gain, -np.inf)
        best = int(np.round(value, 9).argmax())  # of equal rows the first, on any processor
        left[best] = False
        chosen.append(best)
        why.append(LIKELY if likely else NEW)
        from_known = np.minimum(from_known, _distances(z, z[best : best + 1])[:, 0])
        more = np.flatnonzero(near[best] > stood_for)
        before = np.maximum(near[:, more] - stood_for[more], 0)
        stood_for[more] = near[best, more]
        gain -= (before - np.maximum(near[:, more] - stood_for[more], 0)) @ worth[more]
    return np.array(chosen, dtype=np.int64), why


def squeezed(x: Array) -> Array:
    """Rows as directions from the centre of the normals, their lengths squeezed: (n, d)."""
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(x / np.maximum(length, 1e-12) * np.log1p(length))


def _distances(z: Array, others: Array) -> Array:
    """Distances of rows (n, d) to others (k, d): (n, k)."""
    square = (z**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * z @ others.T
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))

"""Which rows to label next: likely anomalies that differ, and rows that stand for many others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.labels import encode_labels
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
    x = encoder.encode(rows)
    if x.ndim > 2:  # of an image the mean and the highest of its cells
        cells = x.reshape(*x.shape[:2], -1)
        x = np.concatenate([cells.mean(axis=2), cells.max(axis=2)], axis=1)
    answered = np.zeros(len(x), dtype=bool)
    if y is not None:
        answered = encode_labels(y, rows=len(x), normal=detector.normal)[0] >= 0
    if answered.all():
        raise DataError(
            f"expected rows without a label, found {len(x):,} with one: name rows that nobody has "
            "looked at"
        )
    labelled = [x[answered]]  # normal ones, too: they were asked about
    known = getattr(detector, "references_", None)
    if known is not None and encoder.noun == "rows" and (known.codes > 0).any():
        labelled.append(encoder.encode(known.rows.take(np.flatnonzero(known.codes > 0))))
    left = np.flatnonzero(~answered)
    places, why = worth_labelling(x[left], scores[left], np.concatenate(labelled), int(n))
    chosen = left[places]
    pvalues = detector.conformal_.pvalue(scores[chosen])
    return pa.table({"row": chosen, "score": scores[chosen], "pvalue": pvalues, "why": why})


def worth_labelling(x: Array, scores: Array, labelled: Array, n: int) -> tuple[Rows, list[str]]:
    """Numbers of n rows to label, and why each: likely anomalies, and as many that tell most of
    what nobody has labelled, in turn.

    Likely are the highest scores that are far from what is labelled or chosen: a k-center in which
    what scores higher counts for more (Gonzalez 1985). The others stand for
    most rows that none of the labelled or chosen ones is near to: facility location, by greedy
    choice (Nemhauser et al. 1978), in which rows that score higher count for more. So not the
    farthest rows are asked about, which are found anyway and of which there are few, but the
    middle of many that stand together, also near the threshold.

    Parameters
    ----------
    x : array
        Encoded rows (m, d).
    scores : array
        Their scores (m,), higher = worse.
    labelled : array
        Encoded rows that somebody has looked at (l, d); there may be none.
    n : int
        How many to choose.
    """
    m = len(x)
    order = np.argsort(-scores, kind="stable")[: max(STOOD_FOR, 2 * n)]
    height = -np.log((np.arange(len(order)) + 1) / (m + 1)) / np.log(m + 1)  # 1 for the highest
    z = squeezed(x[order])
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
    for turn in range(min(n, m)):
        likely = turn % 2 == 0
        other = 1 - np.exp(-((from_known / apart) ** 2) / 2)
        value = np.where(left, height * other if likely else gain, -np.inf)
        best = int(np.round(value, 9).argmax())  # of equal rows the first, on any processor
        left[best] = False
        chosen.append(int(order[best]))
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

"""Which rows to label next: likely anomalies that differ, and rows unlike all that is labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.errors import DataError

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LIKELY, NEW = "likely anomaly", "unlike what is labelled"
CANDIDATES = 20  # highest rows for each that is asked for, among which is chosen
LEAST = 200  # candidates at least


def advised(detector: Any, X: Any, n: int) -> pa.Table:
    """`Detector.advise` of rows (m)."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n, how many rows to name, must be a whole number from 1, got {n!r}")
    encoder = detector.members_[0].encoder
    rows = encoder.admit(X)
    scores = detector.anomaly_score(rows)
    x = encoder.encode(rows)
    if x.ndim > 2:  # of an image the mean and the highest of its cells
        cells = x.reshape(*x.shape[:2], -1)
        x = np.concatenate([cells.mean(axis=2), cells.max(axis=2)], axis=1)
    known = getattr(detector, "references_", None)
    labelled: Any = x[:0]
    if known is not None and encoder.noun == "rows" and (known.codes > 0).any():
        labelled = encoder.encode(known.rows.take(np.flatnonzero(known.codes > 0)))
    chosen, why = worth_labelling(x, scores, labelled, int(n))
    pvalues = detector.conformal_.pvalue(scores[chosen])
    return pa.table({"row": chosen, "score": scores[chosen], "pvalue": pvalues, "why": why})


def worth_labelling(x: Array, scores: Array, labelled: Array, n: int) -> tuple[Rows, list[str]]:
    """Numbers of n rows to label, and why each: likely anomalies, and as many that tell most of
    what nobody has labelled, in turn.

    Both are chosen among the highest scores, one after the other, by how high a row stands and how
    far it is from what was chosen before: a k-center in which what scores higher counts for more
    (Gonzalez 1985). For the second, what is labelled counts as chosen, too.

    Parameters
    ----------
    x : array
        Encoded rows (m, d).
    scores : array
        Their scores (m,), higher = worse.
    labelled : array
        Encoded labelled anomalies (l, d); there may be none.
    n : int
        How many to choose.
    """
    m = len(x)
    order = np.argsort(-scores, kind="stable")[: max(CANDIDATES * n, LEAST)]
    height = -np.log((np.arange(len(order)) + 1) / (m + 1)) / np.log(m + 1)  # 1 for the highest
    z = squeezed(x[order])
    known = squeezed(labelled)
    unit = float(np.median(_away_from(z, z[: min(len(z), 50)]))) or 1.0
    from_chosen = np.full(len(z), np.inf)
    from_known = _away_from(z, known) / unit if len(known) else np.full(len(z), np.inf)
    left, chosen, why = np.ones(len(z), dtype=bool), [], []
    for turn in range(min(n, m)):
        likely = turn % 2 == 0
        away = from_chosen if likely else np.minimum(from_chosen, from_known)
        gain = np.where(left, height * _worth_of(away, likely), -np.inf)
        best = int(gain.argmax())
        left[best] = False
        chosen.append(int(order[best]))
        why.append(LIKELY if likely else NEW)
        from_chosen = np.minimum(from_chosen, _away_from(z, z[best : best + 1]) / unit)
    return np.array(chosen, dtype=np.int64), why


def _worth_of(away: Array, likely: bool) -> Array:
    """How much a row counts that is so far from what is chosen, in typical distances: (n,)."""
    near = 1 - np.exp(-(away**2) / 2)
    return np.asarray(near if not likely else 0.5 + 0.5 * near)


def squeezed(x: Array) -> Array:
    """Rows as directions from the centre of the normals, their lengths squeezed: (n, d)."""
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(x / np.maximum(length, 1e-12) * np.log1p(length))


def _away_from(z: Array, others: Array) -> Array:
    """Distance to the nearest of others (k, d), at least one: (n, d) -> (n,)."""
    square = (z**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * z @ others.T
    return np.asarray(np.sqrt(np.maximum(square, 0.0)).min(axis=1))

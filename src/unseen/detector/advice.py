"""Which rows to label next: likely anomalies that differ, and rows unlike all that is labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.data.split import take
from unseen.detector.looks import kept_images
from unseen.detector.references import kept_rows
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
    best = np.argsort(-scores, kind="stable")[: max(CANDIDATES * n, LEAST)]
    known = getattr(detector, "references_", None)
    labelled: Any = np.zeros((0, 1))
    if encoder.noun == "rows":
        x = encoder.encode(take(rows, best))
        if known is not None and (known.codes > 0).any():
            labelled = encoder.encode(known.rows.take(np.flatnonzero(known.codes > 0)))
    else:
        kept = kept_images(kept_rows(detector))
        x, labelled = detector.compared(take(rows, best)), kept.look[kept.codes > 0]
    chosen, why = worth_labelling(x, len(scores), labelled, int(n))
    chosen = best[chosen]
    pvalues = detector.conformal_.pvalue(scores[chosen])
    return pa.table({"row": chosen, "score": scores[chosen], "pvalue": pvalues, "why": why})


def worth_labelling(x: Array, m: int, labelled: Array, n: int) -> tuple[Rows, list[str]]:
    """Places of n candidates to label, and why each: likely anomalies, and as many that tell most
    of what nobody has labelled, in turn.

    Both are chosen one after the other, by how high a row stands and how
    far it is from what was chosen before: a k-center in which what scores higher counts for more
    (Gonzalez 1985). For the second, what is labelled counts as chosen, too.

    Parameters
    ----------
    x : array
        Encoded candidates, those that score highest of all rows, the highest first (k, d).
    m : int
        How many rows there are.
    labelled : array
        Encoded labelled anomalies (l, d); there may be none.
    n : int
        How many to choose.
    """
    height = -np.log((np.arange(len(x)) + 1) / (m + 1)) / np.log(m + 1)  # 1 for the highest
    z, known = squeezed(x), squeezed(labelled)
    unit = float(np.median(_away_from(z, z[: min(len(z), 50)]))) or 1.0
    from_chosen = np.full(len(z), np.inf)
    from_known = _away_from(z, known) / unit if len(known) else np.full(len(z), np.inf)
    left, chosen, why = np.ones(len(z), dtype=bool), [], []
    for turn in range(min(n, len(x))):
        likely = turn % 2 == 0
        away = from_chosen if likely else np.minimum(from_chosen, from_known)
        gain = np.where(left, height * _worth_of(away, likely), -np.inf)
        best = int(gain.argmax())
        left[best] = False
        chosen.append(best)
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

"""Near duplicates: alerts that lie far out in the same columns, on the same sides."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from unseen.detector.detector import Detector

FAR = 6.0  # standard deviations of normal rows from which on a column matters by itself


def similar_of(detector: Detector, rows: Any, count: int) -> list[str]:
    """For each alarm (k) a text that is equal of near duplicates; noise in columns that do not
    matter does not change it.

    Parameters
    ----------
    detector : Detector
        What judged them.
    rows : Table or Maps
        The alarms as they came (k). Images have no near duplicates.
    count : int
        How many there are.

    Returns
    -------
    list of str
        Texts of 64 characters (k).
    """
    if detector.schema_.noun != "rows":
        return [sha256(uuid4().bytes).hexdigest() for _ in range(count)]
    deviations = np.asarray(detector.schema_.encode(rows))  # (k, d)
    news = detector.schema_.unprecedented(rows) > 0
    return [
        sha256(json.dumps([places_of(row), bool(new)]).encode()).hexdigest()
        for row, new in zip(deviations, news, strict=True)
    ]


def places_of(row: NDArray[np.float32]) -> list[tuple[int, bool, int]]:
    """Which columns lie far out, on which side, and how far in octaves; where none does, the one
    that lies farthest: (d,).

    >>> places_of(np.array([0.1, -7.0, 9.0])), places_of(np.array([0.1, 3.9, -0.2]))
    ([(1, False, 3), (2, True, 3)], [(1, True, 2)])
    """
    size = np.abs(row)
    far = np.flatnonzero(size > FAR)
    places = far if len(far) else [size.argmax()]
    return [(int(j), bool(row[j] > 0), round(float(np.log2(max(size[j], 0.5))))) for j in places]

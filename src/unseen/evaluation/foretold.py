"""What a detector expected of unseen classes, by the classes that it knew, beside what it found."""

from __future__ import annotations

from typing import Any

import numpy as np

from unseen.detector.detector import FLAGGED, Detector
from unseen.errors import DataError
from unseen.evaluation.choices import LEAST

FORETOLD = ("expected", "low", "high")


def foretold(detector: Detector, classes: list[dict[str, Any]]) -> dict[str, float] | None:
    """The share of unseen classes that one fit expected to find at 5%, the interval's ends, and the
    mean share that it `found` of those with enough test rows.

    None where training held no class out, and where no unseen class has enough rows: nothing is
    trained for it.
    """
    found = [
        each["tpr_at_5_fpr"]
        for each in classes
        if each["role"] == "unseen" and each["rows"] >= LEAST
    ]
    hidden = [member.hidden for member in detector.members_ if member.hidden is not None]
    if not found or not hidden:
        return None
    try:
        spots = detector.blind_spots(FLAGGED.level)
    except DataError:  # too few normal rows for such a level
        return None
    ends = {name: float(getattr(spots, name)) for name in FORETOLD}
    return ends | {"found": float(np.mean(found))}


def over_runs(runs: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Means over the runs that foretold anything, how many there were (`runs`), and in how many the
    interval held what was found (`covered`); None without any.

    >>> one = {"expected": 0.5, "low": 0.2, "high": 0.8, "found": 0.7}
    >>> over_runs([one, None, one | {"found": 0.9}])["covered"]
    1.0
    """
    known = [run for run in runs if run is not None]
    if not known:
        return None
    means = {name: float(np.mean([run[name] for run in known])) for name in (*FORETOLD, "found")}
    covered = sum(run["low"] <= run["found"] <= run["high"] for run in known)
    return means | {"runs": float(len(known)), "covered": float(covered)}

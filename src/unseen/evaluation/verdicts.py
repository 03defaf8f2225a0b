"""How verdicts fare under the open-set protocol: normal, known, new or unsure beside what is
true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.detector.verdicts import CODES, Verdicts
from unseen.evaluation.choices import LEAST
from unseen.evaluation.draws import Draw
from unseen.parts.ranking import auroc

#: What rows are called, of each role.
CALLED = ("normal", "its class", "another class", "new kind", "unsure")
FOUND = ("accuracy_among_known", "new_called_new", "novelty_auroc")


def verdict_figures(
    found: Verdicts, codes: NDArray[np.int64], draw: Draw, names: Sequence[str]
) -> dict[str, Any]:
    """Figures of the verdicts of one seed at 5% false alarms.

    Parameters
    ----------
    found : Verdicts
        Of all test rows (n).
    codes : array
        What the rows are (n,): 0 normal, else the number of a class in `names`.
    draw : Draw
        Which classes are seen.
    names : sequence of str
        Names of all classes.

    Returns
    -------
    dict
        `confusion`: for "normal", "seen" and "unseen" rows the shares of each of `CALLED`, means
        over classes with at least 20 rows; None without any. Of alarms alone,
        `accuracy_among_known`: the share of seen rows whose likeliest class is theirs, and
        `novelty_auroc`: the chance that an unseen row has more novelty than a seen one.
        `new_called_new`: the share of unseen rows that are called a new kind. NaN where nothing
        counts.
    """
    known = [found.classes.index(name) if name in found.classes else -1 for name in names]
    own = np.array([-1, *known])[codes]  # its place among the known classes (n,)
    called = np.select(
        [found.code == 0, (found.code > 0) & (found.code - 1 == own), found.code > 0],
        [0, 1, 2],
        np.where(found.code == CODES["new kind"], 3, 4),
    )
    flagged, there = found.code != 0, np.unique(codes[codes > 0])
    roles = {
        "normal": [0],
        "seen": [c for c in there if c in draw.seen],
        "unseen": [c for c in there if c not in draw.seen],
    }
    confusion = {role: _mean_shares(called, codes, classes) for role, classes in roles.items()}
    seen, unseen = (flagged & np.isin(codes, roles[role]) for role in ("seen", "unseen"))
    right = [
        float(np.mean(found.share[rows].argmax(axis=1) == own[rows]))
        for code in roles["seen"]
        if (rows := flagged & (codes == code)).sum() >= LEAST
    ]
    both = min(seen.sum(), unseen.sum()) >= LEAST and not np.isnan(found.novelty).any()
    return {
        "confusion": confusion,
        "accuracy_among_known": float(np.mean(right)) if right else np.nan,
        "new_called_new": (confusion["unseen"] or {}).get("new kind", np.nan),
        "novelty_auroc": auroc(found.novelty[seen], found.novelty[unseen]) if both else np.nan,
    }


def verdicts_over_seeds(runs: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Means over the seeds that have a figure, None for a figure that none has; None where there
    are no verdicts, as of images.
    """
    counted = [run for run in runs if run is not None]
    if not counted:
        return None
    shares = {
        role: [run["confusion"][role] for run in counted if run["confusion"][role] is not None]
        for role in counted[0]["confusion"]
    }
    confusion = {
        role: {name: float(np.mean([one[name] for one in each])) for name in CALLED}
        if each
        else None
        for role, each in shares.items()
    }
    means = {name: _mean([run[name] for run in counted]) for name in FOUND}
    return {"confusion": confusion, **means}


def _mean_shares(
    called: NDArray[np.int64], codes: NDArray[np.int64], classes: Sequence[int]
) -> dict[str, float] | None:
    """Shares of what the rows of these classes are called, means over classes with enough rows."""
    each = [
        np.bincount(called[codes == code], minlength=len(CALLED)) / (codes == code).sum()
        for code in classes
        if (codes == code).sum() >= (LEAST if code else 1)
    ]
    if not each:
        return None
    return dict(zip(CALLED, np.mean(each, axis=0).tolist(), strict=True))


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None

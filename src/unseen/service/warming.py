"""A detector that was just loaded, brought to the speed at which it answers later."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from unseen.detector.detector import Detector
from unseen.detector.explaining import check_explained
from unseen.detector.policy import Policy
from unseen.errors import UnseenError
from unseen.quiet import quiet
from unseen.scoring.rows import FrameRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource

_NEARLY_ALL = Policy.alpha(0.999)  # so that the row alarms, and has a kind and reasons


def tells(detector: Detector) -> bool:
    """Whether a detector can tell kinds apart: those of images and of earlier releases cannot."""
    with suppress(UnseenError):
        return detector.known_kinds() is not None
    return False


def explains(detector: Detector) -> bool:
    """Whether a detector can tell reasons: those of earlier releases cannot."""
    with suppress(UnseenError):
        check_explained(detector.schema_, getattr(detector, "references_", None))
        return True
    return False


def warm(detector: Detector) -> None:
    """Do once what the first request would wait for: imports, and what is learned when first asked
    for. Of images nothing is kept that could be judged.
    """
    kinds, kept = tells(detector), getattr(detector, "references_", None)
    if kept is None or detector.schema_.noun != "rows":
        return
    source = TableSource(FrameRows(kept.rows.slice(0, 1)))
    how: dict[str, Any] = {"kinds": kinds, "reasons": 1, "alarms": True}
    # a row that it cannot judge again is no reason not to serve
    with suppress(UnseenError), quiet():
        list(score(source, detector, _NEARLY_ALL, **how))

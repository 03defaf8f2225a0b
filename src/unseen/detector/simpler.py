"""When a stack is not needed: one of its pieces alone finds what was held out as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from unseen.methods.catalogue import EVERY, for_images, takes_images
from unseen.methods.evidence import BASE, RATIO
from unseen.parts.evidence import EvidenceScorer, name_of
from unseen.types import ability

MARGIN = 0.01  # AUROC that a piece may be behind the whole and still count as good
# standard errors that it must hold for: wrong once in a hundred, of five pieces once in twenty
DOUBT = 2.33


class Fitted(Protocol):
    """A detector, as far as this asks: its members, and its classes of labelled anomalies."""

    @property
    def members_(self) -> Sequence[Any]: ...
    @property
    def classes_(self) -> Sequence[str]: ...


def simpler_than(detector: Fitted) -> str | None:
    """The name of a method that does alone what the detector's pieces do together; None where none
    is known to, as after loading.

    It is behind by at most `MARGIN` AUROC, beyond doubt, on classes held out and on known ones. Of
    several the first without labels. With fewer than 2 classes nothing stands in for a new one.
    """
    scorer = detector.members_[0].scorer
    if not isinstance(scorer, EvidenceScorer) or len(detector.classes_) < 2:
        return None
    mean, error = scorer.lag.unbind(dim=2)  # (e, 2) each
    good = (mean + DOUBT * error <= MARGIN).all(dim=1)  # NaN is no proof
    names = _methods(images=ability(scorer.base, "mapped") is not None)
    found = [k for k in good.nonzero()[:, 0].tolist() if scorer.names[k] in names]
    first = min(found, key=lambda k: bool(scorer.uses_labels[k]), default=None)
    return None if first is None else names[scorer.names[first]]


def _methods(*, images: bool) -> dict[str, str]:
    """Names of methods by the names of the pieces that they are."""
    if images:
        return {name_of(for_images(method)): name for name, method in reversed(EVERY.items())}
    rows = {name: method for name, method in EVERY.items() if not takes_images(method)}
    found = {name_of(method, "on raw features"): name for name, method in reversed(rows.items())}
    base = {name: name for name in ("mahalanobis", "nearest")} | {RATIO: "nearest-ratio"}
    return found | {BASE[piece]: name for piece, name in base.items()}

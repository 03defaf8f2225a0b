"""Verdicts: normal, of a known kind, of a new one, or unsure; each with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unseen.detector.kinds import KnownKinds
from unseen.detector.looks import kept_images
from unseen.detector.references import References
from unseen.types import Encoder

Array = NDArray[np.float64]

NEW, KNOWN = 0.6, 0.4  # chances of a new kind from which on, and up to which, a row is judged
CLEAR = 0.5  # least share of a known class for a row to be given it
CODES = {"normal": 0, "new kind": -1, "unsure": -2}


@dataclass(frozen=True)
class Verdicts:
    """What rows are, and why: n rows, c known classes.

    Parameters
    ----------
    code : array
        0 normal, 1.. the number of a known class, -1 a new kind, -2 unsure: an anomaly that may be
        of a known class or of a new kind (n,).
    pvalue : array
        Chance that a normal row scores at least as high (n,).
    share : array
        How likely each class is, were the row of one of them (n, c).
    class_pvalue : array
        Chance that a row of the class lies as far from its labelled rows (n, c). None is below
        1 / (m + 1) with m labelled rows: 0.09 with ten, and with one row always 1.
    novelty : array
        Chance that the row is of a new kind, were new kinds and known ones equally frequent (n,);
        NaN where no or too few anomalies are labelled to tell.
    classes : tuple of str
        Names of the known classes (c).
    """

    code: NDArray[np.int64]
    pvalue: Array
    share: Array
    class_pvalue: Array
    novelty: Array
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.code)

    @property
    def kind(self) -> NDArray[np.object_]:
        """In words: "normal", the name of a class, "new kind" or "unsure" (n,)."""
        words = {code: word for word, code in CODES.items()}
        words |= dict(enumerate(self.classes, start=1))
        return np.array([words[code] for code in self.code.tolist()], dtype=object)

    @property
    def kind_pvalue(self) -> Array:
        """p-value of the class that a row is given, or of its likeliest one (n,); NaN without known
        classes.
        """
        if not self.classes:
            return np.full(len(self), np.nan)
        place = np.where(self.code > 0, self.code - 1, self.share.argmax(axis=1))
        return np.asarray(self.class_pvalue[np.arange(len(self)), place])

    def table(self) -> pa.Table:
        """Columns `kind`, `kind_pvalue`, `novelty`, gaps for NaN (n)."""
        numbers = {"kind_pvalue": self.kind_pvalue, "novelty": self.novelty}
        columns = {name: pa.array(each, from_pandas=True) for name, each in numbers.items()}
        return pa.table({"kind": pa.array(self.kind, pa.string()), **columns})


def judged_kinds(
    kinds: KnownKinds | None,
    x: NDArray[np.float32],
    pvalue: Array,
    flagged: NDArray[np.bool_],
    classes: tuple[str, ...],
) -> Verdicts:
    """Verdicts on encoded rows (n, d), some of them flagged (n,).

    Without known kinds each alarm is of a new one. Where too few are labelled to tell new from
    known, or labelled rows did not stay, as in a detector that moved, it is unsure.
    """
    n, c = len(x), len(classes)
    if kinds is None:
        none = np.zeros((n, c))
        code = np.where(flagged, CODES["unsure" if classes else "new kind"], 0)
        return Verdicts(code, pvalue, none, none + 1, np.full(n, np.nan), classes)
    novelty, some_shares, some_pvalues = kinds.judged(x)
    place = kinds.comparison.classes - 1  # a class may have no row among those that stay
    share, class_pvalue = np.zeros((n, c)), np.ones((n, c))
    share[:, place], class_pvalue[:, place] = some_shares, some_pvalues
    known = (novelty <= KNOWN) & (share.max(axis=1) >= CLEAR)
    code = np.where(known, share.argmax(axis=1) + 1, CODES["unsure"])
    code = np.where(novelty >= NEW, CODES["new kind"], code)
    return Verdicts(np.where(flagged, code, 0), pvalue, share, class_pvalue, novelty, classes)


def kinds_of(encoder: Encoder, references: References) -> KnownKinds | None:
    """What the labelled rows among those that stay tell; None where there are none."""
    if not (references.codes > 0).any():
        return None
    if encoder.noun == "rows":
        return KnownKinds.learned(encoder.encode(references.rows), references.codes)
    return KnownKinds.learned(kept_images(references).look, references.codes)

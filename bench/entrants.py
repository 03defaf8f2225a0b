"""Whatever enters a benchmark, by name: our methods through `Detector`, and the peers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import unseen
from bench.peers import PEERS
from unseen.detector.detector import Detector
from unseen.methods import METHODS
from unseen.methods.evidence import EvidenceStack
from unseen.parts.deviation import FREE
from unseen.types import Method

Scores = NDArray[np.float64]
# What the default is when there is no label at all; a benchmark always gives some, which this ignores.
CHOICES = METHODS | {"evidence-stack-unlabelled": EvidenceStack(base_scores=FREE, inverse_temperature=(0.0, 0.0))}
ROOT = Path(__file__).parents[1]


class Entrant(Protocol):
    """What a benchmark asks of a method."""

    @property
    def uses_labels(self) -> bool: ...

    def version(self) -> str | None:
        """Package and version, or None where it is not installed."""

    def fit(self, table: pa.Table, kinds: NDArray[np.object_], seed: int) -> Callable[[pa.Table], Scores]:
        """Learn from training rows, each 'normal' or the name of an anomaly class; what it returns scores new rows."""


@dataclass(frozen=True)
class Ours:
    """A method of this package as a user would train it: schema, calibration and all."""

    method: Method

    @property
    def uses_labels(self) -> bool:
        return self.method.uses_labels

    def version(self) -> str:
        return own_version()

    def fit(self, table: pa.Table, kinds: NDArray[np.object_], seed: int) -> Callable[[pa.Table], Scores]:
        return Detector(self.method, random_state=seed).fit(table, kinds).anomaly_score


@cache
def own_version() -> str:
    """Version and, in a git checkout, the hash of the package's tree; `-dirty` with changes that are not committed."""
    if not (ROOT / ".git").exists():
        return f"unseen {unseen.__version__}"
    tree = git("rev-parse", "--short=12", "HEAD:src/unseen")
    changed = git("status", "--porcelain", "--", "src/unseen")
    return f"unseen {unseen.__version__}+{tree}" + ("-dirty" if changed else "")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


OURS: dict[str, Ours] = {name: Ours(method) for name, method in CHOICES.items()}
ENTRANTS: dict[str, Entrant] = {**OURS, **PEERS}

"""Whatever enters a benchmark, by name: our methods through `Detector`, and the peers.

An entrant has `uses_labels`, `version()`, None where its package is not installed, and
`fit(table, kinds, seed)`: it learns from rows, each 'normal' or of a named class, and returns what
scores new rows.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from bench.peers import PEERS
from numpy.typing import NDArray
from torch import Tensor

import unseen
from unseen import Detector, Method, Run, Samples
from unseen.methods import METHODS, EvidenceStack

Scores = NDArray[np.float64]
LABEL_FREE = EvidenceStack().base_scores[:-1]  # without "ratio", the one that uses labels
# What the default is without any label; a benchmark always gives some, which this ignores.
UNLABELLED = EvidenceStack(base_scores=LABEL_FREE, inverse_temperature=(0.0, 0.0))
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ours:
    """A method of this package as a user would train it: schema, calibration and all."""

    method: Method

    @property
    def uses_labels(self) -> bool:
        return self.method.uses_labels

    def version(self) -> str:
        return own_version()

    def fit(self, table: pa.Table, kinds: NDArray[Any], seed: int) -> Callable[[pa.Table], Scores]:
        return Detector(self.method, random_state=seed).fit(table, kinds).anomaly_score


@cache
def own_version() -> str:
    """Version and, in a git checkout, the hash of the package's tree, `-dirty` where it changed."""
    if not (ROOT / ".git").exists():
        return f"unseen {unseen.__version__}"
    asked = (
        ["rev-parse", "--short=12", "HEAD:src/unseen"],
        ["status", "--porcelain", "src/unseen"],
    )
    settings = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    tree, changed = (subprocess.run(["git", *a], **settings).stdout.strip() for a in asked)
    return f"unseen {unseen.__version__}+{tree}" + ("-dirty" if changed else "")


def trained(method: Method, data: Samples, seed: int, *, initial: int | None = None) -> Any:
    """A scorer, without schema or calibration; `initial` seeds its weights if given."""
    run = Run(torch.Generator().manual_seed(seed))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed() if initial is None else initial)
        scorer = method.build(tuple(data.x.shape[1:]))
    method.train(scorer, data, run)
    return scorer.eval()


@torch.no_grad()
def scored(scorer: Any, x: Tensor) -> Scores:
    """Scores of rows, or of maps one by one: (n, *f) -> (n,)."""
    parts = x.split(4096 if x.ndim == 2 else 1)
    return torch.cat([scorer(part) for part in parts]).double().numpy()


def installed(names: list[str]) -> list[str]:
    """Those whose package there is; the others are named."""
    absent = [name for name in names if ENTRANTS[name].version() is None]
    if absent:
        print(f"not installed, so left out: {', '.join(absent)}", flush=True)
    return [name for name in names if name not in absent]


OURS = {name: Ours(method) for name, method in METHODS.items()}
OURS["evidence-stack-unlabelled"] = Ours(UNLABELLED)
ENTRANTS: dict[str, Any] = {**OURS, **PEERS}

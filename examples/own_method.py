"""A method of one's own: checked against the contract, trained, saved, loaded by consent, and used.

`python examples/own_method.py` runs it. The command line takes it from any folder on PYTHONPATH:
`PYTHONPATH=examples unseen fit train.csv --method own_method:RobustDeviation --out model`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn

from unseen import Bundle, Detector, Run, Samples
from unseen.testing import check_method

PATH = "own_method:RobustDeviation"


class RobustScorer(nn.Module):
    """Mean distance to the medians, in units of the usual distance: (n, d) -> (n,)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("median", torch.zeros(d))  # what is learned is a buffer or a parameter
        self.register_buffer("spread", torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.median).abs() / self.spread).mean(dim=1)


@dataclass(frozen=True)
class RobustDeviation:
    """Distance to the medians of normal rows, in units of the median distance of each column."""

    floor: float = 0.1  # the least unit, for columns that hardly vary
    uses_labels: ClassVar[bool] = False

    def build(self, shape: tuple[int, ...]) -> RobustScorer:
        return RobustScorer(*shape)

    def train(self, scorer: RobustScorer, data: Samples, run: Run) -> None:
        normal = data.normals.x
        scorer.median.copy_(normal.median(dim=0).values)
        scorer.spread.copy_(
            (normal - scorer.median).abs().median(dim=0).values.clamp_min(self.floor)
        )


def main() -> None:
    for name, outcome in check_method(PATH).items():
        print(f"{name:<22}{outcome}")

    X, benign = load_breast_cancer(return_X_y=True)
    normals, tumours = X[benign == 1], X[benign == 0]
    detector = Detector(PATH, random_state=0).fit(normals[:250])
    with tempfile.TemporaryDirectory() as folder:
        Bundle(detector, {"source": "benign cells"}).save(Path(folder) / "model")
        # imports that one path, and nothing else
        loaded = Bundle.load(Path(folder) / "model", trust=(PATH,))
    for kind, rows in ("benign", normals[250:]), ("malignant", tumours):
        verdict = loaded.score(rows, alpha=0.05)["verdict"].to_pylist()
        print(f"{kind}: {verdict.count('anomaly')} of {len(rows)} flagged")


if __name__ == "__main__":
    main()

"""Moving a trained scorer to another domain: it adapts on a few rows of it, and is
calibrated on the same.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.data.split import Rows, spread_over
from unseen.parts.scoring import scores
from unseen.types import Adaptable, Run, Samples, ability

log = logging.getLogger("unseen")
FOLDS = 50  # up to so many rows, each is a fold of its own: leave-one-out


def tell_far(calibration: NDArray[np.float64], before: NDArray[np.float64]) -> None:
    """Warn where rows to adapt to score higher than all normal rows did before: what adapts did not
    follow them.
    """
    if np.median(calibration) > before[-1]:
        log.warning(
            "most of these normal rows score higher, even by what adapted to them, than every row "
            "that calibrated the detector before: only anomalies that lie farther out still can "
            "be found. Check that these rows are normal and in the units of the training rows, or "
            "fit anew on rows of this kind"
        )


def moved(
    method: Adaptable, scorer: nn.Module, support: Samples, calibrating: Rows, run: Run
) -> tuple[nn.Module, NDArray[np.float64], NDArray[np.float64] | None]:
    """The scorer for the domain that the support shows, and scores of its `calibrating`
    rows (m,).

    Each of them is scored by a scorer that adapted on the other folds: a row that stands among its
    own references looks more normal than any new row. Of images likewise the highest score of a
    cell in each, sorted (m,)."""
    seed = run.seed()

    def adapted(rows: Samples) -> nn.Module:
        return method.adapt(
            scorer, rows, replace(run, generator=torch.Generator().manual_seed(seed))
        ).eval()

    parts = spread_over(
        np.zeros_like(calibrating), min(FOLDS, len(calibrating)), np.random.default_rng(seed)
    )
    found, peaks = np.empty((2, len(calibrating)))
    for k in range(parts.max() + 1):
        held_out = calibrating[parts == k]
        others = torch.from_numpy(np.setdiff1d(np.arange(len(support)), held_out)).to(run.device)
        alone = support.x[torch.from_numpy(held_out).to(run.device)]
        judge = adapted(support[others])
        found[parts == k] = scores(judge, alone, run.device).double().numpy()
        if (mapped := ability(judge, "map")) is not None:
            peaks[parts == k] = scores(mapped, alone, run.device).flatten(1).amax(dim=1).numpy()
    scorer = adapted(support)
    return scorer, found, np.sort(peaks) if ability(scorer, "map") is not None else None

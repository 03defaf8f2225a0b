"""Moving a trained scorer to another kind of normal: it adapts on a few rows of it, and is calibrated on the same."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen import methods
from unseen.data.split import Rows, spread
from unseen.errors import Unsupported
from unseen.parts.scoring import scores
from unseen.types import Adaptable, Method, Run, Samples

FOLDS = 50  # up to so many rows, each is a fold of its own: leave-one-out


def adaptable(method: Method) -> Adaptable:
    """The method, if it can adapt."""
    if not hasattr(method, "adapt"):
        able = sorted(name for name, prototype in methods.METHODS.items() if hasattr(prototype, "adapt"))
        raise Unsupported(
            f"{type(method).__name__} cannot move to another kind of normal; these can: {', '.join(able)}. Fit one of "
            "them on the kinds that you have, or fit anew on rows of the new kind"
        )
    return cast(Adaptable, method)


def moved(
    method: Adaptable, scorer: nn.Module, support: Samples, calibrating: Rows, run: Run
) -> tuple[nn.Module, NDArray[np.float64]]:
    """The scorer for the kind of normal that the support shows, and scores of its `calibrating` rows (m,).

    Each of them is scored by a scorer that adapted on the other folds: a row that stands among its own references
    looks more normal than any new row.
    """
    seed = run.seed()

    def adapted(rows: Samples) -> nn.Module:
        return method.adapt(scorer, rows, replace(run, generator=torch.Generator().manual_seed(seed))).eval()

    parts = spread(np.zeros_like(calibrating), min(FOLDS, len(calibrating)), np.random.default_rng(seed))
    found = np.empty(len(calibrating))
    for k in range(parts.max() + 1):
        held = calibrating[parts == k]
        others = torch.from_numpy(np.setdiff1d(np.arange(len(support)), held)).to(run.device)
        alone = support.x[torch.from_numpy(held).to(run.device)]
        found[parts == k] = scores(adapted(support[others]), alone, run.device).double().numpy()
    return adapted(support), found

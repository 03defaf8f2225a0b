"""How far to trust each piece of evidence: verdicts on what was held out, and the weights that follow."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.episodes import Direction
from unseen.parts.surprise import auroc


def mean_auroc(held: list[tuple[Tensor, Tensor]], ways: list[Direction]) -> Tensor:
    """Mean AUROC over directions that hold out classes, and over those that hold out rows of known classes: (2,).

    `held`: scores of the normals and of the anomalies that each direction held out. NaN where none held out any.
    """
    means = []
    for known in (False, True):
        each = [auroc(n, a) for (n, a), way in zip(held, ways, strict=True) if way.known == known and len(a)]
        means.append(sum(each) / len(each) if each else torch.nan)
    both = torch.tensor(means)
    return torch.where(both.isnan(), both.nanmean(), both)


def weights(auroc: Tensor, learned: Tensor, *, sharpness: tuple[float, float], known: float, most: float) -> Tensor:
    """Weights of evidence, which sum to 1, from its AUROC on unknown and on known classes: (e, 2), (e,) -> (e,).

    (1 - known) u + known k, where u and k are proportional to exp(sharpness * AUROC), and evidence that `learned` from
    labels has at most `most` of u.

    >>> learned = torch.tensor([False, True, True])
    >>> weights(torch.zeros(3, 2), learned, sharpness=(10, 40), known=0.0, most=0.4)
    tensor([0.6000, 0.2000, 0.2000])
    """
    each = torch.exp(torch.tensor(sharpness, device=auroc.device) * (auroc - auroc.amax(dim=0)))
    u, k = (each / each.sum(dim=0)).unbind(dim=1)
    said = u[learned].sum()
    if most < said < 1:
        u = torch.where(learned, u * most / said, u * (1 - most) / (1 - said))
    return (1 - known) * u + known * k

"""How far to trust each piece of evidence: verdicts on what was held out, and the weights that follow."""

from __future__ import annotations

import torch
from torch import Tensor

from unseen.parts.episodes import Direction
from unseen.parts.ranking import auroc


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

    (1 - known) u + known k, where u and k are proportional to exp(sharpness * AUROC). All evidence speaks on unknown
    classes, but what `learned` from labels has at most `most` of u; on known ones it speaks alone. Where nothing could
    be held out (NaN), evidence weighs alike, and there is no k.

    >>> learned = torch.tensor([False, True, True])
    >>> weights(torch.zeros(3, 2), learned, sharpness=(10, 40), known=0.3, most=0.4)
    tensor([0.4200, 0.2900, 0.2900])
    >>> weights(torch.full((3, 2), torch.nan), learned, sharpness=(10, 40), known=0.3, most=0.4)
    tensor([0.6000, 0.2000, 0.2000])
    """
    share = known if learned.any() and not auroc.isnan().any() else 0.0
    unknown, shown = (torch.tensor(sharpness, device=auroc.device) * auroc.nan_to_num(0.0)).unbind(dim=1)
    u = unknown.softmax(dim=0)
    said = u[learned].sum()
    if most < said < 1:
        u = torch.where(learned, u * most / said, u * (1 - most) / (1 - said))
    if share == 0:
        return u
    return (1 - share) * u + share * shown.masked_fill(~learned, -torch.inf).softmax(dim=0)

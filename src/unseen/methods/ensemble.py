"""Ensemble: several copies of one method, each with its own luck (Lakshminarayanan et al., NIPS
2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.episodes import at_most
from unseen.parts.scoring import scores
from unseen.parts.standard import Standard
from unseen.types import Method, Run, Samples


@dataclass(frozen=True)
class Ensemble:
    """Mean standardised score of several members that differ by their seed (Lakshminarayanan et
    al., NIPS 2017).

    Where members learned the same they agree, and where nothing was learned they scatter: their
    mean is steadier than any of them, most of all on rows unlike any that were shown. Scores are
    standardised, so that a member with large scores does not outvote the others.

    Equation:
        score(x) = mean_k (s_k(x) - mean of s_k) / sd of s_k,  over the scores s_k of normals

    When: a method's scores change much from seed to seed, and training `members` times over is
    affordable. A method without chance, such as a distance to all normals, gains nothing.
    Differs: scores are averaged, not class probabilities; there are no adversarial examples.

    Parameters
    ----------
    base : Method
        Any method; each member is a copy of it.
    members : int
        Number of copies, each with its own initial weights and its own draws.
    rows : int
        Most normals, of those trained on, by which scores are standardised.

    >>> from unseen import Mahalanobis
    >>> Ensemble(Mahalanobis(), members=3).build((2,))(torch.zeros(4, 2)).shape
    torch.Size([4])
    """

    base: Method
    members: int = 5
    rows: int = 8192

    def __post_init__(self) -> None:
        if self.members < 1:
            raise DataError(f"Ensemble: members must be at least 1, got {self.members}")

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return EnsembleScorer([self.base.build(shape) for _ in range(self.members)])

    def train(self, scorer: EnsembleScorer, data: Samples, run: Run) -> None:
        for member in scorer.members:
            # how much one member draws does not change the next
            own = torch.Generator().manual_seed(run.seed())
            self.base.train(member, data, replace(run, generator=own))
        scorer.eval()
        normals = at_most(data.normals, self.rows, run.generator).x
        each = torch.stack([scores(member, normals, normals.device) for member in scorer.members])
        scorer.standard.fit(each.to(normals.device))


class EnsembleScorer(nn.Module):
    """Mean of the members' standardised scores: (n, d) -> (n,)."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.standard = Standard(len(members))

    def forward(self, x: Tensor) -> Tensor:
        return self.standard(torch.stack([member(x) for member in self.members])).mean(dim=0)

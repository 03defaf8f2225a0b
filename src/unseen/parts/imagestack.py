"""What an image stack scores with: members, the surprise of their scores, and how far each is trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.parts.surprise import Surprise

KEPT = 20_000  # cells of held-out normal images that say how surprising a cell is


class Mapped(Protocol):
    """A scorer of images that has a score for every cell."""

    def map(self, x: Tensor) -> Tensor:
        """(n, d, h, w) -> (n, h', w')."""


class ImageStackScorer(nn.Module):
    """Sum of weighted surprises: (n, d, h, w) -> (n,). `weights` (e,), and why: `auroc` (e, 2) on unseen and on known.

    `shift` (e,) is added to a member's score: what it takes for the normal images of a new product to look as normal
    as those of the old one.
    """

    learned: Tensor
    weights: Tensor
    auroc: Tensor
    shift: Tensor
    may_be_nan = ("auroc",)

    def __init__(self, members: Sequence[nn.Module], learned: Tensor) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        e = len(self.members)
        self.mapped = [k for k, member in enumerate(self.members) if hasattr(member, "map")]
        self.surprise, self.cell_surprise = Surprise(e), Surprise(len(self.mapped))
        self.seen: list[Tensor] = []
        self.register_buffer("learned", learned)
        self.register_buffer("weights", torch.ones(e) / e)
        self.register_buffer("auroc", torch.full((e, 2), torch.nan))
        self.register_buffer("shift", torch.zeros(e))

    def evidence(self, x: Tensor) -> Tensor:
        """What each member says, 0 where it has no say: (n, d, h, w) -> (e, n)."""
        none = x.new_zeros(len(x))
        each = zip(self.members, self.weights.tolist(), strict=True)
        return torch.stack([member(x) if weight > 0 else none for member, weight in each]) + self.shift[:, None]

    def evidence_maps(self, x: Tensor) -> Tensor:
        """What each member with a map says of the cells, on the finest grid, 0 where it has no say: (e', n, h, w)."""
        speaking = [(i, k) for i, k in enumerate(self.mapped) if self.weights[k] > 0]
        said = [cast(Mapped, self.members[k]).map(x) + self.shift[k] for _, k in speaking]
        finest = max((one.shape[1:] for one in said), default=x.shape[2:])
        found = x.new_zeros(len(self.mapped), len(x), *finest)
        for (i, _), one in zip(speaking, said, strict=True):
            found[i] = F.interpolate(one[:, None], finest, mode="bilinear")[:, 0]
        return found

    def see(self, maps: Tensor) -> None:
        """Cells of held-out normal images (e', n, h, w), for `settle`."""
        self.seen.append(maps.flatten(1))

    def settle(self) -> None:
        """Learn how surprising a cell is from all that were seen, or every so many."""
        found = torch.cat(self.seen, dim=1)
        self.seen = []
        if len(found):
            self.cell_surprise.fit(found[:, :: found.shape[1] // KEPT + 1])

    @property
    def map(self) -> Callable[[Tensor], Tensor]:
        """`surprises`, where a member has a map."""
        if not self.mapped:
            raise AttributeError("no member of this stack has a map")
        return self.surprises

    def surprises(self, x: Tensor) -> Tensor:
        """Sum of the surprises of cells, by the weights of members with a map: (n, d, h, w) -> (n, h', w')."""
        maps = self.evidence_maps(x)
        share = self.weights[self.mapped]
        share = share / share.sum().clamp_min(1e-12)
        surprise = self.cell_surprise(maps.flatten(1)).view_as(maps)
        return (share[:, None, None, None] * surprise).sum(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        return (self.weights[:, None] * self.surprise(self.evidence(x))).sum(dim=0)

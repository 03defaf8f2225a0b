"""Whole methods for images as pieces of evidence: what each says of an image, and of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.parts.surprisal import Surprisal
from unseen.types import ability

KEPT = 20_000  # cells of held-out normal images that say how surprising a cell is


class ImageEvidence(nn.Module):
    """Scores of members, of whole images and of cells: (n, d, h, w) -> (e, n).

    A member that pools its cells in several ways is as many pieces. `shift` (e,) is added to a
    piece's score: what it takes for the normal images of a new product to look as normal as those
    of the old one.
    """

    shift: Tensor

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mapped = [k for k, member in enumerate(self.members) if ability(member, "map")]
        counts = [len(ability(member, "top") or [0.0]) for member in self.members]
        self.starts = [sum(counts[:k]) for k in range(len(counts) + 1)]
        self.cell_surprisal = Surprisal(len(self.mapped))
        self.register_buffer("shift", torch.zeros(sum(counts)))

    def pieces(self, member: int) -> slice:
        """The pieces that a member is."""
        return slice(self.starts[member], self.starts[member + 1])

    def scores(self, x: Tensor, wanted: Tensor) -> Tensor:
        """The score of each piece, 0 of members of which none is `wanted` (e,): (n, d, h, w) -> (e,
        n).
        """
        found = x.new_zeros(len(self.shift), x.shape[0])
        for k, member in enumerate(self.members):
            if wanted[self.pieces(k)].any():
                found[self.pieces(k)] = pooled(member, x)
        return found + self.shift[:, None]

    def maps(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Scores of cells by members with a map, on the finest grid, 0 of those of which no piece
        is `wanted` (e,): (e', n, h, w).
        """
        chosen = [(i, k) for i, k in enumerate(self.mapped) if wanted[self.pieces(k)].any()]
        each = [ability(self.members[k], "map")(x) + self.shift[self.starts[k]] for _, k in chosen]
        finest = max((one.shape[1:] for one in each), default=x.shape[2:])
        found = x.new_zeros(len(self.mapped), len(x), *finest)
        for (i, _), one in zip(chosen, each, strict=True):
            found[i] = F.interpolate(one[:, None], finest, mode="bilinear")[:, 0]
        return found

    def settle(self, maps: Sequence[Tensor]) -> None:
        """Learn how surprising a cell is from those of held-out normal images (e', n, h, w), or
        every so many.
        """
        found = torch.cat([each.flatten(1) for each in maps], dim=1)
        if len(found):
            self.cell_surprisal.fit(found[:, :: found.shape[1] // KEPT + 1])

    def surprisal_map(self, x: Tensor, weights: Tensor) -> Tensor:
        """Sum of the surprisals of cells, by the weights (e,) of members with a map: (n, d, h, w)
        -> (n, h', w').
        """
        return self.added(self.maps(x, weights > 0), weights)

    def added(self, maps: Tensor, weights: Tensor) -> Tensor:
        """The map that maps of members add up to: (e', n, h, w) -> (n, h, w)."""
        share = torch.stack([weights[self.pieces(k)].sum() for k in self.mapped])
        share = share / share.sum().clamp_min(1e-12)
        surprisal = self.cell_surprisal(maps.flatten(1)).view_as(maps)
        return (share[:, None, None, None] * surprisal).sum(dim=0)


def pooled(member: nn.Module, x: Tensor) -> Tensor:
    """A member's scores of images, one for each way in which it pools cells: (n, d, h, w) -> (s,
    n).
    """
    several = ability(member, "pooled")
    return cast(Tensor, member(x)[None] if several is None else several(x))

"""Several kinds of normal, such as products, machines or tenants: each row is described by normals of its own kind."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from unseen.parts.bank import means_of
from unseen.parts.deviation import ROWS, Deviation, cross_described, described
from unseen.parts.episodes import stratified_folds
from unseen.types import Samples


class Kinds:
    """The kinds that normal rows belong to by their `group`, and the origin of each, the mean of its rows: (g, d).

    With one kind, the origin is zero: there is nothing that positions would have to be relative to.

    >>> kinds = Kinds(Samples.of(torch.tensor([[0.0], [2.0], [9.0]]), group=torch.tensor([5, 5, 7])))
    >>> kinds.origins.tolist(), kinds.relative(kinds.normals).x.tolist()
    ([[1.0], [9.0]], [[-1.0], [1.0], [0.0]])
    """

    def __init__(self, normals: Samples) -> None:
        self.normals = normals
        self.names = normals.group.unique()
        means, self.own = means_of(normals.x, normals.group)
        self.origins = (means if len(means) > 1 else torch.zeros_like(means)).to(normals.x.dtype)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, rows: Samples) -> Tensor:
        """The number of each row's kind: (n,). Rows of a kind without normals count to any."""
        return torch.searchsorted(self.names, rows.group).clamp_max(len(self) - 1)

    def relative(self, rows: Samples) -> Samples:
        """Rows as seen from the origin of their kind."""
        return replace(rows, x=rows.x - self.origins[self.of(rows)])

    def described(self, deviation: Deviation, rows: Samples) -> Tensor:
        """Descriptions of rows by normals of their own kind: (n, width). `deviation` is fitted on all kinds."""
        if len(self) == 1:
            return described(deviation, rows.x)
        found, of = rows.x.new_zeros(len(rows), deviation.width), self.of(rows)
        for kind in of.unique():
            moved = deviation.moved(self.normals.x[self.own == kind][:ROWS])
            found[of == kind] = described(moved, rows.x[of == kind])
        return found

    def cross_described(
        self,
        deviation: Deviation,
        normals: Samples,
        made: Tensor,
        folds: int,
        generator: torch.Generator,
        logarithms: Tensor | None,
    ) -> list[Tensor]:
        """Descriptions of normals by those of their kind in other folds, and of rows made from them: (n, width) each."""
        x, own = normals.x, self.of(normals)
        if len(self) == 1:
            fold = torch.randperm(len(x), generator=generator).to(x.device) % folds
            return cross_described(x, fold, generator, made, logarithms=logarithms)
        fold = stratified_folds(own, folds, generator)
        found = [x.new_zeros(len(x), deviation.width) for _ in range(2)]
        for kind in own.unique():
            for part in fold[own == kind].unique():
                inside = (own == kind) & (fold == part)
                others = x[(own == kind) & (fold != part)]
                moved = deviation.moved(others[:ROWS] if len(others) else x[inside])  # a row alone describes itself
                for description, rows in zip(found, (x, made), strict=True):
                    description[inside] = described(moved, rows[inside])
        return found

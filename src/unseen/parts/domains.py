"""Several domains, such as products, machines or tenants: each row is described by normals of its
own domain.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from unseen.parts.bank import means_of
from unseen.parts.deviation import ROWS, Deviation, cross_described, descriptions
from unseen.parts.episodes import stratified_folds
from unseen.parts.pseudo import feature_cut
from unseen.types import Run, Samples


class Domains:
    """The domains that normal rows belong to by their `group`, and the origin of each, the mean of
    its rows: (g, d).

    With one domain, the origin is zero: there is nothing that positions would have to be relative
    to.

    >>> domains = Domains(
    ...     Samples.of(torch.tensor([[0.0], [2.0], [9.0]]), group=torch.tensor([5, 5, 7]))
    ... )
    >>> domains.origins.tolist(), domains.relative(domains.normals).x.tolist()
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
        """The number of each row's domain: (n,). Rows of a domain without normals count to any."""
        return torch.searchsorted(self.names, rows.group).clamp_max(len(self) - 1)

    def relative(self, rows: Samples) -> Samples:
        """Rows as seen from the origin of their domain."""
        return replace(rows, x=rows.x - self.origins[self.of(rows)])

    def described(self, deviation: Deviation, rows: Samples) -> Tensor:
        """Descriptions of rows by normals of their own domain: (n, width). `deviation` is fitted on
        all domains.
        """
        if len(self) == 1:
            return descriptions(deviation, rows.x)
        found, of = rows.x.new_zeros(len(rows), deviation.width), self.of(rows)
        for domain in of.unique():
            moved = deviation.moved(_thinned(self.normals.x[self.own == domain]))
            found[of == domain] = descriptions(moved, rows.x[of == domain])
        return found

    def crossed(
        self, deviation: Deviation, normals: Samples, *, folds: int, run: Run
    ) -> list[tuple[Samples, Tensor]]:
        """Normals, and pseudo-anomalies cut from their deviations, each with descriptions by
        normals of other folds.
        """
        rows, g = self.relative(normals), run.generator
        pseudo = replace(rows, x=feature_cut(rows.x, rows.x, g), y=torch.ones_like(rows.y))
        there, own = pseudo.x + (normals.x - rows.x), self.of(normals)
        if len(self) == 1:
            fold = torch.randperm(len(rows), generator=g).to(own.device) % folds
            found = cross_described(normals.x, fold, g, there, logarithms=run.logarithms)
        else:
            fold = stratified_folds(own, folds, g)
            found = [rows.x.new_zeros(len(rows), deviation.width) for _ in range(2)]
            for domain in own.unique():
                for part in fold[own == domain].unique():
                    inside, others = (
                        (own == domain) & (fold == part),
                        (own == domain) & (fold != part),
                    )
                    # the only row of its domain describes itself
                    by = normals.x[others if others.any() else inside]
                    moved = deviation.moved(_thinned(by))
                    for words, x in zip(found, (normals.x, there), strict=True):
                        words[inside] = descriptions(moved, x[inside])
        return list(zip((rows, pseudo), found, strict=True))


def _thinned(rows: Tensor) -> Tensor:
    """At most `ROWS` rows, evenly spaced."""
    return rows[:: (len(rows) - 1) // ROWS + 1]

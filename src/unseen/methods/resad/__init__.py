"""ResAD and ResAD++: what differs from reference normals, not what is there (Yao et al., NeurIPS
2024; IJCV 2026).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.methods.resad.residual import References, ResidualScorer
from unseen.parts import losses, terms
from unseen.parts.episodes import at_most, random_batches, together
from unseen.parts.loops import minimise
from unseen.parts.pseudo import with_pushed
from unseen.types import Run, Samples

KINDS = 4  # of normal in one batch
LEARNT = 100  # batches that density and head learn from


@dataclass(frozen=True)
class ResAD:
    """Density and verdict on the residual of a row to reference normals of its domain (Yao et al.,
    NeurIPS 2024).

    A row is replaced by what its nearest references leave of it, in units of the same for the
    references. A network, the constraintor, pulls residuals of normals into a small sphere and
    leaves those of anomalies where they are. The score is the mean of two, each standardised on
    normals: minus the log density of normals' constrained residuals, and a linear head on these and
    their sizes. In training, references are drawn for each batch from the row's own domain
    (`groups`), never the row itself. In use all normals are references. `adapt` swaps them for
    those of a new domain, and trains nothing.

    Equation:
        r(x) = x - m - P'a,
            m the mean of the nearest references p_j, P their p_j - m,
            a = (PP' + e I)^-1 P (x - m), e a tenth of the mean |p_j - m|^2
        x' = r + C(r),  L = (1 - y) (sqrt(|x'| + 1) - 1) + y |x' - r|
        score(x) = (z(mean_j log(1 + u_j^2 / s_j^2)) + z(h(u, |u|))) / 2,
            u = x' - mean of normals' x', s_j mean |u_j|

    When: there are several domains, labelled anomalies in some of them, and more domains to come;
    and many columns that depend on one another, such as embeddings. With few columns
    `MultiDirectional` moves better.
    Differs: vectors of one level; all near references, not one: steadier with few. C is a network
    with a skip, not a convolution, unused where no anomaly is labelled. Pseudo-anomalies, pushed
    out of normals, keep it from swallowing what no label shows, but leave it little to do. A
    density of Cauchy's, no flow; and a head.

    Parameters
    ----------
    neighbours : int
        Nearest references that explain a row.
    references : int
        Fewest references in training; how many there are is drawn anew for each batch, up to all
        normals of the domain but one.
    hidden : int
        Width of the constraintor's hidden layer.
    steps : int
        Optimiser steps of the constraintor.
    batch : int
        Most rows in a batch, half of them labelled anomalies, before pseudo-anomalies.
    rate : float
        Learning rate of AdamW.
    ridge : float
        Weight of the squared length of the head's weights.
    pushed : float
        Weight of a pseudo-anomaly, as a share of that of the normal row that it is made of.
    bank : int
        Most normals that are references in use, and most of each domain that training draws from.

    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(60, 4, generator=g), torch.arange(60) % 10 == 0
    >>> x[y, 0] += 6.0
    >>> data, run = Samples.of(x, y), Run(g)
    >>> method = ResAD(steps=20)
    >>> scorer = method.build((4,))
    >>> method.train(scorer, data, run)
    >>> moved = method.adapt(scorer, Samples.of(x[~y][:8] + 100), run)
    >>> bool(moved(x[~y][9:10] + 100) < moved(x[~y][9:10]))
    True
    """

    neighbours: int = 8
    references: int = 8
    hidden: int = 128
    steps: int = 500
    batch: int = 128
    rate: float = 1e-3
    ridge: float = 3.0
    pushed: float = 0.2
    bank: int = 2048
    squared: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return ResidualScorer(
            *shape, hidden=self.hidden, neighbours=self.neighbours, squared=self.squared
        )

    def train(self, scorer: ResidualScorer, data: Samples, run: Run) -> None:
        if len(data.normals) < 2:
            raise DataError(
                f"{type(self).__name__} compares normal rows with one another, and was given "
                f"{len(data.normals)}: add normal rows, 2 at least"
            )
        scorer.references.remember(
            at_most(data.normals, self.bank, run.generator).x, k=self.neighbours
        )
        kinds, stream = self.kinds(data, run), self.residuals(scorer, data, run)
        # else nothing keeps the sphere from swallowing all rows
        if any(len(anomalies) for _, anomalies in kinds):
            optimiser = torch.optim.AdamW(
                scorer.constraintor.parameters(), lr=self.rate, weight_decay=1e-2
            )
            guarded = (
                with_pushed(b, self.pushed, run.generator, positive=self.squared) for b in stream
            )
            minimise(
                lambda batch: self.loss(scorer, batch, run),
                optimiser,
                guarded,
                run,
                steps=self.steps,
            )
        scorer.judge(together(*islice(stream, LEARNT)), ridge=self.ridge)

    def adapt(self, scorer: ResidualScorer, support: Samples, run: Run) -> ResidualScorer:
        """Swap the references."""
        moved = copy.deepcopy(scorer)
        moved.references.remember(
            at_most(support.normals, self.bank, run.generator).x, k=self.neighbours
        )
        return moved

    def loss(self, scorer: ResidualScorer, batch: Samples, run: Run) -> Tensor:
        """Equation 2, of rows that are residuals already: (n,)."""
        return losses.small_sphere(
            constrained=scorer.constrained(batch.x), residual=batch.x, y=batch.y
        )

    def kinds(self, data: Samples, run: Run) -> list[tuple[Samples, Samples]]:
        """Normals, at most `bank`, and anomalies of each kind; anomalies of a kind without normals
        are left out.
        """
        rows = [data[data.group == name] for name in data.normals.group.unique()]
        return [(at_most(kind.normals, self.bank, run.generator), kind.anomalies) for kind in rows]

    def residuals(self, scorer: ResidualScorer, data: Samples, run: Run) -> Iterator[Samples]:
        """Batches of residuals, half normals, half anomalies, of a few kinds at a time; without
        end.
        """
        kinds = self.kinds(data, run)
        size = self.batch // min(KINDS, len(kinds))
        while True:
            drawn = torch.randperm(len(kinds), generator=run.generator)[:KINDS].tolist()
            yield together(*(self.part(scorer, kinds[k], size, run.generator) for k in drawn))

    def part(
        self,
        scorer: ResidualScorer,
        kind: tuple[Samples, Samples],
        size: int,
        generator: torch.Generator,
    ) -> Samples:
        """Rows of one kind as residuals to `references` or more of its normals, of which a row is
        never one itself.
        """
        normals, anomalies = at_most(kind[0], len(kind[0]), generator), kind[1]
        spare = max(len(normals) - 1, 1)
        least = min(self.references, spare)
        m = int(least * (spare / least) ** float(torch.rand((), generator=generator)))
        rows = normals[m:][: size // 2]
        if len(anomalies):
            rows = together(rows, next(random_batches(anomalies, size - size // 2, generator)))
        references = References(rows.x.shape[1], float(scorer.references.unit))
        references.remember(normals.x[:m], k=self.neighbours)
        return replace(rows, x=scorer.residual(rows.x, references))


@dataclass(frozen=True)
class ResADPlusPlus(ResAD):
    """ResAD on squared residuals, with normals on a thin shell and anomalies beyond it (Yao et al.,
    IJCV 2026).

    Equation:
        r(x) = sqrt(d) ResAD's squared, elementwise,  A = sqrt(|x'| + 1) - 1,
            R = min(0.9 smallest A of anomalies, 0.4)
        L = (1 - y) B([A - R]_+ or [0.99 R - A]_+)
            + y (B([R + 0.1 - A]_+) + MSE(x', r) + 1 - cos(x', r))
        B(t) = softplus(t) e^t for t > 0, e^t held constant

    When: as for ResAD. It loses the sign of a residual; where the direction of a deviation tells,
    ResAD is better.
    Differs: as for ResAD; and one phase, where the code has one on normals before. The code's
    matching of a whole test image's residuals to a codebook is left out: a row's score would depend
    on the rows beside it.

    Parameters
    ----------
    neighbours, references, hidden, steps, batch : int
        As in ResAD.
    rate, ridge, pushed : float
        As in ResAD.
    bank : int
        As in ResAD.

    >>> ResADPlusPlus().build((3,))(torch.zeros(2, 3)).shape
    torch.Size([2])
    """

    squared: ClassVar[bool] = True

    def loss(self, scorer: ResidualScorer, batch: Samples, run: Run) -> Tensor:
        constrained = scorer.constrained(batch.x)
        stays = terms.invariance(constrained=constrained, residual=batch.x)
        return losses.barrier(radius=losses.radius(constrained), y=batch.y) + torch.where(
            batch.y > 0, stays, 0.0
        )

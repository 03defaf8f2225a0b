"""Multi-directional meta-learning (arXiv 2601.19833): learn normality inside, let held-out classes
decide outside.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.parts import losses
from unseen.parts.bank import NEAR, Bank
from unseen.parts.deviation import CHUNK, ROWS, Deviation
from unseen.parts.domains import Domains
from unseen.parts.episodes import at_most, enough_of_both, hiding_and_showing, together
from unseen.parts.exporting import drawing
from unseen.parts.nets import Resizing
from unseen.parts.products import Linear
from unseen.parts.surface import decide
from unseen.types import Run, Samples


@dataclass(frozen=True)
class MultiDirectional:
    """Normality learned from normals alone, a decision on it from rotating anomaly classes (after
    arXiv 2601.19833).

    Inner level: how a row deviates from normals, cross-fitted. Outer level: linear in that, in
    closeness to shown anomalies and in the row. Each held-out split hides a class; one hides none.

    Domains (`groups`) share the surface: a row is described by normals of its own domain, relative
    to their mean; k domains have k times the `ridge`. `adapt` describes rows by other normals.

    Equation:
        score(x) = -log(S_0 / (1 - S_0)),
            S_0 = softmax probability of the normal class, its weights w minimising
        mean over splits of (-log S_0 for normals, -log(1 - S_0) for anomalies) + ridge |w|^2
    When: few labels, known and new kinds matter. Not where normals drift after training. It refuses
    to train without.
    Differs: closed form inside, one minimum outside, no margin, anchor or temperature.

    Parameters
    ----------
    rows : int
        Most normals that describe others.
    folds : int
        Parts of the normals, each described by the others.
    seen_class_weight : float
        Share of the outer loss of the split that hides no class, 0 to 1.
    cut : float
        Weight of pseudo-anomalies, cut from deviations of normals.
    position : float
        How much a row's place counts beside how it deviates.
    ridge : float
        Weight of the squared length of w.

    >>> scorer = MultiDirectional(seen_class_weight=0.5).build((6,))
    """

    rows: int = 8192
    folds: int = 10
    seen_class_weight: float = 0.67
    cut: float = 0.1
    position: float = 0.7
    ridge: float = 0.3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return DescribedScorer(*shape)

    def train(self, scorer: DescribedScorer, data: Samples, run: Run) -> None:
        enough_of_both(data, self, normals=3)
        normals, anomalies = (
            at_most(data.normals, self.rows, run.generator),
            at_most(data.anomalies, ROWS, run.generator),
        )
        domains = Domains(data.normals)
        scorer.deviation.fit(
            data.normals.x, run.generator, logarithms=run.logarithms, group=data.normals.group
        )
        scorer.origins = domains.origins
        scorer.shown.fill(domains.relative(anomalies).x)
        rows = self.splits(scorer, domains, normals, anomalies, run)
        scorer.standardise(rows.x[rows.y <= 0], self.position)
        decide(
            scorer.head, replace(rows, x=scorer.standard(rows.x)), ridge=self.ridge * len(domains)
        )

    def splits(
        self,
        scorer: DescribedScorer,
        domains: Domains,
        normals: Samples,
        anomalies: Samples,
        run: Run,
    ) -> Samples:
        """Columns of all rows as each held-out split shows them, with their share of the outer loss
        as weight.
        """
        g, own = run.generator, domains.described(scorer.deviation, anomalies)
        normal, pseudo = domains.crossed(scorer.deviation, normals, folds=self.folds, run=run)
        anomalies = domains.relative(anomalies)
        parts = []
        for split, share in hiding_and_showing(anomalies, g, known=self.seen_class_weight):
            shown, out = anomalies.x[split.inside], split.outside
            hidden = anomalies[out], own[out]
            for (rows, words), skip, part in (
                (normal, 0, 1.0),
                (pseudo, 0, self.cut),
                (hidden, int(split.known), 1.0),
            ):
                x = scorer.columns(rows.x, words, shown, skip=skip)
                weight = share * part * rows.weight / rows.weight.sum().clamp_min(1e-12)
                parts.append(Samples(x, rows.y, rows.group, weight))
        return together(*parts)

    def adapt(self, scorer: DescribedScorer, support: Samples, run: Run) -> DescribedScorer:
        """Describe rows relative to the support's normals; the surface stays."""
        return scorer.moved(at_most(support.normals, ROWS, run.generator).x)


class DescribedScorer(Resizing):
    """Columns that describe a row, standardised, and a linear head; -log S_0/(1 - S_0): (n, d) ->
    (n,).

    Where a row lies is told from the origin of its domain, (g, d), or of the nearest; zero
    if there is one."""

    origins: Tensor
    centre: Tensor
    scale: Tensor
    column_weight: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.deviation = Deviation(d)
        self.shown = Bank(d)
        self.register_buffer("origins", torch.zeros(1, d))
        p = self.deviation.width + 2 + 2 * d
        self.register_buffer("centre", torch.zeros(p))
        self.register_buffer("scale", torch.ones(p))
        self.register_buffer("column_weight", torch.ones(p))
        self.head = Linear(p, 2)

    def columns(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """Description, closeness to shown anomalies, and position: (n, d), (n, width), (m, d) ->
        (n, p).

        The rows x and those shown are relative to the origins of their kinds.
        """
        return torch.cat(
            [described, self.closeness(x, described, shown, skip=skip), x, x.abs()], dim=1
        )

    def closeness(self, x: Tensor, described: Tensor, shown: Tensor, *, skip: int = 0) -> Tensor:
        """log(1 + distance to the nearest normal / to the nearest shown anomaly), raw and whitened:
        (n, 2).

        `skip=1` when the rows x are among those shown (m, d): nobody is close to himself. 0 where
        nothing is shown."""
        whiten = self.deviation.whiten.common
        anomaly = torch.stack(
            [_nearest_distance(x, shown, skip), _nearest_distance(whiten(x), whiten(shown), skip)],
            dim=1,
        )
        return F.softplus(self.deviation.nearest_one(described) - (anomaly + NEAR).log())

    def standardise(self, normals: Tensor, position: float) -> None:
        """Learn the columns' centre and scale from normals (n, p); a column of position counts
        `position` times.
        """
        self.centre, self.scale = normals.mean(dim=0), normals.std(dim=0) + 1e-2
        self.column_weight[self.deviation.width + 2 :] = position

    def standard(self, columns: Tensor) -> Tensor:
        """Columns on one scale, at most 10 deviations out: (n, p) -> (n, p)."""
        return ((columns - self.centre) / self.scale).clamp(-10, 10) * self.column_weight

    def logits(self, x: Tensor) -> Tensor:
        """Logits of normal and anomaly: (n, d) -> (n, 2)."""
        relative = x - self.origins[self.deviation.whiten.domain(x)]
        return self.head(self.standard(self.columns(relative, self.deviation(x), self.shown.rows)))

    def moved(self, rows: Tensor) -> DescribedScorer:
        """The same for another domain, shown by rows (m, d): nothing is trained."""
        new = copy.deepcopy(self)
        new.deviation = self.deviation.moved(rows)
        mean = self.deviation.whiten.mean
        new.origins = new.deviation.whiten.mean[None] - (mean if mean.ndim == 1 else 0)
        return new

    def forward(self, x: Tensor) -> Tensor:
        return -losses.normal_logit(self.logits(x))


def _nearest_distance(x: Tensor, rows: Tensor, skip: int) -> Tensor:
    """Distance to the nearest row, or with `skip` to the next but that many; infinite if there is
    none: (n,).
    """
    if len(rows) <= skip:
        return torch.full((len(x),), torch.inf, device=x.device)
    bank = Bank(x.shape[1])
    bank.fill(rows)
    blocks = [x] if drawing() else x.split(CHUNK)
    return torch.cat([bank.distances(block, k=skip + 1)[:, skip] for block in blocks])

"""Logistic regression of labelled anomalies against normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.products import product
from unseen.parts.threads import filters_kept
from unseen.types import Run, Samples

FAR = 10.0  # standard deviations of the normals beyond which a value counts no more


@dataclass(frozen=True)
class Logistic:
    """Logistic regression of labelled anomalies against normal rows, with a ridge (le Cessie & van
    Houwelingen 1992).

    Normals and anomalies weigh the same. Columns are standardised by the normals and clipped at 10
    standard deviations.

    Equation:
        score(x) = w' z + b,  z the standardised row;
            w and b minimise  mean loss + penalty / 2 |w|^2

    When: one direction sets anomalies apart, or as the baseline that anything larger must beat. Not
    for new kinds: what lies off that direction, or at its other end, is called normal. It refuses
    to train without labels.
    Differs: as in textbooks, but for the clipping. The default gives it a row's deviations to learn
    from, where it does far better than on the rows themselves.

    Parameters
    ----------
    penalty : float
        Weight of the ridge, above 0 and the same however many rows there are; more keeps w shorter.

    >>> data = Samples.of(torch.tensor([[-1.0], [1.0], [5.0]]), torch.tensor([0, 0, 1]))
    >>> scorer = Logistic().build((1,))
    >>> Logistic().train(scorer, data, Run(torch.Generator()))
    >>> bool(scorer(torch.tensor([[4.0]])) > 0)
    True
    """

    penalty: float = 0.1
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return LogisticScorer(*shape)

    def train(self, scorer: LogisticScorer, data: Samples, run: Run) -> None:
        y = (data.y > 0).cpu().numpy()
        if y.all() or not y.any():
            raise DataError(
                f"Logistic learns normals against labelled anomalies; it was given {(~y).sum()} "
                f"rows of the first and {y.sum()} of the second: label at least one row of each, "
                "or use a method without labels"
            )
        normals = data.normals.x
        scorer.centre, scorer.scale = normals.mean(dim=0), normals.std(dim=0, correction=0) + 1e-6
        x = scorer.standard(data.x).cpu().numpy().astype(np.float64)
        # The ridge keeps the weights in the span of the rows: with fewer rows than columns, learn
        # in that span, by an orthonormal basis (d, n).
        span = torch.linalg.qr(torch.from_numpy(x).T).Q.numpy() if len(x) < x.shape[1] else None
        # scikit-learn minimises the sum over rows: the penalty is a share of it. "balanced" weights
        # sum to the rows.
        model = LogisticRegression(
            C=1 / (self.penalty * len(y)), class_weight="balanced", max_iter=1000
        )
        with filters_kept():
            model.fit(x if span is None else x @ span, y, sample_weight=data.weight.cpu().numpy())
        scorer.weight = torch.from_numpy(
            model.coef_[0] if span is None else span @ model.coef_[0]
        ).to(data.x)
        scorer.bias = torch.from_numpy(model.intercept_)[0].to(data.x)


class LogisticScorer(nn.Module):
    """Log odds: (n, d) -> (n,)."""

    centre: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        for name, start in (("centre", 0.0), ("scale", 1.0), ("weight", 0.0)):
            self.register_buffer(name, torch.full((d,), start))
        self.register_buffer("bias", torch.zeros(()))

    def standard(self, x: Tensor) -> Tensor:
        """Deviations from the normals in their standard deviations, clipped: (n, d) -> (n, d)."""
        return ((x - self.centre) / self.scale).clamp(-FAR, FAR)

    def forward(self, x: Tensor) -> Tensor:
        return product(self.standard(x), self.weight[:, None])[:, 0] + self.bias

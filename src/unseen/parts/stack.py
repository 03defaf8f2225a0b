"""What an evidence stack scores with: measures, what learned from labels, and how far each is trusted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unseen.parts.deviation import FREE, Deviation, Ratio
from unseen.parts.surprise import Surprise

RATIO = "ratio"


def seen_as(x: Tensor, description: Tensor) -> dict[str, Tensor]:
    """What methods learn from, by the name of the view: (n, d), (n, width) -> three tables of n rows."""
    return {"deviations": description, "rows": x, "both": torch.cat([x, description], dim=1)}


class StackScorer(nn.Module):
    """Sum of weighted surprises: (n, d) -> (n,). `weights` (e,), and why: `auroc` (e, 2) on unseen and on known."""

    learned: Tensor  # (e,) whether the evidence uses labels
    weights: Tensor
    auroc: Tensor
    may_be_nan = ("auroc",)

    def __init__(self, d: int, *, measures: tuple[str, ...], views: list[str], learned: Tensor) -> None:
        super().__init__()
        self.d, e = d, len(learned)
        self.measures = [(*FREE, RATIO).index(name) for name in measures]
        self.views = views
        self.deviation, self.ratio = Deviation(d), Ratio(d)
        self.learners = nn.ModuleList()
        self.surprise = Surprise(e)
        self.register_buffer("learned", learned)
        self.register_buffer("weights", torch.ones(e) / e)
        self.register_buffer("auroc", torch.full((e, 2), torch.nan))

    @torch.no_grad()
    def evidence(self, x: Tensor, description: Tensor) -> Tensor:
        """What each piece of evidence says, 0 where it has no weight: (n, d), (n, width) -> (e, n)."""
        ratio = self.ratio(x, self.deviation, description)[:, None]
        measures = torch.cat([description[:, : len(FREE)], ratio], dim=1).T
        rows, views = list(measures[self.measures]), seen_as(x, description)
        for module, view in zip(self.learners, self.views, strict=True):
            trusted = self.weights[len(rows)] > 0
            rows.append(module(views[view]) if trusted else torch.zeros_like(x[:, 0]))
        return torch.stack(rows)

    def forward(self, x: Tensor) -> Tensor:
        return (self.weights[:, None] * self.surprise(self.evidence(x, self.deviation(x)))).sum(dim=0)

"""Evidence stack: two levels of multi-directional meta-learning (arXiv 2601.19833), one floor up.

Inside, several cheap and very different pieces of evidence learn normality. Outside, rotating
held-out anomaly classes decide how much each weighs: a piece that only knows what it was shown
loses its weight on what nobody has seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.deviation import FREE, Deviation, Ratio, described_alike
from unseen.parts.episodes import held_out_splits, no_splits, together
from unseen.parts.evidence import (
    MORE,
    EvidenceScorer,
    Judge,
    Piece,
    Wanted,
    cross_fitted,
    enough_evidence,
    enough_normals,
    held_out_scores,
    name_of,
    shown_all,
)
from unseen.parts.nets import seeded
from unseen.types import CrossFitted, Method, Run, Samples

RATIO = "ratio"
BASE = {
    "mahalanobis": "Mahalanobis distance",
    "nearest": "distance to the nearest normals",
    "nearest-whitened": "whitened distance to the nearest normals",
    "local": "distance to the nearest normals, relative to theirs",
    "nearest-numbers": "distance to the nearest normals, numbers alone",
    "nearest-plain": "distance to the nearest normals, no logarithms",
    RATIO: "distance to normals, relative to that to labelled anomalies",
}
VIEWS = {
    "on_deviation_features": "on deviation features",
    "on_raw_features": "on raw features",
    "on_both": "on both",
}
_PARTS = 3  # parts of every class, each held out in turn from the other two


@dataclass(frozen=True)
class EvidenceStack:
    """Sum of surprisals of several pieces of evidence, weighed by held-out classes (Fisher 1932;
    arXiv 2601.19833).

    Evidence is what a row's deviation from the normals tells by itself (`base_scores`), how it
    compares with the distance to labelled anomalies (the base score "ratio"), and what methods
    learn: from deviation features, from raw features, and from both side by side.

    A weight is the sum of two AUROCs' shares on anomalies that were held out, against normals that
    were held out with them. Does the piece find a class that it does not know? Whole classes are
    held out in turn (of a single class, halves). Does it find a class that it knows? Parts of each
    class are held out, and only what learned from labels is asked. Normals are cross-fitted: each
    is scored by evidence that did not see it. In the end all learns from all rows. With a single
    labelled anomaly nothing can be held out, and all weigh the same.

    Equation:
        score(x)    = sum over pieces e of  weight_e * surprisal_e(x)
        surprisal_e = -log(share of held-out normals that score higher with e)
        weight_e    = (1 - seen_class_weight) u_e + seen_class_weight k_e,
            each of u and k summing to 1,  u_e ~ exp(inverse_temperature_0 AUROC_unseen_e m),
            k_e ~ exp(inverse_temperature_1 AUROC_known_e m),  m = n / (n + 20),  n anomalies held
            out

    When: you do not know what to expect. Not when every second counts: members train several times.
    Differs: the paper's two levels, one floor up, with whole methods where it has directions of one
    network.

    Parameters
    ----------
    base_scores : tuple of str
        What is told without training: "mahalanobis", "nearest", "nearest-whitened", "local",
        "nearest-numbers", "nearest-plain", "ratio".
    on_deviation_features, on_raw_features, on_both : tuple of methods
        What learns, and from what: how a row deviates from normals, the row as it lies, or both.
    inverse_temperature : pair of float
        How sharply weights follow AUROC, on held-out and on known classes, with many labels.
    seen_class_weight : float
        How much known classes count beside held-out ones, 0 to 1. With more than 10 labelled rows
        a class more is tried, and kept where the sum then ranks better what was held out.
    most_from_labels : float
        What pieces that use labels may have of u at most: what nobody has seen must raise an alarm
        without them.
    folds : int
        Parts of the normals, each held out in turn.
    rows : int
        Most normals that pieces learn from.

    >>> EvidenceStack(base_scores=("mahalanobis", "ratio")).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    base_scores: tuple[str, ...] = (*FREE, RATIO)
    on_deviation_features: tuple[Method, ...] = ()
    on_raw_features: tuple[Method, ...] = ()
    on_both: tuple[Method, ...] = ()
    inverse_temperature: tuple[float, float] = (30.0, 60.0)
    seen_class_weight: float = 0.4
    most_from_labels: float = 0.5
    folds: int = 5
    rows: int = 20_000
    uses_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.base_scores) - {*FREE, RATIO}):
            known = ", ".join((*FREE, RATIO))
            raise DataError(f"EvidenceStack: no base score {unknown[0]!r}; there are {known}")

    @property
    def learners(self) -> list[tuple[Method, str]]:
        """Each method that learns, and what it sees: the name of a field of views."""
        return [(method, view) for view in VIEWS for method in getattr(self, view)]

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        pieces = [Piece(BASE[name], name == RATIO) for name in self.base_scores]
        pieces += [
            Piece(name_of(method, VIEWS[view]), method.uses_labels)
            for method, view in self.learners
        ]
        base = TableEvidence(
            *shape, base_scores=self.base_scores, views=[view for _, view in self.learners]
        )
        scorer = EvidenceScorer(pieces, base)
        base.learners.extend(method.build((base.widths[view],)) for method, view in self.learners)
        return scorer

    def train(self, scorer: EvidenceScorer, data: Samples, run: Run) -> None:
        self.train_calibrated(scorer, data, run)

    def train_calibrated(
        self, scorer: EvidenceScorer, data: Samples, run: Run
    ) -> Callable[[], CrossFitted]:
        """Train; what is returned scores normals by pieces that learned from other folds."""
        normals, anomalies, base = data.normals, data.anomalies, cast(TableEvidence, scorer.base)
        enough_normals(len(normals), self, "rows")
        base.deviation.fit(normals.x, run.generator, logarithms=run.logarithms)
        order = torch.randperm(len(normals), generator=run.generator).to(data.x.device)
        chosen = (data.y <= 0).nonzero()[order[: self.rows], 0]
        sample = data[chosen]
        folds = min(self.folds, len(sample))
        fold = torch.arange(len(sample), device=data.x.device) % folds  # of rows in random order
        rows = together(sample, anomalies)
        each, description = described_alike(sample.x, fold, anomalies.x, run)
        splits = held_out_splits(anomalies, run.generator, folds=_PARTS)
        splits = splits or no_splits(anomalies, folds)
        usable = ~scorer.uses_labels | (len(anomalies) > 0)
        telling = [base.deviation.tells(name) for name in self.base_scores]
        usable[: len(telling)] &= torch.tensor(telling, dtype=torch.bool, device=usable.device)
        enough_evidence(usable, self, "a base score such as 'mahalanobis'")
        trials = self._trials(each, rows, description, fold, run)
        scores = held_out_scores(fold, splits, trials)
        self.learn(base, rows, description, run)
        scorer.weigh(scores, splits, usable, self, more=MORE)
        return lambda: cross_fitted(
            scorer, chosen, fold, scores, shown_all(fold, splits, len(anomalies), trials, scores)
        )

    def _trials(
        self, each: list[Deviation], rows: Samples, description: Tensor, fold: Tensor, run: Run
    ) -> Callable[[Tensor, Tensor], Judge]:
        """What `held_out_scores` trains: pieces on some of the rows, which score the others; all by
        the deviation from the normals of the other folds."""
        m = len(fold)

        def trained(inside: Tensor, shown: Tensor) -> Judge:
            whole = cast(
                EvidenceScorer,
                seeded(lambda: self.build((rows.x.shape[1],)), run.seed()).to(run.device),
            )
            trial, every = cast(TableEvidence, whole.base), torch.ones_like(whole.uses_labels)
            trial.deviation = each[int(fold[~inside][0])]
            learned = torch.cat([inside.nonzero()[:, 0], m + shown])
            self.learn(trial, rows[learned], description[learned], run)

            @torch.no_grad()
            def score(out: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
                normals = out.nonzero()[:, 0]
                x, z = rows.x[normals], trial.deviation.whiten(rows.x[normals])
                judged = trial.described_scores(x, description[normals], z, every)
                return judged, trial.scores(rows.x[m + hidden], every)

            return score

        return trained

    def learn(self, base: TableEvidence, rows: Samples, description: Tensor, run: Run) -> None:
        """Train in place what learns from labels: the ratio, and methods, each on its view."""
        base.ratio.fill(rows.anomalies.x, base.deviation, run.generator)
        views = base.seen_as(rows.x, description)
        for (method, view), module in zip(self.learners, base.learners, strict=True):
            if len(rows.anomalies) or not method.uses_labels:
                kept = run.logarithms if view == "on_raw_features" else None
                data = dataclasses.replace(rows, x=views[view])
                method.train(module.train(), data, dataclasses.replace(run, logarithms=kept))
                module.eval()


class TableEvidence(nn.Module):
    """Base scores and learned methods on the views of a row: (n, d) -> (e, n)."""

    def __init__(self, d: int, *, base_scores: tuple[str, ...], views: list[str]) -> None:
        super().__init__()
        self.d, self.views = d, views
        self.base = [(*FREE, RATIO).index(name) for name in base_scores]
        self.deviation, self.ratio = Deviation(d), Ratio(d)
        self.learners = nn.ModuleList()
        width = self.deviation.width
        self.widths = {"on_deviation_features": width, "on_raw_features": d, "on_both": d + width}

    def seen_as(self, x: Tensor, description: Tensor) -> dict[str, Tensor]:
        """What methods learn from, by the view's name: (n, d), (n, width) -> tables of n rows."""
        both = torch.cat([x, description], dim=1)
        return {"on_deviation_features": description, "on_raw_features": x, "on_both": both}

    @torch.no_grad()
    def described_scores(self, x: Tensor, description: Tensor, z: Tensor, wanted: Wanted) -> Tensor:
        """Scores of rows (n, d), described (n, width), whitened (n, d); 0 if not `wanted` (e,)."""
        ratio = self.ratio(z, self.deviation, description)[:, None]
        every = torch.cat([description[:, : len(FREE)], ratio], dim=1).T
        found, views = list(every[self.base]), self.seen_as(x, description)
        for module, view in zip(self.learners, self.views, strict=True):
            found.append(module(views[view]) if wanted[len(found)] else torch.zeros_like(x[:, 0]))
        return torch.stack(found)

    def scores(self, x: Tensor, wanted: Wanted) -> Tensor:
        """Scores of rows, 0 of pieces that are not `wanted` (e,): (n, d) -> (e, n)."""
        return self.described_scores(x, *self.deviation.described(x), wanted)

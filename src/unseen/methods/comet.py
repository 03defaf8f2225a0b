"""CoMet: soft confident learning and meta-learning around any method that descends a gradient (ICCV
2025).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.confidence import KAPPA, RHO, Confident, excess, mean_square, uncertainty
from unseen.parts.episodes import task
from unseen.parts.loops import minimise, move_towards, step_by, weighted_mean
from unseen.parts.scoring import scores
from unseen.types import Run, Samples, Trainable, silent

Meta = Literal["reptile", "fomaml", "none"]
Penalty = Literal["det", "gap", "none"]
KEEP = 0.5  # share of the past in a refreshed score
TASKS, ROWS, INNER = 4, 128, 5  # tasks in a meta step, normals in a task, steps on it
SHARE = 0.5  # of the way to the adapted copies
WINDOW = 5  # meta steps whose losses say how uncertain the model is


@dataclass(frozen=True)
class CoMet:
    """Any method, trained on weighted rows and on tasks (CoMet, ICCV 2025).

    At first the base trains as usual, so that its scores mean something. Then, again and again, all
    rows that may be normal are scored and weighted anew: those beyond Tukey's fence count less in
    the loss. None is dropped, and labelled anomalies keep weight 1.

    After each refresh a meta step: small tasks of rows drawn by weight, each cut in two; a copy of
    the network learns from one part, and its loss on the other says how well that carries over. The
    penalty on the size of the parameters grows where both losses part.

    The weights stay with the scorer: `Detector.audit_` and `unseen audit` list the rows with the
    least weight.

    Equation:
        minimise  sum_i w_i loss(x_i) / sum_i w_i  +  lambda mean_p p^2
        w_i    = 1 if s_i <= T, else ((T - Q1) / (s_i - Q1))^rho,
            T = Q3 + kappa IQR of the scores s
        lambda = 0.005 (1 + 0.5 log(1 + det Sigma) / log 101),
            Sigma of (training, validation) loss over 5 meta steps

    When: nobody has checked the normal rows, and scores of the base set anomalous ones apart while
    it trains. Anomalies that lie close together are soon learned and keep their weight, and from a
    fifth on the fence moves away from them.
    Differs: as released, the weights come once from the untrained network, fall on other rows than
    those scored, and presume scores above 0, and the meta step has the wrong sign and no length.
    Here they are refreshed, averaged and follow their rows, whatever the shift and scale of the
    scores; no row of a task is in both parts. lambda multiplies the mean of p^2, not the sum, which
    alone outweighed the loss.

    Parameters
    ----------
    base : Trainable
        Method that is trained; it keeps its network, loss, batches, optimiser and steps.
    kappa : float
        How far the fence lies above Q3, in IQRs, above -1; it moves up where too few rows would
        count.
    rho : float
        How fast weights fall beyond the fence; with 0 all stay 1.
    warmup : float
        Share of the base's steps before the first weights, or from 1 on, their number.
    refresh : float
        Share of the base's steps between two refreshes of the weights, or from 1 on, their number.
    meta : str
        "reptile" moves the network towards the copies, "fomaml" descends the loss on the other part
        at the copies, "none" leaves out the meta steps.
    penalty : str
        By what the penalty grows: "det" the determinant of the losses' covariance, "gap" their
        gap. "none" leaves out the penalty, as does `meta="none"`.

    >>> from unseen.methods import METHODS
    >>> CoMet(METHODS["autoencoder"], meta="none").build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    base: Trainable
    kappa: float = KAPPA
    rho: float = RHO
    warmup: float = 0.2
    refresh: float = 0.1
    meta: Meta = "reptile"
    penalty: Penalty = "det"

    def __post_init__(self) -> None:
        if not isinstance(self.base, Trainable):
            raise DataError(
                "CoMet trains by a method's loss, batches and optimiser, and "
                f"{type(self.base).__name__} offers none: wrap a method that is trained by "
                "gradient descent, such as AutoEncoder or DevNet"
            )
        for name, kind in (("meta", Meta), ("penalty", Penalty)):
            if (value := getattr(self, name)) not in get_args(kind):
                raise DataError(
                    f"CoMet: {name} must be one of {', '.join(get_args(kind))}, got {value!r}"
                )
        if not (self.kappa > -1 and self.rho >= 0 and self.warmup >= 0 and self.refresh > 0):
            raise DataError(
                f"CoMet: expected kappa > -1, rho >= 0, warmup >= 0 and refresh > 0, got {self}"
            )

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return Confident(self.base.build(shape))

    def train(self, scorer: Confident, data: Samples, run: Run) -> None:
        base, inner, total = self.base, scorer.scorer, self.base.steps
        scorer.start(data.y > 0)
        base.prepare(inner, data, run)
        optimiser, stream, weighted = base.optimiser(inner), base.stream(data, run), data
        parting = data.x.new_zeros(0, 2)
        done, steps = 0, min(total, _number_of_steps(self.warmup, total))
        while done < total:
            if done or not steps:
                self.judge(scorer, data, run)
                weight = data.weight * scorer.weight
                # else the stream goes on with what it is amid
                if not torch.equal(weight, weighted.weight):
                    weighted = replace(data, weight=weight)
                    stream = base.stream(weighted, run)
                if self.meta != "none":
                    parting = torch.cat(
                        [parting, self.meta_step(scorer, weighted, optimiser, run)]
                    )[-WINDOW:]
                    if self.penalty != "none":
                        scorer.strengthen(uncertainty(parting, by=self.penalty))
                steps = min(total - done, max(1, _number_of_steps(self.refresh, total)))
            minimise(self.objective(scorer, inner, run), optimiser, stream, run, steps=steps)
            done += steps
        self.judge(scorer, data, run)

    def objective(
        self, scorer: Confident, inner: nn.Module, run: Run
    ) -> Callable[[Samples], Tensor]:
        """The base's loss at `inner`, with the present penalty on every row: (n,)."""
        strength = scorer.strength

        def loss(batch: Samples) -> Tensor:
            each = self.base.loss(inner, batch, run)
            return each + strength * mean_square(inner) if strength else each

        return loss

    def judge(self, scorer: Confident, data: Samples, run: Run) -> None:
        """Refresh the weights by scores in evaluation mode."""
        training = scorer.training
        found = scores(scorer.eval(), data.normals.x, run.device).to(scorer.weight.device)
        scorer.train(training)
        scorer.refresh(excess(found, kappa=self.kappa), kappa=self.kappa, rho=self.rho, keep=KEEP)

    def meta_step(
        self, scorer: Confident, data: Samples, optimiser: torch.optim.Optimizer, run: Run
    ) -> Tensor:
        """Learn from tasks; their mean loss before adapting, and after it on the rows left out: (1,
        2).
        """
        inner, quiet = scorer.scorer, replace(run, log=silent)
        copies, before, after = [], [], []
        for _ in range(TASKS):
            shown, hidden = task(data, ROWS, run.generator)
            fast, learn = copy.deepcopy(inner), self.base.stream(shown, run)
            first, query = next(learn), next(self.base.stream(hidden, run))
            before.append(weighted_mean(self.base.loss(fast, first, run), first.weight).detach())
            minimise(
                self.objective(scorer, fast, run),
                self.base.optimiser(fast),
                learn,
                quiet,
                steps=INNER,
            )
            after.append(weighted_mean(self.base.loss(fast, query, run), query.weight))
            copies.append(fast)
        if self.meta == "reptile":
            move_towards(inner, copies, share=SHARE)
        else:
            step_by(
                inner,
                [(fast, loss / TASKS) for fast, loss in zip(copies, after, strict=True)],
                optimiser,
            )
        return torch.stack([torch.stack(before).mean(), torch.stack(after).mean().detach()])[None]


def _number_of_steps(share: float, steps: int) -> int:
    """A share of the steps, or a whole number of them, as it is."""
    return round(share if share >= 1 else share * steps)

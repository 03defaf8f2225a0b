"""Confidence: the weight of a row as a normal one, and of a model that learned, not memorised."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor, nn

from unseen.errors import DataError
from unseen.parts.nets import Resizing

KAPPA, RHO = 1.5, 1.0  # Tukey's fence, and weights that fall as 1 / distance
# of the rows that must count, in effective number, so that a model still has something to learn
# from
LEAST = 0.3
RAISED = 0.25  # by how much the fence moves up at a time while fewer do
STRENGTH, GROWTH = 0.005, 0.5  # lambda_0 and gamma of the released code

log = logging.getLogger("unseen")


def excess(score: Tensor, *, kappa: float = KAPPA) -> Tensor:
    """(s - Q1) / (T - Q1) with the fence T = Q3 + kappa IQR (Tukey 1977), so 1 on the fence: (n,)
    -> (n,).

    The same for a s + b, a > 0. Where half of the scores are one value, the mean distance to the
    median stands in for the IQR; where all are, nothing is beyond.

    >>> excess(torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0]))  # Q1 = 2, Q3 = 4, T = 7
    tensor([-0.2000,  0.0000,  0.2000,  0.4000,  1.6000])
    """
    if score.ndim != 1 or not len(score):
        raise DataError(
            f"confidence needs scores of shape (n,), at least one, got {tuple(score.shape)}"
        )
    s = score.double()
    low, middle, high = torch.quantile(s, s.new_tensor([0.25, 0.5, 0.75]))
    spread = high - low if high > low else (s - middle).abs().mean()
    return (
        ((s - low) / ((1 + kappa) * spread)).float() if spread > 0 else torch.zeros_like(s).float()
    )


def excess_weights(excess: Tensor, *, rho: float = RHO) -> Tensor:
    """1 up to the fence, beyond it excess^-rho: (n,) -> (n,) in (0, 1].

    With rho = 1 and Q1 = 0 the rule of CoMet's released code, T / s, which presumes scores above 0.

    >>> excess_weights(torch.tensor([-1.0, 1.0, 2.0]), rho=2.0)
    tensor([1.0000, 1.0000, 0.2500])
    """
    return excess.clamp_min(1.0).pow(-rho)


def effective(weight: Tensor) -> float:
    """Share of rows that the weights leave to count: (sum w)^2 / (n sum w^2), Kish 1965: (n,) ->
    float.

    >>> effective(torch.tensor([1.0, 1.0, 0.0, 0.0]))
    0.5
    """
    return float(weight.sum().square() / (len(weight) * weight.square().sum().clamp_min(1e-12)))


def enough_weights(excess: Tensor, *, kappa: float, rho: float) -> Tensor:
    """Weights of rows by their excess over the fence of `kappa`, which moves up where it would
    leave too few to count.

    No fence at or above Q3 does: three quarters of the rows lie below it.
    """
    found, wanted = excess_weights(excess, rho=rho), kappa
    while effective(found) < LEAST:
        kappa += RAISED
        # T - Q1 = (1 + kappa) IQR
        found = excess_weights(excess * (1 + wanted) / (1 + kappa), rho=rho)
    if kappa > wanted:
        log.warning(
            "confidence weights with kappa %.3g would leave fewer than %.0f%% of the rows to "
            "count: %.3g is used",
            *(wanted, 100 * LEAST, kappa),
        )
    return found


class Confident(Resizing):
    """A scorer, and the weight of each row that it was trained on: (n, d) -> (n,).

    Parameters
    ----------
    scorer : Module
        What is trained: (n, d) -> (n,).

    Attributes
    ----------
    weight : Tensor
        Weights of the training rows in their order (m,); labelled anomalies have 1.
    outlyingness : Tensor
        Their excess over the fence, averaged over refreshes (m,); NaN for labelled anomalies.
    counting : Tensor
        Share of rows that counted, after each refresh (r,).
    penalty : Tensor
        Strength of the penalty after each meta step (s,).
    """

    weight: Tensor
    outlyingness: Tensor
    counting: Tensor
    penalty: Tensor
    may_be_nan = ("outlyingness",)

    def __init__(self, scorer: nn.Module) -> None:
        super().__init__()
        self.scorer = scorer
        for name in ("weight", "outlyingness", "counting", "penalty"):
            self.register_buffer(name, torch.zeros(0))

    def start(self, labelled: Tensor) -> None:
        """All rows weigh 1; `labelled` (m,) says which of them are labelled anomalies."""
        self.weight = torch.ones_like(labelled, dtype=torch.float32)
        self.outlyingness = torch.zeros_like(self.weight).masked_fill(labelled, torch.nan)
        self.counting = self.penalty = self.weight[:0]

    def refresh(self, excess: Tensor, *, kappa: float, rho: float, keep: float) -> None:
        """Take in the present excess of all rows but labelled ones; `keep` is the share of the
        past.
        """
        rows = ~self.outlyingness.isnan()
        outlyingness = (
            keep * self.outlyingness[rows] + (1 - keep) * excess if len(self.counting) else excess
        )
        self.outlyingness[rows] = outlyingness
        self.weight[rows] = enough_weights(outlyingness, kappa=kappa, rho=rho)
        self.counting = _appended(self.counting, effective(self.weight[rows]))

    def strengthen(self, share: float) -> None:
        """Set the strength of the penalty by an uncertainty in [0, 1]."""
        self.penalty = _appended(self.penalty, STRENGTH * (1 + GROWTH * share))

    @property
    def strength(self) -> float:
        """The present strength of the penalty, 0 before the first meta step."""
        return float(self.penalty[-1]) if len(self.penalty) else 0.0

    def forward(self, x: Tensor) -> Tensor:
        return self.scorer(x)


def _appended(history: Tensor, value: float) -> Tensor:
    return torch.cat([history, history.new_tensor([value])])


def uncertainty(losses: Tensor, *, by: str) -> float:
    """How far training and validation losses part, from a window of pairs (k, 2), in [0, 1].

    "det": log(1 + det Sigma) / log 101, Sigma the covariance of the pairs in units of their mean,
    cut at 100: 0 while both move together, however far apart. "gap": by which share validation is
    above training.

    >>> uncertainty(torch.tensor([[1.0, 2.0], [2.0, 3.0]]), by="gap")
    0.666...
    """
    pairs = losses.double()
    if by == "gap":
        train, validation = pairs.mean(dim=0)
        return float(((validation - train) / train.abs().clamp_min(1e-12)).clamp(0, 1))
    if len(pairs) < 2:
        return 0.0
    centred = (pairs - pairs.mean(dim=0)) / pairs.abs().mean().clamp_min(1e-12)
    (a, b), (_, c) = (centred.T @ centred / (len(pairs) - 1)).tolist()
    return math.log1p(min(max(a * c - b * b, 0.0), 100.0)) / math.log(101)


def mean_square(module: nn.Module) -> Tensor:
    """Mean square of all trainable parameters: (); a mean, so that a penalty does not grow with
    their number.
    """
    owned = [p for p in module.parameters() if p.requires_grad]
    return torch.stack([p.square().sum() for p in owned]).sum() / sum(p.numel() for p in owned)

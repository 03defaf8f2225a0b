"""CSAD: a variational autoencoder and a classifier that learn on without the old rows (arXiv
2412.00860, 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.errors import DataError
from unseen.methods.csad.regions import Regions, fitted, hazard
from unseen.parts.episodes import mixed, together
from unseen.parts.loops import minimise
from unseen.parts.nets import Resizing
from unseen.parts.products import Linear
from unseen.parts.reconstruction import Variational, narrow
from unseen.types import NORMAL, UNLABELLED, Run, Samples

# replays of normals, and of all anomalies together; normals that tell how large the error is
ROWS = 2048


@dataclass(frozen=True)
class CSAD:
    """A variational autoencoder with a classifier that learns a stream of tasks (CSAD, arXiv
    2412.00860, 2024).

    `partial_fit` of the detector gives it new rows, normal ones and anomalies of known or new
    classes. It is trained on them and on rows that it drew before the update: codes around the
    centre of each class, decoded. Codes far out are dropped, and those that the classifier takes
    for the other side. Unlabelled rows do not reach the classifier.

    Equation:
        score(x) = log(1 + e^l(z)) + (|z - m_0| / b)^a + (E(x) / b')^a',  z the mean code of x
        loss = E(x) + KL(x) + cross-entropy of l against y > 0,
            E the mean squared error, KL * 2 likeness / d

    Each term is minus the logarithm of a chance: that of the classifier for a normal row, and that
    of a normal row to have a code farther from the normal centre m_0, or a larger error, by Weibull
    distributions.

    When: rows arrive over time and old ones may not be kept. Where they may, fit anew on all.
    Differs: the paper draws codes from N(0, I) and asks the classifier what they are. A class of a
    few labelled rows fills so little of that space that it is never drawn: here each class is drawn
    by itself. The paper's score is one of classifier and latent distance; the error finds what
    neither shows.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Width of the code; at most half as wide as the rows.
    likeness : float
        Variance of the decoder's own distribution, above 0; more keeps codes nearer to N(0, I).
    replay : bool
        Train on drawn rows, too, in an update; without, on the new rows alone, which forgets.
    reject : float
        Drop codes farther out than all but this share of their class, from 1e-6 to 0.5, by a
        Weibull distribution of distances.
    steps : int
        Optimiser steps of the first training, and of each update.
    batch : int
        Rows in a batch; in an update with `replay` half of them are drawn rows.
    rate : float
        Learning rate of Adam.

    >>> CSAD(hidden=(32,), latent=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    likeness: float = 0.1
    replay: bool = True
    reject: float = 0.05
    steps: int = 1500
    batch: int = 256
    rate: float = 1e-3
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return CSADScorer(*shape, hidden=self.hidden, latent=self.latent, likeness=self.likeness)

    def train(self, scorer: CSADScorer, data: Samples, run: Run) -> None:
        if not len(data.normals):
            raise DataError(
                "CSAD learns to reproduce normal rows, and was given none: add normal rows"
            )
        self.learn(scorer, mixed(data, self.batch, run.generator), run)
        scorer.settle(data, data, run.generator)

    def update(self, scorer: CSADScorer, data: Samples, run: Run) -> None:
        if not self.replay:
            self.train(scorer, data, run)
            return
        drawn = scorer.replays(self.reject, run.generator)
        new, old = (mixed(part, self.batch // 2, run.generator) for part in (data, drawn))
        self.learn(scorer, map(together, new, old), run)
        scorer.settle(data, together(data, drawn), run.generator)

    def learn(self, scorer: CSADScorer, stream: Iterator[Samples], run: Run) -> None:
        optimiser = torch.optim.Adam(scorer.parameters(), lr=self.rate)
        minimise(
            lambda batch: self.objective(scorer, batch, run),
            optimiser,
            stream,
            run,
            steps=self.steps,
        )

    def objective(self, scorer: CSADScorer, batch: Samples, run: Run) -> Tensor:
        """Evidence lower bound, and cross-entropy of labelled rows: (n,)."""
        error, divergence = scorer.body.terms(batch.x, run.generator)
        logit = scorer.logit(scorer.codes(batch.x))
        entropy = F.binary_cross_entropy_with_logits(
            logit, (batch.y > NORMAL).to(logit), reduction="none"
        )
        return error + divergence + entropy.masked_fill(batch.y == UNLABELLED, 0.0)


class CSADScorer(Resizing):
    """Classifier, latent distance and error, each as minus the logarithm of a chance: (n, d) ->
    (n,).
    """

    error: Tensor  # (2,) shape and scale of the Weibull distribution of the normals' error

    def __init__(self, d: int, *, hidden: tuple[int, ...], latent: int, likeness: float) -> None:
        super().__init__()
        k = narrow(d, latent)
        self.body = Variational(d, hidden=hidden, latent=latent, likeness=likeness)
        self.head = Linear(k, 1)
        self.regions = Regions(k)
        self.register_buffer("error", torch.ones(2))

    def codes(self, x: Tensor) -> Tensor:
        """Mean codes: (n, d) -> (n, k)."""
        return self.body.encoder(x).chunk(2, dim=1)[0]

    def logit(self, z: Tensor) -> Tensor:
        """Of being an anomaly: (n, k) -> (n,)."""
        return self.head(z)[:, 0]

    @torch.no_grad()
    def settle(self, data: Samples, learned: Samples, generator: torch.Generator) -> None:
        """Where each class lies in the latent space; and how large the error of `data`'s normals
        is, as replays', which the decoder made, are smaller.
        """
        self.regions.fit(self.codes(learned.x), learned.y.clamp_min(NORMAL), generator)
        sample = data.normals.x[
            torch.randperm(len(data.normals), generator=generator)[:ROWS].to(data.x.device)
        ]
        self.error = fitted(self.body.terms(sample)[0])

    @torch.no_grad()
    def replays(self, reject: float, generator: torch.Generator) -> Samples:
        """Rows of every class as it was learned, as the classifier confirms: half of them
        normal.
        """
        drawn = []
        for c, z in self.regions.draws(ROWS, reject=reject, generator=generator):
            wanted = ROWS if c == NORMAL else max(1, ROWS // (len(self.regions) - 1))
            x = self.body.decoder(z[(self.logit(z) > 0) == (c > NORMAL)][:wanted])
            drawn.append(Samples.of(x, torch.full((len(x),), c, device=x.device)))
        return together(*drawn)

    def forward(self, x: Tensor) -> Tensor:
        z = self.codes(x)
        alarm = F.softplus(self.logit(z)) if len(self.regions) > 1 else 0.0
        return alarm + self.regions.hazard(z, NORMAL) + hazard(self.body.terms(x)[0], self.error)

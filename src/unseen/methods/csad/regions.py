"""Where classes lie in a latent space, how far out their rows are, and new codes drawn from
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log

import torch
from torch import Tensor

from unseen.parts.extremes import weibull
from unseen.parts.nets import Resizing

ROWS = 2048  # of a class, so many describe it
# codes that describe a class at least: where it has fewer rows, each several times, jittered
FEWEST, JITTER = (64, 0.1)
TRIES = 8  # codes drawn for each that is wanted
FAR = 60.0  # exp(60) is far enough


class Regions(Resizing):
    """For each class: centre and spread of its codes, and the Weibull distribution of their
    distances to the centre.

    >>> regions = Regions(2)
    >>> z = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> regions.fit(z, torch.zeros(2000), torch.Generator())
    >>> # at best 0 and 9 / 2
    >>> regions.hazard(torch.tensor([[0.0, 0.0], [0.0, 3.0]]), 0).round(decimals=1)
    tensor([0.0000, 4.4000])
    """

    classes: Tensor  # (c,) codes of labels, ascending, 0 first
    centre: Tensor  # (c, k)
    spread: Tensor  # (c, k) standard deviations
    distance: Tensor  # (c, 2) shape and scale

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("classes", torch.zeros(1, dtype=torch.int64))
        for name, width in {"centre": k, "spread": k, "distance": 2}.items():
            self.register_buffer(name, torch.ones(1, width))

    def __len__(self) -> int:
        return len(self.classes)

    def fit(self, z: Tensor, y: Tensor, generator: torch.Generator) -> None:
        """Learn from codes (n, k) of labelled rows (n,); classes known before that have no rows
        stay as they are.
        """
        before = {int(c): self.of(at) for at, c in enumerate(self.classes)}
        present = {int(c): self.described(z[y == c], generator) for c in y.unique()}
        found = before | present
        self.classes = torch.tensor(sorted(found), device=z.device)
        self.centre, self.spread, self.distance = (
            torch.stack(each) for each in zip(*(found[c] for c in sorted(found)), strict=True)
        )

    def of(self, at: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.centre[at], self.spread[at], self.distance[at]

    def described(self, z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Centre, spread and distribution of distances of one class: (n, k) -> (k,), (k,), (2,)."""
        z = z[torch.randperm(len(z), generator=generator)[:ROWS].to(z.device)]
        if len(z) < FEWEST:
            z = z.repeat(ceil(FEWEST / len(z)), 1)
            z = z + JITTER * torch.randn(z.shape, generator=generator).to(z.device)
        centre = z.mean(dim=0)
        return centre, z.std(dim=0, correction=0), fitted((z - centre).norm(dim=1))

    def hazard(self, z: Tensor, at: int) -> Tensor:
        """-log of the chance that a row of the class with number `at` lies farther out: (n, k) ->
        (n,).
        """
        return hazard((z - self.centre[at]).norm(dim=1), self.distance[at])

    def draws(
        self, rows: int, *, reject: float, generator: torch.Generator
    ) -> Iterator[tuple[int, Tensor]]:
        """Each class and codes drawn around its centre: those of a share `reject` that lies
        farthest out are dropped.

        `rows` codes for class 0 and, together, for all others, each several times: some will not
        do."""
        for at, c in enumerate(self.classes.tolist()):
            count = TRIES * (rows if c == 0 else ceil(rows / (len(self) - 1)))
            noise = torch.randn(count, self.centre.shape[1], generator=generator).to(
                self.centre.device
            )
            z = self.centre[at] + self.spread[at] * noise
            yield c, z[self.hazard(z, at) <= -log(reject)]


def fitted(values: Tensor) -> Tensor:
    """Shape and scale of the Weibull distribution of positive values: (n,) -> (2,)."""
    return torch.tensor(weibull(values.double().cpu().numpy())).to(values)


def hazard(values: Tensor, distribution: Tensor) -> Tensor:
    """-log P(X >= value) by a Weibull distribution, (value / scale)^shape: (n,), (2,) -> (n,).

    >>> hazard(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 2.0]))
    tensor([0.2500, 4.0000])
    """
    shape, scale = distribution.unbind()
    return (shape * (values.clamp_min(1e-12) / scale).log()).clamp_max(FAR).exp()

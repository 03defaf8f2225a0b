"""KKA's curriculum: a pool of pseudo-anomalies, easy ones first, ever more hard ones (arXiv
2502.14880).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from unseen.errors import DataError
from unseen.parts.episodes import draw, random_batches, together
from unseen.parts.loops import minimise
from unseen.parts.pseudo import anomalous, feature_cut
from unseen.parts.scoring import scores
from unseen.types import Run, Samples, Trainable

POOL = 2048  # rows of a pool made from normals, anew each round


@dataclass(frozen=True)
class KKA:
    """Trains `base` with a pool of pseudo-anomalies of which the hard ones come last (KKA, arXiv
    2502.14880).

    The pool is what somebody or something imagined anomalies to be, such as rows that a language
    model wrote: add them to the table under a label of their own. In each round, the half of the
    pool that `base` scores lowest is hard; every batch gets rows of the pool, none of them hard in
    the first round, and more from round to round.

    Equation:
        batch = base's own + size rows of the pool,
            share of hard ones in round r = most * r / (rounds - 1)

    When: there is such a pool. With a made one, compare with `DevNet(cut=0.5)`, which has such rows
    without a curriculum and may do as well.
    Differs: the pool is given, not written by a language model and drawn by an image generator in
    the loop; hard is what the detector ranks low within the pool, where the paper has a separate
    evaluator.

    Parameters
    ----------
    base : Trainable
        Method that is trained, with a loss and batches of its own, such as DevNet.
    pool : int
        Number of the label that holds the pool, from 1 in the order of the labels' names. 0: there
        is none, and each round makes one by cutting features of normals.
    rounds : int
        Rounds, which share the optimiser steps of `base` evenly.
    size : int
        Rows of the pool behind each batch of `base`.
    most : float
        Share of hard ones among these rows in the last round, 0 to 1.

    >>> import torch
    >>> from unseen.methods import METHODS
    >>> # label 2 holds the pool
    >>> KKA(METHODS["devnet"], pool=2).build((6,))(torch.zeros(3, 6)).shape
    torch.Size([3])
    """

    base: Trainable
    pool: int = 0
    rounds: int = 5
    size: int = 128
    most: float = 0.8
    uses_labels: ClassVar[bool] = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return self.base.build(shape)

    def train(self, scorer: nn.Module, data: Samples, run: Run) -> None:
        known, pool = self.apart(data)
        self.base.prepare(scorer, known, run)
        optimiser, stream = self.base.optimiser(scorer), self.base.stream(known, run)
        for r in range(self.rounds):
            easy, hard = _easy_and_hard(scorer, pool or _pool_of_pieces(data.normals, run))
            batch = self.mixed(
                stream, easy, hard, share=self.most * r / max(self.rounds - 1, 1), run=run
            )
            steps = max(self.base.steps // self.rounds, 1)
            minimise(lambda b: self.base.loss(scorer, b, run), optimiser, batch, run, steps=steps)

    def apart(self, data: Samples) -> tuple[Samples, Samples | None]:
        """What the base learns from, and the pool if one is given; the base has it too if nothing
        else is labelled.
        """
        if self.pool == 0:
            return data, None
        pool, known = data[data.y == self.pool], data[data.y != self.pool]
        if self.pool < 0 or not len(pool):
            raise DataError(
                f"KKA takes anomaly class {self.pool} for its pool, and no row is labelled with "
                f"it: set pool to one of {data.classes}, the classes with rows, numbered in the "
                "order of their names, or to 0 to make a pool"
            )
        return (known if len(known.anomalies) else data), pool

    def mixed(
        self, stream: Iterator[Samples], easy: Samples, hard: Samples, *, share: float, run: Run
    ) -> Iterator[Samples]:
        """The base's batches, and behind each `size` rows of the pool, this share of them hard."""
        number = round(share * self.size)
        of_easy = random_batches(easy, self.size - number, run.generator)
        of_hard = random_batches(hard, number, run.generator)
        for batch in stream:
            yield together(batch, next(of_easy), next(of_hard))


def _pool_of_pieces(normals: Samples, run: Run) -> Samples:
    """A pool of normal rows with features cut from one another."""
    hosts = normals[draw(len(normals), POOL, run.generator).to(normals.x.device)]
    return anomalous(hosts, feature_cut(hosts.x, normals.x, run.generator))


def _easy_and_hard(scorer: nn.Module, pool: Samples) -> tuple[Samples, Samples]:
    """The easy and the hard half of the pool: hard are the rows that the scorer takes for the most
    normal.
    """
    order = scores(scorer, pool.x, pool.x.device).argsort(stable=True).to(pool.x.device)
    half = (len(pool) + 1) // 2
    return pool[order[len(pool) // 2 :]], pool[order[:half]]

"""Members of a detector: each a schema and a scorer that learned from all rows but some, which calibrate it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unseen.adapt import adaptable, moved
from unseen.data.schema import Schema
from unseen.data.split import Rows, take
from unseen.errors import UnseenError
from unseen.parts.loops import one_thread
from unseen.parts.nets import seeded
from unseen.parts.scoring import scores
from unseen.types import Method, Run, Samples

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Member:
    """One trained scorer, the schema that its rows pass, and its scores of normals it did not see, sorted (m,).

    `held` (m,): the numbers of those rows in the training table, in the order of their scores; None where an earlier
    release did not keep them.
    """

    schema: Schema
    scorer: nn.Module
    calibration: NDArray[np.float64]
    held: Rows | None = None

    def scores(self, table: Any, device: torch.device) -> NDArray[np.float64]:
        """Scores of the rows of a table or array: (n,)."""
        return scored(self.scorer, self.schema.encode(table), device)


@dataclass(frozen=True)
class Told:
    """Rows and what the user told about them: a table or array, codes of labels (n,), codes of kinds of normal (n,)."""

    table: Any
    codes: NDArray[np.int64]
    group: NDArray[np.int64]

    def samples(self, schema: Schema, rows: Rows) -> Samples:
        """Some of the rows, encoded."""
        with one_thread():
            x = torch.from_numpy(schema.encode(take(self.table, rows)))
        return Samples.of(x, torch.from_numpy(self.codes[rows]), torch.from_numpy(self.group[rows]))


@dataclass(frozen=True)
class Learning:
    """How members come about: by which method, where, and from which seed."""

    method: Any
    device: torch.device
    seed: int

    def trained(self, whole: Schema, told: Told, held: Rows) -> Member:
        """Train on all rows but those held out, which then calibrate; they shape neither schema nor scorer."""
        inside = np.setdiff1d(np.arange(len(told.codes)), held)
        with one_thread():
            schema = whole.relearn(take(told.table, inside), normals=told.codes[inside] <= 0)
        run = self.run(schema)
        scorer = seeded(lambda: self.method.build((schema.width,)), run.seed()).to(self.device)
        return self.learned(schema, scorer, self.method.train, told, held, run)

    def updated(self, member: Member, told: Told, held: Rows) -> Member:
        """A member that has learned on, by the schema that it has; the one that is given stays as it is."""
        scorer = copy.deepcopy(member.scorer).train().to(self.device)
        return self.learned(member.schema, scorer, self.method.update, told, held, self.run(member.schema))

    def adapted(self, member: Member, told: Told, calibrating: Rows) -> Member:
        """A member for the kind of normal that these rows show; `calibrating` names those that also calibrate it."""
        support = told.samples(member.schema, np.arange(len(told.codes))).to(self.device)
        run = self.run(member.schema)
        with one_thread():
            scorer, calibration = moved(adaptable(self.method), member.scorer, support, calibrating, run)
        return member_of(self.method, member.schema, scorer, calibration, calibrating)

    def learned(
        self,
        schema: Schema,
        scorer: nn.Module,
        learn: Callable[[nn.Module, Samples, Run], None],
        told: Told,
        held: Rows,
        run: Run,
    ) -> Member:
        """The scorer once it has learned from all rows but those held out, and their scores."""
        data = told.samples(schema, np.setdiff1d(np.arange(len(told.codes)), held)).to(self.device)
        with one_thread():
            learn(scorer, data, run)
        calibration = scored(scorer.eval(), schema.encode(take(told.table, held)), self.device)
        return member_of(self.method, schema, scorer, calibration, held)

    def run(self, schema: Schema) -> Run:
        """What a method may use beside rows that pass this schema."""
        logarithms = torch.from_numpy(schema.logarithms).to(self.device)
        return Run(torch.Generator().manual_seed(self.seed), self.device, logged, logarithms)


def member_of(
    method: Method, schema: Schema, scorer: nn.Module, calibration: NDArray[np.float64], held: Rows
) -> Member:
    """A member, its calibration rows in the order of their scores."""
    if not np.isfinite(calibration).all():
        raise UnseenError(f"{type(method).__name__} diverged: scores of normal rows are not finite; try another method")
    order = np.argsort(calibration, kind="stable")
    return Member(schema, scorer, calibration[order], held[order])


def scored(scorer: nn.Module, x: NDArray[np.float32], device: torch.device) -> NDArray[np.float64]:
    return np.asarray(scores(scorer, torch.from_numpy(x), device).double().numpy())


def logged(step: int, values: dict[str, float]) -> None:
    log.debug("step %d %s", step, values)

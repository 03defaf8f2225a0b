"""Members of a detector: each an encoder and a scorer that learned from all rows but some, which
calibrate it.
"""

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

from unseen.data.news import NotedOnce
from unseen.data.split import Rows, take
from unseen.detector.adapt import moved
from unseen.detector.blocks import beside_others, folds_of_blocks
from unseen.detector.conformal import fraction
from unseen.errors import DataError, UnseenError, Unsupported
from unseen.parts.nets import seeded
from unseen.parts.scoring import scores
from unseen.parts.threads import one_thread
from unseen.types import Encoder, Method, Run, Samples, ability

log = logging.getLogger("unseen")
# spreads of the calibration: rows that the method itself finds far from normal stay above
STEP = 0.1
BLOCK = 64  # images whose maps are made at once


@dataclass(frozen=True)
class Member:
    """One trained scorer, with what encodes its rows and what calibrates it.

    Parameters
    ----------
    encoder : Encoder
        What rows pass before they are scored.
    scorer : Module
        What was trained: (n, *f) -> (n,).
    calibration : array
        Scores of normals by what did not learn from them, sorted (m,).
    held_out : array or None
        Numbers of those rows in the training table, in the order of their scores (m,); None where
        an earlier release did not keep them.
    peaks : array or None
        Of images, the highest score of a cell in each, sorted (m,); None without a map.
    in_training : array or None
        Where the scorer learned from those rows, too, its own scores of them, in the same order
        (m,); None where it did not, so that `calibration` are its own.
    hidden : array or None
        Of each labelled anomaly that was held out with its whole class, or its half of a single
        one: the number of the split, the code of the class, the p-value among normals that were
        held out, too, by what learned from neither, and the smallest there can be (k, 4); None
        where nothing was held out so.
    """

    encoder: Encoder
    scorer: nn.Module
    calibration: NDArray[np.float64]
    held_out: Rows | None = None
    peaks: NDArray[np.float64] | None = None
    in_training: NDArray[np.float64] | None = None
    hidden: NDArray[np.float64] | None = None
    group: NDArray[np.int64] | None = None

    def scores(
        self, rows: Any, device: torch.device, unprecedented: NDArray[np.float64] | float = 0.0
    ) -> NDArray[np.float64]:
        """Scores of rows, raised by what is `unprecedented` in them (n,): (n,)."""
        return self.encoded_scores(self.encoder.encode(rows), device, unprecedented)

    def encoded_scores(
        self,
        x: NDArray[np.float32],
        device: torch.device,
        unprecedented: NDArray[np.float64] | float,
    ) -> NDArray[np.float64]:
        """The same of encoded rows (n, d)."""
        return self._raised(_scored(self.scorer, x, device), x, unprecedented)

    def told(
        self,
        x: NDArray[np.float32],
        device: torch.device,
        unprecedented: NDArray[np.float64] | float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same, and what each piece of evidence adds to each: (n,), (n, e)."""
        told = ability(self.scorer, "told")
        if told is None:
            return self.encoded_scores(x, device, unprecedented), np.zeros((len(x), 0))
        found = _scored(told, x, device)
        return self._raised(found[:, 0], x, unprecedented), found[:, 1:]

    def _raised(
        self,
        found: NDArray[np.float64],
        x: NDArray[np.float32],
        unprecedented: NDArray[np.float64] | float,
    ) -> NDArray[np.float64]:
        """What a scorer found of encoded rows, and above it what training never had."""
        return raised(found, self.calibration, self.encoder.beyond(x) + unprecedented)

    def heat(self, rows: Any, device: torch.device) -> NDArray[np.float32]:
        """Scores of the cells of images: (n, h, w)."""
        return _cell_scores(self.scorer, self.encoder.encode(rows), device)

    def peaks_of(self, rows: Any, device: torch.device) -> NDArray[np.float64] | None:
        """The highest score of a cell in each image, sorted: (n,). None where there is no map."""
        return _peaks_of(self.scorer, self.encoder.encode(rows), device)


def scores_of_each(
    members: tuple[Member, ...], X: Any, device: torch.device, once: NotedOnce
) -> list[NDArray[np.float64]]:
    """Scores of rows by each member, (n,) each; DataError for no rows.

    What the rows show that training never did is told by the first member's encoder, as all know it
    from the whole training table; it is logged with `once`.
    """
    encoder = members[0].encoder
    rows = encoder.admit(X)
    if len(rows) == 0:
        raise DataError(
            f"Found array with 0 sample(s) (shape={rows.shape}) while a minimum of 1 is required."
        )
    unprecedented = encoder.unprecedented(rows, once)
    return [member.scores(rows, device, unprecedented) for member in members]


@dataclass(frozen=True)
class TrainingData:
    """Rows to learn from, and what the user says of them.

    Parameters
    ----------
    table : Table, array or Maps
        The rows (n).
    codes : array
        Codes of their labels (n,): 0 normal, 1.. anomaly class, -1 unlabelled.
    group : array
        Codes of their domains (n,).
    rows : array
        Numbers of those that count (m,); the others are copies of them.
    """

    table: Any
    codes: NDArray[np.int64]
    group: NDArray[np.int64]
    rows: Rows

    def samples(self, encoder: Encoder, rows: Rows) -> Samples:
        """Some of the rows, encoded."""
        with one_thread():
            return encoder.samples(take(self.table, rows), self.codes[rows], self.group[rows])


@dataclass(frozen=True)
class Learning:
    """How members come about.

    Parameters
    ----------
    method : Method
        What builds and trains scorers.
    device : torch.device
        What it computes on.
    seed : int
        Where the randomness of each member starts, the same for all.
    """

    method: Any
    device: torch.device
    seed: int

    def trained(self, whole: Encoder, data: TrainingData, held_out: Rows) -> Member:
        """Train on all rows but those held out, which then calibrate, and shape neither encoder nor
        scorer.
        """
        encoder, scorer, run = self.begun(whole, data, np.setdiff1d(data.rows, held_out))
        return self.learned(encoder, scorer, self.method.train, data, held_out, run)

    def calibrated(self, whole: Encoder, data: TrainingData, calibrating: Rows) -> Member:
        """Train on all rows; `calibrating` names those whose scores by parts of the method that did
        not learn from them calibrate.
        """
        encoder, scorer, run = self.begun(whole, data, data.rows)
        inside = data.samples(encoder, data.rows).to(self.device)
        with one_thread():
            found = self.method.train_calibrated(scorer, inside, run)()
        held_out = data.rows[found.rows.cpu().numpy()]
        chosen = np.isin(held_out, calibrating)
        calibration, peaks = (
            None if each is None else each.cpu().double().numpy()[chosen]
            for each in (found.scores, found.peaks)
        )
        assert calibration is not None
        return self._of_all(encoder, scorer, data, inside, calibration, held_out[chosen], peaks)

    def across_blocks(
        self,
        whole: Encoder,
        data: TrainingData,
        calibrating: Rows,
        blocks: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> Member:
        """Train on all rows; `calibrating` names the normal rows whose scores by what saw no normal
        row of their block calibrate. `blocks`: the block of each row (n,).
        """
        # unlabelled rows of a block leave with it, as they would be learned as normal; labelled
        # anomalies stay: they never make their block look more normal than a new one
        away = data.rows[data.codes[data.rows] <= 0]
        fold = folds_of_blocks(blocks[away], rng)
        parts = [self.trained(whole, data, away[fold == k]) for k in range(fold.max() + 1)]
        held_out = np.concatenate([part.held_out for part in parts if part.held_out is not None])
        chosen = np.isin(held_out, calibrating)
        held_out = held_out[chosen]
        scores = np.concatenate([part.calibration for part in parts])[chosen]
        encoder, scorer, run = self.begun(whole, data, data.rows)
        inside = data.samples(encoder, data.rows).to(self.device)
        with one_thread():
            self.method.train(scorer, inside, run)
        peaks = [part.peaks for part in parts if part.peaks is not None]
        calibration = beside_others(scores, blocks[held_out])
        return self._of_all(
            *(encoder, scorer, data, inside, calibration, held_out),
            np.concatenate(peaks) if peaks else None,
        )

    def _of_all(
        self,
        encoder: Encoder,
        scorer: nn.Module,
        data: TrainingData,
        inside: Samples,
        calibration: NDArray[np.float64],
        held_out: Rows,
        peaks: NDArray[np.float64] | None,
    ) -> Member:
        """A member that learned from all rows, calibrated by scores of some from elsewhere."""
        rows = encoder.encode(take(data.table, held_out))
        return _member_of(
            self.method,
            encoder.limited(inside.x.cpu().numpy(), data.codes[data.rows] <= 0),
            scorer.eval(),
            calibration,
            held_out,
            None if peaks is None else np.sort(peaks),
            _scored(scorer, rows, self.device),
            _hidden_of(scorer, inside),
        )

    def begun(
        self, whole: Encoder, data: TrainingData, inside: Rows
    ) -> tuple[Encoder, nn.Module, Run]:
        """An encoder of these rows, an untrained scorer, and what its training may use."""
        with one_thread():
            encoder = whole.relearn(take(data.table, inside), normals=data.codes[inside] <= 0)
        run = self.run(encoder)
        scorer = seeded(lambda: self.method.build(encoder.shape), run.seed()).to(self.device)
        return encoder, scorer, run

    def updated(self, member: Member, data: TrainingData, held_out: Rows) -> Member:
        """A member that has learned on, by the encoder that it has; the one that is given stays as
        it is.
        """
        scorer = copy.deepcopy(member.scorer).train().to(self.device)
        encoder = member.encoder.widened(data.table)
        run, before = self.run(encoder), member.encoder
        return self.learned(encoder, scorer, self.method.update, data, held_out, run, before)

    def adapted(self, member: Member, data: TrainingData, calibrating: Rows) -> Member:
        """A member for the domain that these rows show; `calibrating` names those that also
        calibrate it.
        """
        support = data.samples(member.encoder, data.rows).to(self.device)
        run, places = self.run(member.encoder), np.searchsorted(data.rows, calibrating)
        with one_thread():
            scorer, calibration, peaks = moved(self.method, member.scorer, support, places, run)
        return _member_of(
            self.method, member.encoder.widened(data.table), scorer, calibration, calibrating, peaks
        )

    def learned(
        self,
        encoder: Encoder,
        scorer: nn.Module,
        learn: Callable[[nn.Module, Samples, Run], None],
        data: TrainingData,
        held_out: Rows,
        run: Run,
        before: Encoder | None = None,
    ) -> Member:
        """The scorer once it has learned from all rows but those held out, and their scores."""
        kept = np.setdiff1d(data.rows, held_out)
        inside = data.samples(encoder, kept).to(self.device)
        with one_thread():
            learn(scorer, inside, run)
        rows = encoder.encode(take(data.table, held_out))
        calibration = _scored(scorer.eval(), rows, self.device)
        normals = data.codes[np.concatenate([kept, held_out])] <= 0
        encoder = encoder.limited(np.concatenate([inside.x.cpu().numpy(), rows]), normals, before)
        peaks = _peaks_of(scorer, rows, self.device)
        hidden = _hidden_of(scorer, inside)
        return _member_of(self.method, encoder, scorer, calibration, held_out, peaks, hidden=hidden)

    def run(self, encoder: Encoder) -> Run:
        """What a method may use beside rows that pass this encoder."""
        known = encoder.logarithms
        logarithms = None if known is None else torch.from_numpy(known).to(self.device)
        return Run(torch.Generator().manual_seed(self.seed), self.device, _logged, logarithms)


def _member_of(
    method: Method,
    encoder: Encoder,
    scorer: nn.Module,
    calibration: NDArray[np.float64],
    held_out: Rows,
    peaks: NDArray[np.float64] | None,
    in_training: NDArray[np.float64] | None = None,
    hidden: NDArray[np.float64] | None = None,
) -> Member:
    """A member, its calibration rows in the order of their scores."""
    if not np.isfinite(calibration).all():
        raise UnseenError(
            f"{type(method).__name__} diverged: scores of normal rows are not finite; try another "
            "method"
        )
    order = np.argsort(calibration, kind="stable")
    own = None if in_training is None else in_training[order]
    return Member(encoder, scorer, calibration[order], held_out[order], peaks, own, hidden)


def _hidden_of(scorer: nn.Module, inside: Samples) -> NDArray[np.float64] | None:
    """`Member.hidden` of a scorer that held classes out of these rows as it learned; None of
    others.
    """
    found = ability(scorer, "hidden")
    if found is None:
        return None
    kept = found.clone()
    kept[:, 1] = inside.anomalies.y.cpu()[found[:, 1].long()].double()
    return np.asarray(kept.numpy())


def raised(
    scores: NDArray[np.float64], calibration: NDArray[np.float64], amount: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores of rows in which something is unprecedented above all of the calibration, others as
    they are: (n,).

    score -> max(score, top) + STEP * spread * (amount + fraction(deviation)), of a row with an
    amount above 0: the more is unprecedented the higher, and in the order of the scores where it is
    equally much. Calibration is sorted (m,).

    >>> raised(
    ...     np.array([0.5, 0.5, -9.0]), np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.5, 1.5])
    ... ).round(3)
    array([0.5  , 2.145, 2.123])
    """
    if not amount.any():
        return scores
    middle, high = np.quantile(calibration, [0.5, 0.9])
    spread = max(high - middle, 1e-3 * (calibration[-1] - calibration[0])) or 1.0
    own = fraction((scores - middle) / spread)
    beyond = np.maximum(scores, calibration[-1]) + STEP * spread * (amount + own)
    return np.where(amount > 0, np.maximum(beyond, np.nextafter(calibration[-1], np.inf)), scores)


def _scored(
    scorer: Callable[[torch.Tensor], torch.Tensor], x: NDArray[np.float32], device: torch.device
) -> NDArray[np.float64]:
    return np.asarray(scores(scorer, torch.from_numpy(x), device).double().numpy())


def _cell_scores(
    scorer: nn.Module, x: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Scores of cells: (n, d, h, w) -> (n, h', w')."""
    mapped = ability(scorer, "map")
    if mapped is None:
        raise Unsupported(
            "this method judges images as a whole and has no map of scores: take one that looks at "
            "cells"
        )
    return np.asarray(scores(mapped, torch.from_numpy(x), device).float().numpy())


def _peaks_of(
    scorer: nn.Module, x: NDArray[np.float32], device: torch.device
) -> NDArray[np.float64] | None:
    """The highest score of a cell in each image, sorted: (n,). None where there is no map."""
    if ability(scorer, "map") is None:
        return None
    found = [
        _cell_scores(scorer, x[start : start + BLOCK], device) for start in range(0, len(x), BLOCK)
    ]
    return np.sort(
        np.concatenate([part.reshape(len(part), -1).max(axis=1) for part in found]).astype(
            np.float64
        )
    )


def _logged(step: int, values: dict[str, float]) -> None:
    log.debug("step %d %s", step, values)

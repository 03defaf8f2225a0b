"""Drift: whether rows that look normal still come as the calibration rows did, which columns moved,
and since when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.news import NotedOnce
from unseen.data.readings import readings
from unseen.data.split import take
from unseen.detector.band import FLAGGED, chance_of_more, counted_ranks
from unseen.detector.change import LEAST, History, change_point
from unseen.detector.conformal import tie_width
from unseen.detector.martingale import Martingale, OnlineRanks
from unseen.detector.members import Member, scores_of_each
from unseen.detector.policy import check_level
from unseen.detector.references import CELLS, ROWS, References
from unseen.detector.shift import MATTERS, Shift, column_shifts, percent
from unseen.errors import DataError, Unsupported
from unseen.types import Encoder, ability
from unseen.wording import option

Array = NDArray[np.float64]

TIMES = 1.5  # as many flagged as expected, from which on that matters
PARTS = 4  # monitor, shares flagged and far out, columns: each may err with a quarter of the level
CALIBRATION = 20  # rows that drift is measured against, at least


@dataclass(frozen=True)
class Drift:
    """What `Detector.drift` found. Rows far out, with p <= 0.01, are told apart: they may be
    anomalies, and count for nothing else, unless there are more than there may be anomalies.

    Parameters
    ----------
    rows : int
        Rows that were judged.
    far : int
        How many of them lie far out.
    far_expected : float
        The share of normal rows that do.
    far_chance : float
        The chance of so many by luck, at most, if as many as `anomalies` allows are anomalies.
    anomalies : float
        The share of rows that may be anomalies.
    level : float
        The chance of an alarm without drift, at most.
    noun : str
        What a row is called.
    chance : float
        The chance that ranks of rows that look normal stray so far by luck, at most: 1 / the
        highest capital of the martingale.
    alarm : int or None
        The row, counted from 1, at which that chance fell below a quarter of the level.
    since : int or None
        About the row, counted from 1, with which a change of the scores begins; None without one.
    flagged : float
        Share flagged at p <= 0.05 of the rows that look normal; since the change, where there is
        one.
    flagged_expected : float
        The share expected; 0 where there are too few calibration rows for any.
    flagged_chance : float
        The chance that so many of all rows are flagged by luck, at most (beta-binomial).
    effect : float
        Share of rows that look normal whose scores must have moved, at least.
    columns : tuple of Shift
        Columns that moved, largest effect first; none for images.
    """

    rows: int
    far: int
    far_expected: float
    far_chance: float
    anomalies: float
    level: float
    noun: str
    chance: float
    alarm: int | None
    since: int | None
    flagged: float
    flagged_expected: float
    flagged_chance: float
    effect: float
    columns: tuple[Shift, ...]

    @property
    def scores_moved(self) -> bool:
        """Whether scores of rows that look normal changed beyond luck, and by more than little."""
        return self._told and (self.effect >= MATTERS or self._many)

    @property
    def many_far(self) -> bool:
        """Whether more rows lie far out than there may be anomalies, beyond luck."""
        allowed = self.anomalies + TIMES * self.far_expected
        return self.far_chance <= self.level / PARTS and self.far > allowed * self.rows

    @property
    def moved(self) -> tuple[Shift, ...]:
        """The columns in which a tenth of the rows or more moved."""
        return tuple(shift for shift in self.columns if shift.matters)

    @property
    def drifted(self) -> bool:
        """Whether there is drift that matters."""
        return self.scores_moved or self.many_far or bool(self.moved)

    @property
    def _many(self) -> bool:
        """Whether so many more rows are flagged than expected that it matters."""
        return self.flagged >= TIMES * self.flagged_expected > 0

    @property
    def _told(self) -> bool:
        """Whether luck is ruled out, at the level."""
        return min(self.chance, self.flagged_chance) <= self.level / PARTS

    def __str__(self) -> str:
        return "\n".join(self.in_words())

    def in_words(self, shown: int = 10) -> list[str]:
        """Sentences for a reader, the verdict first; at most so many columns are named."""
        verdict = "Drift" if self.drifted else "No drift"
        if not self.drifted and (self._told or self.columns):
            verdict += " that matters"
        lines = [f"{verdict} in {self.rows:,} {self.noun}."]
        far, due = self.far / self.rows, self.far_expected
        said = f"{self.far:,} {self.noun} ({percent(far)}) lie far out, {percent(due)} expected"
        if self.many_far:
            lines.append(
                f"{said} and up to {percent(self.anomalies)} of anomalies allowed for: look at "
                "some; they are anomalies, or normal ones have changed that much."
            )
        if self._told:
            told = self._scores() if self.scores_moved else f"a small change: {self._scores()}"
            lines.append(f"{told[0].upper()}{told[1:]}; from {self._place()} on.")
        lines += [f"{shift.in_words()}." for shift in self.moved[:shown]]
        if len(self.moved) > shown:
            lines.append(f"And {len(self.moved) - shown:,} more columns moved.")
        if small := [repr(shift.column) for shift in self.columns if not shift.matters]:
            more = f" and {len(small) - shown:,} more" if len(small) > shown else ""
            lines.append(
                f"Moved a little, in less than a tenth of the {self.noun}: "
                f"{', '.join(small[:shown])}{more}."
            )
        if self.far and not self.many_far:
            why = "may be anomalies, and " if far > TIMES * due else ""
            lines.append(f"{said}; they {why}were left out of all else.")
        return lines

    def _scores(self) -> str:
        """How the scores of rows that look normal changed."""
        flags = (
            f"{percent(self.flagged)} of {self.noun} that look normal are flagged at p <= "
            f"{FLAGGED}, {percent(self.flagged_expected)} expected"
        )
        if self._many:
            return flags
        moved = f"scores of at least {percent(self.effect)} of {self.noun} that look normal moved"
        return f"{moved}; {flags}" if self.flagged_expected else moved

    def _place(self) -> str:
        return f"{self.noun.removesuffix('s')} {self.since or 1:,}"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, with the verdict `drifted`."""
        return {"drifted": self.drifted, **asdict(self)}


class Monitor:
    """Watches rows that come in batches, in memory that does not grow.

    Parameters
    ----------
    member : Member
        What scores rows. Of folds it is the first alone, since only ranks among its own calibration
        rows are exchangeable.
    encoder : Encoder
        What admits rows, and knows their columns.
    references : References or None
        Training rows to compare columns with.
    device : device
        What scores are computed on.
    level : float
        The chance of an alarm without drift, at most.
    anomalies : float
        The share of anomalies that may be among the rows.

    Raises
    ------
    DataError
        For a level that is none, and fewer than 20 calibration rows.
    Unsupported
        For a detector of a table that an earlier release saved, without training rows.
    """

    def __init__(
        self,
        member: Member,
        encoder: Encoder,
        references: References | None,
        device: torch.device,
        level: float,
        anomalies: float,
    ) -> None:
        check_level("level", level)
        if not isinstance(anomalies, float | int | np.number) or not 0 <= anomalies < 1:
            raise DataError(
                f"{option('anomalies')} must lie between 0 and 1, the share of anomalies that may "
                f"be among the rows, got {anomalies!r}"
            )
        self._member, self._encoder, self._device = member, encoder, device
        self._level, self._anomalies = level, float(anomalies)
        ranking, self._drawing = np.random.default_rng(0).spawn(2)
        self._once = NotedOnce()
        self._columns = ability(encoder, "columns") or ()
        if self._columns and references is None:  # images have none
            raise Unsupported(
                "this detector was saved by an earlier release, without training rows to compare "
                "columns with: fit and save it again"
            )
        self._references = references
        self._ranks = ScoreRanks(member.calibration, level / PARTS, ranking)
        self._sample = _Sample(max(LEAST, min(ROWS, CELLS // max(len(self._columns), 1))))

    def see(self, rows: Any, numbers: NDArray[np.int64] | None = None) -> None:
        """Take in the next rows, in order.

        Parameters
        ----------
        rows : data frame, array (n, columns), Images or Maps
            Rows or images like those of training.
        numbers : array, optional
            Their numbers in the stream, from 0, where rows between them cannot be scored (n,).

        Raises
        ------
        DataError
            For no rows, and rows of another sort than those of training.
        """
        rows, done = self._encoder.admit(rows), self._ranks.seen
        scores = scores_of_each((self._member,), rows, self._device, self._once)[0]
        numbers = np.arange(done, done + len(scores)) if numbers is None else numbers
        near = self._ranks.see(scores, numbers)
        self._once.done += len(scores)
        if self._columns:
            chosen, keys = self._sample.draw(near, self._drawing)
            shown = self._encoder.shown(take(rows, chosen))
            self._sample.add(readings(self._columns, shown), numbers[chosen], keys)

    def report(self, rest: Callable[[], None] = lambda: None) -> Drift:
        """What was found in all rows so far.

        Parameters
        ----------
        rest : callable
            Is called after each column, for threads beside that have no time to lose.

        Returns
        -------
        Drift
            As `Detector.drift` has it.

        Raises
        ------
        DataError
            Where there was no row.
        """
        if not self._ranks.rows:
            raise DataError(
                f"drift needs {self._encoder.noun} to compare with those of training, and found "
                "none that can be scored"
            )
        found, columns = self._ranks.found(self._anomalies), tuple[Shift, ...]()
        if self._columns and self._references is not None and self._sample.count:
            shown = self._encoder.shown(self._references.normals)
            later = self._sample.since((found["since"] or 1) - 1)
            before = readings(self._columns, shown)
            columns = column_shifts(before, later, self._level / PARTS, rest)
        return Drift(**found, level=self._level, noun=self._encoder.noun, columns=columns)


class ScoreRanks:
    """Scores over time beside calibration scores.

    Scores above the k-th highest of the calibration are far out and left out on both sides: given
    that score, those below it are still exchangeable. Ties are broken by adding a seeded draw that
    is as small as differences that count as none.

    Parameters
    ----------
    calibration : array
        Scores of calibration rows (m,).
    level : float
        The chance at which the martingale raises its alarm.
    rng : Generator
        Where all draws come from.

    >>> rng = np.random.default_rng(0)
    >>> ranks = ScoreRanks(rng.normal(size=500), 0.01, rng)
    >>> ranks.see(np.r_[rng.normal(size=1000), rng.normal(1.0, size=500)], np.arange(1500)).shape
    (1500,)
    >>> found = ranks.found(anomalies=0.0)
    >>> found["since"] - 1000 in range(-50, 50), found["alarm"] > 1000
    (True, True)
    """

    def __init__(self, calibration: Array, level: float, rng: np.random.Generator) -> None:
        if len(calibration) < CALIBRATION:
            raise DataError(
                f"drift needs at least {CALIBRATION} calibration rows to compare with, and this "
                f"detector has {len(calibration)}: fit on more normal rows, or recalibrate"
            )
        self._width = max(tie_width(calibration), 1e-9 * float(np.abs(calibration).max()), 1e-12)
        self._rng, ranking = rng.spawn(2)  # one draw a row each, so that blocks make no difference
        m = len(calibration)
        far, self._flags = counted_ranks(m)
        ordered = np.sort(self._untied(calibration))
        self._limit, self._near = ordered[-far], ordered[:-far]
        self._far = far
        size = m - far + 1  # places among those that are left
        tenths = [round(k * size / 10) for k in range(1, 10)]
        self._edges = np.unique([n for n in (self._flags, *tenths) if n > 0])
        self._before = np.diff(np.r_[0, self._edges, size]) * ((size - 1) / size)
        self._history = History(len(self._edges) + 2)  # the last: far out
        self._online, self._martingale = OnlineRanks(self._near, ranking), Martingale()
        self._level, self._highest = level, 0.0
        self.alarm: int | None = None
        self.seen = self.rows = 0

    def _untied(self, scores: Array) -> Array:
        return scores + self._width * self._rng.random(len(scores))

    def see(self, scores: Array, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take in the next scores, of rows with these numbers (n,): which are not far out (n,)."""
        untied = self._untied(scores)
        near = untied < self._limit
        above = len(self._near) - np.searchsorted(self._near, untied)
        sort = np.where(near, np.searchsorted(self._edges, above, side="right"), -1)
        self._history.add(numbers, sort)
        capital = self._martingale.play(self._online(untied[near]))
        over = np.flatnonzero(capital >= -np.log(self._level))
        if self.alarm is None and len(over):
            self.alarm = int(numbers[near][over[0]]) + 1
        self._highest = max(self._highest, float(capital.max(initial=0.0)))
        self.seen = int(numbers[-1]) + 1 if len(numbers) else self.seen
        self.rows += len(scores)
        return near

    def found(self, anomalies: float) -> dict[str, Any]:
        """The fields of `Drift` that scores tell, if such a share of the rows may be anomalies."""
        counts = self._history.counts
        near, far = counts[:, :-1], int(counts[:, -1].sum())
        flagged, rows = int(near[:, 0].sum()), int(near.sum())
        chance = chance_of_more(flagged, rows, self._flags, len(self._near))
        since, later = None, near.sum(axis=0)
        if self.alarm is not None or chance <= self._level:
            at = change_point(near, self._before)
            since, later = at * self._history.width + 1, near[at:].sum(axis=0)
        difference = np.cumsum(later / max(later.sum(), 1) - self._before / self._before.sum())
        return {
            "rows": self.rows,
            "far": far,
            "far_expected": self._far / (len(self._near) + self._far + 1),
            "far_chance": self._far_chance(far, anomalies),
            "anomalies": anomalies,
            "chance": float(np.exp(-self._highest)),
            "alarm": self.alarm,
            "since": since,
            "flagged": float(later[0] / max(later.sum(), 1)) if self._flags else 0.0,
            "flagged_expected": self._flags / (len(self._near) + 1),
            "flagged_chance": chance,
            "effect": float(np.abs(difference).max()) if rows else 0.0,
        }

    def _far_chance(self, far: int, anomalies: float) -> float:
        """The chance of so many rows far out where those that may be are anomalies."""
        odd = min(far, int(anomalies * self.rows))
        m = len(self._near) + self._far
        return chance_of_more(far - odd, self.rows - odd, self._far, m)


class _Sample:
    """Rows drawn evenly from a stream of unknown length: those with the smallest of random keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys, self._numbers = np.zeros(0), np.zeros(0, dtype=np.int64)
        self._values: dict[str, NDArray[Any]] = {}

    @property
    def count(self) -> int:
        return len(self._keys)

    def draw(
        self, wanted: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Array]:
        """Which of the next rows (n,) may stay, and their keys: (k,), (k,)."""
        keys = rng.random(len(wanted))
        bar = self._keys[-1] if self.count == self._most else np.inf
        chosen = np.flatnonzero(wanted & (keys < bar))
        chosen = np.sort(chosen[np.argsort(keys[chosen], kind="stable")[: self._most]])
        return chosen, keys[chosen]

    def add(self, values: dict[str, NDArray[Any]], numbers: NDArray[np.int64], keys: Array) -> None:
        every = np.concatenate([self._keys, keys])
        kept = np.argsort(every, kind="stable")[: self._most]
        self._keys = every[kept]
        self._numbers = np.concatenate([self._numbers, numbers])[kept]
        self._values = {
            name: np.concatenate([self._values.get(name, new[:0]), new])[kept]
            for name, new in values.items()
        }

    def since(self, number: int) -> dict[str, NDArray[Any]]:
        """Values of the rows from this number on; of all where those are too few to tell."""
        later = self._numbers >= number
        later = later if later.sum() >= LEAST else np.ones_like(later)
        return {name: each[later] for name, each in self._values.items()}

"""What a worker does with one partition, on whatever machine: it is all there before it is seen."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from unseen._version import __version__
from unseen.detector.band import Band
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.io.atomic import scratch_folder
from unseen.io.places import Place
from unseen.scoring.judging import Pvalues, judge, set_aside, taken_back
from unseen.scoring.partitions import JUDGED, Asked, Partition
from unseen.scoring.rows import FileRows
from unseen.scoring.scored import Block, Scored
from unseen.scoring.sinks import TableSink
from unseen.scoring.tables import KINDS, ROW
from unseen.scoring.told import Telling
from unseen.storage.bundle import Bundle

ALARM = "anomaly"
_SCRATCH = Path(gettempdir(), "unseen")  # beside it; what a killed worker leaves, the next removes


@dataclass(frozen=True)
class Step:
    """Something to do with one partition.

    Parameters
    ----------
    does : str
        "judge" lets what it judged wait, "count" counts what waits from an earlier run, "tell"
        gives verdicts to what waits, "score" judges and gives verdicts at once, and "tally" counts
        what an earlier run told.
    part : Partition
        The partition.
    before : int
        How many rows come before it.
    threshold : float
        The largest p-value that is an alarm.
    """

    does: Literal["judge", "count", "tell", "score", "tally"]
    part: Partition
    before: int = 0
    threshold: float = 0.0

    def __str__(self) -> str:
        return self.part.place.name


@dataclass
class Done:
    """What came of a step: how many rows there are, how often each p-value occurs, what tells
    whether more are flagged than luck explains, and the alarms.
    """

    number: int
    band: Band
    rows: int = 0
    pvalues: Pvalues = field(default_factory=Pvalues)
    sink: TableSink | None = None

    def count(self, rows: int) -> None:
        """So many rows more."""
        self.rows += rows


@dataclass(frozen=True)
class Work:
    """Steps of one run. It is sent as it is, so no folder need be shared but for rows and scores.

    Parameters
    ----------
    files : mapping of str to bytes
        The saved detector: its files by their names, checked by their hashes when it is loaded.
    asked : Asked
        What is asked of each partition.
    out : Place
        The folder that scores go to.
    trust : tuple of str
        Import paths of methods of other packages that may run.
    release : str
        That of this package, of which all machines need the same.
    """

    files: Mapping[str, bytes] = field(repr=False)
    asked: Asked
    out: Place
    trust: tuple[str, ...] = ()
    release: str = __version__

    @cached_property
    def detector(self) -> Detector:
        """The detector, loaded once."""
        if self.release != __version__:
            raise DataError(
                f"the machine {platform.node()} has unseen {__version__}, and the run was begun by "
                f"{self.release}: install one release on all machines"
            )
        with scratch_folder(_SCRATCH) as folder:
            for file, data in self.files.items():
                (folder / file).write_bytes(data)
            return Bundle.load(folder, trust=self.trust).with_tail(self.asked.tail).detector

    @cached_property
    def telling(self) -> Telling:
        """What gives verdicts, once it is known that the detector can."""
        asked = self.asked
        tell = Telling(self.detector, asked.policy, asked.kinds, asked.reasons)
        tell.check(asked.rows.keep)
        return tell

    def __call__(self, step: Step) -> Done:
        """Do a step; what it makes is whole in the folder when this returns."""
        done = Done(step.part.number, Band(len(self.detector.conformal_.scores)))
        with scratch_folder(_SCRATCH) as folder:
            if step.does == "judge":
                judged = self._judged(step.part, folder, done)
                done.pvalues = set_aside(judged, folder / "judged")
                self.out.publish(folder / "judged", waiting_name(step.part))
            elif step.does == "count":
                for block in self._taken_back(step.part, folder, done):
                    done.pvalues.add(block.pvalue)
            elif step.does == "score":
                self._tell(self._judged(step.part, folder, done), step, folder, done)
            elif step.does == "tell":
                self._tell(self._taken_back(step.part, folder, done), step, folder, done)
            else:
                self._tally(step, folder, done)
        return done

    def _judged(self, part: Partition, folder: Path, done: Done) -> Iterator[Block]:
        """Blocks of the rows of a partition."""
        part.check_unchanged()
        file, tell = part.place.fetched(folder), self.telling
        rows = replace(self.asked.rows, place=FileRows(file, self.asked.header))
        try:
            yield from judge(rows, tell.detector, tell.kept, done.band, done.count)
        except DataError as error:  # of a copy, which nobody knows
            raise DataError(str(error).replace(str(file), part.place.name)) from error

    def _taken_back(self, part: Partition, folder: Path, done: Done) -> Iterator[Block]:
        """Blocks of a partition that was judged, on whatever machine."""
        for block in taken_back((self.out / waiting_name(part)).fetched(folder)):
            done.band.add(block.pvalue)
            done.count(len(block.pvalue))
            yield block

    def _tell(self, blocks: Iterator[Block], step: Step, folder: Path, done: Done) -> None:
        """Verdicts of blocks, to the file of their partition."""
        done.sink = TableSink(folder / step.part.name)
        told = (self.telling.scored(block, step.threshold) for block in blocks)
        done.sink.write(self._numbered(scored, step.before) for scored in told)
        self.out.publish(done.sink.target, step.part.name)

    def _numbered(self, scored: Scored, before: int) -> Scored:
        """Rows by their numbers in all partitions, where no column tells them apart."""
        if self.asked.rows.keep:
            return scored
        return replace(scored, keys=pa.table({ROW: pc.add(scored.keys[ROW], before)}))

    def _tally(self, step: Step, folder: Path, done: Done) -> None:
        """What an earlier run told of a partition."""
        done.sink = TableSink(folder, threshold=step.threshold)
        names = ["pvalue", "verdict", *(KINDS[:1] if self.asked.kinds else ())]
        with parquet.ParquetFile((self.out / step.part.name).fetched(folder)) as file:
            for batch in file.iter_batches(columns=names):
                pvalue, alarm = batch["pvalue"].to_numpy(False), pc.equal(batch["verdict"], ALARM)
                done.band.add(pvalue)
                done.count(len(batch))
                kinds = batch[KINDS[0]].filter(alarm).to_pylist() if self.asked.kinds else []
                done.sink.count(len(batch), pc.sum(alarm).as_py() or 0, pvalue, kinds)


def waiting_name(part: Partition) -> str:
    """Where the blocks of a partition wait for their verdicts, below the folder of scores."""
    return f"{JUDGED}/{part.name}"

"""The scoring stream: rows of any source, judged block by block; what becomes of them is a sink's
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from unseen.detector.band import Band
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io.atomic import scratch_folder
from unseen.io.text import STANDARD
from unseen.scoring.judging import judge, set_aside, taken_back
from unseen.scoring.rows import FileRows
from unseen.scoring.scored import Scored
from unseen.scoring.sinks import TableSink
from unseen.scoring.tables import TableSource
from unseen.scoring.told import Telling
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed
from unseen.types import Source, ability


def score(
    source: Source,
    detector: Detector,
    policy: Policy,
    *,
    beside: Path | None = None,
    kinds: bool = False,
    reasons: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Generator[Scored, None, None]:
    """Judge all rows of a source, in order, a block at a time.

    Parameters
    ----------
    source : Source
        Where the rows come from: `TableSource` or `ImageFolder`, of this package.
    detector : Detector
        A fitted one; several threads may share it.
    policy : Policy
        Which p-values are alarms. One that needs all of them, such as a false-discovery rate, reads
        the source to its end first.
    beside : Path, optional
        Where what was judged waits meanwhile, in a hidden file beside this path; without it in the
        folder for temporary files.
    kinds : bool
        Whether to tell of which kind alarms are, as `Detector.verdict` does.
    reasons : int
        How many columns, or places of an image, to name as the reasons of an alarm, in columns
        behind the verdict; 0 tells none, and takes no time. What would have been unremarkable is
        what is no alarm.
    progress : callable
        Is told the number of rows of each block that was scored.

    Yields
    ------
    Scored
        Judged rows, in the order of the source. Close it (`contextlib.closing`) where you may stop
        before the end, so that nothing is left of what waits.

    Raises
    ------
    NotFitted
        Before `fit`.
    DataError
        For rows of another sort than those of training, with the place in the source.
    Unsupported
        Where kinds or reasons are asked for, and an earlier release saved the detector.
    """
    if ability(source, "batches") is None:
        raise DataError(
            "expected a source, such as TableSource(FrameRows(frame)), TableSource(FileRows(path)) "
            f"or ImageFolder(path), got {type(source).__name__}"
        )
    if not isinstance(policy, Policy):
        raise DataError(f"expected a policy, such as Policy.alpha(0.05), got {policy!r:.80}")
    tell, maps = Telling(detector, policy, kinds, reasons), ability(source, "maps")
    tell.check(ability(source, "keep") or ())
    detector.check_fitted()
    band = Band(len(detector.conformal_.scores))
    judged = judge(source, detector, tell.kept, band, progress)
    if not policy.needs_all:
        for block in judged:
            yield tell.scored(block, policy.level, maps)
        band.tell(detector.schema_.noun)
        return
    if beside is None or str(beside) == STANDARD:
        beside = Path(gettempdir(), "scores")
    with scratch_folder(Path(beside)) as folder:
        threshold = set_aside(judged, folder / "judged").threshold(policy)
        band.tell(detector.schema_.noun)
        for block in taken_back(folder / "judged"):
            yield tell.scored(block, threshold, maps)


def score_file(
    bundle: Bundle,
    source: str | Path,
    target: str | Path,
    *,
    keep: Sequence[str] = (),
    alpha: float | None = None,
    fdr: float | None = None,
    header: bool = True,
    reasons: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> TableSink:
    """Write the columns `keep` of a file, and score, p-value and verdict of each row, in its order.

    Parameters
    ----------
    bundle : Bundle
        The saved detector.
    source, target : path
        The file to score, and the CSV or Parquet file to write; "-" is standard input or output.
    keep : sequence of str
        Columns of the file to copy; without any, the first column is `row`, counted from 1.
    alpha, fdr : float, optional
        One of two policies, as in `Detector.detect`.
    header : bool
        Without it, or if the detector was trained so, the first line of a CSV file is a row.
    reasons : int
        How many columns to name as the reasons of an alarm; 0 tells none.
    progress : callable
        Is told the number of rows of each batch.
    """
    policy = Policy.of(alpha, fdr)
    place = FileRows(Path(source), header and headed(bundle.facts))
    rows = TableSource(place, keep=tuple(keep))
    sink = TableSink(Path(target))
    how: dict[str, Any] = {"beside": sink.target, "reasons": reasons, "progress": progress}
    with closing(score(rows, bundle.detector, policy, **how)) as judged:
        sink.write(judged)
    return sink

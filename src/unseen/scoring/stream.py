"""The scoring stream: rows of any source, judged block by block; what becomes of them is a sink's
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from tempfile import gettempdir

from unseen.detector.band import Band
from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io.atomic import scratch_folder
from unseen.io.text import STANDARD
from unseen.scoring.judging import Scored, Telling, judge, set_aside, taken_back
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

"""Scoring on a cluster: files of rows become files of scores, each by whichever worker is free.

The engine is Ray. A partition is a task of Ray's core: it is small to tell (a name, a number, what
came of it), it is done again elsewhere when its worker dies, and a worker keeps the detector from
one to the next. Ray Data would read, split and gather blocks of rows as it finds best; scores then
would not stand in one file for each file of rows, and what an interrupted run had done would be
unknown.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from pyarrow.fs import FileType

from unseen.detector.band import Band
from unseen.detector.policy import Policy
from unseen.errors import DataError, unwritable
from unseen.io.paths import alone, new_path
from unseen.io.places import MAKING, Place
from unseen.scoring.engine import Engine, Spread
from unseen.scoring.judging import Pvalues
from unseen.scoring.partitions import JUDGED, SUCCESS, Asked, Plan
from unseen.scoring.sinks import TableSink
from unseen.scoring.sources import table_again
from unseen.scoring.worker import Step, Work
from unseen.storage.bundle import Bundle
from unseen.storage.facts import headed
from unseen.storage.manifest import JSON, SHOWN, TENSORS, digest, parsed

MOST = 1 << 20  # bytes of what is said of a run that is whole
log = logging.getLogger("unseen")


def score_partitions(
    folder: Path,
    data: Sequence[str],
    out: str,
    asked: Asked,
    *,
    engine: Engine,
    trust: tuple[str, ...] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> TableSink:
    """Score files of rows, each to a Parquet file of its own, as the scoring stream scores one.

    What is written has its name once it is whole. A run that was interrupted goes on with the files
    that are not done, if it is asked for the same; `_SUCCESS` is there once all are.

    Parameters
    ----------
    folder : Path
        The folder of a saved detector of rows.
    data : sequence of str
        CSV and Parquet files, folders of such, globs, and URLs of object stores.
    out : str
        Folder to write to, or the URL of one; all workers must reach it and the data.
    asked : Asked
        How rows are read and judged, and what is told of them.
    engine : Engine
        Where the workers are.
    trust : tuple of str
        Import paths of methods of other packages, which the saved detector may run.
    progress : callable
        Is told the number of rows of each partition that was judged.

    Returns
    -------
    TableSink
        How many rows and alarms there are.

    Raises
    ------
    DataError
        For data that cannot be read, with its file; for files whose columns differ where that
        matters; where the folder was begun with something else; and for detectors of images.
    Unsupported
        Where Ray is not installed.
    """
    place, files = Place.of(out), _files_of(folder, trust)
    work = Work(files, asked, place, trust)
    if work.detector.schema_.noun != "rows":
        raise DataError(
            f"{folder}: this detector judges images, and a cluster scores rows of tables: score "
            "images on one machine"
        )
    with _folder_alone(place):
        plan = Plan.of(digest(files[JSON]), asked, data, place)
        plan = plan.agreed(place, work.detector.schema_.needed)
        there = set(place.names())
        if SUCCESS in there:
            found = _stored(place)
            log.info("%s: is whole already, and left as it is", place.name)
        else:
            work.telling  # noqa: B018  # what it cannot tell is refused before workers start
            with engine.started() as spread:
                found = _worked_off(work, plan, spread, there, progress)
            place.write(SUCCESS, json.dumps(_plain_tally(found)).encode())
        for name in (JUDGED, MAKING):
            place.clear(name)
    return found


def asked_of(
    bundle: Bundle,
    policy: Policy,
    keep: tuple[str, ...] = (),
    header: bool = True,
    *,
    kinds: bool = False,
    reasons: int = 0,
) -> Asked:
    """What is asked of files of rows like those that a detector was trained on."""
    rows = table_again(bundle, Path("rows"), keep=keep)
    return Asked(rows, policy, kinds, reasons, header=header and headed(bundle.facts))


def _worked_off(
    work: Work,
    plan: Plan,
    spread: Spread,
    there: Collection[str],
    progress: Callable[[int], None],
) -> TableSink:
    """Do what is left of a plan; the alarms of all partitions."""
    parts, policy = plan.partitions, plan.asked.policy
    sent = replace(work)  # as it was made: each worker loads the detector itself, and checks it
    rows = [part.rows or 0 for part in parts]
    band = Band(len(work.detector.conformal_.scores))
    threshold, two = policy.level, plan.in_two_passes
    finished = sum(part.name in there for part in parts)
    if finished:
        log.info("%s: %s of %s files are done already", work.out.name, finished, len(parts))
    if two:
        pvalues, waiting = Pvalues(), set((work.out / JUDGED).names())
        steps = [Step("count" if part.name in waiting else "judge", part) for part in parts]
        for done in spread(sent, steps):
            rows[done.number] = done.rows
            pvalues.merge(done.pvalues)
            band.merge(done.band)
            progress(done.rows)
        threshold = pvalues.threshold(policy)
    steps = [
        Step("tally" if part.name in there else "tell" if two else "score", part, before, threshold)
        for part, before in zip(parts, accumulate(rows, initial=0), strict=False)
    ]
    found = TableSink(Path(work.out.path), threshold=threshold)
    for done in spread(sent, steps):
        assert done.sink is not None  # of these steps each has one
        found.merge(done.sink)
        if not two:
            band.merge(done.band)
            progress(done.rows)
    band.tell(work.detector.schema_.noun)
    return found


def _files_of(folder: Path, trust: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a saved detector by their names, to send."""
    Bundle.load(folder, trust=trust)  # says what is wrong with it
    names = [name for name in (JSON, TENSORS, SHOWN) if (folder / name).exists()]
    return {name: (folder / name).read_bytes() for name in names}


@contextmanager
def _folder_alone(place: Place) -> Iterator[None]:
    """The folder to write to, made if need be; on this machine no other run may write there."""
    kind = place.info().type
    if kind == FileType.File:
        raise DataError(f"{place.name}: expected a folder to write to, found a file")
    if not place.here:
        yield
        return
    path = Path(place.path)
    if kind == FileType.NotFound:
        with unwritable(path):
            new_path(path).mkdir()
    with alone(path):
        yield


def _plain_tally(found: TableSink) -> dict[str, Any]:
    """What is said of a run that is whole, as JSON holds it."""
    names = ("rows", "flagged", "threshold", "smallest")
    return {name: getattr(found, name) for name in names} | {"kinds": dict(found.kinds)}


def _stored(out: Place) -> TableSink:
    """What an earlier run said."""
    try:
        plain = parsed((out / SUCCESS).read(most=MOST))
        kinds = Counter({str(name): int(count) for name, count in plain["kinds"].items()})
        rows, flagged = int(plain["rows"]), int(plain["flagged"])
        threshold, smallest = float(plain["threshold"]), float(plain["smallest"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{out.name}: expected what a run wrote in {SUCCESS}, found something else ({error}); "
            "choose another folder"
        ) from error
    return TableSink(Path(out.path), rows, flagged, threshold, smallest, kinds)

"""Scoring files of any size: read in batches, judged, and written so that the result is whole or not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pyarrow as pa

from unseen.data.news import told_once
from unseen.data.schema import Schema
from unseen.errors import DataError
from unseen.io.atomic import scratch
from unseen.io.read import batches
from unseen.io.text import STANDARD, shown
from unseen.io.write import Writer
from unseen.names import require
from unseen.storage.bundle import Bundle, with_verdict
from unseen.storage.facts import headed
from unseen.vision.encoder import Pictures

RESULTS = ("score", "pvalue", "verdict")


@dataclass(frozen=True)
class Tally:
    """What became of a file: its rows, how many were flagged, and the largest p-value that was an alarm."""

    rows: int
    flagged: int
    cut: float


def score_file(
    bundle: Bundle,
    source: str | Path,
    target: str | Path,
    *,
    keep: Sequence[str] = (),
    alpha: float | None = None,
    fdr: float | None = None,
    header: bool = True,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tally:
    """Write the columns `keep` of a file, and score, p-value and verdict of each row, in its order.

    With nothing to keep, the first column is `row`, counted from 1. "-" as `source` is standard input, as `target`
    standard output. Without `header`, or if the detector was trained so, the first line of a CSV file is a row.

    `alpha`: the share of normal rows that may be flagged. `fdr`: the share of the alarms in this file that may be
    false; that takes all p-values, so judged rows first go to a hidden file beside the target. `progress` is told the
    number of rows of each batch.
    """
    check_keep(keep)
    if (alpha is None) == (fdr is None):
        raise DataError("scoring needs one policy: alpha (share of normals flagged) or fdr (share of false alarms)")
    header = header and headed(bundle.facts)
    with told_once() as notes, Writer(target) as out:

        def passed(rows: int) -> None:
            notes.done += rows
            progress(rows)

        judged = judged_batches(bundle, Path(source), keep, header, passed)
        if fdr is None:
            return verdicts(judged, out, bundle.detector.cut(np.zeros(0), alpha=alpha, fdr=None))
        beside = Path(gettempdir(), "scores") if str(out.path) == STANDARD else out.path
        with scratch(beside) as folder:
            seen = copied(judged, hidden := folder / "judged.parquet")
            pvalues, counts = np.array(list(seen)), np.array(list(seen.values()))
            return verdicts(batches(hidden), out, bundle.detector.cut(pvalues, alpha=None, fdr=fdr, counts=counts))


def judged_batches(
    bundle: Bundle, source: Path, keep: Sequence[str], header: bool, progress: Callable[[int], None]
) -> Iterator[pa.Table]:
    """Kept columns or row numbers, score and p-value, batch by batch."""
    schema, done = bundle.detector.schema_, 0
    expected = [column.name for column in schema.columns] if isinstance(schema, Schema) else []
    for batch in batches(source, header=header, expected=expected):
        require(keep, batch.column_names, where=shown(source))
        try:
            judged = bundle.judged(rows_of(schema, batch, keep))
        except (DataError, pa.ArrowException) as error:
            raise DataError(f"{located(source, done, len(batch))}: {error}") from error
        if not keep:
            judged = judged.add_column(0, "row", pa.array(np.arange(done + 1, done + len(batch) + 1)))
        for name in reversed(keep):
            judged = judged.add_column(0, batch.schema.field(name), batch[name])
        yield judged
        done += len(batch)
        progress(len(batch))


def rows_of(schema: Schema | Pictures, batch: pa.Table, keep: Sequence[str]) -> pa.Table:
    """What is judged of a batch: all but columns that are kept and that training did not show."""
    if not isinstance(schema, Schema):
        return batch
    return schema.arrow(batch.drop_columns([name for name in keep if name not in schema.inputs]))


def located(source: Path, done: int, rows: int) -> str:
    """Where a batch lies, for errors that count its rows from 1."""
    return f"{shown(source)}, rows {done + 1:,} to {done + rows:,}, counted from 1 again" if done else shown(source)


def copied(judged: Iterator[pa.Table], hidden: Path) -> Counter[float]:
    """Write judged rows to a file; how often each p-value occurs. There are
    no more of them than calibration rows, and some thousands of a tail."""
    seen: Counter[float] = Counter()
    with Writer(hidden) as out:
        for batch in judged:
            out.write(batch)
            values, counts = np.unique(batch["pvalue"].to_numpy(), return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return seen


def verdicts(judged: Iterator[pa.Table], out: Writer, cut: float) -> Tally:
    rows = flagged = 0
    for batch in judged:
        out.write(with_verdict(batch, cut))
        rows += len(batch)
        flagged += int((batch["pvalue"].to_numpy() <= cut).sum())
    return Tally(rows, flagged, cut)


def check_keep(keep: Sequence[str], *, taken: Sequence[str] = RESULTS) -> None:
    """DataError for names that the results have `taken`, or that are named twice."""
    clash = [name for name in keep if name in taken]
    if clash:
        raise DataError(
            f"column {clash[0]!r} cannot be kept, as the result has one of that name: rename it, or keep others"
        )
    twice = sorted({name for name in keep if keep.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is to be kept twice; name it once")

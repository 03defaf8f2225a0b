"""A detector that has learned the answers to what it asked about."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unseen.data.labels import as_given, encode_labels
from unseen.data.split import Rows
from unseen.data.tables import without
from unseen.detector.blindspots import BlindSpots
from unseen.detector.detector import Detector
from unseen.errors import DataError, Unsupported
from unseen.names import require
from unseen.scoring.folders import ImageFolder
from unseen.scoring.labelling import FILE, LABEL
from unseen.scoring.tables import TableSource, count_classes
from unseen.storage.facts import of_data
from unseen.types import Labelled
from unseen.vision.images import Images
from unseen.vision.maps import Maps
from unseen.wording import option

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Learned:
    """A detector that has learned answers, beside the one before.

    Parameters
    ----------
    detector : Detector
        The new one.
    facts : dict
        What is worth keeping with it.
    answers : dict of str to int
        Rows of each class that was answered, most frequent first.
    normals : int
        Rows that were answered to be normal.
    new : tuple of str
        Classes that had no label before.
    flagged : dict of str to tuple
        How many answered "anomalies" and "normals" were flagged at 5%, before and now.
    before, now : BlindSpots or None
        What is expected of kinds that nobody has labelled; None where that is not known.
    """

    detector: Detector
    facts: dict[str, Any]
    answers: dict[str, int]
    normals: int
    new: tuple[str, ...]
    flagged: dict[str, tuple[int, int]]
    before: BlindSpots | None
    now: BlindSpots | None


def with_answers(
    detector: Detector,
    known: Mapping[str, Any],
    answers: TableSource,
    train: TableSource | ImageFolder | None,
) -> Learned:
    """Fit anew on the training rows and the answers; without training rows on those that stayed
    with the detector. Answers about images name their files.

    Rows answered to be normal train, and do not calibrate: they were chosen for scoring high, and
    would make all p-values larger."""
    facts = of_data(known)
    label, given = facts.get("label") or LABEL, answers.place.whole()
    images = detector.schema_.noun != "rows"
    needed = [FILE] if images else detector.schema_.needed
    require([label, *needed], given.column_names, where=answers.name)
    codes, names = encode_labels(given[label], rows=len(given), normal=detector.normal)
    if not (codes >= 0).any():
        raise DataError(
            f"{answers.name}: expected answers in column {label!r}, found none in {len(given):,} "
            f"rows: write {str(detector.normal)!r} or the kind of anomaly there"
        )
    answered = np.flatnonzero(codes >= 0)
    data = _stayed(detector, facts) if train is None else train.labelled()
    start = time.perf_counter()
    asked, kinds_of = given.take(answered), codes[answered]
    y = _labels(data, kinds_of, names, detector.normal)
    if images:
        files = _answered_files(asked, _answers_spelled(kinds_of, names), answers.name)
        new_rows: Any = _answered_images(files, answers.name, train, detector)
        stay, y = _answers_count(data.rows.images.files, files, y, str(detector.normal))
        rows, groups = Maps.joined([data.rows.take(stay), new_rows]), None
    else:
        new_rows = _answered_rows(detector, asked, answers.name)
        rows, y, groups = _with_rows(detector, data, asked, y, answers.name, facts.get("group"))
    new = _unfitted(detector, same_kinds=train is None).fit(rows, y, groups=groups)
    seconds = time.perf_counter() - start
    all_codes, all_names = encode_labels(y, rows=len(rows), normal=detector.normal)
    counts = count_classes(all_codes, as_given(all_names, y))
    own = {"source": f"{facts['source']} and {answers.place.facts['source']}"}
    kinds = count_classes(kinds_of, names)
    return Learned(
        new,
        {**data.facts, **own, **counts, "fit_seconds": round(seconds, 3)},
        {name: count for name, count in kinds["anomalies"].items() if count},
        kinds["normals"],
        tuple(name for name in names if name not in detector.classes_),
        _flagged(detector, new, new_rows, kinds_of),
        _spots(detector),
        _spots(new),
    )


def _unfitted(detector: Detector, *, same_kinds: bool) -> Detector:
    """A detector like this one; some of the rows alone might suggest other kinds of columns."""
    new = Detector(**detector.get_params(deep=False))
    if same_kinds:
        columns = getattr(detector.schema_, "columns", ())
        new.set_params(kinds={column.name: column.kind for column in columns})
    return new


def _stayed(detector: Detector, facts: Mapping[str, Any]) -> Labelled:
    """The rows that stayed with a detector, as a source would have them."""
    if detector.schema_.noun != "rows":
        raise Unsupported(
            "images do not stay with a detector, and it learns from all of them again: name the "
            f"training folder ({option('data', ...)})"
        )
    kept = getattr(detector, "references_", None)
    if kept is None or len(detector.groups_) > 1:
        why = "was saved by an earlier release" if kept is None else "knows several domains"
        raise Unsupported(
            f"this detector {why}, and keeps no rows to learn from again: name the training file "
            f"({option('data', ...)})"
        )
    log.warning(
        "the training file is not named (%s): it learns from the %s rows that stayed with the "
        "detector, and from the answers",
        *(option("data", ...), f"{len(kept.rows):,}"),
    )
    spelled = np.array([detector.normal, *detector.classes_], dtype=object)
    about: dict[str, Any] = {"label": facts.get("label") or LABEL, "drop": [], "group": None}
    return Labelled(kept.rows, spelled[kept.codes].tolist(), None, kept.rows, about)


def _answered_files(given: pa.Table, labels: Sequence[str | None], where: str) -> list[Path]:
    """The files that answers name (n), each with one answer: labels (n) have None for normal."""
    files, found = [], dict[Path, str | None]()
    for name, label in zip(given[FILE].to_pylist(), labels, strict=True):
        if name is None or not str(name).strip():
            raise DataError(
                f"{where}: an answer ({label or 'normal'!r}) names no file in column {FILE!r}: "
                "leave all but the labels as `unseen advise` wrote it"
            )
        file = Path(str(name))
        if found.setdefault(file.resolve(), label) != label:
            both = " and ".join(repr(each or "normal") for each in (found[file.resolve()], label))
            raise DataError(f"{where}: {str(name)!r} is answered twice, {both}: leave one of them")
        files.append(file)
    return files


def _answers_count(
    training: Sequence[Path], files: Sequence[Path], y: list[Any], normal: str
) -> tuple[Rows, list[Any]]:
    """Which training images stay beside answered ones (n), and the labels of all: an image of
    training that is answered is there once, with its answer.

    Answered to be normal, it is as normal as before: it calibrates where it did."""
    places = {file.resolve(): k for k, file in enumerate(training)}
    before = [places.get(file.resolve()) for file in files]
    again = [k for k in before if k is not None]
    stay = np.setdiff1d(np.arange(len(training)), np.array(again, dtype=np.int64))
    if again:
        log.warning(
            "%d answered images are in the training folder, too: their answers count, and not what "
            "the folder calls them",
            len(set(again)),
        )
    given = y[len(training) :]
    calm = [k is not None and str(y[k]) == normal for k in before]
    labels = [
        normal if label is None and was else label for label, was in zip(given, calm, strict=True)
    ]
    return stay, [y[k] for k in stay.tolist()] + labels


def _answered_images(
    files: Sequence[Path],
    where: str,
    train: TableSource | ImageFolder | None,
    detector: Detector,
) -> Maps:
    """The images that answers name, to learn from."""
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{where}: column {FILE!r} names {len(missing):,} of {len(files):,} files that are not "
            f"there, first {missing[0]!r}: learn where advise was called, or name whole paths"
        )
    none: tuple[None, ...] = (None,) * len(files)
    resaved = bool(getattr(detector.schema_, "resaved", False))
    cache = getattr(train, "cache", None)
    return Maps.of(
        Images(tuple(files), none, none, Path()), detector.features, resaved=resaved, cache=cache
    )


def _labels(data: Labelled, codes: Rows, names: tuple[str, ...], normal: Any) -> list[Any]:
    """Those of training rows, and of answered ones, of which normal ones have no label."""
    before = [normal] * len(data.rows)  # where nothing is labelled, all are taken for normal
    if data.y is not None:
        before = list(data.y.to_pylist() if hasattr(data.y, "to_pylist") else data.y)
    return before + _answers_spelled(codes, names)


def _answers_spelled(codes: Rows, names: tuple[str, ...]) -> list[str | None]:
    """Labels of codes, None for normal."""
    return [None if code == 0 else names[code - 1] for code in codes.tolist()]


def _answered_rows(detector: Detector, given: pa.Table, where: str) -> pa.Table:
    """Answered rows as the detector reads them; DataError for values that it cannot read."""
    others = [name for name in given.column_names if name not in detector.schema_.inputs]
    rows = without(given, others)
    try:
        detector.schema_.encode(detector.schema_.admit(rows))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return rows


def _with_rows(
    detector: Detector,
    data: Labelled,
    given: pa.Table,
    y: list[Any],
    where: str,
    group: str | None,
) -> tuple[pa.Table, list[Any], list[Any] | None]:
    """Training rows and answered ones, their labels, and their domains where those are known."""
    rows, groups = _joined(data.rows, given, where), None
    if data.groups is not None:
        require([str(group)], given.column_names, where=where)
        groups = [*data.groups, *given[group].to_pylist()]
    stay = _without_answered(rows, len(data.rows), y, detector)
    groups = None if groups is None else [groups[k] for k in stay.tolist()]
    return rows.take(stay), [y[k] for k in stay.tolist()], groups


def _joined(rows: pa.Table, given: pa.Table, where: str) -> pa.Table:
    """Training rows and answered ones."""
    columns = {}
    try:
        for field in rows.schema:
            if field.name not in given.column_names:
                columns[field.name] = pa.nulls(len(given), field.type)
                continue
            own = given[field.name]
            # answers in a text file are text, whatever the training rows are
            as_text = pa.types.is_string(field.type) or pa.types.is_string(own.type)
            columns[field.name] = own.cast(field.type) if as_text else own
        return pa.concat_tables([rows, pa.table(columns)], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"{where}: its columns hold other values than those of the training rows ({error}); "
            "leave all but the labels as `unseen advise` wrote it"
        ) from error


def _without_answered(rows: pa.Table, m: int, y: list[Any], detector: Detector) -> Rows:
    """Numbers of the rows that stay (k,): for each answer, behind m training rows, that calls a row
    an anomaly, one training row less that is the same and has another label or none.
    """
    inputs = [name for name in rows.column_names if name in detector.schema_.inputs]
    x = detector.schema_.encode(detector.schema_.admit(rows.select(inputs)))
    left = np.ones(len(rows), dtype=bool)
    for k in range(m, len(rows)):
        if y[k] is None:  # normal, as they are
            continue
        same = np.flatnonzero(left[:m] & (x[:m] == x[k]).all(axis=1))
        other = [place for place in same.tolist() if y[place] != y[k]]
        left[other[:1]] = False
    if not left.all():
        log.warning(
            "%d rows that are answered to be anomalies are among the training rows, too: their "
            "answers count, and not what the training file calls them",
            int((~left).sum()),
        )
    return np.flatnonzero(left)


def _flagged(before: Detector, now: Detector, rows: Any, codes: Rows) -> dict[str, tuple[int, int]]:
    """How many of the anomalies and of the normals among the rows are flagged at 5%."""
    each = [detector.pvalue(rows) <= 0.05 for detector in (before, now)]
    return {
        what: (int(each[0][side].sum()), int(each[1][side].sum()))
        for what, side in (("anomalies", codes > 0), ("normals", codes == 0))
    }


def _spots(detector: Detector) -> BlindSpots | None:
    try:
        return detector.blind_spots()
    except (DataError, Unsupported):
        return None

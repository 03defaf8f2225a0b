"""The open-set protocol: how well are anomaly classes found that nobody labelled, beside those that
somebody did?
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.labels import doubt, encode_labels, originals
from unseen.data.split import Rows, take
from unseen.data.tables import without
from unseen.detector.blocks import check_apart, encode_blocks
from unseen.detector.detector import Detector
from unseen.detector.inputs import counting_rows, encoder_of, own_labels, to_learn_from
from unseen.detector.settings import method_of
from unseen.errors import DataError
from unseen.evaluation.choices import LEAST, Protocol
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.foretold import foretold, over_runs
from unseen.evaluation.metrics import FIGURES, figures, over_classes, over_seeds
from unseen.evaluation.verdicts import verdict_figures, verdicts_over_seeds
from unseen.methods.catalogue import suited, to_json, usual_name
from unseen.names import require
from unseen.quiet import quiet
from unseen.types import Labelled, Method
from unseen.wording import option

log = logging.getLogger("unseen")
ALPHA = 0.05  # level at which normals are flagged and verdicts given


def evaluate(
    table: Any,
    *,
    label: str | None = None,
    normal: str | float = "normal",
    test: Any = None,
    protocol: Protocol | None = None,
    methods: Mapping[str, Method | str] | Sequence[str] | str | None = None,
    kinds: Mapping[str, str] | None = None,
    group: str | None = None,
    block: str | None = None,
    device: str | torch.device = "cpu",
    repeats: Literal["keep", "once"] | None = None,
    progress: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Evaluate methods under the open-set protocol.

    Each seed draws seen classes and their few labelled rows anew; all other anomalies leave
    training, and their classes are unseen. Without `test`, rows are split half and half within each
    class, or by whole blocks, and rows that are copies of another one are left out before. Test
    labels are used for the report and for nothing else.

    Parameters
    ----------
    table : data frame, Images or Maps
        Rows with a column of labels, or images in folders that name their classes.
    label : str, optional
        The column that says what a row is.
    normal, kinds, device, repeats
        As in `Detector`.
    test : data frame, Images or Maps, optional
        Rows to test on.
    protocol : Protocol, optional
        How many seeds, seen classes and labelled rows.
    methods : mapping of str to method or str, or names of methods, optional
        Names for the report, and methods or their names; the default without any.
    group : str, optional
        The column of domains, the `groups` of `Detector.fit`.
    block : str, optional
        The column of blocks, the `blocks` of `Detector.fit`: none stands in training and test.
    progress : callable, optional
        Is called, without arguments, once for each method in each seed.

    Returns
    -------
    list of dict
        A report for each method, that JSON can hold. "unseen" and "seen" have the mean and standard
        deviation over seeds of each figure, "classes" the figures of each class, hardest first,
        "verdicts" how rows are called, None of images; the guide on evaluating says what each
        figure is.

    Raises
    ------
    DataError
        For rows without labels, or without normal ones; for columns that are not there; and for
        methods and settings that nobody knows.
    Unsupported
        Where torch does not find the device, or an extra that images need is not installed.

    >>> import pyarrow as pa
    >>> rng = np.random.default_rng(0)
    >>> kind = np.repeat(["normal", "up", "down"], [400, 60, 60])
    >>> x = rng.normal(size=520) + np.repeat([0.0, 4.0, -4.0], [400, 60, 60])
    >>> table = pa.table({"x": x, "kind": kind})
    >>> [report] = evaluate(
    ...     table, label="kind", protocol=Protocol(seeds=1), methods={"mine": "mahalanobis"}
    ... )
    >>> report["unseen"]["auroc"]["mean"] > 0.9
    True
    """
    return run_protocol(
        _parted(table, label, group, block),
        None if test is None else _parted(test, label, group, block, needed=False),
        normal=normal,
        choices=_choices(protocol),
        methods=_by_name(methods),
        kinds=kinds,
        device=device,
        repeats=repeats,
        progress=progress or (lambda: None),
    )


def run_protocol(
    train: Labelled,
    test: Labelled | None = None,
    *,
    choices: Protocol,
    methods: Mapping[str, Method | str],
    normal: str | float = "normal",
    kinds: Mapping[str, str] | None = None,
    device: str | torch.device = "cpu",
    repeats: Literal["keep", "once"] | None = None,
    progress: Callable[[], object] = lambda: None,
    spread: Callable[[Callable[[_Seed], _Ran], Iterable[_Seed]], Iterable[_Ran]] = map,
) -> list[dict[str, Any]]:
    """`evaluate` of rows whose labels and domains are known apart from them; `spread` works through
    the fits, in whatever order.
    """
    data = _prepared(train, test, normal, kinds, repeats)
    shape = _shape(data.rows)
    chosen = {name: suited(method_of(method), shape) for name, method in methods.items()}
    chosen = chosen or {usual_name(shape): suited(None, shape)}
    how = {"normal": normal, "kinds": kinds, "device": device, "repeats": repeats}
    work = _Fits(data, choices, chosen, how, halved=test is None)
    fits = [_Seed(seed, name) for seed in range(choices.seeds) for name in chosen]
    runs = {}
    for fit, run in spread(work, fits):
        runs[fit] = run
        progress()
    return [
        _method_report(
            name, chosen[name], [runs[fit] for fit in fits if fit.method == name], choices
        )
        for name in chosen
    ]


@dataclass(frozen=True)
class _Seed:
    """One fit of an evaluation: its draw, and its method by name."""

    seed: int
    method: str

    def __str__(self) -> str:
        return f"seed {self.seed} of {self.method}"


_Ran = tuple[_Seed, dict[str, Any]]


@dataclass(frozen=True)
class _Fits:
    """What every fit of an evaluation knows: the rows, the choices, the methods by name, and how
    detectors are made. A fit hangs on its seed alone, wherever it is done.
    """

    data: _Tables
    choices: Protocol
    methods: Mapping[str, Method]
    how: Mapping[str, Any]
    halved: bool

    def __call__(self, fit: _Seed) -> _Ran:
        """Draw, fit and score once."""
        data, first = self.data, fit.method == next(iter(self.methods)) and fit.seed == 0
        rng = np.random.default_rng(fit.seed)
        draw = draw_rows(data.codes, data.answers, self.choices, rng, data.alike, data.blocks)
        if not draw.seen and first:
            _tell_no_seen(len(data.names), self.choices.shots, halved=self.halved)
        learner = Detector(self.methods[fit.method], random_state=fit.seed, **self.how)
        with quiet(not first):  # every fit would log the same of the same columns
            return fit, _one_run(learner, data, draw)


@dataclass(frozen=True)
class _Tables:
    """Rows to train on with their domains and codes, and rows to test on with theirs; one table for
    both is split by each seed.
    """

    rows: Any
    groups: NDArray[np.object_] | None
    blocks: NDArray[np.int64] | None
    codes: NDArray[np.int64]
    tested: Any
    answers: NDArray[np.int64]
    names: tuple[str, ...]  # of the classes, as the data has them
    alike: Rows | None  # a number for each row of one table, which has no copies left


def _tell_no_seen(classes: int, shots: int, *, halved: bool) -> None:
    """Log why no class is a seen one."""
    if classes == 0:
        log.warning("no row is an anomaly, so there is nothing to find: label some by their kinds")
        return
    if classes == 1:
        log.warning(
            "there is one class of anomalies, and if it had labels none would be left that nobody "
            "labelled: so no label is used; name anomalies by their kinds"
        )
        return
    log.warning(
        "no anomaly class can be a seen one: that takes %d training rows of it%s, and another "
        "class that stays unseen. So all are unseen, and no label is used: name anomalies by their "
        "kinds, or label fewer rows of each (%s)",
        shots,
        " (half of its rows train, half test)" if halved else "",
        option("shots", ...),
    )


def _prepared(
    train: Labelled,
    test: Labelled | None,
    normal: str | float,
    kinds: Mapping[str, str] | None,
    repeats: str | None,
) -> _Tables:
    """What each seed draws from: labels as codes, and one table without its copies."""
    codes, names, spelling = _encoded(train, normal)
    doubt(codes, names, [spelling.get(name) for name in names])
    rows = train.rows
    groups = None if train.groups is None else np.asarray(train.groups, dtype=object)
    blocks = encode_blocks(train.blocks, rows=len(rows))
    alike = None
    if test is None:
        own = _without_copies(rows, kinds, repeats)
        rows, codes, groups = take(rows, own), codes[own], None if groups is None else groups[own]
        blocks = None if blocks is None else blocks[own]
        tested, answers, alike = rows, codes, np.arange(len(own))
    else:
        check_apart(train.blocks, test.blocks)
        tested = test.rows
        answers, names, more = _encoded(test, normal, names)
        spelling = more | spelling
    shown = tuple(str(spelling[name]).strip() for name in names)
    return _Tables(rows, groups, blocks, codes, tested, answers, shown, alike)


def _choices(protocol: object) -> Protocol:
    if not isinstance(protocol, Protocol | None):
        raise DataError(f"protocol must be a Protocol, such as Protocol(seeds=3), got {protocol!r}")
    return protocol or Protocol()


def _by_name(methods: object) -> Mapping[str, Method | str]:
    """Methods by the names that the report gives them; names of methods are their own."""
    if methods is None or isinstance(methods, Mapping):
        return methods or {}
    names = [methods] if isinstance(methods, str) else methods
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise DataError(
            "methods must be names of methods, or a mapping of names to methods such as "
            f"{{'mine': Nearest(k=3)}}, got {methods!r:.80}"
        )
    return {name: name for name in names}


def copy_numbers(
    rows: Any, *, kinds: Mapping[str, str] | None = None, repeats: str | None = None
) -> Rows:
    """A number for each row, the same for rows of which one would tell the other's label: (n,).

    Those are copies of one record, as training takes them (`Detector`), in whatever class. Rows
    that by their nature come again stay apart: fresh rows will be like them, and a test without
    them would be of rare rows alone.

    >>> rows = np.random.default_rng(0).normal(size=(40, 2))
    >>> copy_numbers(np.r_[rows, rows[:2]])[38:]
    array([38, 39,  0,  1])
    """
    with quiet():
        encoder = encoder_of(rows, np.ones(len(rows), dtype=bool), kinds)
        return counting_rows(rows, encoder, np.zeros(len(rows), dtype=np.int64), repeats)


def _without_copies(rows: Any, kinds: Mapping[str, str] | None, repeats: str | None) -> Rows:
    """Numbers of the rows without copies, of which the log tells."""
    own = np.flatnonzero(copy_numbers(rows, kinds=kinds, repeats=repeats) == np.arange(len(rows)))
    if len(own) < len(rows):
        log.warning(
            "%s of %s rows are copies of another one and are left out: a copy in training would "
            "give the answer away",
            *(f"{len(rows) - len(own):,}", f"{len(rows):,}"),
        )
    return own


def _parted(
    table: Any, label: str | None, group: str | None, block: str | None, *, needed: bool = True
) -> Labelled:
    """A table without its columns of labels, domains and blocks, and these; images with the labels
    of their folders.
    """
    rows = to_learn_from(table, None)
    names = getattr(rows, "column_names", [])
    for name, column in {"label": label, "group": group, "block": block}.items():
        if not isinstance(column, str | None):
            raise DataError(f"{name} must be the name of a column, got {column!r:.80}")
    if label is not None:
        require([label], names, where="the table")
        y, where = rows[label], f"column {label!r}"
    else:
        y, where = own_labels(rows), "their folders"
    if needed:
        require([name for name in (group, block) if name], names, where="the table")
    aside = [name for name in (label, group, block) if name in names]
    groups, blocks = (rows[name].to_pylist() if name in names else None for name in (group, block))
    rows = without(rows, aside) if aside else rows
    return Labelled(rows, y, groups, None, {"where": where}, blocks)


def _encoded(
    given: Labelled, normal: Any, known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...], dict[str, Any]]:
    """Codes (n,), class names, `known` ones first, and each as the data has it."""
    if given.y is None:
        raise DataError(
            "an evaluation needs labels: a column that says what each row is "
            f"({option('label', ...)}), or a folder for each class of images; found none"
        )
    where = given.facts.get("where") or f"column {given.facts.get('label')!r}"
    codes, names = encode_labels(given.y, rows=len(given.rows), normal=normal, known=known)
    spelling = originals(given.y)
    if not (codes == 0).any():
        found = ", ".join(repr(spelling[name]) for name in names[:10] if name in spelling) or "none"
        raise DataError(
            f"no row of {where} is {normal!r}; its values are {found}: name the normal one "
            f"({option('normal', ...)})"
        )
    if (codes == -1).any():
        raise DataError(
            f"{where}: expected a label in every row, found none in {(codes == -1).sum():,} of "
            f"{len(codes):,}: an evaluation needs to know what each row is; label these rows, or "
            "leave them out"
        )
    return codes, names, spelling


def _shape(rows: Any) -> tuple[int, ...]:
    """As many dimensions as samples of these rows have."""
    return (1,) * (len(rows.shape) - 1)


def _one_run(detector: Detector, data: _Tables, draw: Draw) -> dict[str, Any]:
    """Fit and score once: figures by class, share of test normals flagged, seconds."""
    labels = np.array([detector.normal, *data.names], dtype=object)[draw.y]
    start = time.perf_counter()
    groups = None if data.groups is None else data.groups[draw.train]
    blocks = None if data.blocks is None else data.blocks[draw.train]
    detector.fit(take(data.rows, draw.train), labels, groups=groups, blocks=blocks)
    fitted = time.perf_counter()
    scores = detector.anomaly_score(take(data.tested, draw.test))
    done = time.perf_counter()
    codes = data.answers[draw.test]
    normals = scores[codes == 0]
    if not len(normals):
        raise DataError(
            "no test row is normal, so no figure can be computed: the test table needs normal rows"
        )
    pvalues = detector.conformal_.pvalue(scores)
    flagged = float(np.mean(pvalues[codes == 0] <= ALPHA))
    verdicts = None
    if detector.schema_.noun == "rows":
        found = detector.kinds_of_rows(take(data.tested, draw.test), pvalues, pvalues <= ALPHA)
        verdicts = verdict_figures(found, codes, draw, data.names)
    classes = [
        {
            "class": data.names[c - 1],
            "role": "seen" if c in draw.seen else "unseen",
            **figures(normals, scores[codes == c]),
        }
        for c in np.unique(codes[codes > 0]).tolist()
    ]
    return {
        "classes": classes,
        "expected": foretold(detector, classes),
        "flagged": flagged,
        "verdicts": verdicts,
        "seconds": fitted - start,
        "rate": len(codes) / (done - fitted),
    }


def _method_report(
    name: str, method: Method, runs: list[dict[str, Any]], choices: Protocol
) -> dict[str, Any]:
    """One method's report: macro-averages over classes, then mean and spread over seeds."""
    return {
        "method": name,
        "fields": to_json(method, to_read=True),
        "protocol": dataclasses.asdict(choices),
        **{
            role: over_seeds([over_classes(run["classes"], role) for run in runs])
            for role in ("unseen", "seen")
        },
        "blind_spots": over_runs([run["expected"] for run in runs]),
        "normals_flagged_at_5": float(np.mean([run["flagged"] for run in runs])),
        "verdicts": verdicts_over_seeds([run["verdicts"] for run in runs]),
        "fit_seconds": float(np.mean([run["seconds"] for run in runs])),
        "rows_per_second": float(np.mean([run["rate"] for run in runs])),
        "classes": _by_class([entry for run in runs for entry in run["classes"]]),
    }


def _by_class(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each class in each role it played: means over those seeds, hardest first, unseen before
    seen.
    """
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        parts.setdefault((entry["role"], entry["class"]), []).append(entry)
    table = [
        {
            "class": name,
            "role": role,
            "seeds": len(part),
            "rows": round(float(np.mean([p["rows"] for p in part]))),
            "averaged": all(p["rows"] >= LEAST for p in part),
            **{key: float(np.mean([p[key] for p in part])) for key in FIGURES[:-1]},
        }
        for (role, name), part in parts.items()
    ]
    return sorted(table, key=lambda row: (row["role"] == "seen", row["auroc"]))

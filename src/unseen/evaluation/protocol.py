"""The open-set protocol: how well are anomaly classes found that nobody labelled, beside those that somebody did?"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.labels import doubt, encode_labels, originals
from unseen.data.split import Rows, halves, take
from unseen.data.tables import admit
from unseen.detector.detector import Detector
from unseen.detector.inputs import schema_of, standing
from unseen.detector.settings import method_of
from unseen.errors import DataError
from unseen.evaluation.metrics import FIGURES, LEAST, figures, over_classes, over_seeds
from unseen.methods import DEFAULT, IMAGE_DEFAULT, for_images, to_json
from unseen.names import require
from unseen.types import Method
from unseen.vision.encoder import Maps
from unseen.vision.images import Images
from unseen.wording import option

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Protocol:
    """The choices of an open-set evaluation."""

    seen: int = 3
    """anomaly classes with labels"""
    shots: int = 10
    """labelled rows of each of them"""
    seeds: int = 5
    """repetitions, each with other classes and rows"""
    normals: int = 5000
    """most training normals"""
    contamination: float = 0.0
    """share of unlabelled anomalies, of seen classes, among the training normals"""

    def __post_init__(self) -> None:
        for name in ("seen", "shots", "seeds", "normals"):
            if getattr(self, name) < 1:
                raise DataError(f"{option(name)} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.contamination < 1:
            raise DataError(
                f"{option('contamination')} must be a share of the training normals, from 0 to below 1, got "
                f"{self.contamination}"
            )


@dataclass(frozen=True)
class Draw:
    """One seed's rows: numbers into the training and the test table, and codes of the training labels (n,)."""

    train: Rows
    y: NDArray[np.int64]  # 0 normal, else the code of a seen class
    seen: tuple[int, ...]
    test: Rows


def evaluate(
    table: Any,
    *,
    label: str | None = None,
    normal: str | float = "normal",
    test: Any = None,
    protocol: Protocol | None = None,
    methods: Mapping[str, Method | str] | None = None,
    kinds: Mapping[str, str] | None = None,
    group: str | None = None,
    device: str | torch.device = "cpu",
    repeats: Literal["keep", "once"] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Evaluate methods under the open-set protocol: a list of reports, one for each method, that JSON can hold.

    `label` names the column that says what a row is; maps of images (`Maps.of`) bring the names of their folders.
    `methods` are objects or names. `normal`, `kinds`, `device` and `repeats` are those of `Detector`; `group` names
    the column of its `groups`.

    Each seed draws seen classes and their few labelled rows anew; all other anomalies leave training, and their
    classes are unseen. Without `test`, rows are split half and half within each class, and rows that are copies of
    another one are left out before (`alike`). Test labels are used for the report and for nothing else.

    >>> import pyarrow as pa
    >>> from unseen.methods import Mahalanobis
    >>> rng = np.random.default_rng(0)
    >>> kind = np.repeat(["normal", "up", "down"], [400, 60, 60])
    >>> x = rng.normal(size=520) + np.repeat([0.0, 4.0, -4.0], [400, 60, 60])
    >>> table = pa.table({"x": x, "kind": kind})
    >>> [report] = evaluate(table, label="kind", protocol=Protocol(seeds=1), methods={"mahalanobis": Mahalanobis()})
    >>> report["unseen"]["auroc"]["mean"] > 0.9
    True
    """
    choices = protocol or Protocol()
    train, codes, names, spelling = labelled(table, label, normal)
    doubt(codes, names, list(map(spelling.get, names)))
    groups, train = apart(train, group)
    usual: Mapping[str, Method | str] = {"evidence-stack": DEFAULT}
    if isinstance(train, Maps):
        usual = {"image-stack": IMAGE_DEFAULT}
        methods = {name: for_images(method_of(method)) for name, method in (methods or {}).items()}
    chosen = {name: method_of(method) for name, method in (methods or usual).items()}
    tested, answers = train, codes
    if test is not None:
        given, answers, names, more = labelled(test, label, normal, names)
        tested, spelling = apart(given, group, needed=False)[1], more | spelling
    shown = tuple(str(spelling[name]).strip() for name in names)
    once = None
    if test is None:
        own = np.flatnonzero(alike(train, kinds=kinds, repeats=repeats) == np.arange(len(codes)))
        if len(own) < len(codes):
            log.warning(
                "%s of %s rows are copies of another one and are left out, as a copy would tell the other's label",
                *(f"{len(codes) - len(own):,}", f"{len(codes):,}"),
            )
            train, codes = take(train, own), codes[own]
            tested, answers, groups = train, codes, None if groups is None else groups[own]
        once = np.arange(len(codes))
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in range(choices.seeds):
        draw = draw_rows(codes, answers, choices, np.random.default_rng(seed), once)
        if not draw.seen and seed == 0:
            log.warning(
                "no anomaly class can be shown: it takes %d training rows, and another class to hide. So all are "
                "unseen, and no label is used: name anomalies by their kinds, or show fewer rows of each (%s)",
                choices.shots,
                option("shots", ...),
            )
        for name, method in chosen.items():
            learner = Detector(method, normal=normal, kinds=kinds, device=device, random_state=seed, repeats=repeats)
            with said_before() if any(runs.values()) else nullcontext():
                runs[name].append(one_run(learner, train, groups, tested, answers, draw, shown))
            progress()
    return [summary(name, chosen[name], runs[name], choices) for name in chosen]


def alike(table: Any, *, kinds: Mapping[str, str] | None = None, repeats: str | None = None) -> Rows:
    """A number for each row, the same for rows of which one would tell the other's label: (n,).

    Those are copies of one record, as training takes them (`Detector`), in whatever class. Rows that by their nature
    come again stay apart: fresh rows will be like them, and a test without them would be of odd rows alone.

    >>> rows = np.random.default_rng(0).normal(size=(40, 2))
    >>> alike(np.r_[rows, rows[:2]])[38:]
    array([38, 39,  0,  1])
    """
    unlabelled = np.zeros(len(table), dtype=np.int64)
    with said_before():
        return standing(table, schema_of(table, unlabelled, kinds), unlabelled, repeats)


@contextmanager
def said_before() -> Iterator[None]:
    """Every fit of an evaluation would say the same of the same columns: once is enough."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def labelled(
    table: Any, label: str | None, normal: Any, known: tuple[str, ...] = ()
) -> tuple[Any, NDArray[np.int64], tuple[str, ...], dict[str, Any]]:
    """The table without its label column, codes (n,), class names, `known` ones first, and each as the table has it."""
    given, said, where = told(table, label)
    codes, names = encode_labels(said, rows=len(given), normal=normal, known=known)
    spelling = originals(said)
    if not (codes == 0).any():
        found = ", ".join(repr(spelling[name]) for name in names[:10] if name in spelling)
        raise DataError(
            f"no row of {where} is {normal!r}; its values are {found}: name the normal one ({option('normal', ...)})"
        )
    if (codes == -1).any():
        raise DataError(
            f"{where}: expected a label in every row, found none in {(codes == -1).sum():,} of {len(codes):,}: an "
            "evaluation needs to know what each row is; label these rows, or leave them out"
        )
    return given, codes, names, spelling


def apart(table: Any, group: str | None, *, needed: bool = True) -> tuple[Any, Any]:
    """The column that says which kind of normal a row belongs to, None where nothing does, and the other columns."""
    if group is None:
        return None, table
    if isinstance(table, Maps):
        raise DataError(f"images have no columns, so no column {group!r} says which kind of normal they are")
    if needed:
        require([group], table.column_names, where="the table")
    elif group not in table.column_names:
        return None, table
    return np.asarray(table[group].to_pylist(), dtype=object), table.drop_columns([group])


def told(table: Any, label: str | None) -> tuple[Any, Any, str]:
    """Rows without what is said of them, what is said, and where."""
    if isinstance(table, Images):
        raise DataError("an evaluation sees images often: give it Maps.of(images), which are made once")
    if isinstance(table, Maps):
        if table.labels is None:
            raise DataError(f"{table.images.root}: an evaluation needs a folder for each class of images; found none")
        return table, table.labels, f"the folder {table.images.root}"
    given = admit(table)
    if isinstance(given, np.ndarray) or label is None:
        raise DataError(
            f"an evaluation needs a data frame, and its column that says what each row is ({option('label', ...)})"
        )
    require([label], given.column_names, where="the table")
    return given.drop_columns([label]), given[label], f"column {label!r}"


def lacking(classes: Mapping[str, int], unlabelled: int, what: str = "rows") -> dict[str, str]:
    """What an evaluation without a table for testing still needs to say anything: labels, or more rows, in words.

    >>> lacking({"leak": 60, "crack": 12}, 0)
    {}
    >>> lacking({"leak": 10}, 3)
    {'labels': 'labels of all rows (3 have none)',
     'rows': "at least 20 test rows of a class of anomalies (half of the largest, 'leak', is 5)"}
    """
    needs = {"labels": f"labels of all {what} ({unlabelled:,} have none)"} if unlabelled else {}
    name, most = max(classes.items(), key=lambda item: item[1], default=("", 0))
    if most < 2 * LEAST:
        half = f"half of the largest, {name!r}, is {most // 2}" if most else "none is labelled"
        needs["rows"] = f"at least {LEAST} test {what} of a class of anomalies ({half})"
    return needs


def draw_rows(
    codes: NDArray[np.int64],
    answers: NDArray[np.int64],
    choices: Protocol,
    rng: np.random.Generator,
    alike: NDArray[np.int64] | None,
) -> Draw:
    """One seed's rows: all of both tables when there are two, else a split, less test rows that training shows too."""
    if alike is None:
        train, test = np.arange(len(codes)), np.arange(len(answers))
    else:
        train, test = halves(codes, rng)
        test = test[~np.isin(alike[test], alike[train])]
    seen = draw_seen(codes[train], len(np.union1d(codes[codes > 0], answers[answers > 0])), choices, rng)
    return Draw(*draw_training(codes, train, seen, choices, rng), seen, test)


def draw_seen(codes: NDArray[np.int64], classes: int, choices: Protocol, rng: np.random.Generator) -> tuple[int, ...]:
    """Anomaly classes that get labels, of those with enough rows; one always stays out, also when they are few."""
    counts = np.bincount(codes)
    eligible = [c for c in range(1, len(counts)) if counts[c] >= choices.shots]
    enough = len(eligible) >= choices.seen and classes > choices.seen
    count = choices.seen if enough else len(eligible) - 1
    return tuple(sorted(rng.choice(eligible, count, replace=False).tolist())) if count > 0 else ()


def draw_training(
    codes: NDArray[np.int64], rows: Rows, seen: tuple[int, ...], choices: Protocol, rng: np.random.Generator
) -> tuple[Rows, NDArray[np.int64]]:
    """Training normals, `shots` rows of each seen class, and hidden anomalies of those classes among the normals."""
    shuffled = rng.permutation(rows)
    normals = shuffled[codes[shuffled] == 0][: choices.normals]
    of_class = [shuffled[codes[shuffled] == c] for c in seen]
    shots = [r[: choices.shots] for r in of_class]
    rest = rng.permutation(np.concatenate([shuffled[:0], *(r[choices.shots :] for r in of_class)]))
    wanted = round(len(normals) * choices.contamination / (1 - choices.contamination))
    if wanted > len(rest):
        log.warning(
            "contamination: %d unlabelled anomalies of the seen classes wanted, %d there are", wanted, len(rest)
        )
    normals = np.concatenate([normals, rest[:wanted]])
    y = np.repeat([0, *seen], [len(normals), *map(len, shots)]).astype(np.int64)
    return np.concatenate([normals, *shots]), y


def one_run(
    detector: Detector,
    table: Any,
    groups: Any,
    tested: Any,
    answers: NDArray[np.int64],
    draw: Draw,
    names: tuple[str, ...],
) -> dict[str, Any]:
    """Fit and score once: figures by class, share of test normals flagged, seconds."""
    labels = np.array([detector.normal, *names], dtype=object)[draw.y]
    start = time.perf_counter()
    detector.fit(take(table, draw.train), labels, groups=None if groups is None else groups[draw.train])
    fitted = time.perf_counter()
    scores = detector.anomaly_score(take(tested, draw.test))
    done = time.perf_counter()
    codes = answers[draw.test]
    normals = scores[codes == 0]
    if not len(normals):
        raise DataError("no test row is normal, so no figure can be computed: the test table needs normal rows")
    flagged = float(np.mean(detector.conformal_.pvalue(normals) <= 0.05))
    classes = [
        {"class": names[c - 1], "role": "seen" if c in draw.seen else "unseen", **figures(normals, scores[codes == c])}
        for c in np.unique(codes[codes > 0]).tolist()
    ]
    return {"classes": classes, "flagged": flagged, "seconds": fitted - start, "rate": len(codes) / (done - fitted)}


def summary(name: str, method: Method, runs: list[dict[str, Any]], choices: Protocol) -> dict[str, Any]:
    """One method's report: macro-averages over classes, then mean and spread over seeds."""
    return {
        "method": name,
        "fields": to_json(method),
        "protocol": dataclasses.asdict(choices),
        **{role: over_seeds([over_classes(run["classes"], role) for run in runs]) for role in ("unseen", "seen")},
        "normals_flagged_at_5": float(np.mean([run["flagged"] for run in runs])),
        "fit_seconds": float(np.mean([run["seconds"] for run in runs])),
        "rows_per_second": float(np.mean([run["rate"] for run in runs])),
        "classes": by_class([entry for run in runs for entry in run["classes"]]),
    }


def by_class(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each class in each role it played: means over those seeds, hardest first, unseen before seen."""
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

"""One run of the open-set protocol: a draw of a data set, its rows for every entrant, figures."""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from bench.data.sets import DEVELOPMENT, SETS, identical
from bench.runs.entrants import Scores
from bench.runs.store import Record
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from unseen import Protocol
from unseen.data.labels import encode_labels
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.metrics import FIGURES, figures, over_classes

HEADLINE = (3, 10, 0.0)  # seen classes, labelled rows of each, contamination
ROLES = ("unseen", "seen")
Inputs = tuple[pa.Table, NDArray[np.object_], pa.Table]  # training rows, their labels, test rows


@dataclass(frozen=True)
class Data:
    """A data set as `draw_rows` takes it: tables without label, codes of both, names of classes."""

    train: pa.Table
    codes: NDArray[np.int64]
    tested: pa.Table
    answers: NDArray[np.int64]
    names: tuple[str, ...]
    alike: NDArray[np.int64] | None


@cache
def read(name: str) -> Data:
    """The data set, prepared as `unseen.evaluate` does it, but for `identical`."""
    source = (SETS | DEVELOPMENT)[name]
    table, test = source.tables()
    codes, names = encode_labels(table[source.label], rows=len(table), normal="normal")
    train = table.drop_columns([source.label])
    if test is None:
        return Data(train, codes, train, codes, names, identical(train))
    column, known = test[source.label], names
    answers, names = encode_labels(column, rows=len(test), normal="normal", known=known)
    return Data(train, codes, test.drop_columns([source.label]), answers, names, None)


def drawn(data: Data, protocol: Protocol, seed: int) -> tuple[Draw, Inputs]:
    """A seed's draw, and its rows as every entrant gets them."""
    rng = np.random.default_rng(seed)
    draw = draw_rows(data.codes, data.answers, protocol, rng, data.alike)
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    return draw, (data.train.take(draw.train), kinds, data.tested.take(draw.test))


def timed(entrant: Any, inputs: Inputs, seed: int) -> tuple[Scores, Record]:
    """Scores of the test rows, and what fitting and scoring took, preparation included."""
    table, kinds, tested = inputs
    wall, cpu = time.perf_counter(), time.process_time()
    score = entrant.fit(table, kinds, seed)
    fitted, spent = time.perf_counter(), time.process_time()
    scores = score(tested)
    rate = len(tested) / (time.perf_counter() - fitted)
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
    took = {"fit_seconds": fitted - wall, "fit_cpu_seconds": spent - cpu, "rows_per_second": rate}
    return scores, took


def run(entrant: Any, name: str, protocol: Protocol, seed: int) -> Record:
    """Fit and score once: figures by class and their averages, seconds, rows."""
    data = read(name)
    draw, inputs = drawn(data, protocol, seed)
    scores, spent = timed(entrant, inputs, seed)
    classes = by_class(scores, data.answers[draw.test], draw, data.names)
    means = {role: over_classes(classes, role) or {} for role in ROLES}
    return {
        **{f"{role}_{name}": means[role].get(name) for role in ROLES for name in FIGURES},
        "train_rows": len(draw.train),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(draw.test),
        **spent,
        "classes": classes,
        "version": entrant.version(),  # of this process, which may be older than a change
    }


def auroc(normal: Scores, anomaly: Scores) -> float:
    """Chance that an anomaly outscores a normal row, ties half: (m,), (k,) -> [0, 1]."""
    y = np.repeat([0, 1], [len(normal), len(anomaly)])
    return float(roc_auc_score(y, np.concatenate([normal, anomaly])))


def by_class(
    scores: Scores, answers: NDArray[np.int64], draw: Draw, names: tuple[str, ...]
) -> list[Record]:
    """Figures of each anomaly class among the test rows against the test normals."""
    return [
        {
            "class": names[code - 1],
            "role": "seen" if code in draw.seen else "unseen",
            **figures(scores[answers == 0], scores[answers == code]),
        }
        for code in np.unique(answers[answers > 0]).tolist()
    ]

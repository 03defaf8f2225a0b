"""Whether verdicts tell new kinds from known ones, and whether the chance of new kinds holds.

python -m bench verdicts                        # six sets, 5 seeds: an hour or two of one core
python -m bench verdicts --data development     # the tables by which pieces were chosen
python -m bench verdicts --data images --seeds 1   # boards and tiles: 100 normals, ten minutes
python -m bench verdicts --short                # two small sets, a minute

Of each draw (3 seen classes, 10 labelled rows of each) the anomalies among the test rows that the
default flags at p <= .05, at most 300 of a class, are compared: how well does a score tell unseen
classes from seen ones? Beside novelty: its two distances alone, a random forest on normals and
classes (1 - largest chance of a class), and the softmax of a multinomial logistic regression. For
the chance, labels are drawn at random from the attacks of NSL-KDD; what is left unseen is known.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from bench.data.pool import CLASSES, Case, stems
from bench.data.products import product
from bench.data.sets import DEVELOPMENT, SETS
from bench.pages.text import show, spread
from bench.runs.command import options
from bench.runs.open_set import auroc, drawn, read
from unseen import Detector, Protocol
from unseen.detector.chance import good_turing

IMAGES = 60  # test images of a class
MOST = 300  # test rows of a class: frequent ones would drown the others
LEAST = 10  # flagged rows of either side, below which a draw does not count
SCORES = ("verdicts", "distance", "distance in classes", "forest", "softmax")
LABELS = (10, 20, 50, 100, 300)
MULTIPLES = (1, 2, 3, 5)  # of 1/11, at which p-values of classes are looked at
Draws = dict[str, Callable[[int], tuple[pa.Table, Any, pa.Table, NDArray[Any]]]]


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--data", choices=("six", "development", "images"), default="six")
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of images")
    add("--sets", nargs="+", help="names of some of them")
    add("--seeds", type=int, default=5)
    add("--short", action="store_true", help="Shuttle and digits, 1 seed")
    chosen = parser.parse_args()
    every = {"six": six, "development": development, "images": lambda: images(chosen.cache)}
    draws = every[chosen.data]()
    names = ["shuttle", "digits"] if chosen.short else (chosen.sets or list(draws))
    seeds = 1 if chosen.short else chosen.seeds
    found = []
    for name in names:
        for seed in range(seeds):
            figures = one_draw(*draws[name](seed), seed)
            if figures is not None:
                found.append({"set": name, "seed": seed, **figures})
                print(f"{name} {seed}: {figures['verdicts']:.3f}", flush=True)
    report(pd.DataFrame(found))
    if chosen.data != "images":
        chances()


def six() -> Draws:
    """What draws training rows, their labels, test rows and their classes, of the six sets."""

    def of(name: str) -> Callable[[int], Any]:
        def draw(seed: int) -> Any:
            data = read(name)
            one, inputs = drawn(data, Protocol(3, 10), seed)
            names = np.array(["normal", *data.names], dtype=object)
            return (*inputs, names[data.answers[one.test]])

        return draw

    return {name: of(name) for name in SETS}


def development() -> Draws:
    """The same of the tables of the pool with natural classes, and with clustered anomalies."""

    def of(family: str, name: str) -> Callable[[int], Any]:
        def draw(seed: int) -> Any:
            trial = Case(family, name, "3x10").trial(seed)
            names = np.array(["normal", *(f"class {k}" for k in range(1, trial.answers.max() + 1))])
            return trial.train, trial.kinds, trial.test, names[trial.answers]

        return draw

    tables = {"classes": stems(CLASSES), "clustered": list(DEVELOPMENT)}
    return {f"{family}/{name}": of(family, name) for family in tables for name in tables[family]}


def images(maps: Path) -> Draws:
    """The same of images: ten of each seen class and 100 normal ones train, 60 of a class test."""

    def of(name: str, seen: int) -> Callable[[int], Any]:
        def draw(seed: int) -> Any:
            every, names = product(name, maps)
            rng = np.random.default_rng(seed)
            classes = rng.permutation(sorted(set(names) - {"normal"}))
            rows = {c: rng.permutation(np.flatnonzero(names == c)) for c in ("normal", *classes)}
            shown = {
                c: rows[c][: 100 if c == "normal" else 10] for c in ("normal", *classes[:seen])
            }
            train = np.concatenate(list(shown.values()))
            left = [rows[c][len(shown.get(c, ())) :][:IMAGES] for c in rows]
            test = np.concatenate(left)
            return every.take(train), names[train], every.take(test).plain(), names[test]

        return draw

    return {"boards": of("boards", 2), "magnetic_tile": of("magnetic_tile", 3)}


def one_draw(
    train: Any, labels: Any, test: Any, answers: NDArray[Any], seed: int
) -> dict[str, float] | None:
    """Figures of one draw; None where too few rows of either side are flagged."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(answers == name))[:MOST] for name in np.unique(answers)]
    )
    detector = Detector(random_state=seed).fit(train, labels)
    test, answers = test.take(rows), answers[rows]
    found, x = detector.verdict(test), detector.compared(detector.schema_.admit(test))
    known = detector.known_kinds()
    seen, normal = np.isin(answers, detector.classes_), answers == "normal"
    new = ~seen & ~normal
    flagged = found.code != 0
    if known is None or min((flagged & seen).sum(), (flagged & new).sum()) < LEAST:
        return None
    pieces = known.comparison.compared(x)[0].min(axis=2)
    codes, numbers = detector.references_.codes, detector.references_.numbers
    shown = detector.compared(detector.schema_.admit(train.take(numbers)))
    forest = RandomForestClassifier(300, class_weight="balanced_subsample", random_state=0)
    alone = 1 - forest.fit(shown, codes).predict_proba(x)[:, 1:].max(axis=1)
    model = LogisticRegression(max_iter=300).fit(shown[codes > 0], codes[codes > 0])
    scores = (found.novelty, *pieces[:2], alone, 1 - model.predict_proba(x).max(axis=1))
    own = np.array([found.classes.index(a) if a in found.classes else 0 for a in answers])
    right = (found.share.argmax(axis=1) == own)[flagged & seen]
    p = found.class_pvalue[np.arange(len(own)), own][seen]
    new_rows, seen_rows = found.code[new & flagged], found.code[seen & flagged]
    return {
        **{
            name: auroc(score[flagged & seen], score[flagged & new])
            for name, score in zip(SCORES, scores, strict=True)
        },
        "accuracy": float(right.mean()),
        "new called new": float((new_rows == -1).mean()),
        "new called known": float((new_rows > 0).mean()),
        "known called new": float((seen_rows == -1).mean()),
        "known called known": float((seen_rows > 0).mean()),
        **{f"p <= {k}/11": float((p <= k / 11 + 1e-9).mean()) for k in MULTIPLES},
    }


def report(found: pd.DataFrame) -> None:
    """Tables by set: scores, what verdicts say, and p-values of classes."""
    heads = {
        "AUROC of new against known among flagged anomalies": SCORES,
        "Verdicts on flagged anomalies": [name for name in found if "called" in name],
        "Fresh rows of a class by its p-value": [f"p <= {k}/11" for k in MULTIPLES],
    }
    heads["Verdicts on flagged anomalies"].insert(0, "accuracy")
    parts = {str(name): part for name, part in found.groupby("set")} | {"mean": found}
    for title, columns in heads.items():
        rows = [
            [name, str(len(part)), *(spread(part[column]) for column in columns)]
            for name, part in parts.items()
        ]
        show(f"\n{title}", ["set", "draws", *columns], rows)
    means = found.groupby("set")[list(SCORES)].mean()
    behind = means["verdicts"] - means.drop(columns="verdicts").max(axis=1)
    print(f"\nMean of set means: {means['verdicts'].mean():.3f}")
    print(f"Least ahead of the best of the others on {behind.idxmin()}: {behind.min():+.3f}")


def chances(draws: int = 400) -> None:
    """How often the interval holds the chance of an unseen kind, by the number of labels."""
    table, _ = SETS["nsl_kdd"].tables()
    kinds = np.array(table["attack"].to_pylist(), dtype=object)
    counts = np.unique(kinds[kinds != "normal"], return_counts=True)[1]
    rows = []
    for n in LABELS:
        rng = np.random.default_rng(n)
        each = [covered(rng, counts / counts.sum(), n) for _ in range(draws)]
        inside, width, estimate, truth = np.mean(each, axis=0)
        rows.append([f"{n}", f"{inside:.1%}", f"{width:.3f}", f"{estimate:.3f}", f"{truth:.3f}"])
    heads = ["labels", "inside", "mean width", "mean estimate", "mean chance"]
    show(f"\nChance of an unseen kind: 90% intervals, {draws} draws each", heads, rows)


def covered(
    rng: np.random.Generator, chance: NDArray[np.float64], n: int
) -> tuple[bool, float, float, float]:
    """Whether the interval from n random labels holds the truth, its width, estimate, and truth."""
    kinds, counts = np.unique(rng.choice(len(chance), n, p=chance), return_counts=True)
    truth = 1 - chance[kinds].sum()
    found = good_turing(counts)
    return found.low <= truth <= found.high, found.high - found.low, found.estimate, truth
